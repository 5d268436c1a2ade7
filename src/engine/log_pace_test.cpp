#include "engine/log_pace.h"

#include <gtest/gtest.h>

namespace skiff::engine {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kRate = 1'000'000;
const SteadyTime kStart = SteadyTime() + 1h;

// How long to wait after `bytes` at `now`.
Duration spend(LogPace& pace, std::uint64_t bytes, SteadyTime now) {
    pace.spend(bytes, now);
    return pace.wait(now);
}

TEST(LogPace, AFloodHasItsRateAndASecondsWorthAtOnce) {
    constexpr std::uint64_t kPiece = 1000;
    LogPace pace(kRate);
    std::uint64_t written = 0;
    for (SteadyTime now = kStart; now < kStart + 10s;) {
        now += spend(pace, kPiece, now) + 1us;
        written += kPiece;
    }
    EXPECT_GE(written, 10 * kRate);
    EXPECT_LE(written, 11 * kRate + kPiece);
}

TEST(LogPace, NobodyWaitsBelowTheRate) {
    LogPace pace(kRate);
    for (int second = 0; second < 100; ++second) {
        // All of a second's bytes at its beginning.
        EXPECT_EQ(spend(pace, kRate, kStart + second * 1s), 0s) << second;
    }
}

TEST(LogPace, ALargePieceIsPaidWhole) {
    LogPace pace(kRate);
    EXPECT_EQ(spend(pace, 3 * kRate, kStart), 2s);
    EXPECT_EQ(pace.wait(kStart + 1950ms), 50ms);
    EXPECT_EQ(pace.wait(kStart + 2s), 0s);
}

TEST(LogPace, ARestGivesNoMoreThanASecondsWorth) {
    LogPace pace(kRate);
    EXPECT_EQ(spend(pace, kRate, kStart), 0s);
    EXPECT_EQ(spend(pace, kRate, kStart + 1h), 0s);
    EXPECT_EQ(spend(pace, kRate / 20, kStart + 1h), 50ms);
}

TEST(LogPace, WithoutARateNobodyWaits) {
    LogPace pace(0);
    EXPECT_EQ(spend(pace, UINT64_MAX, kStart), 0s);
}

TEST(LogPace, TheLargestNumbersAreWaitsToo) {
    LogPace pace(1);
    for (int time = 0; time < 3; ++time) {
        EXPECT_EQ(spend(pace, UINT64_MAX, kStart), LogPace::kWaitMax) << time;
    }
}

}  // namespace
}  // namespace skiff::engine
