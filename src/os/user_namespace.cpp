#include "os/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "os/clone.h"

namespace skiff::os {

namespace {

constexpr std::size_t kStackBytes = 32768;
// The kernel takes a map as one write of less than a page.
constexpr std::size_t kMapBytesMax = 4095;

// Shared with the helper, which runs in our memory and with our descriptors (CLONE_VM |
// CLONE_FILES), so that its birth copies nothing.
struct Newborn {
    int ready = -1;    // written by the helper once `proc` is set
    int go_home = -1;  // read by the helper; its end is the helper's end
    // Opened by the helper itself: its pid is not known here when we are in another pid namespace,
    // and its namespace is closed to us when this process is not dumpable.
    int proc = -1;        // its folder in /proc
    int name_space = -1;  // its user namespace
    int error = 0;
};

// Bare calls only: the C library's would keep books for the thread whose memory this is. That
// thread waits in a read meanwhile, so errno is nobody else's.
SKIFF_SHARES_MEMORY int newborn_main(void* argument) {
    auto* newborn = static_cast<Newborn*>(argument);
    // It shares the table of descriptors, so it would never see its pipe end with its parent.
    ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    newborn->proc = static_cast<int>(
        ::syscall(SYS_openat, AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    newborn->name_space = static_cast<int>(
        ::syscall(SYS_openat, AT_FDCWD, "/proc/self/ns/user", O_RDONLY | O_CLOEXEC, 0));
    newborn->error = newborn->proc < 0 || newborn->name_space < 0 ? errno : 0;
    char byte = 0;
    if (::syscall(SYS_write, newborn->ready, &byte, 1) == 1) {
        (void)::syscall(SYS_read, newborn->go_home, &byte, 1);
    }
    ::syscall(SYS_exit, 0);
    return 0;
}

Result<void> write_map(int file, const char* name, const std::vector<IdExtent>& extents) {
    std::string text;
    for (const IdExtent& extent : extents) {
        text += fmt::format("{} {} {}\n", extent.inside, extent.outside, extent.count);
    }
    if (text.size() > kMapBytesMax) {
        return fail(Code::exhausted, "{} ranges of ids are more than a map holds", extents.size());
    }
    if (::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail_errno(errno, fmt::format("write {} '{}'", name, text));
    }
    return {};
}

}  // namespace

Result<UnmappedUserNamespace> UnmappedUserNamespace::create() {
    SKIFF_TRY(auto ready, make_pipe());
    SKIFF_TRY(auto home, make_pipe());
    void* stack = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return fail_errno(errno, "map a stack");
    }
    Newborn newborn{ready.write.get(), home.read.get()};
    // No handler of ours may run in the helper while it shares our memory.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    const pid_t pid =
        clone_sharing_memory(newborn_main, static_cast<char*>(stack) + kStackBytes,
                             CLONE_VM | CLONE_FILES | CLONE_NEWUSER | SIGCHLD, &newborn);
    const int clone_errno = errno;
    if (pid < 0) {
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        ::munmap(stack, kStackBytes);
        return fail_errno(clone_errno, "make a user namespace");
    }
    char byte = 0;
    (void)!::read(ready.read.get(), &byte, 1);
    // The maps' files are opened here: what is written there later is judged by who opened them.
    const Fd proc(newborn.proc);
    UnmappedUserNamespace made;
    made.name_space_.reset(newborn.name_space);
    auto opened = newborn.error != 0 ? Result<void>(fail_errno(newborn.error, "open /proc/self"))
                                     : made.open_maps(proc.get());
    (void)!::write(home.write.get(), &byte, 1);
    while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::munmap(stack, kStackBytes);
    if (!opened) {
        return fail(std::move(opened.error()));
    }
    return made;
}

Result<void> UnmappedUserNamespace::open_maps(int proc) {
    SKIFF_TRY(users_, open_at(proc, "uid_map", O_WRONLY));
    SKIFF_TRY(groups_, open_at(proc, "gid_map", O_WRONLY));
    return {};
}

Result<Fd> UnmappedUserNamespace::map(const IdMaps& maps) {
    SKIFF_CHECK(write_map(users_.get(), "uid_map", maps.users));
    SKIFF_CHECK(write_map(groups_.get(), "gid_map", maps.groups));
    users_.reset();
    groups_.reset();
    return std::move(name_space_);
}

Result<Fd> create_user_namespace(const IdMaps& maps) {
    SKIFF_TRY(auto unmapped, UnmappedUserNamespace::create());
    return unmapped.map(maps);
}

}  // namespace skiff::os
