// Files and folders: read with a bound, written whole or not at all, removed without leaving the
// tree.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "os/fd.h"

namespace skiff::os {

// What a written file has to survive.
enum class Durability {
    process,  // any process's death: no fsync, for what lives in the run-dir
    power,    // power loss as well: file and folder are fsynced
};

// Opens a regular file for reading. A symbolic link as last component, a FIFO, a device or a socket
// is refused with Code::invalid and never blocks: the folder may be writable by a guest.
[[nodiscard]] Result<Fd> open_regular(const std::filesystem::path& path);
[[nodiscard]] Result<Fd> open_regular_at(int folder, const std::filesystem::path& path);

// The whole of a regular file, opened by open_regular(). More than `limit` is Code::exhausted.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path, Bytes limit);
// Its first `bytes_max` bytes.
[[nodiscard]] Result<std::string> read_file_head(const std::filesystem::path& path,
                                                 Bytes bytes_max);
// Hands a regular file to `take` piece by piece, from its start to its end, and returns its size.
// Reads by pread(2): the descriptor's offset does not move.
[[nodiscard]] Result<Bytes> read_through(int fd, const std::function<void(std::string_view)>& take);
// A file of /proc, /sys or a cgroup: symbolic links are followed, at most 1 MiB.
[[nodiscard]] Result<std::string> read_kernel_file(const std::filesystem::path& path);
// Writes to such a file by one write(2).
[[nodiscard]] Result<void> write_kernel_file(const std::filesystem::path& path,
                                             std::string_view value);

// Replaces `path` in one step: readers see the old or the new file. Makes a temporary beside it
// (".name.tmp-XXXX"), which remove_stale_temporaries() clears after a crash. `mode` is exact.
[[nodiscard]] Result<void> write_file_atomic(const std::filesystem::path& path,
                                             std::string_view contents, unsigned mode,
                                             Durability durability);
// Removes what a crash inside write_file_atomic() left in `folder`; a missing folder is fine.
void remove_stale_temporaries(const std::filesystem::path& folder);

[[nodiscard]] Result<void> fsync_folder(const std::filesystem::path& folder);

// Makes `path` and its parents. The last one gets exactly `mode` when it is made here; parents get
// 0755. That it exists is fine; that it is not a folder (or a symbolic link) is Code::exists.
[[nodiscard]] Result<void> make_folders(const std::filesystem::path& path, unsigned mode = 0755);

// Removes `path` and all below it by descriptors relative to their parent: symbolic links are
// removed, never followed, and nothing is removed beyond a mount point (Code::conflict names it;
// what lies beside it goes). Missing is fine. Depth and number are not bounded, memory is.
[[nodiscard]] Result<void> remove_tree(const std::filesystem::path& path);
// unlink(2); missing is fine.
[[nodiscard]] Result<void> remove_file(const std::filesystem::path& path);

// Names in a folder, sorted, without "." and ".."; at most `names_max`, more is Code::exhausted.
[[nodiscard]] Result<std::vector<std::string>> list_folder(const std::filesystem::path& path,
                                                           std::size_t names_max = 100'000);

// Calls `each` with a descriptor (O_PATH) of everything in a folder, reached by descriptors alone:
// whoever swaps names for links meanwhile leads nobody away. `folder` may be O_PATH itself. What
// vanishes meanwhile is left out; the first failure ends it.
[[nodiscard]] Result<void> for_each_in(int folder, const std::function<Result<void>(int)>& each);

// What a file is as far as the kernel tells: any write to it makes another stamp. For remembering
// what was found out about its content.
struct FileStamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    friend auto operator<=>(const FileStamp&, const FileStamp&) = default;
};
[[nodiscard]] Result<FileStamp> stamp_of(int fd);
// Of what a path leads to.
[[nodiscard]] Result<FileStamp> stamp_of(const std::filesystem::path& path);

struct DiskUsage {
    Bytes total;
    Bytes available;  // to an ordinary user
    std::uint64_t inodes_total = 0;
    std::uint64_t inodes_available = 0;
};
// statvfs(3) of the filesystem that holds `path`.
[[nodiscard]] Result<DiskUsage> disk_usage(const std::filesystem::path& path);

}  // namespace skiff::os
