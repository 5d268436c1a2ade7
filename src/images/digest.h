// Content digests: parsed strictly, computed incrementally.
#pragma once

#include <compare>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"
#include "base/types.h"

namespace skiff::images {

// "sha256:<64 hex>" or "sha512:<128 hex>". A Digest that exists is well formed: it may become part
// of a path.
class Digest {
public:
    // Fails with Code::invalid for any other text, upper-case hexadecimal included.
    [[nodiscard]] static Result<Digest> parse(std::string_view text);

    // "sha256:…".
    [[nodiscard]] const std::string& str() const { return text_; }
    // "sha256".
    [[nodiscard]] std::string algorithm() const;
    // The hexadecimal part.
    [[nodiscard]] std::string hex() const;

    friend auto operator<=>(const Digest&, const Digest&) = default;

private:
    explicit Digest(std::string text) : text_(std::move(text)) {}
    friend class Hasher;
    std::string text_;
};
inline std::string format_as(const Digest& digest) {
    return digest.str();
}

// Computes one digest. Any thread, one at a time.
class Hasher {
public:
    // `algorithm` is Digest::algorithm().
    explicit Hasher(const std::string& algorithm = "sha256");

    void update(std::string_view bytes) { hasher_.update(bytes); }
    // The digest of everything so far. Once.
    [[nodiscard]] Digest finish();

private:
    std::string algorithm_;
    skiff::Hasher hasher_;
};

// sha256 of `bytes`.
[[nodiscard]] Digest digest_of(std::string_view bytes);
// Blocking: the digest and size of what `fd` holds from its start (read by pread).
struct FileDigest {
    Digest digest;
    Bytes size;
};
[[nodiscard]] Result<FileDigest> digest_of_file(int fd, const std::string& algorithm = "sha256");

}  // namespace skiff::images

template <>
struct fmt::formatter<skiff::images::Digest> : fmt::formatter<std::string> {
    auto format(const skiff::images::Digest& digest, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(digest.str(), context);
    }
};
