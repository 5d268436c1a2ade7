#include "probes/rules.h"

#include <gtest/gtest.h>

namespace skiff::probes {
namespace {

using std::chrono::seconds;
using Known = pods::ProbeTarget::Known;
constexpr auto kSuccess = ProbeResult::success;
constexpr auto kFailure = ProbeResult::failure;

Rules rules(std::int32_t successes, std::int32_t failures) {
    Rules its;
    its.successes_needed = successes;
    its.failures_needed = failures;
    return its;
}

ProbeState after_all(ProbeKind kind, const Rules& its, const std::vector<ProbeResult>& outcomes) {
    ProbeState state = first_state(kind, Known::nothing);
    for (ProbeResult outcome : outcomes) {
        take(state, kind, its, outcome);
    }
    return state;
}

TEST(ProbeRules, HaveTheDefaultsOfTheApi) {
    Rules its = rules_of(kube::Probe{});
    EXPECT_EQ(its.initial_delay, seconds(0));
    EXPECT_EQ(its.period, seconds(10));
    EXPECT_EQ(its.timeout, seconds(1));
    EXPECT_EQ(its.successes_needed, 1);
    EXPECT_EQ(its.failures_needed, 3);
    kube::Probe odd;
    odd.initialDelaySeconds = -5;
    odd.periodSeconds = std::numeric_limits<std::int32_t>::max();
    EXPECT_EQ(rules_of(odd).initial_delay, seconds(0));
    EXPECT_GT(rules_of(odd).period, seconds(1'000'000));
}

TEST(ProbeRules, ANewRunLivesAndIsNotReadyAndMayHaveStarted) {
    EXPECT_EQ(first_state(ProbeKind::liveness, Known::nothing).counts, kSuccess);
    EXPECT_EQ(first_state(ProbeKind::readiness, Known::nothing).counts, kFailure);
    EXPECT_EQ(first_state(ProbeKind::startup, Known::nothing).counts, ProbeResult::unknown);
}

TEST(ProbeRules, WhatAnAgentBeforeKnewOfTheRunStays) {
    EXPECT_EQ(first_state(ProbeKind::readiness, Known::ready).counts, kSuccess);
    EXPECT_EQ(first_state(ProbeKind::readiness, Known::started).counts, kFailure);
    for (Known known : {Known::started, Known::ready}) {
        ProbeState startup = first_state(ProbeKind::startup, known);
        EXPECT_EQ(startup.counts, kSuccess);
        EXPECT_EQ(startup.phase, ProbeState::Phase::over);
    }
}

TEST(ProbeRules, OnlyResultsInARowCount) {
    Rules its = rules(2, 3);
    EXPECT_EQ(after_all(ProbeKind::readiness, its, {kSuccess}).counts, kFailure);
    EXPECT_EQ(after_all(ProbeKind::readiness, its, {kSuccess, kSuccess}).counts, kSuccess);
    EXPECT_EQ(after_all(ProbeKind::readiness, its, {kSuccess, kFailure, kSuccess}).counts,
              kFailure);
    auto ready = std::vector{kSuccess, kSuccess, kFailure, kFailure};
    EXPECT_EQ(after_all(ProbeKind::readiness, its, ready).counts, kSuccess);
    ready.push_back(kFailure);
    EXPECT_EQ(after_all(ProbeKind::readiness, its, ready).counts, kFailure);
}

TEST(ProbeRules, AnOutcomeThatSaysNothingChangesNothing) {
    Rules its = rules(1, 2);
    auto state = after_all(ProbeKind::liveness, its, {kFailure, ProbeResult::unknown, kFailure});
    EXPECT_EQ(state.counts, kFailure);
    EXPECT_EQ(state.in_a_row, 2);
}

TEST(ProbeRules, ARunThatMustEndIsNotAskedAnyMore) {
    Rules its = rules(1, 2);
    auto state = after_all(ProbeKind::liveness, its, {kSuccess, kFailure});
    EXPECT_EQ(state.phase, ProbeState::Phase::asking);
    take(state, ProbeKind::liveness, its, kFailure);
    EXPECT_EQ(state.phase, ProbeState::Phase::over);
    take(state, ProbeKind::liveness, its, kSuccess);
    EXPECT_EQ(state.counts, kFailure) << "an answer that came late";
}

TEST(ProbeRules, AStartupProbeSaysItsWordOnce) {
    Rules its = rules(1, 3);
    auto started = after_all(ProbeKind::startup, its, {kFailure, kFailure, kSuccess});
    EXPECT_EQ(started.counts, kSuccess);
    EXPECT_EQ(started.phase, ProbeState::Phase::over);
    auto failed = after_all(ProbeKind::startup, its, {kFailure, kFailure, kFailure});
    EXPECT_EQ(failed.counts, kFailure);
    EXPECT_EQ(failed.phase, ProbeState::Phase::over);
}

TEST(ProbeRules, AReadinessProbeGoesOnForEver) {
    Rules its = rules(1, 1);
    auto state = after_all(ProbeKind::readiness, its, {kFailure, kSuccess, kFailure, kSuccess});
    EXPECT_EQ(state.counts, kSuccess);
    EXPECT_EQ(state.phase, ProbeState::Phase::asking);
}

TEST(ProbeRules, SayWhenTheFirstProbeIsDue) {
    Rules its;
    its.period = seconds(10);
    auto first = [&](ProbeKind kind, double part) { return beat_of(kind, its, part).first; };
    EXPECT_EQ(first(ProbeKind::readiness, 0.7), seconds(0));
    EXPECT_EQ(first(ProbeKind::startup, 0.7), seconds(0));
    EXPECT_EQ(first(ProbeKind::liveness, 0), seconds(5));
    EXPECT_EQ(first(ProbeKind::liveness, 0.5), seconds(10));
    its.initial_delay = seconds(15);
    EXPECT_EQ(first(ProbeKind::readiness, 0.5), seconds(15));
    EXPECT_EQ(first(ProbeKind::startup, 0.5), seconds(15));
    EXPECT_EQ(first(ProbeKind::liveness, 0), seconds(15));
    EXPECT_EQ(first(ProbeKind::liveness, 0.5), seconds(20));
}

TEST(ProbeRules, WhatStartsTogetherIsNotAskedTogetherForEver) {
    Rules its;
    its.period = seconds(10);
    its.initial_delay = seconds(3);
    auto second = [&](ProbeKind kind, double part) {
        const Beat beat = beat_of(kind, its, part);
        const SteadyTime first{beat.first};
        return next_due(SteadyTime{beat.step}, first, first, its).time_since_epoch();
    };
    EXPECT_EQ(second(ProbeKind::readiness, 0), seconds(13));
    EXPECT_EQ(second(ProbeKind::readiness, 0.5), seconds(8));
    EXPECT_EQ(second(ProbeKind::liveness, 0), seconds(15));
    EXPECT_EQ(second(ProbeKind::liveness, 0.5), seconds(20));
    EXPECT_EQ(second(ProbeKind::startup, 0.5), seconds(13)) << "as long as the user allows";
}

TEST(ProbeRules, ProbesKeepStepHoweverLateTheyAre) {
    Rules its;
    its.period = seconds(10);
    auto next = [&](int begun, int ended) {
        const SteadyTime step{seconds(100)};
        return next_due(step, SteadyTime{seconds(begun)}, SteadyTime{seconds(ended)}, its);
    };
    EXPECT_EQ(next(100, 103), SteadyTime{seconds(110)});
    EXPECT_EQ(next(109, 109), SteadyTime{seconds(110)});
    // It was late by more than a period: those in between are not made up for.
    EXPECT_EQ(next(123, 124), SteadyTime{seconds(130)});
    EXPECT_EQ(next(120, 120), SteadyTime{seconds(130)});
    // It took longer than a period: the next is due since then, once.
    EXPECT_EQ(next(100, 110), SteadyTime{seconds(110)});
    EXPECT_EQ(next(100, 125), SteadyTime{seconds(120)});
    EXPECT_EQ(next(109, 112), SteadyTime{seconds(110)});
}

}  // namespace
}  // namespace skiff::probes
