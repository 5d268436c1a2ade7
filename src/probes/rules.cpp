#include "probes/rules.h"

#include <algorithm>

namespace skiff::probes {

namespace {

// The API takes any number of seconds; so many are for ever.
constexpr std::int32_t kSecondsMax = 365 * 24 * 60 * 60;

std::int32_t at_least_one(std::int32_t number, std::int32_t otherwise) {
    return number > 0 ? number : otherwise;
}

Duration seconds(std::int32_t number) {
    return std::chrono::seconds(std::clamp(number, 0, kSecondsMax));
}

}  // namespace

Rules rules_of(const kube::Probe& probe) {
    Rules rules;
    rules.initial_delay = seconds(probe.initialDelaySeconds);
    rules.period = seconds(at_least_one(probe.periodSeconds, 10));
    rules.timeout = seconds(at_least_one(probe.timeoutSeconds, 1));
    rules.successes_needed = at_least_one(probe.successThreshold, 1);
    rules.failures_needed = at_least_one(probe.failureThreshold, 3);
    return rules;
}

ProbeState first_state(ProbeKind kind, pods::ProbeTarget::Known known) {
    using Known = pods::ProbeTarget::Known;
    ProbeState state;
    switch (kind) {
        case ProbeKind::startup:
            if (known != Known::nothing) {
                state.counts = ProbeResult::success;
                state.phase = ProbeState::Phase::over;
            }
            break;
        case ProbeKind::readiness:
            state.counts = known == Known::ready ? ProbeResult::success : ProbeResult::failure;
            break;
        case ProbeKind::liveness:
            state.counts = ProbeResult::success;
            break;
    }
    return state;
}

void take(ProbeState& state, ProbeKind kind, const Rules& rules, ProbeResult outcome) {
    if (outcome == ProbeResult::unknown || state.phase == ProbeState::Phase::over) {
        return;
    }
    state.in_a_row = state.latest == outcome ? state.in_a_row + 1 : 1;
    state.latest = outcome;
    const bool failed = outcome == ProbeResult::failure;
    const std::int32_t needed = failed ? rules.failures_needed : rules.successes_needed;
    if (state.in_a_row < needed) {
        return;
    }
    state.in_a_row = needed;  // it need not be counted on
    state.counts = outcome;
    const bool ends_run = kind == ProbeKind::liveness && failed;
    if (ends_run || kind == ProbeKind::startup) {
        state.phase = ProbeState::Phase::over;
    }
}

Beat beat_of(ProbeKind kind, const Rules& rules, double part) {
    const auto some = std::chrono::duration_cast<Duration>(rules.period * part);
    switch (kind) {
        case ProbeKind::startup:
            break;
        case ProbeKind::readiness:
            return Beat{rules.initial_delay, rules.initial_delay - some};
        case ProbeKind::liveness: {
            const Duration first = std::max(rules.initial_delay, rules.period / 2) + some;
            return Beat{first, first};
        }
    }
    return Beat{rules.initial_delay, rules.initial_delay};
}

SteadyTime next_due(SteadyTime step, SteadyTime begun, SteadyTime ended, const Rules& rules) {
    auto period = std::chrono::duration_cast<SteadyTime::duration>(rules.period);
    auto latest = [&](SteadyTime time) { return step + (time - step) / period * period; };
    return std::max(latest(begun) + period, latest(ended));
}

std::string_view name_of(ProbeKind kind) {
    switch (kind) {
        case ProbeKind::startup:
            return "Startup";
        case ProbeKind::readiness:
            return "Readiness";
        case ProbeKind::liveness:
            break;
    }
    return "Liveness";
}

}  // namespace skiff::probes
