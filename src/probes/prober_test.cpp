#include "probes/prober.h"

#include <gtest/gtest.h>

#include "probes/fixture.h"

namespace skiff::probes {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Known = pods::ProbeTarget::Known;

kube::Probe exec_probe(std::int32_t period = 10, std::int32_t failures = 1) {
    kube::Probe probe;
    probe.exec.emplace();
    probe.exec->command = {"check"};
    probe.periodSeconds = period;
    probe.failureThreshold = failures;
    return probe;
}

// The prober's clock is the test's: timers of the reactor are due at once, and the prober looks at
// its clock again and again. settle() lets all that can happen now happen.
class ProberTest : public ::testing::Test {
protected:
    ProberTest() : clock(WallTime(seconds(1'800'000'000))), random(7) { restart_agent(); }
    ~ProberTest() override { stop(); }

    void stop() {
        if (prober) {
            async::run_to_end(*reactor, prober->stop());
            prober.reset();
        }
    }
    void restart_agent() {
        stop();
        reactor.emplace();
        Prober::Parts parts{reactor->executor(), clock, random, events, commands};
        prober.emplace(parts, "1.37");
        prober->set_observer([this](const PodUid& uid) { changes.push_back(uid.str()); });
    }
    void settle() {
        auto turns = []() -> async::Task<void> {
            for (int i = 0; i < 60; ++i) {
                co_await async::yield_now();
            }
        };
        async::run_to_end(*reactor, turns());
    }
    void advance(Duration by) {
        clock.advance(by);
        settle();
    }
    pods::ProbeTarget target(const std::string& id, kube::Container container) {
        pods::ProbeTarget its;
        its.id = ContainerId(id);
        its.container = std::move(container);
        its.started = clock.wall_now();
        return its;
    }
    void apply(std::vector<pods::ProbeTarget> targets,
               pods::ProbeOrder::Scope scope = pods::ProbeOrder::Scope::all) {
        pods::ProbeOrder order;
        auto pod = std::make_shared<kube::Pod>();
        pod->metadata.uid = "uid-1";
        pod->metadata.name = "web";
        pod->metadata.namespace_ = "default";
        order.pod = pod;
        order.address = "127.0.0.1";
        order.targets = std::move(targets);
        order.scope = scope;
        prober->apply(std::move(order));
        settle();
    }
    pods::ProbeResults results() { return prober->results(PodUid("uid-1")); }
    std::size_t asked() const { return commands.runs.size(); }

    ManualClock clock;
    SeededRandom random;
    KeptEvents events;
    SaidCommands commands;
    std::vector<std::string> changes;
    std::optional<async::Reactor> reactor;
    std::optional<Prober> prober;
};

TEST_F(ProberTest, AsksForReadinessAtOnceAndThenEachPeriod) {
    auto web = container_named("web");
    web.readinessProbe = exec_probe(5);
    apply({target("c1", web)});
    EXPECT_EQ(asked(), 1U);
    EXPECT_EQ(results().readiness.at("web"), ProbeResult::success);
    EXPECT_EQ(changes, std::vector<std::string>{"uid-1"});
    for (std::size_t period = 1; period <= 3; ++period) {
        advance(seconds(5));
        EXPECT_EQ(asked(), 1 + period);
    }
    EXPECT_EQ(changes.size(), 1U) << "nothing changed";
}

TEST_F(ProberTest, ContainersThatStartTogetherAreNotAskedTogetherForEver) {
    std::vector<pods::ProbeTarget> targets;
    for (int i = 0; i < 100; ++i) {
        auto web = container_named(fmt::format("web-{}", i));
        web.readinessProbe = exec_probe(10);
        web.livenessProbe = exec_probe(10);
        targets.push_back(target(web.name, web));
    }
    apply(std::move(targets));
    advance(seconds(1));
    EXPECT_LT(asked(), 100U + 30) << "at once, for readiness";
    advance(seconds(29));
    for (int i = 0; i < 10; ++i) {
        const std::size_t before = asked();
        advance(seconds(1));
        EXPECT_NEAR(static_cast<double>(asked() - before), 20, 15);
    }
}

TEST_F(ProberTest, AReadyContainerThatFailsIsNotReadyAndOneEventSaysWhy) {
    auto web = container_named("web");
    web.readinessProbe = exec_probe(5, 2);
    apply({target("c1", web)});
    commands.end = {1, "no database\n"};
    advance(seconds(5));
    EXPECT_EQ(results().readiness.at("web"), ProbeResult::success) << "one of two";
    advance(seconds(5));
    EXPECT_EQ(results().readiness.at("web"), ProbeResult::failure);
    EXPECT_EQ(events.lines,
              std::vector<std::string>(2, "web Unhealthy: Readiness probe failed: no database\n"));
}

TEST_F(ProberTest, LivenessWaitsForAWhileAndAnEndedRunIsNotAsked) {
    auto web = container_named("web");
    web.livenessProbe = exec_probe(10);
    commands.end = {1, ""};
    apply({target("c1", web)});
    advance(milliseconds(4999));
    EXPECT_EQ(asked(), 0U);
    EXPECT_EQ(results().liveness.at("web"), ProbeResult::success);
    advance(seconds(10));
    EXPECT_EQ(results().liveness.at("web"), ProbeResult::failure);
    advance(seconds(60));
    EXPECT_EQ(asked(), 1U) << "it is to be ended";
    // The next run begins afresh.
    apply({target("c2", web)});
    EXPECT_EQ(results().liveness.at("web"), ProbeResult::success);
    advance(seconds(15));
    EXPECT_EQ(asked(), 2U);
}

TEST_F(ProberTest, NothingElseIsAskedBeforeTheStart) {
    auto web = container_named("web");
    web.startupProbe = exec_probe(1, 10);
    web.startupProbe->exec->command = {"started"};
    web.readinessProbe = exec_probe(5);
    web.livenessProbe = exec_probe(5);
    commands.end = {1, ""};
    apply({target("c1", web)});
    advance(seconds(1));
    advance(seconds(1));
    EXPECT_EQ(asked(), 3U);
    for (const auto& run : commands.runs) {
        EXPECT_EQ(run.command, std::vector<std::string>{"started"});
    }
    EXPECT_EQ(results().startup.at("web"), ProbeResult::unknown);
    commands.end = {0, ""};
    advance(seconds(1));
    EXPECT_EQ(results().startup.at("web"), ProbeResult::success);
    EXPECT_EQ(results().readiness.at("web"), ProbeResult::success) << "asked as soon as it started";
    const std::size_t before = asked();
    advance(seconds(4));
    EXPECT_GT(asked(), before);
    for (std::size_t i = 4; i < asked(); ++i) {
        EXPECT_EQ(commands.runs[i].command, std::vector<std::string>{"check"});
    }
}

TEST_F(ProberTest, WhatCannotBeAskedIsTriedAgainAndCountsForNothing) {
    auto web = container_named("web");
    web.livenessProbe = exec_probe(1);
    commands.failure = fail(Code::exhausted, "too many commands").value();
    apply({target("c1", web)});
    advance(milliseconds(1499));
    EXPECT_EQ(asked(), static_cast<std::size_t>(Prober::kAttempts));
    EXPECT_EQ(results().liveness.at("web"), ProbeResult::success);
    EXPECT_EQ(events.lines,
              std::vector<std::string>{"web Unhealthy: Liveness probe errored and resulted in "
                                       "unknown state: too many commands"});
}

TEST_F(ProberTest, AnAnswerOfARunThatHasGoneIsDropped) {
    auto web = container_named("web");
    web.readinessProbe = exec_probe(5);
    commands.gate.reset();
    apply({target("c1", web)});
    EXPECT_EQ(asked(), 1U);
    apply({target("c2", web)});
    commands.gate.set();
    settle();
    EXPECT_EQ(asked(), 2U);
    EXPECT_EQ(commands.runs[1].container, ContainerId("c2"));
    EXPECT_EQ(changes.size(), 1U);
    apply({});
    EXPECT_TRUE(results().readiness.empty());
    advance(seconds(60));
    EXPECT_EQ(asked(), 2U);
}

TEST_F(ProberTest, OfAPodThatEndsOnlyReadinessIsAsked) {
    auto web = container_named("web");
    web.readinessProbe = exec_probe(5);
    web.readinessProbe->exec->command = {"ready"};
    web.livenessProbe = exec_probe(5);
    apply({target("c1", web)});
    apply({target("c1", web)}, pods::ProbeOrder::Scope::readiness);
    commands.end = {1, ""};
    advance(seconds(20));
    EXPECT_EQ(results().readiness.at("web"), ProbeResult::failure);
    EXPECT_EQ(results().liveness.at("web"), ProbeResult::success);
    for (const auto& run : commands.runs) {
        EXPECT_EQ(run.command, std::vector<std::string>{"ready"});
    }
}

TEST_F(ProberTest, ARestartedAgentKnowsWhatWasReadyAndAsksLittleByLittle) {
    auto web = container_named("web");
    web.startupProbe = exec_probe(10);
    web.readinessProbe = exec_probe(10);
    std::vector<pods::ProbeTarget> targets;
    for (int i = 0; i < 20; ++i) {
        web.name = fmt::format("web-{}", i);
        targets.push_back(target(web.name, web));
        targets.back().known = Known::ready;
    }
    clock.advance(seconds(100));
    restart_agent();
    apply(targets);
    for (const auto& [name, result] : results().readiness) {
        EXPECT_EQ(result, ProbeResult::success) << name;
    }
    EXPECT_LE(asked(), 2U);
    for (int i = 0; i < 10; ++i) {
        const std::size_t before = asked();
        advance(seconds(1));
        EXPECT_LE(asked() - before, 10U);
    }
    EXPECT_EQ(asked(), 20U) << "all within a period, and nothing about their start";
    EXPECT_TRUE(changes.empty());
}

TEST_F(ProberTest, CommandsWaitForTheirTurn) {
    std::vector<pods::ProbeTarget> targets;
    for (std::size_t i = 0; i < Prober::kCommandsAtOnceMax + 5; ++i) {
        auto web = container_named(fmt::format("web-{}", i));
        web.readinessProbe = exec_probe(3600);
        targets.push_back(target(web.name, web));
    }
    commands.gate.reset();
    apply(std::move(targets));
    EXPECT_EQ(asked(), Prober::kCommandsAtOnceMax);
    commands.gate.set();
    settle();
    EXPECT_EQ(asked(), Prober::kCommandsAtOnceMax + 5);
}

TEST_F(ProberTest, CountsWhatWasSaid) {
    auto web = container_named("web");
    web.readinessProbe = exec_probe(1);
    apply({target("c1", web)});
    commands.end = {1, ""};
    advance(seconds(1));
    commands.failure = fail(Code::exhausted, "x").value();
    advance(seconds(1));
    auto samples = prober->samples();
    ASSERT_EQ(samples.size(), 1U);
    EXPECT_EQ(samples[0].container, "web");
    EXPECT_EQ(samples[0].pod, "web");
    EXPECT_EQ(samples[0].kind, ProbeKind::readiness);
    EXPECT_EQ(samples[0].count.successful, 1U);
    EXPECT_EQ(samples[0].count.failed, 1U);
    EXPECT_EQ(samples[0].count.unknown, 1U);
    EXPECT_EQ(samples[0].count.durations[0], 2U) << "failures have no duration";
    prober->forget(PodUid("uid-1"));
    settle();
    EXPECT_TRUE(prober->samples().empty());
}

TEST(ProbeDelays, KnowTheirPercentiles) {
    Delays delays;
    EXPECT_EQ(delays.percentile(0.99), Duration::zero());
    for (int i = 0; i < 98; ++i) {
        delays.add(milliseconds(1));
    }
    delays.add(milliseconds(100));
    delays.add(seconds(3));
    EXPECT_EQ(delays.count(), 100U);
    EXPECT_GE(delays.percentile(0.5), milliseconds(1));
    EXPECT_LE(delays.percentile(0.5), std::chrono::microseconds(1200));
    EXPECT_GE(delays.percentile(0.99), milliseconds(100));
    EXPECT_LE(delays.percentile(0.99), milliseconds(120));
    EXPECT_GE(delays.percentile(1), seconds(3));
}

}  // namespace
}  // namespace skiff::probes
