#include "volumes/sub_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"

namespace skiff::volumes {

namespace fs = std::filesystem;

namespace {

Result<os::Fd> open_with(int folder, const std::string& path, open_how how) {
    how.flags |= O_CLOEXEC;
    how.resolve |= RESOLVE_NO_MAGICLINKS;
    while (true) {
        long fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how));
        if (fd >= 0) {
            return os::Fd(static_cast<int>(fd));
        }
        // EAGAIN: something was renamed while the kernel looked; look again.
        if (errno == EINTR || errno == EAGAIN) {
            continue;
        }
        if (errno == EXDEV) {
            return fail(Code::denied, "{} leads outside of the volume", path);
        }
        return fail_errno(errno, path);
    }
}

Result<os::Fd> open_beneath(int folder, const std::string& path) {
    open_how how{};
    how.flags = O_PATH;
    how.resolve = RESOLVE_BENEATH;
    return open_with(folder, path, how);
}

Result<std::vector<std::string>> parts_of(const std::string& sub_path) {
    std::vector<std::string> parts;
    if (sub_path.starts_with('/')) {
        return fail(Code::invalid, "{} must be a relative path", sub_path);
    }
    for (std::string_view part : split(sub_path, '/')) {
        if (part == "..") {
            return fail(Code::invalid, "{} must not contain '..'", sub_path);
        }
        if (!part.empty() && part != ".") {
            parts.emplace_back(part);
        }
    }
    return parts;
}

// Makes what is missing, one component below the descriptor of the one before. A component that is
// there, a link too, is walked through by the resolving open.
Result<os::Fd> open_or_make(int volume, const std::vector<std::string>& parts, unsigned mode) {
    std::string so_far;
    SKIFF_TRY(os::Fd parent, open_beneath(volume, "."));
    for (const std::string& part : parts) {
        so_far += (so_far.empty() ? "" : "/") + part;
        auto next = open_beneath(volume, so_far);
        if (!next && next.error().code == Code::not_found) {
            if (::mkdirat(parent.get(), part.c_str(), 0700) != 0 && errno != EEXIST) {
                if (errno == EROFS) {
                    return fail(Code::not_found, "{} does not exist, and the volume is read-only",
                                so_far);
                }
                return fail_errno(errno, "make " + so_far);
            }
            next = open_beneath(parent.get(), part);
            if (next) {
                // The mode is exact whatever the umask; by descriptor, since a name can be swapped.
                std::string self = fmt::format("/proc/self/fd/{}", next->get());
                if (::chmod(self.c_str(), mode) != 0) {
                    return fail_errno(errno, "chmod " + so_far);
                }
            }
        }
        if (!next) {
            return fail(std::move(next.error()));
        }
        parent = std::move(*next);
    }
    return parent;
}

Result<void> make_target(const fs::path& target, bool is_folder) {
    struct stat status{};
    if (::lstat(target.c_str(), &status) == 0) {
        if (S_ISDIR(status.st_mode) == is_folder) {
            return {};
        }
        SKIFF_CHECK(os::remove_tree(target));
    }
    if (is_folder) {
        return os::make_folders(target, 0755);
    }
    SKIFF_CHECK(os::make_folders(target.parent_path(), 0755));
    SKIFF_TRY(os::Fd file, os::open(target, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
    return {};
}

}  // namespace

Result<std::string> read_inside(const fs::path& volume, const std::string& path, Bytes limit) {
    SKIFF_TRY(os::Fd root, os::open(volume, O_PATH | O_DIRECTORY));
    open_how how{};
    // Not to wait for the other end of a FIFO.
    how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_IN_ROOT;
    SKIFF_TRY(os::Fd file, open_with(root.get(), path, how));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) {
        return fail_errno(errno, path);
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(Code::invalid, "{} is no regular file", path);
    }
    return os::read_all(file.get(), limit);
}

Result<void> mount_sub_path(const fs::path& volume, const std::string& sub_path,
                            const fs::path& target) {
    SKIFF_TRY(auto parts, parts_of(sub_path));
    SKIFF_TRY(os::Fd root, os::open(volume, O_PATH | O_DIRECTORY));
    struct stat root_status{};
    if (::fstat(root.get(), &root_status) != 0) {
        return fail_errno(errno, volume.string());
    }
    SKIFF_TRY(os::Fd found, open_or_make(root.get(), parts, root_status.st_mode & 07777U));
    struct stat wanted{};
    if (::fstat(found.get(), &wanted) != 0) {
        return fail_errno(errno, sub_path);
    }
    auto mounted = os::is_mount_point(target);
    if (mounted && *mounted) {
        struct stat shown{};
        if (::stat(target.c_str(), &shown) == 0 && shown.st_dev == wanted.st_dev &&
            shown.st_ino == wanted.st_ino) {
            return {};
        }
        SKIFF_CHECK(os::unmount(target));
    }
    SKIFF_CHECK(make_target(target, S_ISDIR(wanted.st_mode)));
    return os::mount_bind(fmt::format("/proc/self/fd/{}", found.get()), target,
                          os::BindAccess::read_write);
}

}  // namespace skiff::volumes
