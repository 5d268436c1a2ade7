#include "state/digest.h"

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/text.h"
#include "os/file.h"

namespace skiff::state {

Hasher::Hasher(HashKind kind) : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    const EVP_MD* algorithm = kind == HashKind::sha512 ? EVP_sha512() : EVP_sha256();
    SKIFF_ASSERT(context_ && EVP_DigestInit_ex(context_.get(), algorithm, nullptr) == 1);
}

Hasher::~Hasher() = default;

void Hasher::update(std::string_view bytes) {
    SKIFF_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Hasher::finish_hex() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    SKIFF_ASSERT(EVP_DigestFinal_ex(context_.get(), bytes, &length) == 1);
    return to_hex(std::string_view(reinterpret_cast<const char*>(bytes), length));
}

std::string sha256_hex(std::string_view bytes) {
    Hasher hasher;
    hasher.update(bytes);
    return hasher.finish_hex();
}

Result<FileHash> hash_file(int fd, HashKind kind) {
    Hasher hasher(kind);
    SKIFF_TRY(Bytes size,
              os::read_through(fd, [&](std::string_view chunk) { hasher.update(chunk); }));
    return FileHash{hasher.finish_hex(), size};
}

}  // namespace skiff::state
