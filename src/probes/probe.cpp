#include "probes/probe.h"

#include <algorithm>
#include <cmath>

namespace skiff::probes {

namespace {

constexpr double kBucketsPerDoubling = 4;

double microseconds(Duration duration) {
    return std::chrono::duration<double, std::micro>(duration).count();
}

}  // namespace

void ProbeCount::add_duration(Duration took) {
    const double seconds = std::chrono::duration<double>(took).count();
    const auto bound = std::ranges::lower_bound(kBounds, seconds);
    ++durations[static_cast<std::size_t>(bound - kBounds.begin())];
    seconds_sum += seconds;
}

void Delays::add(Duration delay) {
    const double us = std::max(1.0, microseconds(delay));
    const auto bucket = static_cast<std::size_t>(std::log2(us) * kBucketsPerDoubling);
    ++buckets_[std::min(bucket, buckets_.size() - 1)];
    ++count_;
}

Duration Delays::percentile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
        seen += buckets_[i];
        if (seen >= wanted && seen > 0) {
            const double us = std::exp2(static_cast<double>(i + 1) / kBucketsPerDoubling);
            return std::chrono::nanoseconds(static_cast<std::int64_t>(us * 1000));
        }
    }
    return {};
}

}  // namespace skiff::probes
