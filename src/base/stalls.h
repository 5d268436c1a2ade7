// Pressure stall information of a machine or a group of processes: how long tasks waited for a
// resource. Values.
#pragma once

#include <chrono>

namespace skiff {

// Shares of time in percent, and the whole time.
struct StallTimes {
    double avg10 = 0;
    double avg60 = 0;
    double avg300 = 0;
    std::chrono::microseconds total{};
    friend bool operator==(const StallTimes&, const StallTimes&) = default;
};

// Of a resource: some tasks waited for it, or all of them.
struct Stalls {
    StallTimes some;
    StallTimes full;
    friend bool operator==(const Stalls&, const Stalls&) = default;
};

}  // namespace skiff
