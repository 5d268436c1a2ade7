// The decision function by tables: what a pod should do next, and what its status says.
#include "pods/decide.h"

#include <gtest/gtest.h>

#include "pods/fakes.h"
#include "pods/status_of.h"

namespace skiff::pods {
namespace {

using std::chrono::seconds;

constexpr WallTime kNow{std::chrono::seconds(1'800'000'000)};

// A pod under decision; tests change what they are about.
class Decide : public ::testing::Test {
protected:
    Decide() {
        memory.admission.verdict = Admission::Verdict::admitted;
        memory.sandbox.phase = Step::Phase::done;
        memory.volumes.phase = Step::Phase::done;
        node.host_ips = {"192.168.1.5"};
        pod_ips = {"10.0.0.7"};
    }

    ContainerRecord& ran(const std::string& name, std::uint32_t attempt = 0,
                         ContainerKind kind = ContainerKind::regular) {
        ContainerRecord record;
        record.id = ContainerId(fmt::format("{}-{}", name, attempt));
        record.pod = PodUid(pod.metadata.uid);
        record.name = name;
        record.kind = kind;
        record.attempt = attempt;
        for (const auto* list : {&pod.spec.containers, &pod.spec.initContainers}) {
            for (const kube::Container& container : *list) {
                if (container.name == name) {
                    record.spec_hash = spec_hash(container);
                }
            }
        }
        record.image = "registry.test/hello:1";
        record.image_id = "registry.test/hello@sha256:00";
        record.started = now - seconds(60);
        records.push_back(record);
        return records.back();
    }
    void ended(const std::string& name, int code, std::uint32_t attempt = 0,
               Duration ago = seconds(1)) {
        ContainerRecord& record = ran(name, attempt);
        ContainerExit exit;
        exit.kind = ExitKind::exited;
        exit.exit_code = code;
        exit.reason = code == 0 ? "Completed" : "Error";
        exit.finished = now - ago;
        record.exit = exit;
    }
    kube::Container& add_container(const std::string& name) {
        kube::Container container;
        container.name = name;
        container.image = "registry.test/" + name + ":1";
        pod.spec.containers.push_back(std::move(container));
        return pod.spec.containers.back();
    }
    kube::Container& add_init(const std::string& name) {
        kube::Container container;
        container.name = name;
        container.image = "registry.test/" + name + ":1";
        pod.spec.initContainers.push_back(std::move(container));
        return pod.spec.initContainers.back();
    }
    void delete_pod(std::int64_t grace) {
        pod.metadata.deletionTimestamp = kube::Time(now + seconds(grace));
        pod.metadata.deletionGracePeriodSeconds = grace;
    }
    Decision run() {
        Situation situation{pod, records, previous, memory, node, pod_ips, nullptr, now};
        Decision decision = decide(situation);
        previous = decision.status;
        if (decision.termination) {
            memory.termination = decision.termination;
        }
        return decision;
    }
    static std::string describe(const Decision& decision) {
        std::string text;
        for (const Action& action : decision.actions) {
            constexpr std::array kNames = {"prepare",    "mount",  "start",     "stop",
                                           "cancel",     "remove", "tear_down", "finish",
                                           "remove_pod", "retire"};
            text += text.empty() ? "" : " ";
            text += kNames[static_cast<std::size_t>(action.kind)];
            text += action.container.empty() ? "" : ":" + action.container;
        }
        return text;
    }
    static const kube::PodCondition& condition(const Decision& decision, std::string_view type) {
        auto found = std::ranges::find(decision.status.conditions, type, &kube::PodCondition::type);
        EXPECT_NE(found, decision.status.conditions.end()) << type;
        return *found;
    }
    static const kube::ContainerStatus& of(const Decision& decision, std::string_view name) {
        const auto* found = find_status(decision.status.containerStatuses, name);
        if (found == nullptr) {
            found = find_status(decision.status.initContainerStatuses, name);
        }
        EXPECT_NE(found, nullptr) << name;
        return *found;
    }

    kube::Pod pod = fakes::make_pod("web");
    std::vector<ContainerRecord> records;
    kube::PodStatus previous = pod.status;
    PodMemory memory;
    NodeFacts node;
    std::vector<std::string> pod_ips;
    WallTime now = kNow;
};

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
    previous = pod.status;
    memory.tear_down.phase = Step::Phase::done;
    memory.admission.verdict = Admission::Verdict::admitted;
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_TRUE(decision.status == pod.status);
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

// --- deletion -----------------------------------------------------------------------------------

TEST_F(Decide, DeletionStopsThenTearsDownThenFinishes) {
    ran("main");
    EXPECT_EQ(run().status.phase, "Running");
    delete_pod(30);
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].grace, seconds(30));
    EXPECT_EQ(decision.actions[0].message, "Stopping container main");
    EXPECT_EQ(decision.status.phase, "Running");  // never terminal before it has ended
    memory.containers["main"].stop_by = decision.actions[0].stop_by;
    EXPECT_EQ(describe(run()), "");
    records[0].exit = ContainerExit{};
    records[0].exit->exit_code = 143;
    decision = run();
    EXPECT_EQ(describe(decision), "tear_down");
    EXPECT_EQ(decision.status.phase, "Failed");
    memory.tear_down.phase = Step::Phase::running;
    EXPECT_EQ(describe(run()), "");
    memory.tear_down.phase = Step::Phase::done;
    EXPECT_EQ(describe(run()), "finish");
    memory.finish = PodMemory::Finish::asked;
    EXPECT_EQ(describe(run()), "");
    memory.object = PodMemory::Object::gone;
    EXPECT_EQ(describe(run()), "remove_pod");
    memory.removal.phase = Step::Phase::done;
    EXPECT_EQ(describe(run()), "retire");
}

TEST_F(Decide, ADeletedPodThatExitsWithZeroSucceeded) {
    delete_pod(30);
    ended("main", 0);
    EXPECT_EQ(run().status.phase, "Succeeded");
}

TEST_F(Decide, ASecondDeletionShortensTheGrace) {
    ran("main");
    delete_pod(600);
    Decision decision = run();
    memory.containers["main"].stop_by = decision.actions[0].stop_by;
    now += seconds(10);
    delete_pod(5);
    decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].grace, seconds(5));
    EXPECT_EQ(decision.actions[0].message, "");  // said once
    memory.containers["main"].stop_by = decision.actions[0].stop_by;
    delete_pod(900);  // it may only shrink
    EXPECT_EQ(describe(run()), "");
}

TEST_F(Decide, NobodyIsKilledInLessThanTwoSeconds) {
    ran("main");
    delete_pod(0);
    EXPECT_EQ(run().actions[0].grace, kGraceMin);
}

TEST_F(Decide, APodThatNeverStartedCanBeDeleted) {
    memory.sandbox = Step{};
    memory.sandbox.phase = Step::Phase::failed;
    memory.sandbox.retry_at = now + seconds(10);
    delete_pod(30);
    EXPECT_EQ(describe(run()), "tear_down");
    EXPECT_EQ(previous.phase, "Failed");
    EXPECT_EQ(previous.containerStatuses[0].state.terminated->reason, "ContainerStatusUnknown");
}

TEST_F(Decide, DeletionCancelsStartsAndWaitsForThem) {
    memory.containers["main"].start.phase = Step::Phase::running;
    delete_pod(30);
    EXPECT_EQ(describe(run()), "cancel");
    EXPECT_FALSE(is_terminal(previous.phase));
    memory.containers["main"].start.phase = Step::Phase::idle;
    EXPECT_EQ(describe(run()), "tear_down");
}

TEST_F(Decide, AFailedTearDownIsTriedAgain) {
    delete_pod(30);
    memory.tear_down.phase = Step::Phase::failed;
    memory.tear_down.retry_at = now + seconds(5);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(*decision.wake, now + seconds(5));
    now += seconds(5);
    EXPECT_EQ(describe(run()), "tear_down");
}

TEST_F(Decide, AForcedDeletionStillTearsDown) {
    ran("main");
    memory.object = PodMemory::Object::gone;
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].grace, kGraceMin);
}

// --- the rest -----------------------------------------------------------------------------------

TEST_F(Decide, TheDeadlineFailsThePodOnceAllHasEnded) {
    pod.spec.activeDeadlineSeconds = 60;
    ran("main");
    Decision decision = run();
    ASSERT_TRUE(decision.wake);
    EXPECT_EQ(*decision.wake, now + seconds(60));
    now += seconds(60);
    decision = run();
    EXPECT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.status.phase, "Running");
    records[0].exit = ContainerExit{};
    decision = run();
    EXPECT_EQ(decision.status.phase, "Failed");
    EXPECT_EQ(decision.status.reason, "DeadlineExceeded");
    EXPECT_EQ(decision.status.message,
              "Pod was active on the node longer than the specified deadline");
}

TEST_F(Decide, AContainerThatVanishedIsUnknownAndRestarts) {
    ran("main");
    run();
    records.clear();
    memory.boot = PodMemory::Boot::anew;
    Decision decision = run();
    ASSERT_EQ(describe(decision), "start:main");
    EXPECT_EQ(decision.actions[0].attempt, 1U);
    EXPECT_EQ(of(decision, "main").state.terminated->reason, "ContainerStatusUnknown");
    EXPECT_EQ(of(decision, "main").state.terminated->exitCode, 137);
}

TEST_F(Decide, AVanishedContainerFailsANeverPod) {
    pod.spec.restartPolicy = "Never";
    ran("main");
    run();
    records.clear();
    EXPECT_EQ(run().status.phase, "Failed");
}

TEST_F(Decide, InitContainersRunAgainAfterAReboot) {
    add_init("one");
    ended("one", 0);
    ran("main");
    run();
    records.clear();
    memory.boot = PodMemory::Boot::anew;
    EXPECT_EQ(describe(run()), "start:one");
    ended("one", 0, 1);
    EXPECT_EQ(describe(run()), "start:main");
}

TEST_F(Decide, AChangedImageRestartsOnlyThatContainer) {
    pod.spec.restartPolicy = "Never";
    add_container("other");
    ran("main");
    ran("other");
    EXPECT_EQ(describe(run()), "");
    pod.spec.containers[0].image = "registry.test/hello:2";
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].message, "Container main definition changed, will be restarted");
    memory.containers["main"].stop_by = decision.actions[0].stop_by;
    memory.containers["main"].after_stop = decision.actions[0].after_stop;
    records[0].exit = ContainerExit{};
    EXPECT_EQ(describe(run()), "start:main");  // whatever the policy says
    EXPECT_EQ(previous.phase, "Running");
}

TEST_F(Decide, ShowsWhyAStartFailed) {
    Step& start = memory.containers["main"].start;
    start.phase = Step::Phase::failed;
    start.failures = 1;
    start.reason = "ErrImagePull";
    start.message = "no such manifest";
    start.retry_at = now + seconds(10);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "ErrImagePull");
    EXPECT_EQ(of(decision, "main").state.waiting->message, "no such manifest");
    EXPECT_EQ(*decision.wake, now + seconds(10));
    now += seconds(10);
    EXPECT_EQ(describe(run()), "start:main");
}

TEST_F(Decide, AnUnsupportedFieldIsNamedAndNothingStarts) {
    pod.spec.containers[0].livenessProbe = kube::Probe{};
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "CreateContainerConfigError");
    EXPECT_EQ(of(decision, "main").state.waiting->message,
              "spec.containers{main}.livenessProbe is not supported by this node");
    delete_pod(30);
    EXPECT_EQ(describe(run()), "tear_down");
}

TEST_F(Decide, AnUnsupportedVolumeIsNamed) {
    memory.volumes = Step{};
    memory.volumes.phase = Step::Phase::failed;
    memory.volumes.failures = 1;
    memory.volumes.code = Code::unsupported;
    memory.volumes.message = "spec.volumes[0].nfs is not supported";
    memory.volumes.retry_at = now + seconds(10);
    EXPECT_EQ(of(run(), "main").state.waiting->reason, "CreateContainerConfigError");
}

TEST_F(Decide, ARejectedPodFailsWithItsReason) {
    memory.admission.verdict = Admission::Verdict::rejected;
    memory.admission.reason = "OutOfcpu";
    memory.admission.message = "too much";
    Decision decision = run();
    EXPECT_EQ(decision.status.phase, "Failed");
    EXPECT_EQ(decision.status.reason, "OutOfcpu");
    EXPECT_EQ(decision.status.message, "Pod was rejected: too much");
}

TEST_F(Decide, AnAdoptedPodIsNotUnreadyForAMoment) {
    ran("main");
    memory.sandbox = Step{};
    memory.volumes = Step{};
    pod_ips.clear();
    previous.podIP = "10.0.0.7";
    previous.podIPs = {{"10.0.0.7"}};
    Decision decision = run();
    EXPECT_EQ(condition(decision, "Ready").status, "True");
    EXPECT_EQ(condition(decision, "PodReadyToStartContainers").status, "True");
    EXPECT_EQ(decision.status.podIP, "10.0.0.7");
}

TEST_F(Decide, KeepsTheRunBeforeAndRemovesOlderOnes) {
    ended("main", 1, 0);
    ended("main", 1, 1);
    ran("main", 2);
    Decision decision = run();
    ASSERT_EQ(describe(decision), "remove:main");
    EXPECT_EQ(decision.actions[0].id.str(), "main-0");
    EXPECT_EQ(of(decision, "main").restartCount, 2);
    EXPECT_EQ(of(decision, "main").lastState.terminated->containerID, "skiff://main-1");
}

}  // namespace
}  // namespace skiff::pods
