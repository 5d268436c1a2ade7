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

// What the keeper sends a runner that waits, as one packet: with it ride the descriptors of the
// Start message in their order and, behind them, an eventfd for StopMode other than none.
struct RunnerOrder {
    bool has_stop = false;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.has_stop);
    }
};

// What comes back, as one packet: `ready`, or why there will be no guest.
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
constexpr std::size_t kReportBytesMax = 4096;

// Called in the child right after the fork, in a fresh pid namespace: does everything that needs no
// order, waits for one on `keeper`, builds the cage, runs the guest, ends the process. Ends at once
// when the keeper closes its end before. Everything it allocates dies with it.
[[noreturn]] void run_container(const RunnerParts& parts, int keeper);

}  // namespace skiff::engine
