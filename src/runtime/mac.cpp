#include "runtime/mac.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <memory>

#include "base/text.h"
#include "os/file.h"

namespace skiff::runtime {

namespace {

constexpr std::size_t kDigestBytes = 32;

using Mac = std::unique_ptr<EVP_MAC, decltype([](EVP_MAC* m) { EVP_MAC_free(m); })>;
using MacContext =
    std::unique_ptr<EVP_MAC_CTX, decltype([](EVP_MAC_CTX* c) { EVP_MAC_CTX_free(c); })>;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());  // NOLINT: OpenSSL's type
}

}  // namespace

Result<std::string> mac_hex_of_file(std::string_view key, std::string_view label, int fd) {
    Mac mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
    MacContext context(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
    char digest_name[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name, 0),
        OSSL_PARAM_construct_end()};
    if (!context || EVP_MAC_init(context.get(), bytes_of(key), key.size(), parameters) != 1) {
        return fail(Code::internal, "HMAC is not available");
    }
    EVP_MAC_update(context.get(), bytes_of(label), label.size());
    EVP_MAC_update(context.get(), bytes_of("\n"), 1);
    SKIFF_CHECK(os::read_through(fd, [&](std::string_view chunk) {
        EVP_MAC_update(context.get(), bytes_of(chunk), chunk.size());
    }));
    unsigned char code[kDigestBytes];
    std::size_t size = 0;
    if (EVP_MAC_final(context.get(), code, &size, sizeof code) != 1 || size != kDigestBytes) {
        return fail(Code::internal, "HMAC failed");
    }
    return to_hex(std::string_view(reinterpret_cast<char*>(code), kDigestBytes));  // NOLINT
}

bool equal_secrets(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace skiff::runtime
