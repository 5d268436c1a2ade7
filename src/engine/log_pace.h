// How fast a container fills its log: a flood would cost its neighbours the disk and the kernel's
// time for writing it, which the kernel charges to nobody.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace skiff::engine {

// A bucket that holds what may be written in a second. Who has spent more waits, as at a slow disk;
// nothing is dropped.
class LogPace {
public:
    static constexpr Duration kWaitMax = std::chrono::hours(1);

    // `bytes_per_second` 0: nobody ever waits.
    explicit LogPace(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

    // `bytes` were written at `now`.
    void spend(std::uint64_t bytes, SteadyTime now);
    // How long to wait before more are: at most kWaitMax.
    [[nodiscard]] Duration wait(SteadyTime now) const;

private:
    std::uint64_t bytes_per_second_;
    SteadyTime full_at_{};  // when the bucket is full again
};

}  // namespace skiff::engine
