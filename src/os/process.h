// Processes: who they are, whether they live, how to start, signal and reap them.
//
// A pid alone names nothing: it comes back. A process is named by (boot id, pid, start time) and
// held by a pidfd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace skiff::os {

struct ProcessIdentity {
    std::string boot_id;
    pid_t pid = 0;
    std::uint64_t start_time = 0;  // field 22 of /proc/PID/stat: clock ticks since boot
    friend auto operator<=>(const ProcessIdentity&, const ProcessIdentity&) = default;
};

// Start time of the process that has this pid now; not_found if there is none. Zombies have one.
[[nodiscard]] Result<std::uint64_t> start_time_of(pid_t pid);
// The process that has this pid now.
[[nodiscard]] Result<ProcessIdentity> identity_of(pid_t pid);
[[nodiscard]] ProcessIdentity own_identity();

// pidfd_open(2): not_found when there is no such process. Readable once the process has ended.
[[nodiscard]] Result<Fd> open_pidfd(pid_t pid);
// A pidfd that is proved to mean `identity`; not_found when that process is gone (another boot,
// another start time, no such pid). An ended process that nobody reaped is found.
[[nodiscard]] Result<Fd> open_process(const ProcessIdentity& identity);
// True once the process behind the pidfd has ended (reaped or not). Never blocks.
[[nodiscard]] bool has_ended(int pidfd);
// pidfd_send_signal(2). A process that is gone is fine.
[[nodiscard]] Result<void> send_signal(int pidfd, int signal);

// How a child ended.
struct ProcessExit {
    int code = 0;    // exit code, when signal is 0
    int signal = 0;  // the signal that killed it, or 0
    // As a shell would say it: code, or 128 + signal.
    [[nodiscard]] int shell_code() const { return signal != 0 ? 128 + signal : code; }
};

// Reaps the child behind `pidfd`: nullopt while it runs; not_found when it is not our child (or was
// reaped already). Never blocks.
[[nodiscard]] Result<std::optional<ProcessExit>> reap(int pidfd);
// The same, by pid, for a child that was re-parented to us (PR_SET_CHILD_SUBREAPER).
[[nodiscard]] Result<std::optional<ProcessExit>> reap_pid(pid_t pid);
// Waits in this thread at most `timeout_ms` for the process to end; false if it did not.
[[nodiscard]] bool wait_ended(int pidfd, int timeout_ms);

// Orphaned descendants become children of this process.
[[nodiscard]] Result<void> become_subreaper();

// A descriptor of ours and its number in the child.
struct PassedFd {
    int fd = -1;
    int number = -1;
};

enum class Session { inherited, own };
enum class OnParentDeath { live_on, die };
enum class Schedule { normal, idle };  // idle: SCHED_IDLE and nice 19

// What to start. The child has exactly stdin, stdout, stderr (/dev/null unless passed) and `fds`,
// default signal handling and an empty signal mask.
struct SpawnSpec {
    std::filesystem::path program;  // opened as it is, no PATH search
    std::vector<std::string> argv;  // argv[0] included
    std::vector<std::string> env;   // "NAME=value"; nothing is inherited
    std::vector<PassedFd> fds;
    std::vector<std::filesystem::path> cgroup_folders;  // joined before exec; failures are ignored
    Session session = Session::inherited;
    OnParentDeath on_parent_death = OnParentDeath::live_on;
    Schedule schedule = Schedule::normal;
};

struct Spawned {
    pid_t pid = 0;
    Fd pidfd;
};

// Starts a program without copying this process's memory; returns once exec has happened or
// failed. Any thread. The caller reaps it.
[[nodiscard]] Result<Spawned> spawn(const SpawnSpec& spec);

}  // namespace skiff::os
