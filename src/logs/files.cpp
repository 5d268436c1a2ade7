#include "logs/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "logs/cri.h"
#include "os/file.h"
#include "pods/ports.h"

namespace skiff::logs {

// The time stamp and what follows it up to the content fit in here.
constexpr std::size_t kHeadBytes = 64;
constexpr std::size_t kBlockBytes = 64 << 10;

Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t bytes_max) {
    // A follower is nearly always at the end: it holds memory for what there is, not for what may
    // be.
    struct stat status{};
    if (::fstat(fd, &status) != 0) {
        return fail_errno(errno, "stat log");
    }
    auto size = static_cast<std::uint64_t>(status.st_size);
    std::string bytes(size > offset ? std::min<std::uint64_t>(bytes_max, size - offset) : 0, '\0');
    ssize_t got = 0;
    do {
        got = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return fail_errno(errno, "read log");
    }
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
}

// The file with the time of its first line; not_found if it has none yet.
static Result<LogFile> open_one(const std::filesystem::path& path) {
    LogFile file;
    SKIFF_TRY(file.fd, os::open_regular(path));
    struct stat status{};
    if (::fstat(file.fd.get(), &status) != 0) {
        return fail_errno(errno, "stat log");
    }
    file.inode = status.st_ino;
    file.bytes = static_cast<std::uint64_t>(status.st_size);
    SKIFF_TRY(std::string head, read_at(file.fd.get(), 0, kHeadBytes));
    auto line = parse_cri_line(std::string_view(head).substr(0, head.find('\n')));
    auto time = line ? line->time() : std::nullopt;
    if (!time) {
        return fail(Code::not_found, "no line in {}", path.string());
    }
    file.first = *time;
    return file;
}

Result<std::vector<LogFile>> open_log_files(const std::filesystem::path& folder,
                                            std::uint32_t attempt) {
    SKIFF_TRY(auto names, os::list_folder(folder));
    std::vector<LogFile> files;
    bool any = false;
    for (const std::string& name : names) {
        if (!pods::is_log_file_of(name, attempt)) {
            continue;
        }
        any = true;
        // A file that goes away or has no line yet is not part of the log.
        if (auto file = open_one(folder / name)) {
            files.push_back(std::move(*file));
        }
    }
    if (!any) {
        return fail(Code::not_found, "no log of run {} in {}", attempt, folder.string());
    }
    std::ranges::sort(files, {}, &LogFile::first);
    return files;
}

// Offset behind the newline before the last `lines` lines of a file; sets `lines` to how many are
// still missing.
static Result<std::uint64_t> tail_in(const LogFile& file, std::int64_t& lines) {
    std::uint64_t end = file.bytes;
    bool at_end = true;
    while (end > 0) {
        std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(end, kBlockBytes));
        SKIFF_TRY(std::string block, read_at(file.fd.get(), end - size, size));
        for (std::size_t i = block.size(); i-- > 0;) {
            if (block[i] != '\n') {
                at_end = false;
                continue;
            }
            // The newline that ends the last line does not begin one.
            if (!std::exchange(at_end, false) && --lines == 0) {
                return end - size + i + 1;
            }
        }
        end -= size;
    }
    lines -= file.bytes > 0 ? 1 : 0;
    return 0;
}

Result<Position> find_tail(const std::vector<LogFile>& files, std::int64_t lines) {
    for (std::size_t i = files.size(); i-- > 0;) {
        SKIFF_TRY(std::uint64_t offset, tail_in(files[i], lines));
        if (lines <= 0) {
            return Position{i, offset};
        }
    }
    return Position{};
}

}  // namespace skiff::logs
