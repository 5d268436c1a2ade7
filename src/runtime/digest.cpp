#include "runtime/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>

#include "base/text.h"

namespace skiff::runtime {

namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;
constexpr std::size_t kDigestBytes = 32;

using DigestContext =
    std::unique_ptr<EVP_MD_CTX, decltype([](EVP_MD_CTX* c) { EVP_MD_CTX_free(c); })>;
using Mac = std::unique_ptr<EVP_MAC, decltype([](EVP_MAC* m) { EVP_MAC_free(m); })>;
using MacContext =
    std::unique_ptr<EVP_MAC_CTX, decltype([](EVP_MAC_CTX* c) { EVP_MAC_CTX_free(c); })>;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());  // NOLINT: OpenSSL's type
}

Result<void> for_each_chunk(int fd, const std::function<void(std::string_view)>& take) {
    std::string buffer(kChunkBytes, '\0');
    off_t offset = 0;
    while (true) {
        ssize_t n = ::pread(fd, buffer.data(), buffer.size(), offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(errno, "read");
        }
        if (n == 0) {
            return {};
        }
        take(std::string_view(buffer).substr(0, static_cast<std::size_t>(n)));
        offset += n;
    }
}

std::string finish(const DigestContext& context) {
    unsigned char digest[kDigestBytes];
    EVP_DigestFinal_ex(context.get(), digest, nullptr);
    return to_hex(std::string_view(reinterpret_cast<char*>(digest), kDigestBytes));  // NOLINT
}

DigestContext begin() {
    DigestContext context(EVP_MD_CTX_new());
    EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
    return context;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
    auto context = begin();
    EVP_DigestUpdate(context.get(), bytes.data(), bytes.size());
    return finish(context);
}

Result<std::string> sha256_hex_of_file(int fd) {
    auto context = begin();
    SKIFF_CHECK(for_each_chunk(fd, [&](std::string_view chunk) {
        EVP_DigestUpdate(context.get(), chunk.data(), chunk.size());
    }));
    return finish(context);
}

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
    SKIFF_CHECK(for_each_chunk(fd, [&](std::string_view chunk) {
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
