#include "base/fuzz.h"
#include "base/time.h"

namespace skiff {

static void check_time(WallTime time) {
    SKIFF_ASSERT(parse_rfc3339(format_rfc3339_nano(time)) == time);
    SKIFF_ASSERT(parse_rfc3339(format_rfc3339(time)) == truncate_to_seconds(time));
    auto micro = std::chrono::floor<std::chrono::microseconds>(time);
    SKIFF_ASSERT(parse_rfc3339(format_rfc3339_micro(time)) == WallTime(micro));
}

SKIFF_FUZZ(base_time) {
    if (auto time = parse_rfc3339(bytes)) {
        check_time(*time);
    }
    if (auto duration = parse_duration(bytes)) {
        SKIFF_ASSERT(parse_duration(format_duration(*duration)) == *duration);
    }
}

}  // namespace skiff
