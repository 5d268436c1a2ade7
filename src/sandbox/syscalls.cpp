#include "sandbox/syscalls.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

#include "os/fd.h"

namespace skiff::sandbox {

namespace {

// One rule: a call, perhaps with a condition on one argument, and what it answers when it is not
// let through.
struct Rule {
    const char* name;
    int errno_value = 0;  // 0: allowed; else refused with this error
    int argument = -1;    // -1: no condition
    std::uint64_t mask = 0;
    std::uint64_t value = 0;  // the condition: (argument & mask) == value
    const char* meaning = "";
};

constexpr std::uint64_t kAll = ~0ULL;
// PAGEMAP_SCAN of linux/fs.h since 6.7: _IOWR('f', 16, 96 bytes).
constexpr std::uint64_t kPagemapScan = _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96);
constexpr std::uint64_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

// Memory, time, signals to itself, the end: every profile.
const Rule kBase[] = {
    {"mmap", 0, 2, PROT_EXEC, 0, "never executable"},
    {"mprotect", 0, 2, PROT_EXEC, 0, "never executable"},
    {"munmap"},
    {"mremap"},
    {"madvise"},
    {"brk"},
    {"futex"},
    {"getrandom"},
    {"clock_gettime"},
    {"clock_getres"},
    {"gettimeofday"},
    {"read"},
    {"write"},
    {"writev"},
    {"lseek"},
    {"fstat"},
    {"ftruncate"},
    {"close"},
    {"exit"},
    {"exit_group"},
    {"rt_sigaction"},
    {"rt_sigprocmask"},
    {"rt_sigreturn"},
    {"sigaltstack"},
    {"sched_yield"},
    {"getpid"},
    {"gettid"},
    {"tgkill"},
    {"restart_syscall"},
};

// A guest: files below its root, waiting, threads for blocking work.
const Rule kCommand[] = {
    {"openat"},
    {"openat2"},
    {"readv"},
    {"pread64"},
    {"pwrite64"},
    {"preadv"},
    {"pwritev"},
    // A file opened to append to is written with RWF_APPEND.
    {"preadv2"},
    {"pwritev2"},
    {"newfstatat"},
    {"statx"},
    {"fstatfs"},
    {"faccessat2"},
    {"getdents64"},
    {"mkdirat"},
    {"unlinkat"},
    {"linkat"},
    {"symlinkat"},
    {"readlinkat"},
    {"renameat"},
    {"renameat2"},
    {"utimensat"},
    // A file with one of these bits would lend its owner's ids to who runs it, on a volume also
    // outside of the pod.
    {"fchmod", 0, 1, S_ISUID | S_ISGID, 0, "neither setuid nor setgid"},
    {"fallocate"},
    {"fadvise64"},
    {"fsync"},
    {"fdatasync"},
    {"fcntl", 0, 1, kAll, F_GETFL, "F_GETFL"},
    {"fcntl", 0, 1, kAll, F_SETFL, "F_SETFL"},
    {"fcntl", 0, 1, kAll, F_GETFD, "F_GETFD"},
    {"fcntl", 0, 1, kAll, F_SETFD, "F_SETFD"},
    {"fcntl", 0, 1, kAll, F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"},
    {"dup"},
    {"ioctl", 0, 1, kAll, FIONBIO, "FIONBIO"},
    {"ioctl", 0, 1, kAll, TCGETS, "TCGETS"},
    {"ioctl", 0, 1, kAll, FIONREAD, "FIONREAD"},
    {"poll"},
    {"ppoll"},
    {"clock_nanosleep"},
    {"nanosleep"},
    {"epoll_create1"},
    {"epoll_ctl"},
    {"epoll_wait"},
    {"epoll_pwait"},
    {"eventfd2"},
    {"clone", 0, 0, kNewNamespaces | CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM,
     "threads only"},
    {"set_robust_list"},
    {"rseq"},
    {"sched_getaffinity"},
    // Who it is, which a guest may ask.
    {"geteuid"},
    {"getegid"},
    {"getgroups"},
    {"prctl", 0, 0, kAll, PR_SET_NAME, "PR_SET_NAME"},
    // glibc falls back to clone, whose flags a filter can see.
    {"clone3", ENOSYS},
    // Compilers of path code ask for what older kernels lack; they take the answer.
    {"getcwd", ENOENT},
    {"readlink", ENOENT},
    {"uname", EPERM},
    {"prlimit64", EPERM},
    {"setsockopt", EACCES},
    {"getsockopt", EACCES},
};

// A guest that may not open sockets finds that out by an error, not by its death.
const Rule kNoSockets[] = {
    {"socket", EACCES},
    {"socketpair", EACCES},
    {"connect", EACCES},
    {"bind", EACCES},
};

const Rule kSockets[] = {
    {"socket", 0, 0, kAll, AF_INET, "AF_INET"},
    {"socket", 0, 0, kAll, AF_INET6, "AF_INET6"},
    // glibc's resolver asks nscd (AF_UNIX) and the kernel's addresses (AF_NETLINK) and does
    // without.
    {"socket", EAFNOSUPPORT, 0, kAll, AF_UNIX, "AF_UNIX"},
    {"socket", EAFNOSUPPORT, 0, kAll, AF_NETLINK, "AF_NETLINK"},
    {"socketpair", EACCES},
    {"connect"},
    {"bind"},
    {"listen"},
    {"accept4"},
    {"sendto"},
    {"recvfrom"},
    {"sendmsg"},
    {"recvmsg"},
    {"sendmmsg"},
    {"shutdown"},
    {"getsockname"},
    {"getpeername"},
    // A server asks which pages of an instance's memory were written, of its own
    // /proc/self/pagemap.
    {"ioctl", 0, 1, kAll, kPagemapScan, "PAGEMAP_SCAN"},
};

const Rule kCompiler[] = {
    // Rust looks for files when it prints a backtrace, and does without.
    {"getcwd", ENOENT},     {"openat", EACCES}, {"readlink", EACCES}, {"readlinkat", EACCES},
    {"newfstatat", EACCES}, {"statx", EACCES},  {"clone3", ENOSYS},   {"sched_getaffinity"},
    {"getrusage"},          {"setitimer"},  // engine/courtesy.h
};

std::vector<Rule> rules_of(SyscallProfile profile) {
    std::vector<Rule> rules(std::begin(kBase), std::end(kBase));
    const auto add = [&](const auto& list) {
        for (const Rule& rule : list) {
            // Sockets lift a refusal that the general list has.
            std::erase_if(rules, [&](const Rule& old) {
                return old.errno_value != 0 && old.argument < 0 &&
                       std::string_view(old.name) == rule.name;
            });
            rules.push_back(rule);
        }
    };
    switch (profile) {
        case SyscallProfile::command:
            add(kCommand);
            add(kNoSockets);
            break;
        case SyscallProfile::command_network:
            add(kCommand);
            add(kSockets);
            rules.push_back({"setsockopt"});
            rules.push_back({"getsockopt"});
            std::erase_if(rules, [](const Rule& rule) {
                return rule.errno_value == EACCES &&
                       std::string_view(rule.name).ends_with("sockopt");
            });
            break;
        case SyscallProfile::compiler:
            add(kCompiler);
            break;
    }
    return rules;
}

Result<void> add_rule(scmp_filter_ctx context, const Rule& rule) {
    const int number = seccomp_syscall_resolve_name(rule.name);
    if (number == __NR_SCMP_ERROR) {
        return {};  // This machine's kernel headers are older than the call.
    }
    const std::uint32_t action = rule.errno_value == 0
                                     ? SCMP_ACT_ALLOW
                                     : SCMP_ACT_ERRNO(static_cast<std::uint16_t>(rule.errno_value));
    int code = 0;
    if (rule.argument < 0) {
        code = seccomp_rule_add(context, action, number, 0);
    } else {
        const scmp_arg_cmp condition{static_cast<unsigned>(rule.argument), SCMP_CMP_MASKED_EQ,
                                     rule.mask, rule.value};
        code = seccomp_rule_add_array(context, action, number, 1, &condition);
    }
    // A call that this architecture does not have is no loss.
    if (code < 0 && code != -EDOM && code != -EFAULT) {
        return fail_errno(-code, fmt::format("allow the system call {}", rule.name));
    }
    return {};
}

Result<std::vector<sock_filter>> export_program(scmp_filter_ctx context) {
    SKIFF_TRY(auto file, os::make_memfd("seccomp"));
    if (const int code = seccomp_export_bpf(context, file.get()); code < 0) {
        return fail_errno(-code, "export the system call filter");
    }
    if (lseek(file.get(), 0, SEEK_SET) < 0) {
        return fail_errno(errno, "rewind the system call filter");
    }
    SKIFF_TRY(auto bytes, os::read_all(file.get(), 1_MiB));
    std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
    std::memcpy(program.data(), bytes.data(), program.size() * sizeof(sock_filter));
    return program;
}

}  // namespace

std::string_view to_string(SyscallProfile profile) {
    switch (profile) {
        case SyscallProfile::command:
            return "command";
        case SyscallProfile::command_network:
            return "command-network";
        case SyscallProfile::compiler:
            return "compiler";
    }
    return "?";
}

Result<SyscallFilter> SyscallFilter::build(SyscallProfile profile) {
    const std::unique_ptr<void, decltype(&seccomp_release)> context(
        seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release);
    if (!context) {
        return fail(Code::internal, "libseccomp cannot make a filter");
    }
    // A binary tree instead of a list: calls that are not decided by the kernel's bitmap cost less.
    (void)seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    (void)seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (const Rule& rule : rules_of(profile)) {
        SKIFF_CHECK(add_rule(context.get(), rule));
    }
    SKIFF_TRY(auto program, export_program(context.get()));
    return SyscallFilter(std::move(program));
}

Result<void> SyscallFilter::install() const {
    const sock_fprog program{static_cast<unsigned short>(program_.size()),
                             const_cast<sock_filter*>(program_.data())};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
        return fail_errno(errno, "install the system call filter");
    }
    return {};
}

std::string dump(SyscallProfile profile) {
    std::set<std::string> lines;
    for (const Rule& rule : rules_of(profile)) {
        std::string line = rule.name;
        if (rule.argument >= 0) {
            line += fmt::format(" ({})", rule.meaning);
        }
        if (rule.errno_value != 0) {
            line += fmt::format(" answers {}", strerrorname_np(rule.errno_value));
        }
        lines.insert(line + "\n");
    }
    std::string out;
    for (const auto& line : lines) {
        out += line;
    }
    return out;
}

std::size_t count_allowed(SyscallProfile profile) {
    std::set<std::string_view> names;
    for (const Rule& rule : rules_of(profile)) {
        if (rule.errno_value == 0) {
            names.insert(rule.name);
        }
    }
    return names.size();
}

}  // namespace skiff::sandbox
