// The files that hold one container run's log, in order. Blocking: for the pool.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "os/fd.h"

namespace skiff::logs {

struct LogFile {
    os::Fd fd;
    std::uint64_t inode = 0;
    WallTime first;  // time of its first line
    std::uint64_t bytes = 0;
};

// Files of run `attempt` in `folder` that hold at least one line, oldest first. Fails with
// not_found when there is not even an empty one.
[[nodiscard]] Result<std::vector<LogFile>> open_log_files(const std::filesystem::path& folder,
                                                          std::uint32_t attempt);

// Where the last `lines` lines of `files` begin: index of the file and offset in it.
struct Position {
    std::size_t file = 0;
    std::uint64_t offset = 0;
};
[[nodiscard]] Result<Position> find_tail(const std::vector<LogFile>& files, std::int64_t lines);

// At most `bytes_max` bytes at `offset`; empty at the end.
[[nodiscard]] Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t bytes_max);

}  // namespace skiff::logs
