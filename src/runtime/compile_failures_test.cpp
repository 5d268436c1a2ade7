#include "runtime/compile_failures.h"

#include <gtest/gtest.h>

namespace skiff::runtime {
namespace {

using std::chrono::seconds;

Error error_with(Code code) {
    return Error{code, "RunContainerError", "compiling took longer than 5m", {}};
}

TEST(CompileFailures, BackOffDoublesUpToItsLongest) {
    CompileFailures failures;
    SteadyTime now{};
    EXPECT_FALSE(failures.find("a", now));
    for (int delay : {10, 20, 40, 80, 160, 300, 300}) {
        failures.note("a", error_with(Code::exhausted), now);
        auto error = failures.find("a", now + seconds(delay) - std::chrono::nanoseconds(1));
        ASSERT_TRUE(error) << delay;
        EXPECT_EQ(error->message, "compiling took longer than 5m");
        now += seconds(delay);
        EXPECT_FALSE(failures.find("a", now)) << delay;
    }
    EXPECT_FALSE(failures.find("b", now));
}

TEST(CompileFailures, ForgetsWhatIsLongAgoOrWentWell) {
    CompileFailures failures;
    SteadyTime now{};
    failures.note("a", error_with(Code::exhausted), now);
    failures.note("a", error_with(Code::exhausted), now);
    now += 2 * kCompileBackOffMax + seconds(1);
    EXPECT_FALSE(failures.is_costly("a", now));
    failures.note("a", error_with(Code::exhausted), now);
    EXPECT_FALSE(failures.find("a", now + kCompileBackOff));
    failures.forget("a");
    EXPECT_FALSE(failures.find("a", now));
    EXPECT_FALSE(failures.is_costly("a", now));
}

TEST(CompileFailures, OnlyWhatUsedUpItsLimitsYieldsToOthers) {
    CompileFailures failures;
    SteadyTime now{};
    failures.note("a", error_with(Code::exhausted), now);
    failures.note("b", error_with(Code::invalid), now);
    EXPECT_TRUE(failures.is_costly("a", now + seconds(100)));
    EXPECT_FALSE(failures.is_costly("b", now));
}

TEST(CompileFailures, WhatSaysNothingOfTheModuleIsNotRemembered) {
    CompileFailures failures;
    SteadyTime now{};
    failures.note("a", error_with(Code::cancelled), now);
    failures.note("b", error_with(Code::timeout), now);
    EXPECT_FALSE(failures.find("a", now));
    EXPECT_FALSE(failures.find("b", now));
}

TEST(CompileFailures, TheOldestMakesRoom) {
    CompileFailures failures;
    SteadyTime now{};
    for (std::size_t i = 0; i <= kCompileFailuresMax; ++i) {
        failures.note("key " + std::to_string(i), error_with(Code::invalid),
                      now + std::chrono::nanoseconds(i));
    }
    EXPECT_FALSE(failures.find("key 0", now));
    EXPECT_TRUE(failures.find("key 1", now));
}

}  // namespace
}  // namespace skiff::runtime
