#include "sandbox/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "os/file.h"

namespace skiff::sandbox {

namespace {

// Shared with the helper, which runs in our memory and with our descriptors (CLONE_VM |
// CLONE_FILES), so that its birth copies nothing.
struct Newborn {
    int ready = -1;    // written by the helper once `proc` is set
    int go_home = -1;  // read by the helper; its end is the helper's end
    int proc = -1;     // the helper's own folder in /proc, opened by the helper itself: its pid is
                       // not known here when we are in another pid namespace
    int error = 0;
};

int newborn_main(void* argument) {
    auto* newborn = static_cast<Newborn*>(argument);
    newborn->proc = ::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    newborn->error = newborn->proc < 0 ? errno : 0;
    char byte = 0;
    if (::write(newborn->ready, &byte, 1) == 1) {
        (void)!::read(newborn->go_home, &byte, 1);
    }
    ::_exit(0);
}

Result<void> write_map(int proc, const char* name, IdRange range) {
    SKIFF_TRY(auto file, os::open_at(proc, name, O_WRONLY));
    const std::string line = fmt::format("0 {} {}\n", range.host_base, range.count);
    if (::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        return fail_errno(errno,
                          fmt::format("write {} '0 {} {}'", name, range.host_base, range.count));
    }
    return {};
}

Result<os::Fd> map_and_open(const Newborn& newborn, IdRange range) {
    if (newborn.proc < 0) {
        return fail_errno(newborn.error, "open /proc/self");
    }
    SKIFF_CHECK(write_map(newborn.proc, "uid_map", range));
    SKIFF_CHECK(write_map(newborn.proc, "gid_map", range));
    return os::open_at(newborn.proc, "ns/user", O_RDONLY);
}

}  // namespace

Result<os::Fd> create_user_namespace(IdRange range) {
    constexpr std::size_t kStackBytes = 32768;
    SKIFF_TRY(auto ready, os::make_pipe());
    SKIFF_TRY(auto home, os::make_pipe());
    void* stack = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return fail_errno(errno, "map a stack");
    }
    Newborn newborn{ready.write.get(), home.read.get(), -1, 0};
    const pid_t pid = ::clone(newborn_main, static_cast<char*>(stack) + kStackBytes,
                              CLONE_VM | CLONE_FILES | CLONE_NEWUSER | SIGCHLD, &newborn);
    if (pid < 0) {
        const int error = errno;
        ::munmap(stack, kStackBytes);
        return fail_errno(error, "make a user namespace");
    }
    char byte = 0;
    (void)!::read(ready.read.get(), &byte, 1);
    auto result = map_and_open(newborn, range);
    (void)!::write(home.write.get(), &byte, 1);
    while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    if (newborn.proc >= 0) {
        ::close(newborn.proc);
    }
    ::munmap(stack, kStackBytes);
    return result;
}

Result<void> become_own_root() {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(CLONE_NEWUSER) < 0) {
        return fail_errno(errno, "make a user namespace of one's own");
    }
    SKIFF_CHECK(os::write_kernel_file("/proc/self/setgroups", "deny"));
    SKIFF_CHECK(os::write_kernel_file("/proc/self/uid_map", fmt::format("0 {} 1\n", uid)));
    return os::write_kernel_file("/proc/self/gid_map", fmt::format("0 {} 1\n", gid));
}

bool has_single_id() {
    const auto map = os::read_kernel_file("/proc/self/uid_map");
    if (!map) {
        return false;
    }
    const auto words = split(trim(*map), ' ');
    return parse_uint(words.back()) == 1U && map->find('\n') + 1 == map->size();
}

}  // namespace skiff::sandbox
