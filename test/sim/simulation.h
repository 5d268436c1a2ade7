// One life of a node from its seed: the real workers and decisions of src/pods over simulated
// ports, with agent restarts, reboots, outages and users, in virtual time, under the checker's
// rules.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "journal.h"

namespace skiff::sim {

struct Outcome {
    std::optional<std::string> broken;  // the first rule that was broken
    double pod_hours = 0;               // simulated time of pods
    std::uint64_t happenings = 0;       // the same for the same seed, always
};

[[nodiscard]] Outcome simulate(std::uint64_t seed, Journal::Trace trace = Journal::Trace::off);

}  // namespace skiff::sim
