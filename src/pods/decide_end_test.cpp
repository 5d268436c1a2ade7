// The decision function by tables: how a pod ends, is lost, changes, fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pods/conditions.h"
#include "pods/decide_fixture.h"
#include "pods/observed.h"

namespace skiff::pods {
namespace {

using ::testing::StartsWith;

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

// The API server takes any number of seconds; nanoseconds hold 292 years of them.
TEST_F(Decide, AGraceBeyondAllBoundsIsLongAndNotOver) {
    ran("main");
    delete_pod(30);
    pod.metadata.deletionGracePeriodSeconds = std::numeric_limits<std::int64_t>::max();
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_GT(decision.actions[0].grace, std::chrono::hours(24 * 365));
    EXPECT_GT(decision.actions[0].stop_by, now);
}

TEST_F(Decide, DeletionStopsAStartInProgressBeforeItTearsDown) {
    starts("main");
    delete_pod(30);
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].id, records[0].id);
    EXPECT_EQ(decision.actions[0].message, "");  // nothing runs that could be told to end
    EXPECT_EQ(decision.status.phase, "Pending");
    memory.containers["main"].stop_by = decision.actions[0].stop_by;
    EXPECT_EQ(describe(run()), "");
    records.clear();
    EXPECT_EQ(describe(run()), "tear_down");
}

TEST_F(Decide, DeletionCancelsAnOwnStartBeforeItStopsIt) {
    starts("main");
    memory.containers["main"].start.phase = Step::Phase::running;
    delete_pod(30);
    EXPECT_EQ(describe(run()), "cancel");
    memory.containers["main"].start.phase = Step::Phase::idle;
    EXPECT_EQ(describe(run()), "stop:main");
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

// Power was lost before the API server heard of the end: its status says Running, or nothing yet.
TEST_F(Decide, AFinishedContainerDoesNotRunAgainAfterPowerLoss) {
    add_init("one");
    for (const char* policy : {"Never", "OnFailure"}) {
        for (const char* told : {"", "skiff://main-0"}) {
            pod.spec.restartPolicy = policy;
            records.clear();
            ended("one", 0);
            records.back().kind = ContainerKind::init;
            ended("main", 0);
            previous = kube::PodStatus();
            if (*told != '\0') {
                previous.phase = "Running";
                kube::ContainerStatus status;
                status.name = "main";
                status.containerID = told;
                status.state.running.emplace();
                previous.containerStatuses.push_back(status);
            }
            reboot();
            Decision decision = run();
            EXPECT_EQ(describe(decision), "tear_down") << policy << told;
            EXPECT_EQ(decision.status.phase, "Succeeded");
            EXPECT_EQ(of(decision, "main").state.terminated->reason, "Completed");
            EXPECT_EQ(of(decision, "main").restartCount, 0);
        }
    }
}

TEST_F(Decide, AfterPowerLossOnlyUnfinishedContainersRunAgainAndInitContainersBeforeThem) {
    pod.spec.restartPolicy = "OnFailure";
    add_init("one");
    add_container("other");
    ended("one", 0);
    records.back().kind = ContainerKind::init;
    ended("main", 0);
    ran("other");
    reboot();
    EXPECT_EQ(describe(run()), "start:one");
    ended("one", 0, 1);
    records.back().kind = ContainerKind::init;
    EXPECT_EQ(describe(run()), "start:other");
    // Another agent of this boot: init containers do not run a third time.
    ran("other", 1);
    EXPECT_FALSE(sandbox_was_lost(records, previous));
}

// What is kept on disk is the last end that could be kept, not the last run.
TEST_F(Decide, AfterPowerLossALaterRunThatTheApiServerKnowsOfWins) {
    pod.spec.restartPolicy = "OnFailure";
    ended("main", 1);
    ran("main", 1);
    previous = run().status;
    ASSERT_EQ(of(run(), "main").restartCount, 1);
    reboot();
    Decision decision = run();
    ASSERT_EQ(describe(decision), "start:main");
    EXPECT_EQ(decision.actions[0].attempt, 2U);
    EXPECT_EQ(of(decision, "main").restartCount, 1);
}

TEST_F(Decide, AfterPowerLossASuccessThatTheApiServerKnowsOfIsNotRepeated) {
    pod.spec.restartPolicy = "OnFailure";
    ended("main", 1);
    ended("main", 0, 1);
    previous = run().status;
    records.pop_back();  // it could not be kept
    reboot();
    previous.phase = "Running";
    EXPECT_EQ(describe(run()), "tear_down");
}

TEST_F(Decide, AnInitContainerThatFailedForGoodEndsItsPodAfterPowerLossToo) {
    pod.spec.restartPolicy = "Never";
    add_init("one");
    ended("one", 3);
    records.back().kind = ContainerKind::init;
    reboot();
    Decision decision = run();
    EXPECT_EQ(describe(decision), "tear_down");
    EXPECT_EQ(decision.status.phase, "Failed");
}

TEST_F(Decide, WhatTheApiServerKnowsOfAnEndedPodStaysAfterAReboot) {
    pod.spec.restartPolicy = "Never";
    ended("main", 0);
    pod.status = run().status;
    EXPECT_EQ(pod.status.phase, "Succeeded");
    pod.status.message = "as it was told";
    previous = pod.status;
    reboot();
    EXPECT_EQ(run().status, pod.status);
}

TEST_F(Decide, OnlyWhatMayEndForGoodHasToBeRemembered) {
    kube::Container plain;
    kube::Container own;
    own.restartPolicy = "Never";
    using enum ContainerRole;
    auto may_end = [this](const char* policy, const kube::Container& container,
                          ContainerRole role) {
        pod.spec.restartPolicy = policy;
        return may_end_for_good(pod.spec, container, role);
    };
    EXPECT_FALSE(may_end("Always", plain, regular));
    EXPECT_FALSE(may_end("Always", plain, init));
    EXPECT_TRUE(may_end("Always", own, regular));
    EXPECT_TRUE(may_end("OnFailure", plain, regular));
    EXPECT_TRUE(may_end("Never", plain, regular));
    EXPECT_TRUE(may_end("Never", plain, init));
    EXPECT_FALSE(may_end("Never", plain, sidecar));
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
    pod.spec.containers[0].volumeDevices.emplace_back().name = "disk";
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "CreateContainerConfigError");
    EXPECT_THAT(of(decision, "main").state.waiting->message,
                StartsWith("spec.containers{main}.volumeDevices [disk] is not supported"));
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

// A reboot keeps the record of one run, and the status tells of a later one.
TEST(Observe, AnOlderRecordDoesNotHideTheRunThatTheStatusTells) {
    kube::Pod pod = fakes::make_pod("web", "uid-1");
    const std::string name = pod.spec.containers[0].name;
    std::vector<ContainerRecord> records(2);
    for (ContainerRecord& record : records) {
        record.name = name;
    }
    records[0].id = ContainerId("first");
    records[0].exit.emplace();
    records[0].boot = ContainerRecord::Boot::earlier;
    records[1].id = ContainerId("third");
    records[1].attempt = 2;
    kube::PodStatus previous;
    kube::ContainerStatus& status = previous.containerStatuses.emplace_back();
    status.name = name;
    status.restartCount = 1;
    status.state.terminated.emplace().containerID = "skiff://second";
    PodView view = observe(pod, records, previous, WallTime());
    EXPECT_EQ(view.at(name).latest->attempt, 2U);
    EXPECT_EQ(view.at(name).before->attempt, 1U);
    EXPECT_EQ(view.at(name).before->id, ContainerId("second"));
}

// The first agent of a boot made one init container run again and died before the next.
TEST(Observe, AnInitContainerWithoutARecordIsOfAnEarlierBoot) {
    std::vector<ContainerRecord> records(1);
    records[0].name = "first";
    records[0].kind = ContainerKind::init;
    kube::PodStatus previous;
    for (const char* name : {"first", "second"}) {
        kube::ContainerStatus& status = previous.initContainerStatuses.emplace_back();
        status.name = name;
        status.containerID = std::string("skiff://") + name;
    }
    EXPECT_TRUE(sandbox_was_lost(records, previous));
    records.push_back(records[0]);
    records[1].name = "second";
    EXPECT_FALSE(sandbox_was_lost(records, previous));
}

}  // namespace
}  // namespace skiff::pods
