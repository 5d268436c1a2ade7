// The system calls that a confined process keeps: an allow-list per profile, made into a kernel
// program once (in the keeper), installed in each runner.
//
// Whatever is not listed kills the process (SIGSYS). A few calls that libraries try and can do
// without answer with an error instead. No profile can make memory executable, start a program,
// trace, mount, or make a process; threads only.
#pragma once

#include <linux/filter.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff::sandbox {

enum class SyscallProfile {
    command,          // a guest with files and clocks, without sockets
    command_network,  // the same with IPv4 and IPv6 sockets
    compiler,         // memory and the descriptors it has: no path, no socket, no thread
};
[[nodiscard]] std::string_view to_string(SyscallProfile profile);

class SyscallFilter {
public:
    // Compiles the profile. Milliseconds; allocates. Fails with Code::internal where libseccomp
    // cannot (a name it does not know on this machine is left out).
    [[nodiscard]] static Result<SyscallFilter> build(SyscallProfile profile);

    // Confines the calling thread and what it starts, for good. The process must have no_new_privs
    // and a single thread. Allocates nothing.
    [[nodiscard]] Result<void> install() const;

    [[nodiscard]] std::size_t instructions() const { return program_.size(); }

private:
    explicit SyscallFilter(std::vector<sock_filter> program) : program_(std::move(program)) {}
    std::vector<sock_filter> program_;
};

// From now on this thread and what it starts die when they map or make memory executable. Of itself
// it forbids nothing else; for runners of an interpreter, from before they load their guest. Needs
// no_new_privs or CAP_SYS_ADMIN in its user namespace.
[[nodiscard]] Result<void> forbid_executable_memory();

// The profile as text, one call a line with its condition, sorted: for goldens and SECURITY.md.
[[nodiscard]] std::string dump(SyscallProfile profile);
// How many different calls the profile allows.
[[nodiscard]] std::size_t count_allowed(SyscallProfile profile);

}  // namespace skiff::sandbox
