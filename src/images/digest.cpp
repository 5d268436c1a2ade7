#include "images/digest.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <vector>

#include "base/assert.h"
#include "base/text.h"

namespace skiff::images {

Result<Digest> Digest::parse(std::string_view text) {
    auto colon = text.find(':');
    std::string_view algorithm = text.substr(0, colon);
    std::string_view hex = colon == std::string_view::npos ? "" : text.substr(colon + 1);
    std::size_t digits = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
    bool well_formed = digits != 0 && hex.size() == digits &&
                       hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    if (!well_formed) {
        return fail(Code::invalid, "{:?} is not a sha256 or sha512 digest",
                    bounded_utf8(text, 160));
    }
    return Digest(std::string(text));
}

std::string Digest::algorithm() const {
    return text_.substr(0, text_.find(':'));
}

std::string Digest::hex() const {
    return text_.substr(text_.find(':') + 1);
}

Hasher::Hasher(const std::string& algorithm)
    : algorithm_(algorithm), context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    const EVP_MD* kind = algorithm == "sha512" ? EVP_sha512() : EVP_sha256();
    SKIFF_ASSERT(context_ && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1);
}

Hasher::~Hasher() = default;

void Hasher::update(std::string_view bytes) {
    SKIFF_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Digest Hasher::finish() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    SKIFF_ASSERT(EVP_DigestFinal_ex(context_.get(), bytes, &length) == 1);
    return Digest(algorithm_ + ":" +
                  to_hex(std::string_view(reinterpret_cast<const char*>(bytes), length)));
}

Digest digest_of(std::string_view bytes) {
    Hasher hasher;
    hasher.update(bytes);
    return hasher.finish();
}

Result<FileDigest> digest_of_file(int fd, const std::string& algorithm) {
    Hasher hasher(algorithm);
    std::vector<char> buffer(256U << 10);
    off_t offset = 0;
    while (true) {
        ssize_t n = ::pread(fd, buffer.data(), buffer.size(), offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(errno, "read for a digest");
        }
        if (n == 0) {
            break;
        }
        hasher.update(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
        offset += n;
    }
    return FileDigest{hasher.finish(), Bytes{static_cast<std::uint64_t>(offset)}};
}

}  // namespace skiff::images
