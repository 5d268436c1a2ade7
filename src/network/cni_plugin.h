// Finds and runs one program of CNI. It is foreign code, run as root in the node's network
// namespace: it gets a deadline and a bounded ear. Blocking: for the blocking pool, in a thread
// that is in the node's network namespace.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "os/process.h"

namespace skiff::network {

// Of a plugin's standard output; more is Code::exhausted.
inline constexpr Bytes kCniOutputBytesMax = 256_KiB;
// The end of its standard error that is kept; what comes before is read and dropped.
inline constexpr std::size_t kCniErrorTailBytes = 600;

// The program `type` in the first of `folders` that has one. Fails with Code::not_found, naming the
// folders, or denied when the only one that is there cannot be executed.
[[nodiscard]] Result<std::filesystem::path> find_cni_program(
    std::string_view type, const std::vector<std::filesystem::path>& folders);

struct CniCall {
    std::filesystem::path program;
    std::vector<std::string> variables;  // CNI_…
    std::string input;
    SteadyTime deadline;
    // Readable once the agent ends: the program is killed, Code::cancelled. -1: never.
    int end_fd = -1;
};
struct CniOutput {
    os::ProcessExit exit;
    std::string text;        // its standard output
    std::string error_tail;  // the end of its standard error, for people
};

// Runs it to its end. Its environment is `variables`, a PATH (iptables, ip) that does not depend on
// how the agent was started, and of the agent's own what leads to proxies: secrets may be in it. A
// child of its own that goes on and holds the pipes is not waited for, and is left alone: daemons
// of plugins live so. At the deadline, or when it writes too much, the program and its process
// group are killed. It dies with the calling thread: after a crash of the agent nobody works on an
// attachment unseen. Fails with timeout, exhausted, or the system's reason why it could not be
// started.
[[nodiscard]] Result<CniOutput> run_cni_program(const CniCall& call);

}  // namespace skiff::network
