#include "images/digest.h"

#include "base/text.h"
#include "os/file.h"

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

static HashKind kind_of(const std::string& algorithm) {
    return algorithm == "sha512" ? HashKind::sha512 : HashKind::sha256;
}

Hasher::Hasher(const std::string& algorithm) : algorithm_(algorithm), hasher_(kind_of(algorithm)) {}

Digest Hasher::finish() {
    return Digest(algorithm_ + ":" + to_hex(hasher_.finish()));
}

Digest digest_of(std::string_view bytes) {
    Hasher hasher;
    hasher.update(bytes);
    return hasher.finish();
}

Result<FileDigest> digest_of_file(int fd, const std::string& algorithm) {
    Hasher hasher(algorithm);
    SKIFF_TRY(Bytes size,
              os::read_through(fd, [&](std::string_view chunk) { hasher.update(chunk); }));
    return FileDigest{hasher.finish(), size};
}

}  // namespace skiff::images
