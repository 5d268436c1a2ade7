// Private to this room: the bytes of a tar file, decompressed, counted and hashed.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "images/digest.h"
#include "os/fd.h"

namespace skiff::images {

class TarSource {
public:
    virtual ~TarSource() = default;
    // Detects gzip and zstd by their first bytes; anything else is taken as it is.
    [[nodiscard]] static Result<std::unique_ptr<TarSource>> open(os::Fd file,
                                                                 std::uint64_t bytes_max);
    // The next bytes, empty at the end; good until the next call. Fails with corrupt or exhausted.
    [[nodiscard]] Result<std::span<const char>> next();
    // The digest of everything that next() gave. Once, after the end.
    [[nodiscard]] Digest digest() { return hasher_.finish(); }

protected:
    TarSource(os::Fd file, std::uint64_t bytes_max);
    [[nodiscard]] virtual Result<std::span<const char>> produce() = 0;
    // More of the file, empty at its end.
    [[nodiscard]] Result<std::span<const char>> read_file();

private:
    os::Fd file_;
    std::uint64_t left_;
    std::vector<char> input_;
    Hasher hasher_;
};

}  // namespace skiff::images
