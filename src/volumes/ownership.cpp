#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "volumes/kinds.h"

namespace skiff::volumes {

namespace fs = std::filesystem;

namespace {

constexpr std::uint32_t kFolderMask = 02110;  // setgid, and search for owner and group

Result<void> give_one(const fs::path& path, std::uint32_t fs_group, std::uint32_t mask) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        return fail_errno(errno, path.string());
    }
    if (S_ISLNK(status.st_mode)) {
        return {};
    }
    if (::lchown(path.c_str(), static_cast<uid_t>(-1), fs_group) != 0) {
        return fail_errno(errno, "chown " + path.string());
    }
    std::uint32_t mode = (status.st_mode & 07777U) | mask;
    if (S_ISDIR(status.st_mode)) {
        mode |= kFolderMask;
    }
    if (::chmod(path.c_str(), mode) != 0) {
        return fail_errno(errno, "chmod " + path.string());
    }
    return {};
}

}  // namespace

Result<void> give_to_group(const fs::path& folder, std::uint32_t fs_group, std::uint32_t mask) {
    SKIFF_CHECK(give_one(folder, fs_group, mask));
    std::error_code error;
    for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
         at.increment(error)) {
        SKIFF_CHECK(give_one(at->path(), fs_group, mask));
    }
    if (error) {
        return fail_errno(error.value(), folder.string());
    }
    return {};
}

}  // namespace skiff::volumes
