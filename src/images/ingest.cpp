#include "images/ingest.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "base/random.h"
#include "os/file.h"

namespace skiff::images {

namespace fs = std::filesystem;

namespace {

// Written bytes go to the disk while more arrive, so that the final fsync is short.
constexpr std::uint64_t kFlushBytes = 8U << 20;
// What a node keeps free: logs and volumes live on the same disk.
constexpr std::uint64_t kReserveBytes = 64U << 20;

Result<void> check_space(const fs::path& folder, std::uint64_t needed) {
    SKIFF_TRY(os::DiskUsage usage, os::disk_usage(folder));
    if (usage.available.value < needed || usage.available.value - needed < kReserveBytes) {
        return fail(Code::exhausted, "no space left: {} are needed and {} are free at {}",
                    Bytes{needed}, usage.available, folder.string());
    }
    return {};
}

}  // namespace

Ingest::Ingest(os::Fd fd, fs::path path, Digest digest, std::uint64_t size)
    : fd_(std::move(fd)),
      path_(std::move(path)),
      expected_(std::move(digest)),
      expected_size_(size),
      hasher_(std::make_unique<Hasher>(expected_.algorithm())) {}

Ingest::~Ingest() {
    if (fd_.valid() && keep_ == Keep::no) {
        (void)::unlink(path_.c_str());
    }
}

Result<std::unique_ptr<Ingest>> Ingest::open(const fs::path& partial, const Digest& digest,
                                             std::uint64_t size) {
    constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW;
    SKIFF_TRY(os::Fd fd, os::open(partial, kFlags, 0644));
    fs::path path = partial;
    Keep keep = Keep::for_resume;
    struct stat linked{};
    struct stat opened{};
    bool ours = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 && ::fstat(fd.get(), &opened) == 0 &&
                ::lstat(partial.c_str(), &linked) == 0 && linked.st_ino == opened.st_ino;
    if (!ours) {
        SystemRandom random;
        path = partial.string() + "." + random.hex(8);
        SKIFF_TRY(fd, os::open(path, kFlags | O_EXCL, 0644));
        keep = Keep::no;
    }
    std::unique_ptr<Ingest> ingest(new Ingest(std::move(fd), path, digest, size));
    ingest->keep_ = keep;
    if (ours) {
        SKIFF_CHECK(ingest->take_over());
    }
    SKIFF_CHECK(check_space(partial.parent_path(), size - ingest->written_));
    return ingest;
}

Result<void> Ingest::take_over() {
    struct stat found{};
    if (::fstat(fd_.get(), &found) != 0) {
        return fail_errno(errno, "stat " + path_.string());
    }
    if (static_cast<std::uint64_t>(found.st_size) > expected_size_) {
        return restart();
    }
    std::vector<char> buffer(256U << 10);
    while (true) {
        ssize_t n = ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(written_));
        if (n < 0 && errno != EINTR) {
            return restart();
        }
        if (n == 0) {
            break;
        }
        if (n > 0) {
            hasher_->update(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
            written_ += static_cast<std::uint64_t>(n);
        }
    }
    flushed_ = written_;
    if (::lseek(fd_.get(), static_cast<off_t>(written_), SEEK_SET) < 0) {
        return fail_errno(errno, "seek in " + path_.string());
    }
    return {};
}

Result<void> Ingest::restart() {
    if (::ftruncate(fd_.get(), 0) != 0 || ::lseek(fd_.get(), 0, SEEK_SET) < 0) {
        return fail_errno(errno, "empty " + path_.string());
    }
    hasher_ = std::make_unique<Hasher>(expected_.algorithm());
    written_ = 0;
    flushed_ = 0;
    return {};
}

Result<void> Ingest::append(std::string_view bytes) {
    if (bytes.size() > expected_size_ - written_) {
        SKIFF_CHECK(restart());
        return fail(Code::corrupt, "{} is longer than the {} bytes announced", expected_,
                    expected_size_);
    }
    SKIFF_CHECK(os::write_all(fd_.get(), bytes));
    hasher_->update(bytes);
    written_ += bytes.size();
    if (written_ - flushed_ >= kFlushBytes) {
        // Only starts the write-back.
        (void)::sync_file_range(fd_.get(), static_cast<off_t>(flushed_),
                                static_cast<off_t>(written_ - flushed_), SYNC_FILE_RANGE_WRITE);
        flushed_ = written_;
    }
    return {};
}

Result<void> Ingest::finish(const fs::path& target) {
    Digest real = hasher_->finish();
    if (written_ != expected_size_ || real != expected_) {
        std::uint64_t size = written_;
        (void)::unlink(path_.c_str());
        return fail(Code::corrupt, "wrong digest: {} was announced with {} bytes, {} with {} came",
                    expected_, expected_size_, real, size);
    }
    if (::fsync(fd_.get()) != 0) {
        return fail_errno(errno, "fsync " + path_.string());
    }
    if (::rename(path_.c_str(), target.c_str()) != 0) {
        return fail_errno(errno, "rename to " + target.string());
    }
    fd_.reset();
    return os::fsync_folder(target.parent_path());
}

}  // namespace skiff::images
