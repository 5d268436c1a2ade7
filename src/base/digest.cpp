#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"
#include "base/text.h"

namespace skiff {

static const EVP_MD* algorithm(HashKind kind) {
    switch (kind) {
        case HashKind::sha256:
            return EVP_sha256();
        case HashKind::sha512:
            return EVP_sha512();
        case HashKind::sha512_256:
            return EVP_sha512_256();
    }
    SKIFF_ASSERT(false, "unknown kind of hash");
    return nullptr;
}

Hasher::Hasher(HashKind kind) : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    SKIFF_ASSERT(context_ && EVP_DigestInit_ex(context_.get(), algorithm(kind), nullptr) == 1);
}

Hasher::~Hasher() = default;

void Hasher::update(std::string_view bytes) {
    SKIFF_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Hasher::finish() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    SKIFF_ASSERT(EVP_DigestFinal_ex(context_.get(), bytes, &length) == 1);
    return {reinterpret_cast<const char*>(bytes), length};
}

std::string hash_of(std::string_view bytes, HashKind kind) {
    Hasher hasher(kind);
    hasher.update(bytes);
    return hasher.finish();
}

std::string sha256_hex(std::string_view bytes) {
    return to_hex(hash_of(bytes));
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
    unsigned char code[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    SKIFF_ASSERT(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), code,
                      &length) != nullptr);
    return {reinterpret_cast<const char*>(code), length};
}

}  // namespace skiff
