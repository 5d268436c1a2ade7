#include "network/namespaces.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "os/file.h"
#include "os/mount.h"

namespace skiff::network {

namespace {

// The thread's, where /proc/self is that of the process's first thread.
constexpr const char* kOwn = "/proc/thread-self/ns/net";

Result<void> on_own_thread(const std::function<Result<void>()>& enter,
                           const std::function<Result<void>()>& work) {
    Result<void> result;
    const auto body = [&] {
        result = enter();
        if (result) {
            result = work();
        }
    };
    try {
        std::thread thread(body);
        thread.join();
    } catch (const std::system_error& error) {
        return fail_errno(error.code().value(), "start a thread");
    }
    return result;
}

}  // namespace

Result<void> in_new_namespace(const std::function<Result<void>()>& work) {
    const auto enter = []() -> Result<void> {
        if (::unshare(CLONE_NEWNET) < 0) {
            return fail_errno(errno, "make a network namespace");
        }
        return {};
    };
    return on_own_thread(enter, work);
}

Result<void> in_namespace(const os::Fd& name_space, const std::function<Result<void>()>& work) {
    const auto enter = [&]() -> Result<void> {
        if (::setns(name_space.get(), CLONE_NEWNET) < 0) {
            return fail_errno(errno, "enter a network namespace");
        }
        return {};
    };
    return on_own_thread(enter, work);
}

Result<os::Fd> open_own_namespace() {
    return os::open(kOwn, O_RDONLY);
}

Result<void> pin_namespace(const std::filesystem::path& path) {
    {
        SKIFF_TRY(os::Fd file, os::open(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0400));
    }
    if (::mount(kOwn, path.c_str(), nullptr, MS_BIND, nullptr) < 0) {
        auto failure = fail_errno(errno, fmt::format("mount a namespace on {}", path.string()));
        (void)os::remove_file(path);
        return failure;
    }
    return {};
}

Result<os::Fd> open_pinned(const std::filesystem::path& path) {
    SKIFF_TRY(os::Fd file, os::open(path, O_RDONLY | O_NOFOLLOW));
    if (::ioctl(file.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
        return fail(Code::not_found, "{} holds no network namespace", path.string());
    }
    return file;
}

Result<os::Fd> socket_in(const std::filesystem::path& path, int family, int type) {
    SKIFF_TRY(os::Fd name_space, open_pinned(path));
    os::Fd made;
    SKIFF_CHECK(in_namespace(name_space, [&]() -> Result<void> {
        made.reset(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        return made ? Result<void>() : fail_errno(errno, "make a socket in a pod's network");
    }));
    return made;
}

Result<void> unpin_namespace(const std::filesystem::path& path) {
    SKIFF_CHECK(os::unmount(path));
    return os::remove_file(path);
}

}  // namespace skiff::network
