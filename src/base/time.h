// Time as a parameter: nobody calls the system's clock but SystemClock, so tests own time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace skiff {

// Wall-clock time (UTC), for what people and the API server see.
using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;
// Monotonic time, for deadlines and back-off.
using SteadyTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

class Clock {
public:
    virtual ~Clock() = default;
    [[nodiscard]] virtual WallTime wall_now() const = 0;
    [[nodiscard]] virtual SteadyTime steady_now() const = 0;
};

class SystemClock final : public Clock {
public:
    [[nodiscard]] WallTime wall_now() const override;
    [[nodiscard]] SteadyTime steady_now() const override;
};

// The steady time when `wait` will be over: a deadline for the waits of async/, which have the
// system's time also in tests. Never later than SteadyTime::max(), which means "no deadline".
[[nodiscard]] SteadyTime after(Duration wait);

// A clock that moves only when a test says so.
class ManualClock final : public Clock {
public:
    explicit ManualClock(WallTime start) : wall_(start) {}
    [[nodiscard]] WallTime wall_now() const override { return wall_; }
    [[nodiscard]] SteadyTime steady_now() const override { return steady_; }
    void advance(Duration by) {
        wall_ += by;
        steady_ += std::chrono::duration_cast<SteadyTime::duration>(by);
    }

private:
    WallTime wall_;
    SteadyTime steady_{};
};

// "2026-11-23T22:14:05Z": metav1.Time, whole seconds.
[[nodiscard]] std::string format_rfc3339(WallTime time);
// "2026-11-23T22:14:05.000000001Z": CRI log lines and metav1.MicroTime's superset; always nine
// digits.
[[nodiscard]] std::string format_rfc3339_nano(WallTime time);
// "2026-11-23T22:14:05.123456Z": metav1.MicroTime.
[[nodiscard]] std::string format_rfc3339_micro(WallTime time);
// Parses RFC 3339 with any fraction and any offset; nullopt for anything else.
[[nodiscard]] std::optional<WallTime> parse_rfc3339(std::string_view text);
// `time` with the sub-second part cut off, as the API server stores it.
[[nodiscard]] WallTime truncate_to_seconds(WallTime time);

// "1h2m3.5s": Go's time.Duration text, as kubelet messages and configuration use it.
[[nodiscard]] std::string format_duration(Duration duration);
// Parses Go's duration text ("1m30s", "250ms", "1.5h"); nullopt if malformed or out of range.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);

}  // namespace skiff
