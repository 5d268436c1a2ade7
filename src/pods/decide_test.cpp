// The decision function by tables: starts, restarts, back-off, init containers and what the status
// says.
#include <gtest/gtest.h>

#include "pods/decide_fixture.h"

namespace skiff::pods {
namespace {

TEST_F(Decide, DoesNothingBeforeAdmission) {
    memory.admission.verdict = Admission::Verdict::pending;
    memory.sandbox = Step{};
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(decision.status.phase, "Pending");
}

TEST_F(Decide, PreparesThenMountsThenStarts) {
    memory.sandbox = Step{};
    memory.volumes = Step{};
    EXPECT_EQ(describe(run()), "prepare");
    memory.sandbox.phase = Step::Phase::running;
    EXPECT_EQ(describe(run()), "");
    memory.sandbox.phase = Step::Phase::done;
    EXPECT_EQ(describe(run()), "mount");
    memory.volumes.phase = Step::Phase::done;
    Decision decision = run();
    EXPECT_EQ(describe(decision), "start:main");
    EXPECT_EQ(decision.actions[0].attempt, 0U);
}

TEST_F(Decide, ShowsContainerCreatingBeforeTheFirstStart) {
    memory.sandbox = Step{};
    Decision decision = run();
    ASSERT_TRUE(of(decision, "main").state.waiting);
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "ContainerCreating");
    EXPECT_EQ(condition(decision, "PodReadyToStartContainers").status, "False");
    EXPECT_EQ(condition(decision, "ContainersReady").message,
              "containers with unready status: [main]");
    EXPECT_EQ(condition(decision, "PodScheduled").status, "True");
    EXPECT_EQ(decision.status.startTime->at, kNow);
}

TEST_F(Decide, ShowsARunningPodAsReady) {
    ran("main");
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(decision.status.phase, "Running");
    EXPECT_EQ(condition(decision, "Ready").status, "True");
    EXPECT_EQ(condition(decision, "PodReadyToStartContainers").status, "True");
    EXPECT_EQ(decision.status.podIP, "10.0.0.7");
    EXPECT_EQ(decision.status.hostIP, "192.168.1.5");
    EXPECT_EQ(decision.status.observedGeneration, 1);
    EXPECT_EQ(decision.status.qosClass, "BestEffort");
    EXPECT_EQ(of(decision, "main").containerID, "skiff://main-0");
    EXPECT_TRUE(of(decision, "main").ready);
    EXPECT_TRUE(of(decision, "main").started.value());
}

TEST_F(Decide, EchoesWhetherAMountIsReadOnlyAllTheWayDown) {
    auto echo = [this](std::optional<std::string> asked) {
        kube::VolumeMount mount;
        mount.name = "v";
        mount.mountPath = "/v";
        mount.readOnly = true;
        mount.recursiveReadOnly = std::move(asked);
        pod.spec.containers[0].volumeMounts = {mount};
        return of(run(), "main").volumeMounts.at(0).recursiveReadOnly;
    };
    EXPECT_EQ(echo(std::nullopt), "Disabled");
    EXPECT_EQ(echo("Disabled"), "Disabled");
    EXPECT_EQ(echo("IfPossible"), "Enabled");
    EXPECT_EQ(echo("Enabled"), "Enabled");
}

TEST_F(Decide, SharesTwelveKibibytesOfTerminationMessagesOut) {
    pod.spec.restartPolicy = "Never";
    for (const char* name : {"b", "c", "d"}) {
        add_container(name);
        ended(name, 1);
        records.back().exit->message = std::string(4096, 'm');
    }
    ended("main", 1);
    records.back().exit->message = std::string(3071, 'm') + "\u00e9";
    Decision decision = run();
    EXPECT_EQ(of(decision, "b").state.terminated->message.size(), 3072U);
    EXPECT_EQ(of(decision, "main").state.terminated->message.size(), 3071U);
}

// What an agent finds that was started anew while a container was starting.
TEST_F(Decide, AStartInProgressIsWaitedFor) {
    starts("main");
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(decision.status.phase, "Pending");
    ASSERT_TRUE(of(decision, "main").state.waiting);
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "ContainerCreating");
    EXPECT_EQ(of(decision, "main").containerID, "");
    records[0].phase = ContainerRecord::Phase::started;
    EXPECT_EQ(run().status.phase, "Running");
    records.clear();  // or it never began
    EXPECT_EQ(describe(run()), "start:main");
}

TEST_F(Decide, AnUnansweredStartIsNotRepeatedWhenItsRetryIsDue) {
    starts("main");
    Step& start = memory.containers["main"].start;
    start.phase = Step::Phase::failed;
    start.failures = 1;
    start.reason = "RunContainerError";
    start.message = "no answer";
    start.retry_at = now - seconds(1);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(of(decision, "main").state.waiting->message, "no answer");
}

TEST_F(Decide, ARestartInProgressIsNoEndOfTheWork) {
    pod.spec.restartPolicy = "Never";
    ended("main", 143);
    starts("main", 1);  // its definition had changed, which only the agent before knew
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_FALSE(is_terminal(decision.status.phase));
}

// The machine was booted anew, and the agent was started once more while init containers ran.
TEST_F(Decide, AnAgentRestartedAmongInitContainersRunsTheRestOfThem) {
    add_init("first");
    add_init("second");
    previous.phase = "Running";
    for (const char* name : {"first", "second"}) {
        kube::ContainerStatus status;
        status.name = name;
        status.containerID = "skiff://before";
        previous.initContainerStatuses.push_back(status);
    }
    kube::ContainerStatus main;
    main.name = "main";
    main.containerID = "skiff://before";
    previous.containerStatuses.push_back(main);
    EXPECT_TRUE(sandbox_was_lost(records, previous));
    ended("first", 0);
    records.back().kind = ContainerKind::init;
    ASSERT_TRUE(sandbox_was_lost(records, previous));
    memory.boot = PodMemory::Boot::anew;
    EXPECT_EQ(describe(run()), "start:second");
    ran("main");
    EXPECT_FALSE(sandbox_was_lost(records, previous));
}

TEST_F(Decide, AnInitContainerThatStartsHoldsTheOthersBack) {
    add_init("first");
    add_init("second");
    starts("first");
    EXPECT_EQ(describe(run()), "");
}

TEST_F(Decide, KeepsTransitionTimesWhileNothingFlips) {
    ran("main");
    auto first = condition(run(), "Ready").lastTransitionTime;
    now += seconds(100);
    EXPECT_EQ(condition(run(), "Ready").lastTransitionTime, first);
    records[0].exit = ContainerExit{};
    EXPECT_EQ(condition(run(), "Ready").lastTransitionTime->at, now);
}

TEST_F(Decide, KeepsConditionsOfOthers) {
    kube::PodCondition other;
    other.type = "DisruptionTarget";
    other.status = "True";
    pod.status.conditions.push_back(other);
    EXPECT_EQ(condition(run(), "DisruptionTarget").status, "True");
}

TEST_F(Decide, HoldsReadinessGates) {
    pod.spec.readinessGates.push_back({"example.com/gate"});
    ran("main");
    Decision decision = run();
    EXPECT_EQ(condition(decision, "ContainersReady").status, "True");
    EXPECT_EQ(condition(decision, "Ready").reason, "ReadinessGatesNotReady");
    kube::PodCondition gate;
    gate.type = "example.com/gate";
    gate.status = "True";
    pod.status.conditions.push_back(gate);
    EXPECT_EQ(condition(run(), "Ready").status, "True");
}

// --- restart policies ---------------------------------------------------------------------------

struct PolicyRow {
    const char* policy;
    int exit_code;
    const char* actions;
    const char* phase;
};
class DecidePolicy : public Decide, public ::testing::WithParamInterface<PolicyRow> {};

TEST_P(DecidePolicy, FollowsTheTable) {
    pod.spec.restartPolicy = GetParam().policy;
    ended("main", GetParam().exit_code);
    Decision decision = run();
    EXPECT_EQ(describe(decision), GetParam().actions);
    EXPECT_EQ(decision.status.phase, GetParam().phase);
}

INSTANTIATE_TEST_SUITE_P(Policies, DecidePolicy,
                         ::testing::Values(PolicyRow{"Always", 0, "start:main", "Running"},
                                           PolicyRow{"Always", 3, "start:main", "Running"},
                                           PolicyRow{"OnFailure", 0, "tear_down", "Succeeded"},
                                           PolicyRow{"OnFailure", 3, "start:main", "Running"},
                                           PolicyRow{"Never", 0, "tear_down", "Succeeded"},
                                           PolicyRow{"Never", 130, "tear_down", "Failed"}));

TEST_F(Decide, TerminalPodIsNotReadyForTheRightReason) {
    pod.spec.restartPolicy = "Never";
    ended("main", 0);
    Decision decision = run();
    EXPECT_EQ(condition(decision, "Ready").reason, "PodCompleted");
    EXPECT_EQ(condition(decision, "Initialized").reason, "PodCompleted");
    EXPECT_EQ(of(decision, "main").state.terminated->reason, "Completed");
}

TEST_F(Decide, TerminalPodsNeverRunAgain) {
    pod.spec.restartPolicy = "Never";
    ended("main", 0);
    EXPECT_EQ(run().status.phase, "Succeeded");
    pod.spec.restartPolicy = "Always";  // whatever anybody changes
    memory.tear_down.phase = Step::Phase::done;
    Decision decision = run();
    EXPECT_EQ(decision.status.phase, "Succeeded");
    EXPECT_EQ(describe(decision), "");
}

TEST_F(Decide, CompletedPodOfAnEarlierLifeIsLeftAsItIs) {
    pod.status.phase = "Succeeded";
    pod.status.message = "done";
    pod.status.observedGeneration = pod.metadata.generation;
    previous = pod.status;
    memory.tear_down.phase = Step::Phase::done;
    memory.admission.verdict = Admission::Verdict::admitted;
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_TRUE(decision.status == pod.status);
    ++pod.metadata.generation;
    EXPECT_EQ(run().status.observedGeneration, pod.metadata.generation);
}

TEST_F(Decide, WaitsForTheOtherContainersBeforeFailing) {
    pod.spec.restartPolicy = "Never";
    add_container("other");
    ended("main", 1);
    ran("other");
    Decision decision = run();
    EXPECT_EQ(decision.status.phase, "Running");
    EXPECT_EQ(describe(decision), "");
}

TEST_F(Decide, HonoursAContainersOwnRules) {
    pod.spec.restartPolicy = "Never";
    kube::ContainerRestartRule rule;
    rule.action = "Restart";
    rule.exitCodes = kube::ContainerRestartRuleOnExitCodes{"In", {42}};
    pod.spec.containers[0].restartPolicyRules.push_back(rule);
    ended("main", 42);
    EXPECT_EQ(describe(run()), "start:main");
    records.clear();
    previous = pod.status;
    ended("main", 41);
    EXPECT_EQ(describe(run()), "tear_down");
}

// --- CrashLoopBackOff ---------------------------------------------------------------------------

TEST_F(Decide, BacksOffExactlyAsTheKubelet) {
    std::vector<int> waits;
    std::optional<CrashBackOff> back_off = CrashBackOff{{}, now, spec_hash(pod.spec.containers[0])};
    for (std::uint32_t attempt = 0; attempt < 9; ++attempt) {
        now += seconds(5);
        records.clear();
        ended("main", 1, attempt, seconds(0));
        memory.containers["main"].back_off = back_off;
        int waited = 0;
        Decision decision = run();
        while (decision.actions.empty()) {
            EXPECT_EQ(of(decision, "main").state.waiting->reason, "CrashLoopBackOff");
            EXPECT_EQ(of(decision, "main").lastState.terminated->exitCode, 1);
            EXPECT_EQ(decision.status.phase, "Running");
            ++waited;
            now += seconds(1);
            decision = run();
        }
        ASSERT_EQ(describe(decision), "start:main");
        EXPECT_EQ(decision.actions[0].attempt, attempt + 1);
        back_off = decision.actions[0].back_off;
        waits.push_back(waited);
    }
    EXPECT_EQ(waits, (std::vector<int>{0, 10, 20, 40, 80, 160, 300, 300, 300}));
}

TEST_F(Decide, BackOffNamesContainerAndPod) {
    memory.containers["main"].back_off =
        CrashBackOff{seconds(10), now - seconds(20), spec_hash(pod.spec.containers[0])};
    ended("main", 1, 1, seconds(2));
    Decision decision = run();
    EXPECT_EQ(of(decision, "main").state.waiting->message,
              "back-off 10s restarting failed container=main pod=web_default(uid-1)");
    ASSERT_TRUE(decision.wake);
    EXPECT_EQ(*decision.wake, now + seconds(8));
    ASSERT_EQ(decision.back_offs.size(), 1U);
    EXPECT_EQ(decision.back_offs[0].attempt, 1U);
}

TEST_F(Decide, ForgetsBackOffAfterALongCleanRun) {
    memory.containers["main"].back_off =
        CrashBackOff{seconds(300), now - seconds(700), spec_hash(pod.spec.containers[0])};
    ended("main", 1, 7, seconds(0));
    Decision decision = run();
    ASSERT_EQ(describe(decision), "start:main");
    EXPECT_EQ(decision.actions[0].back_off.delay, seconds(10));
}

TEST_F(Decide, ANewAgentContinuesTheBackOff) {
    ended("main", 1, 3, seconds(0));  // restarted three times already, ran for a minute
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(*decision.wake, now + seconds(40));
}

TEST_F(Decide, AClockSetBackDoesNotProlongTheBackOff) {
    memory.containers["main"].back_off =
        CrashBackOff{seconds(300), now + seconds(3000), spec_hash(pod.spec.containers[0])};
    ended("main", 1, 5, -seconds(3600));  // an end in the future
    EXPECT_EQ(describe(run()), "start:main");
}

// --- init containers ----------------------------------------------------------------------------

TEST_F(Decide, RunsInitContainersOneByOne) {
    add_init("one");
    add_init("two");
    Decision decision = run();
    EXPECT_EQ(describe(decision), "start:one");
    EXPECT_EQ(decision.actions[0].container_kind, ContainerKind::init);
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "PodInitializing");
    EXPECT_EQ(condition(decision, "Initialized").message,
              "containers with incomplete status: [one two]");
    ended("one", 0);
    decision = run();
    EXPECT_EQ(describe(decision), "start:two");
    EXPECT_EQ(condition(decision, "Initialized").message,
              "containers with incomplete status: [two]");
    ran("two");
    EXPECT_EQ(describe(run()), "");
    records.pop_back();
    ended("two", 0);
    decision = run();
    EXPECT_EQ(describe(decision), "start:main");
    EXPECT_EQ(condition(decision, "Initialized").status, "True");
    EXPECT_EQ(decision.status.phase, "Pending");
}

TEST_F(Decide, AFailedInitContainerFailsANeverPod) {
    pod.spec.restartPolicy = "Never";
    add_init("one");
    ended("one", 1);
    Decision decision = run();
    EXPECT_EQ(decision.status.phase, "Failed");
    EXPECT_EQ(describe(decision), "tear_down");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "PodInitializing");
    EXPECT_EQ(condition(decision, "Initialized").status, "False");
}

TEST_F(Decide, AFailedInitContainerRunsAgainOtherwise) {
    add_init("one");
    ended("one", 1);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "start:one");
    EXPECT_EQ(decision.status.phase, "Pending");
}

TEST_F(Decide, InitContainersDoNotRunAgainBesideRunningOnes) {
    add_init("one");
    ran("main");
    previous.phase = "Running";
    EXPECT_EQ(describe(run()), "");  // the record of `one` was removed long ago
}

TEST_F(Decide, SidecarsStartInOrderAndStayBesideTheOthers) {
    add_init("proxy").restartPolicy = "Always";
    add_init("setup");
    EXPECT_EQ(describe(run()), "start:proxy");
    ran("proxy");
    EXPECT_EQ(describe(run()), "start:setup");
    ended("setup", 0);
    EXPECT_EQ(describe(run()), "start:main");
    ran("main");
    Decision decision = run();
    EXPECT_EQ(decision.status.phase, "Running");
    EXPECT_TRUE(of(decision, "proxy").ready);
}

TEST_F(Decide, SidecarsDoNotHoldUpCompletion) {
    pod.spec.restartPolicy = "Never";
    add_init("proxy").restartPolicy = "Always";
    ran("proxy");
    ended("main", 0);
    previous.phase = "Running";
    Decision decision = run();
    EXPECT_EQ(describe(decision), "stop:proxy");
    EXPECT_EQ(decision.status.phase, "Running");  // not terminal while anything runs
    records[0].exit = ContainerExit{};
    EXPECT_EQ(run().status.phase, "Succeeded");
}

TEST_F(Decide, SidecarsStopAfterTheOthersInReverse) {
    add_init("a").restartPolicy = "Always";
    add_init("b").restartPolicy = "Always";
    ran("a");
    ran("b");
    ran("main");
    delete_pod(30);
    EXPECT_EQ(describe(run()), "stop:main");
    memory.containers["main"].stop_by = memory.termination->kill_at;
    records[2].exit = ContainerExit{};
    EXPECT_EQ(describe(run()), "stop:b");
    memory.containers["b"].stop_by = memory.termination->kill_at;
    records[1].exit = ContainerExit{};
    EXPECT_EQ(describe(run()), "stop:a");
}

}  // namespace
}  // namespace skiff::pods
