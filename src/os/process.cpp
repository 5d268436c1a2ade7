#include "os/process.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"

namespace skiff::os {

namespace {

Result<std::optional<ProcessExit>> wait_for(idtype_t kind, id_t id) {
    siginfo_t status{};
    int done = 0;
    do {
        done = ::waitid(kind, id, &status, WEXITED | WNOHANG);
    } while (done != 0 && errno == EINTR);
    if (done != 0) {
        if (errno == ECHILD) {
            return fail(Code::not_found, "not a child of this process");
        }
        return fail_errno(errno, "waitid");
    }
    if (status.si_pid == 0) {
        return std::optional<ProcessExit>{};
    }
    ProcessExit exit;
    if (status.si_code == CLD_EXITED) {
        exit.code = status.si_status;
    } else {
        exit.signal = status.si_status;
    }
    return std::optional<ProcessExit>(exit);
}

}  // namespace

Result<std::uint64_t> start_time_of(pid_t pid) {
    auto text = read_kernel_file(fmt::format("/proc/{}/stat", pid));
    if (!text) {
        // ESRCH comes when the process ends between open and read.
        return fail(Code::not_found, "no process {}", pid);
    }
    // The second field is the name in parentheses and may itself hold blanks and parentheses.
    auto end = text->rfind(')');
    if (end == std::string::npos || end + 2 >= text->size()) {
        return fail(Code::corrupt, "/proc/{}/stat is malformed", pid);
    }
    auto fields = split(std::string_view(*text).substr(end + 2), ' ');
    constexpr std::size_t kStartTime = 19;  // field 22, counted from the third
    if (fields.size() <= kStartTime) {
        return fail(Code::corrupt, "/proc/{}/stat is too short", pid);
    }
    auto ticks = parse_uint(fields[kStartTime]);
    if (!ticks) {
        return fail(Code::corrupt, "/proc/{}/stat has no start time", pid);
    }
    return *ticks;
}

Result<ProcessIdentity> identity_of(pid_t pid) {
    SKIFF_TRY(auto start_time, start_time_of(pid));
    return ProcessIdentity{boot_id(), pid, start_time};
}

ProcessIdentity own_identity() {
    auto identity = identity_of(::getpid());
    return identity ? *identity : ProcessIdentity{boot_id(), ::getpid(), 0};
}

Result<Fd> open_pidfd(pid_t pid) {
    int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) {
        if (errno == ESRCH || errno == EINVAL) {
            return fail(Code::not_found, "no process {}", pid);
        }
        return fail_errno(errno, fmt::format("pidfd_open {}", pid));
    }
    return Fd(fd);
}

Result<Fd> open_process(const ProcessIdentity& identity) {
    if (identity.boot_id != boot_id() || identity.pid <= 0) {
        return fail(Code::not_found, "process {} belongs to another boot", identity.pid);
    }
    SKIFF_TRY(Fd pidfd, open_pidfd(identity.pid));
    // Read after the pidfd is held: what has this pid now is what the pidfd means, or it has ended.
    SKIFF_TRY(auto start_time, start_time_of(identity.pid));
    if (start_time != identity.start_time) {
        return fail(Code::not_found, "process {} is another one now", identity.pid);
    }
    return pidfd;
}

bool has_ended(int pidfd) {
    return wait_ended(pidfd, 0);
}

bool wait_ended(int pidfd, int timeout_ms) {
    struct pollfd wait{pidfd, POLLIN, 0};
    int n = 0;
    do {
        n = ::poll(&wait, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0 && (wait.revents & (POLLIN | POLLHUP)) != 0;
}

Result<void> send_signal(int pidfd, int signal) {
    if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0 && errno != ESRCH) {
        return fail_errno(errno, "pidfd_send_signal");
    }
    return {};
}

Result<std::optional<ProcessExit>> reap(int pidfd) {
    constexpr auto kPidfd = static_cast<idtype_t>(3);  // P_PIDFD, absent from some headers
    return wait_for(kPidfd, static_cast<id_t>(pidfd));
}

Result<std::optional<ProcessExit>> reap_pid(pid_t pid) {
    return wait_for(P_PID, static_cast<id_t>(pid));
}

Result<void> become_subreaper() {
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
        return fail_errno(errno, "PR_SET_CHILD_SUBREAPER");
    }
    return {};
}

}  // namespace skiff::os
