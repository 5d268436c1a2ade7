#include "images/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "images/limits.h"

namespace skiff::images {

Result<std::vector<std::string>> components(std::string_view path) {
    if (path.size() > kPathBytesMax || path.find('\0') != std::string_view::npos) {
        return fail(Code::corrupt, "a path of {} bytes in the image", path.size());
    }
    std::vector<std::string> out;
    for (std::string_view part : split(path, '/')) {
        if (part.empty() || part == ".") {
            continue;
        }
        if (part == ".." || part.size() > 255) {
            return fail(Code::corrupt, "the path {:?} in the image", bounded_utf8(path, 256));
        }
        out.emplace_back(part);
    }
    if (out.size() > kPathDepthMax) {
        return fail(Code::corrupt, "a path of {} folders in the image", out.size());
    }
    return out;
}

static Result<os::Fd> open_resolved(int root, const std::string& path, int flags,
                                    std::uint64_t resolve) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
    how.resolve = resolve;
    while (true) {
        long fd = ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
        if (fd >= 0) {
            return os::Fd(static_cast<int>(fd));
        }
        if (errno != EINTR && errno != EAGAIN) {
            return fail_errno(errno, "open " + bounded_utf8(path, 256) + " in the image");
        }
    }
}

Result<os::Fd> open_in_root(int root, const std::string& path, int flags) {
    return open_resolved(root, path, flags,
                         RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

Result<os::Fd> open_without_links(int root, const std::string& path, int flags) {
    return open_resolved(root, path, flags,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

}  // namespace skiff::images
