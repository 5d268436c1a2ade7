// One process at a time: a lock on a file that names its holder.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "base/time.h"
#include "os/fd.h"

namespace skiff::os {

// flock(2) on a file; ends with the process, however it ends. The file stays, with the holder's
// pid in it.
class FileLock {
public:
    // Takes the lock, or fails with Code::conflict naming the process that holds it when that is
    // still so after `patience`, for which it blocks. `path` is made (0600) if it is not there.
    // Children that exec do not inherit it.
    [[nodiscard]] static Result<FileLock> take(const std::filesystem::path& path,
                                               Duration patience = {});

private:
    explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

}  // namespace skiff::os
