// A blob on its way to the store: written, hashed and checked as it arrives. Blocking; used on pool
// threads, one call at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "images/digest.h"
#include "os/fd.h"

namespace skiff::images {

class Ingest {
public:
    // Opens the partial file at `partial`. What an earlier try left there is hashed and continued.
    // When another process or an abandoned call is still writing it, a file of its own is used.
    // Fails with exhausted when the filesystem has not `size` bytes left.
    [[nodiscard]] static Result<std::unique_ptr<Ingest>> open(const std::filesystem::path& partial,
                                                              const Digest& digest,
                                                              std::uint64_t size);
    ~Ingest();
    Ingest(const Ingest&) = delete;
    Ingest& operator=(const Ingest&) = delete;

    // How many bytes are here.
    [[nodiscard]] std::uint64_t size() const { return written_; }
    [[nodiscard]] bool complete() const { return written_ == expected_size_; }
    // Fails with corrupt when there is more than the size announced.
    [[nodiscard]] Result<void> append(std::string_view bytes);
    // Starts again from nothing.
    [[nodiscard]] Result<void> restart();
    // Checks size and digest and moves the file to `target`, durably. A wrong one is deleted
    // (Code::corrupt).
    [[nodiscard]] Result<void> finish(const std::filesystem::path& target);

private:
    Ingest(os::Fd fd, std::filesystem::path path, Digest digest, std::uint64_t size);
    [[nodiscard]] Result<void> take_over();

    os::Fd fd_;
    std::filesystem::path path_;
    enum class Keep { for_resume, no } keep_ = Keep::for_resume;
    Digest expected_;
    std::uint64_t expected_size_;
    std::unique_ptr<Hasher> hasher_;
    std::uint64_t written_ = 0;
    std::uint64_t flushed_ = 0;
};

}  // namespace skiff::images
