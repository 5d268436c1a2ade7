#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/text.h"
#include "os/fd.h"
#include "os/file.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

namespace {

struct Expectation {
    std::string_view type;
    unsigned format;        // S_IFDIR …
    std::string_view noun;  // as the kubelet says it
};
constexpr Expectation kExpectations[] = {
    {"Directory", S_IFDIR, "a directory"},
    {"DirectoryOrCreate", S_IFDIR, "a directory"},
    {"File", S_IFREG, "a file"},
    {"FileOrCreate", S_IFREG, "a file"},
    {"Socket", S_IFSOCK, "a socket file"},
    {"CharDevice", S_IFCHR, "a character device"},
    {"BlockDevice", S_IFBLK, "a block device"},
};

Result<void> create(const std::string& path, const std::string& type) {
    // With no type at all the container runtimes make a missing folder.
    if (type.empty() || type == "DirectoryOrCreate") {
        return os::make_folders(path, 0755);
    }
    if (type == "FileOrCreate") {
        SKIFF_TRY(os::Fd file, os::open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
        return {};
    }
    return {};
}

}  // namespace

Result<void> set_up_host_path(const std::string& path, const std::string& type) {
    if (path.empty() || path.front() != '/') {
        return fail(Code::invalid, "hostPath {} must be absolute", path);
    }
    for (std::string_view part : split(path, '/')) {
        if (part == "..") {
            return fail(Code::invalid, "hostPath {} must not contain '..'", path);
        }
    }
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno != ENOENT) {
            return fail_errno(errno, path);
        }
        SKIFF_CHECK(create(path, type));
        if (::stat(path.c_str(), &status) != 0) {
            status.st_mode = 0;
        }
    }
    if (type.empty()) {
        return {};
    }
    for (const Expectation& expected : kExpectations) {
        if (expected.type == type) {
            if ((status.st_mode & S_IFMT) != expected.format) {
                return fail(Code::invalid, "hostPath type check failed: {} is not {}", path,
                            expected.noun);
            }
            return {};
        }
    }
    return fail(Code::invalid, "{} is an invalid volume type", type);
}

}  // namespace skiff::volumes
