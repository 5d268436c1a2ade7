#include "base/time.h"

#include <fmt/format.h>

#include <ctime>

namespace skiff {

using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::seconds;

WallTime SystemClock::wall_now() const {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return WallTime(seconds(now.tv_sec) + nanoseconds(now.tv_nsec));
}

SteadyTime SystemClock::steady_now() const {
    return std::chrono::steady_clock::now();
}

SteadyTime after(Duration wait) {
    SteadyTime now = std::chrono::steady_clock::now();
    auto room = SteadyTime::max() - now;
    return wait >= room ? SteadyTime::max()
                        : now + std::chrono::duration_cast<SteadyTime::duration>(wait);
}

WallTime truncate_to_seconds(WallTime time) {
    return std::chrono::floor<seconds>(time);
}

static std::string format_seconds(WallTime time) {
    auto days = std::chrono::floor<std::chrono::days>(time);
    std::chrono::year_month_day date(days);
    std::chrono::hh_mm_ss clock(std::chrono::floor<seconds>(time) - days);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string format_rfc3339(WallTime time) {
    return format_seconds(time) + "Z";
}

std::string format_rfc3339_nano(WallTime time) {
    auto fraction = time - std::chrono::floor<seconds>(time);
    return fmt::format("{}.{:09}Z", format_seconds(time), fraction.count());
}

std::string format_rfc3339_micro(WallTime time) {
    auto fraction = time - std::chrono::floor<seconds>(time);
    return fmt::format("{}.{:06}Z", format_seconds(time), fraction.count() / 1000);
}

// Reads exactly `digits` decimal digits from the front of `text`.
static std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
    if (text.size() < digits) {
        return std::nullopt;
    }
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
        if (text[i] < '0' || text[i] > '9') {
            return std::nullopt;
        }
        value = value * 10 + (text[i] - '0');
    }
    text.remove_prefix(digits);
    return value;
}

static bool take(std::string_view& text, char expected) {
    if (text.empty() || text.front() != expected) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

// Reads ".123" as nanoseconds; digits beyond the ninth are dropped.
static std::optional<std::int64_t> take_fraction(std::string_view& text) {
    if (!take(text, '.')) {
        return 0;
    }
    std::int64_t nanos = 0;
    std::size_t digits = 0;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
        if (digits < 9) {
            nanos = nanos * 10 + (text.front() - '0');
        }
        ++digits;
        text.remove_prefix(1);
    }
    if (digits == 0) {
        return std::nullopt;
    }
    for (; digits < 9; ++digits) {
        nanos *= 10;
    }
    return nanos;
}

static std::optional<seconds> take_offset(std::string_view& text) {
    if (take(text, 'Z') || take(text, 'z')) {
        return seconds(0);
    }
    bool negative = take(text, '-');
    if (!negative && !take(text, '+')) {
        return std::nullopt;
    }
    auto hours = take_digits(text, 2);
    bool colon = take(text, ':');
    auto minutes = take_digits(text, 2);
    if (!hours || !colon || !minutes || *hours > 23 || *minutes > 59) {
        return std::nullopt;
    }
    seconds offset(*hours * 3600 + *minutes * 60);
    return negative ? -offset : offset;
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
    auto year = take_digits(text, 4);
    bool ok = year && take(text, '-');
    auto month = ok ? take_digits(text, 2) : std::nullopt;
    ok = month && take(text, '-');
    auto day = ok ? take_digits(text, 2) : std::nullopt;
    ok = day && (take(text, 'T') || take(text, 't'));
    auto hour = ok ? take_digits(text, 2) : std::nullopt;
    ok = hour && take(text, ':');
    auto minute = ok ? take_digits(text, 2) : std::nullopt;
    ok = minute && take(text, ':');
    auto second = ok ? take_digits(text, 2) : std::nullopt;
    if (!second || *hour > 23 || *minute > 59 || *second > 60) {
        return std::nullopt;
    }
    auto fraction = take_fraction(text);
    auto offset = fraction ? take_offset(text) : std::nullopt;
    std::chrono::year_month_day date{std::chrono::year(*year),
                                     std::chrono::month(static_cast<unsigned>(*month)),
                                     std::chrono::day(static_cast<unsigned>(*day))};
    if (!offset || !text.empty() || !date.ok()) {
        return std::nullopt;
    }
    auto whole = std::chrono::sys_seconds(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
                 std::chrono::minutes(*minute) + seconds(*second) - *offset;
    // Nanoseconds in 64 bits hold the years 1678 to 2261; the API server sends no time beyond.
    constexpr auto kFirst = std::chrono::sys_days(std::chrono::year(1678) / 1 / 1);
    constexpr auto kEnd = std::chrono::sys_days(std::chrono::year(2262) / 1 / 1);
    if (whole < kFirst || whole >= kEnd) {
        return std::nullopt;
    }
    return WallTime(whole) + nanoseconds(*fraction);
}

std::string format_duration(Duration duration) {
    if (duration == Duration::zero()) {
        return "0s";
    }
    std::string sign = duration < Duration::zero() ? "-" : "";
    // Unsigned, because the smallest duration has no positive twin.
    auto nanos = static_cast<std::uint64_t>(duration.count());
    if (duration < Duration::zero()) {
        nanos = 0 - nanos;
    }
    if (nanos < 1'000'000'000) {
        auto [unit, name] = nanos < 1'000       ? std::pair(1.0, "ns")
                            : nanos < 1'000'000 ? std::pair(1e3, "µs")
                                                : std::pair(1e6, "ms");
        return fmt::format("{}{}{}", sign, static_cast<double>(nanos) / unit, name);
    }
    std::uint64_t total = nanos / 1'000'000'000;
    std::uint64_t rest = nanos % 1'000'000'000;
    std::string text = sign;
    if (total >= 3600) {
        text += fmt::format("{}h", total / 3600);
    }
    if (total >= 60) {
        text += fmt::format("{}m", total / 60 % 60);
    }
    text += fmt::format("{}", total % 60);
    if (rest != 0) {
        std::string fraction = fmt::format("{:09}", rest);
        fraction.erase(fraction.find_last_not_of('0') + 1);
        text += "." + fraction;
    }
    return text + "s";
}

constexpr std::uint64_t kDurationNanosMax = std::uint64_t{1} << 63;

static std::optional<std::uint64_t> unit_nanoseconds(std::string_view& text) {
    constexpr std::pair<std::string_view, std::uint64_t> kUnits[] = {
        {"ns", 1},         {"us", 1'000},        {"µs", 1'000},         {"μs", 1'000},
        {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};
    for (auto [name, value] : kUnits) {
        if (text.starts_with(name)) {
            text.remove_prefix(name.size());
            return value;
        }
    }
    return std::nullopt;
}

// Takes "1.5h" off the front: nanoseconds. Whole numbers are exact, as in Go; of a fraction, digits
// that no longer change the number are dropped.
static std::optional<std::uint64_t> take_amount(std::string_view& text) {
    std::uint64_t whole = 0;
    double fraction = 0;
    double scale = 1;
    std::size_t digits = 0;
    bool after_dot = false;
    for (; !text.empty(); text.remove_prefix(1)) {
        char c = text.front();
        if (c == '.' && !after_dot) {
            after_dot = true;
            continue;
        }
        if (c < '0' || c > '9') {
            break;
        }
        ++digits;
        if (!after_dot) {
            if (whole > kDurationNanosMax / 10) {
                return std::nullopt;
            }
            whole = whole * 10 + static_cast<std::uint64_t>(c - '0');
        } else if (scale < 1e15) {
            fraction = fraction * 10 + (c - '0');
            scale *= 10;
        }
    }
    auto unit = unit_nanoseconds(text);
    if (digits == 0 || !unit || whole > kDurationNanosMax / *unit) {
        return std::nullopt;
    }
    return whole * *unit +
           static_cast<std::uint64_t>(fraction * (static_cast<double>(*unit) / scale));
}

std::optional<Duration> parse_duration(std::string_view text) {
    bool negative = take(text, '-');
    if (!negative) {
        take(text, '+');
    }
    if (text == "0") {
        return Duration::zero();
    }
    if (text.empty()) {
        return std::nullopt;
    }
    std::uint64_t total = 0;
    while (!text.empty()) {
        auto amount = take_amount(text);
        if (!amount || *amount > kDurationNanosMax || total > kDurationNanosMax - *amount) {
            return std::nullopt;
        }
        total += *amount;
    }
    if (!negative && total == kDurationNanosMax) {
        return std::nullopt;
    }
    return Duration(static_cast<std::int64_t>(negative ? 0 - total : total));
}

}  // namespace skiff
