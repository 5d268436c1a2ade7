// What this room counts, for /metrics/probes and for benchmarks. Reactor thread only.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/time.h"
#include "pods/probe_ports.h"

namespace skiff::probes {

// prober_probe_total and prober_probe_duration_seconds of one probe of one container of a pod, over
// all its runs.
struct ProbeCount {
    // Upper bounds in seconds: those of the kubelet's histogram.
    static constexpr std::array kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                           0.5,   1.0,  2.5,   5.0,  10.0};
    std::uint64_t successful = 0;
    std::uint64_t failed = 0;
    std::uint64_t unknown = 0;
    // Not failures, as with a kubelet; not cumulative; the last is what took longer than all.
    std::array<std::uint64_t, kBounds.size() + 1> durations{};
    double seconds_sum = 0;

    void add_duration(Duration took);
};

struct ProbeSample {
    std::string ns;
    std::string pod;
    std::string pod_uid;
    std::string container;
    pods::ProbeKind kind = pods::ProbeKind::liveness;
    ProbeCount count;
};

// How late probes begin after they are due, of all pods.
class Delays {
public:
    void add(Duration delay);
    [[nodiscard]] std::uint64_t count() const { return count_; }
    // The upper bound, within 19 %, of what `share` of the delays are at most; zero without any.
    [[nodiscard]] Duration percentile(double share) const;
    void clear() { *this = Delays(); }

private:
    // Four for each doubling, from a microsecond to 18 minutes.
    std::array<std::uint64_t, 120> buckets_{};
    std::uint64_t count_ = 0;
};

}  // namespace skiff::probes
