#include "engine/log_pace.h"

#include <algorithm>
#include <chrono>

namespace skiff::engine {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr Duration kBucket = std::chrono::seconds(1);

}  // namespace

void LogPace::spend(std::uint64_t bytes, SteadyTime now) {
    if (bytes_per_second_ == 0) {
        return;
    }
    const Seconds refill(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
    const Seconds until_full = std::max(full_at_ - now, Duration::zero()) + refill;
    full_at_ = now + std::chrono::duration_cast<Duration>(
                         std::min<Seconds>(until_full, kWaitMax + kBucket));
}

Duration LogPace::wait(SteadyTime now) const {
    return std::max(full_at_ - now - kBucket, Duration::zero());
}

}  // namespace skiff::engine
