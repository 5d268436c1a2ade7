#include "base/types.h"

namespace skiff {

std::string format_as(Bytes bytes) {
    constexpr std::string_view kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes.value < 1024) {
        return fmt::format("{} B", bytes.value);
    }
    double value = static_cast<double>(bytes.value) / 1024;
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(kUnits)) {
        value /= 1024;
        ++unit;
    }
    return value < 10 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                      : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

}  // namespace skiff
