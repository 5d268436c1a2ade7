// One container: the process between fork and exit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"
#include "sandbox/confinement.h"
#include "wasm/engine.h"
#include "wire/grant.h"

namespace skiff::engine {

// How much a keeper can give: everything, or what an ordinary user may (no id ranges, no idmapped
// mounts, no cgroups).
enum class Privilege { full, ordinary_user };
// Whether runners outlive their keeper.
enum class Lifetime { independent, with_keeper };

// What the keeper made before the fork and every runner uses.
struct RunnerParts {
    wasm::Engine engine;
    sandbox::Shared shared;
    sandbox::SyscallFilter command_filter;
    sandbox::SyscallFilter network_filter;
    os::Fd null_device;
    Privilege privilege = Privilege::full;
    Lifetime lifetime = Lifetime::independent;
};
[[nodiscard]] Result<RunnerParts> make_runner_parts(const std::string& run_dir);

// What one start brings. Descriptors are in the order of the Start message.
struct RunnerInput {
    std::vector<int> fds;
    int report_fd = -1;  // a pipe to the keeper
    int stop_fd = -1;    // an eventfd, or -1
};

// What goes through the report pipe, as one write: `ready`, or why there will be no guest.
struct RunnerReport {
    bool ready = false;
    std::int64_t started_ns = 0;
    std::string stage;
    std::string message;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.ready, s.started_ns, s.stage, s.message);
    }
};
constexpr std::size_t kReportBytesMax = 4096;  // PIPE_BUF: written whole or not at all

// Called in the child right after the fork, in a fresh pid namespace: builds the cage, runs the
// guest, ends the process. Everything it allocates dies with it.
[[noreturn]] void run_container(const RunnerParts& parts, const RunnerInput& input);

}  // namespace skiff::engine
