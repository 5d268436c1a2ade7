#include "os/lock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"

namespace skiff::os {

static constexpr int kBetweenTriesMs = 20;

Result<FileLock> FileLock::take(const std::filesystem::path& path, Duration patience) {
    SKIFF_TRY(Fd fd, open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    const SteadyTime deadline = std::chrono::steady_clock::now() + patience;
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return fail_errno(errno, fmt::format("lock {}", path.string()));
        }
        if (std::chrono::steady_clock::now() < deadline) {
            ::poll(nullptr, 0, kBetweenTriesMs);  // there is no reactor yet
            continue;
        }
        auto holder = read_all(fd.get(), 64_KiB);
        return fail(Code::conflict, "{} is in use by process {}", path.parent_path().string(),
                    holder ? trim(*holder) : std::string_view("unknown"));
    }
    std::string pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(fd.get(), 0) != 0 ||
        ::pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
        return fail_errno(errno, fmt::format("write {}", path.string()));
    }
    return FileLock(std::move(fd));
}

}  // namespace skiff::os
