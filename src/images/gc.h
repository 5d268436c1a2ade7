// Which images the node gives up, and when (contract row 63). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace skiff::images {

struct GcSettings {
    // Of the disk with the images, in percent: above `high` images go until `low` is reached; 100:
    // never.
    std::int64_t high = 85;
    std::int64_t low = 80;
    Duration age_min = std::chrono::minutes(2);  // younger ones stay
    Duration age_max{};                          // what nobody used for longer goes; zero: stays
};

// An image as collection sees it.
struct GcImage {
    std::string reference;
    Bytes size;
    enum class Use { needed, free } use = Use::free;  // by a pod or container of the node
};

struct DiskFill {
    Bytes total;
    Bytes available;
};

// When which image was seen first and needed last, in this life of the agent. Images that were
// there before count from its start.
class GcMemory {
public:
    // What there is now.
    void see(const std::vector<GcImage>& images, SteadyTime now);

    // References to remove, in this order: all that are too old, then, when the disk is fuller than
    // `high`, those whose last use is longest ago. `wanted` is set to how many bytes had to be
    // freed for `low`, `found` to how many the chosen ones are: fewer is FreeDiskSpaceFailed.
    struct Choice {
        std::vector<std::string> references;
        Bytes wanted;
        Bytes found;
    };
    [[nodiscard]] Choice choose(const std::vector<GcImage>& images, const GcSettings& settings,
                                DiskFill disk, SteadyTime now) const;

private:
    struct Times {
        SteadyTime seen;
        SteadyTime used;
    };
    std::map<std::string, Times> times_;
};

}  // namespace skiff::images
