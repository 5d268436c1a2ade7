// What the results of a probe come to, and when the next one is due (contract §4.4). Pure.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "kube/types.h"
#include "pods/probe_ports.h"

namespace skiff::probes {

using pods::ProbeKind;
using pods::ProbeResult;

// A probe's numbers with the API's defaults, each at least what the API allows.
struct Rules {
    Duration initial_delay{};
    Duration period = std::chrono::seconds(10);
    Duration timeout = std::chrono::seconds(1);
    std::int32_t successes_needed = 1;
    std::int32_t failures_needed = 3;
};
[[nodiscard]] Rules rules_of(const kube::Probe& probe);

// One probe of one run of a container.
struct ProbeState {
    ProbeResult counts = ProbeResult::unknown;  // what decisions are made from
    ProbeResult latest = ProbeResult::unknown;  // what the last probe said
    std::int32_t in_a_row = 0;
    // over: nothing more is asked of this run. A run that has to be ended for its liveness is not
    // asked while it ends, and a startup probe has said its word once.
    enum class Phase { asking, over } phase = Phase::asking;
};

// Before the first probe a container lives, is not ready, and may have started or not; what an
// agent before this one knew of the run stays (row 55).
[[nodiscard]] ProbeState first_state(ProbeKind kind, pods::ProbeTarget::Known known);

// Takes one outcome in: success or failure; unknown, which says nothing, changes nothing.
void take(ProbeState& state, ProbeKind kind, const Rules& rules, ProbeResult outcome);

// When a run is asked, from its start on. `part`, by chance in [0, 1), spreads over a period the
// probes of containers that started together, which a node would else ask all at once for ever.
struct Beat {
    // The first time. Startup and readiness are asked as soon as they may be, because somebody
    // waits for the answer. Liveness some time in a period that begins with its initial delay (as a
    // kubelet's ticker has it), at the earliest half a period after the start, as nobody is dead so
    // soon.
    Duration first{};
    // From here on each period, `first` being the time that is made up for if it is later.
    // Readiness is so asked a second time within a period. A startup probe is not: how often it may
    // fail is how long a container may take.
    Duration step{};
};
[[nodiscard]] Beat beat_of(ProbeKind kind, const Rules& rules, double part);

// The next time for what was begun at `begun` and has ended at `ended`: a whole number of periods
// after `step`, as a kubelet's ticker has it. What passed before it was begun is made up for by it;
// what passed while it was asked is due at once, as one. A node that is late thus finds its probes
// as spread as they were.
[[nodiscard]] SteadyTime next_due(SteadyTime step, SteadyTime begun, SteadyTime ended,
                                  const Rules& rules);

// "Startup", "Readiness", "Liveness".
[[nodiscard]] std::string_view name_of(ProbeKind kind);

}  // namespace skiff::probes
