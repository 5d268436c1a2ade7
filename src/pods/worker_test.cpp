// Whole pods against fakes of every port: what really happens, in which order, and what is told.
#include <gtest/gtest.h>

#include "pods/log_target.h"
#include "pods/worker_fixture.h"

namespace skiff::pods {
namespace {

TEST_F(PodWorker, StartsAPodAndTellsItOnce) {
    run_pod(make_pod("web"));
    ASSERT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(node.guests.started[0].argv, (std::vector<std::string>{"hello.wasm"}));
    EXPECT_EQ(published().phase, "Running");
    EXPECT_EQ(published().podIP, "10.0.0.7");
    // One PATCH for the whole way (contract §1 of the burst goal).
    EXPECT_EQ(node.statuses.history.size(), 1U);
    for (const char* reason : {"Compiling", "Compiled", "Created", "Started"}) {
        EXPECT_EQ(node.events.count(reason), 1U) << reason;
    }
}

// The issue of all who moved a server from Linux: its port is declared, and nobody listens.
TEST_F(PodWorker, TellsThatCoreModulesHaveNoSockets) {
    node.guests.module.wants_sockets = true;
    run_pod(make_pod("imports"));
    auto told = [this] {
        auto& seen = node.events.seen;
        auto last = std::find_if(seen.rbegin(), seen.rend(),
                                 [](const auto& event) { return event.reason == "WithoutEffect"; });
        return last == seen.rend() ? fakes::SeenEvent{} : *last;
    };
    ASSERT_EQ(node.events.count("WithoutEffect"), 1U);
    EXPECT_EQ(told().type, EventType::normal);
    EXPECT_EQ(told().message,
              "hello.wasm is a core module, and WASI 0.1 has no sockets: the module's calls for "
              "sockets fail; build it as a component");
    kube::Pod pod = make_pod("declares", "uid-2");
    pod.spec.containers[0].ports.emplace_back().containerPort = 8080;
    run_pod(pod);
    ASSERT_EQ(node.events.count("WithoutEffect"), 2U);
    EXPECT_EQ(told().type, EventType::warning);
    EXPECT_NE(told().message.find("nothing listens on port 8080"), std::string::npos);
    node.guests.module.is_component = true;
    pod.metadata.name = "component";
    pod.metadata.uid = "uid-3";
    run_pod(pod);
    EXPECT_EQ(node.events.count("WithoutEffect"), 2U);
}

TEST_F(PodWorker, TellsTheRuntimeWhereATerminationMessageComesFrom) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers.push_back(pod.spec.containers[0]);
    pod.spec.containers[1].name = "other";
    pod.spec.containers[1].terminationMessagePolicy = "FallbackToLogsOnError";
    run_pod(pod);
    ASSERT_EQ(node.guests.started.size(), 2U);
    for (const ContainerSpec& spec : node.guests.started) {
        EXPECT_EQ(spec.message_fallback, spec.name == "other"
                                             ? ContainerSpec::MessageFallback::log
                                             : ContainerSpec::MessageFallback::none);
    }
}

TEST_F(PodWorker, TellsTheRuntimeWhichEndsMustSurvivePowerLoss) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers.push_back(pod.spec.containers[0]);
    pod.spec.containers[1].name = "once";
    pod.spec.containers[1].restartPolicy = "Never";
    run_pod(pod);
    ASSERT_EQ(node.guests.started.size(), 2U);
    using EndKept = ContainerSpec::EndKept;
    for (const ContainerSpec& spec : node.guests.started) {
        EXPECT_EQ(spec.end_kept, spec.name == "once" ? EndKept::for_ever : EndKept::this_boot);
    }
}

// status.containerStatuses[].user (contract row 18): the ids that the guest has.
TEST_F(PodWorker, ShowsWhoTheGuestIs) {
    kube::Pod pod = make_pod("web");
    kube::PodSecurityContext& context = pod.spec.securityContext.emplace();
    context.runAsUser = 1000;
    context.runAsGroup = 3000;
    context.supplementalGroups = {4000};
    context.fsGroup = 5000;
    run_pod(pod);
    kube::LinuxContainerUser user;
    user.uid = 1000;
    user.gid = 3000;
    user.supplementalGroups = {4000, 5000};
    ASSERT_EQ(published().containerStatuses.size(), 1U);
    ASSERT_TRUE(published().containerStatuses[0].user);
    EXPECT_EQ(published().containerStatuses[0].user->linux, user);
}

TEST_F(PodWorker, StartsNothingBeforeTheSourcesAreReady) {
    apply(make_pod("web"));
    settle();
    EXPECT_TRUE(node.guests.started.empty());
    advance(seconds(30));
    EXPECT_TRUE(node.statuses.history.empty());  // with a status it would count as taken
    pods->sources_ready();
    settle();
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(PodWorker, AStaticPodWaitsForNoSource) {
    kube::Pod file = make_pod("file", "uid-file");
    file.metadata.annotations["kubernetes.io/config.source"] = "file";
    node.objects.known_services.reset();  // the API server is away
    apply(file);
    apply(make_pod("web"));
    settle();
    ASSERT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(node.guests.started[0].pod, PodUid("uid-file"));
    EXPECT_EQ(published("uid-file").phase, "Running");
    EXPECT_FALSE(node.statuses.latest.contains(PodUid("uid-1")));
}

TEST_F(PodWorker, AnEditedStaticPodEndsInItsGraceBeforeTheNewOneStarts) {
    pods->sources_ready();
    node.guests.obedience = fakes::Guests::Obedience::never;
    auto file = [](const std::string& uid) {
        kube::Pod pod = make_pod("web", uid);
        pod.metadata.annotations["kubernetes.io/config.source"] = "file";
        pod.spec.terminationGracePeriodSeconds = 25;
        return pod;
    };
    apply(file("uid-old"));
    settle();
    pods->remove(PodUid("uid-old"));
    apply(file("uid-new"));
    settle();
    ASSERT_EQ(node.guests.stops.size(), 1U);
    EXPECT_EQ(node.guests.stops[0].second, seconds(25));
    EXPECT_EQ(node.guests.started.size(), 1U);
    node.guests.end(node.guests.running("main"), 0);
    settle();
    ASSERT_EQ(node.guests.started.size(), 2U);
    EXPECT_EQ(node.guests.started[1].pod, PodUid("uid-new"));
    EXPECT_EQ(pods->size(), 1U);
}

TEST_F(PodWorker, ASlowPullIsToldAfterTwoSeconds) {
    node.images.gate.reset();
    run_pod(make_pod("web"));
    EXPECT_TRUE(node.statuses.history.empty());
    advance(kFirstStatusHold);
    ASSERT_EQ(node.statuses.history.size(), 1U);
    EXPECT_EQ(published().containerStatuses[0].state.waiting->reason, "ContainerCreating");
    node.images.gate.set();
    settle();
    EXPECT_EQ(published().phase, "Running");
}

TEST_F(PodWorker, AFailedPullIsToldAtOnceAndTriedAgain) {
    node.images.faults.fail_next("ensure",
                                 make_error(Code::not_found, "ErrImagePull", "no such manifest"));
    run_pod(make_pod("web"));
    EXPECT_EQ(published().containerStatuses[0].state.waiting->reason, "ErrImagePull");
    advance(seconds(9));
    EXPECT_TRUE(node.guests.started.empty());
    advance(seconds(6));
    EXPECT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(published().phase, "Running");
}

TEST_F(PodWorker, AnImagesOwnBackOffIsWaitedFor) {
    Error error = make_error(Code::unavailable, "ImagePullBackOff", "Back-off pulling image");
    node.images.faults.fail_next("ensure", error);
    node.images.until = clock.steady_now() + seconds(80);
    run_pod(make_pod("web"));
    advance(seconds(79));
    EXPECT_EQ(node.images.pulls["registry.test/hello:1"], 1);
    advance(seconds(2));
    EXPECT_EQ(node.images.pulls["registry.test/hello:1"], 2);
}

TEST_F(PodWorker, AMissingConfigMapIsAConfigErrorUntilItIsThere) {
    kube::Pod pod = make_pod("web");
    kube::EnvVar variable;
    variable.name = "COLOUR";
    variable.valueFrom.emplace();
    variable.valueFrom->configMapKeyRef.emplace();
    variable.valueFrom->configMapKeyRef->name = "settings";
    variable.valueFrom->configMapKeyRef->key = "colour";
    pod.spec.containers[0].env.push_back(variable);
    run_pod(pod);
    EXPECT_EQ(published().containerStatuses[0].state.waiting->reason, "CreateContainerConfigError");
    EXPECT_EQ(published().containerStatuses[0].state.waiting->message,
              "configmap \"settings\" not found");
    EXPECT_EQ(node.events.count("Failed"), 1U);
    auto map = std::make_shared<kube::ConfigMap>();
    map->data["colour"] = "green";
    node.objects.config_maps["settings"] = map;
    advance(seconds(16));
    ASSERT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(node.guests.started[0].env,
              (std::vector<std::string>{"COLOUR=green", "HOSTNAME=web"}));
}

TEST_F(PodWorker, ACrashingContainerBacksOff) {
    run_pod(make_pod("web"));
    node.guests.end(node.guests.running("main"), 1);
    settle();
    ASSERT_EQ(node.guests.started.size(), 2U);  // the first restart is immediate
    EXPECT_EQ(node.guests.started[1].attempt, 1U);
    node.guests.end(node.guests.running("main"), 1);
    settle();
    EXPECT_EQ(node.guests.started.size(), 2U);
    EXPECT_EQ(published().containerStatuses[0].state.waiting->reason, "CrashLoopBackOff");
    EXPECT_EQ(node.events.count("BackOff"), 1U);
    advance(seconds(9));
    EXPECT_EQ(node.guests.started.size(), 2U);
    advance(seconds(2));
    EXPECT_EQ(node.guests.started.size(), 3U);
    EXPECT_EQ(published().containerStatuses[0].restartCount, 2);
    EXPECT_EQ(node.events.count("BackOff"), 1U);
    ASSERT_EQ(node.guests.removed.size(), 1U);  // the oldest run of three
}

TEST_F(PodWorker, DeletionEndsInAFinishedObjectAndAnEmptyNode) {
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    delete_pod(pod, 30);
    ASSERT_EQ(node.guests.stops.size(), 1U);
    EXPECT_EQ(node.guests.stops[0].second, seconds(30));
    EXPECT_EQ(node.events.count("Killing"), 1U);
    EXPECT_EQ(published().phase, "Failed");  // 143
    ASSERT_EQ(node.statuses.finished.size(), 1U);
    EXPECT_TRUE(node.volumes.present.empty());
    EXPECT_TRUE(node.networks.present.empty());
    EXPECT_FALSE(node.guests.records.empty());  // logs outlive the container
    pods->remove(PodUid("uid-1"));
    settle();
    EXPECT_TRUE(node.guests.records.empty());
    EXPECT_TRUE(node.guests.prepared.empty());
    EXPECT_TRUE(node.statuses.forgotten.contains(PodUid("uid-1")));
    EXPECT_EQ(pods->size(), 0U);
}

TEST_F(PodWorker, TheObjectIsNotFinishedWhileAGuestRuns) {
    node.guests.obedience = fakes::Guests::Obedience::never;
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    delete_pod(pod, 30);
    EXPECT_TRUE(node.statuses.finished.empty());
    EXPECT_EQ(published().phase, "Running");
    node.guests.end(node.guests.running("main"), 0);
    settle();
    EXPECT_EQ(published().phase, "Succeeded");
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(PodWorker, TheObjectIsNotFinishedWhileAVolumeIsMounted) {
    node.volumes.faults.fail_next("tear_down", make_error(Code::conflict, "", "busy"));
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    delete_pod(pod, 30);
    EXPECT_TRUE(node.statuses.finished.empty());
    advance(seconds(16));
    EXPECT_EQ(node.volumes.tear_downs, 2);
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(PodWorker, DeletionDuringAPullStartsNothing) {
    node.images.gate.reset();
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    delete_pod(pod, 30);
    node.images.gate.set();
    settle();
    EXPECT_TRUE(node.guests.started.empty());
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(PodWorker, ANetworkThatIsNotReadyIsToldInAKubeletsWordsAndTriedAgain) {
    node.networks.faults.fail_next("set_up",
                                   make_error(Code::unavailable, "NetworkNotReady", "no plugin"));
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    EXPECT_EQ(node.events.count("NetworkNotReady"), 1U);
    EXPECT_EQ(node.events.count("FailedCreatePodSandBox"), 0U);
    EXPECT_EQ(published().phase, "Pending");
    advance(seconds(60));
    EXPECT_EQ(published().phase, "Running");
}

TEST_F(PodWorker, APodThatNeverStartedCompletesItsDeletion) {
    kube::Pod pod = make_pod("web");
    pod.spec.runtimeClassName = "no-such-class";
    run_pod(pod);
    EXPECT_EQ(node.events.count("FailedCreatePodSandBox"), 1U);
    EXPECT_EQ(published().phase, "Pending");
    delete_pod(pod, 30);
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(PodWorker, ANewAgentAdoptsWhatRuns) {
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    pod.status = published();
    std::size_t events = node.events.seen.size();
    restart_agent();
    run_pod(pod);
    EXPECT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(node.events.seen.size(), events);  // nothing is told twice
    for (const auto& [uid, status] : node.statuses.history) {
        EXPECT_EQ(status.phase, "Running");
        EXPECT_EQ(status.containerStatuses[0].restartCount, 0);
    }
    EXPECT_TRUE(node.guests.stops.empty());
}

TEST_F(PodWorker, ANewAgentAdoptsWhatIsStarting) {
    node.guests.answers.reset();  // the keeper is busy when the agent is killed
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    ASSERT_FALSE(node.guests.starting("main").empty());
    restart_agent();
    run_pod(pod);
    advance(seconds(60));
    EXPECT_EQ(published().containerStatuses[0].state.waiting->reason, "ContainerCreating");
    node.guests.begin(node.guests.starting("main"));
    settle();
    EXPECT_EQ(published().phase, "Running");
    EXPECT_EQ(published().containerStatuses[0].restartCount, 0);
    EXPECT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(node.guests.conflicts, 0);
    EXPECT_EQ(node.events.count("Failed"), 0U);
}

TEST_F(PodWorker, AStartThatFailsAfterItsAgentIsTriedAgain) {
    node.guests.answers.reset();
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    restart_agent();
    run_pod(pod);
    node.guests.answers.set();
    node.guests.refuse(node.guests.starting("main"));
    settle();
    EXPECT_EQ(node.guests.started.size(), 2U);
    EXPECT_EQ(published().phase, "Running");
    EXPECT_EQ(published().containerStatuses[0].restartCount, 0);
}

TEST_F(PodWorker, NothingIsTornDownBelowAStartThatNobodyAnswered) {
    node.guests.answers.reset();
    node.guests.obedience = fakes::Guests::Obedience::never;
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    node.guests.faults.fail_next("stop", make_error(Code::internal, "", "no keeper"));
    delete_pod(pod, 30);
    EXPECT_EQ(node.guests.stops.size(), 1U);
    EXPECT_EQ(node.volumes.tear_downs, 0);
    EXPECT_TRUE(node.statuses.finished.empty());
    advance(seconds(2));  // asked again
    EXPECT_EQ(node.guests.stops.size(), 2U);
    EXPECT_EQ(node.volumes.tear_downs, 1);
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(PodWorker, ANewAgentDoesNotJudgeWhatRuns) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].resources.requests["cpu"] = kube::Quantity::of_units(2);
    run_pod(pod);
    pod.status = published();
    settings.node.allocatable["cpu"] = kube::Quantity::of_units(1);  // the node became smaller
    restart_agent();
    run_pod(pod);
    EXPECT_EQ(published().phase, "Running");
}

TEST_F(PodWorker, ExitsDuringTheAgentsAbsenceAreReported) {
    kube::Pod pod = make_pod("web");
    pod.spec.restartPolicy = "Never";
    run_pod(pod);
    pod.status = published();
    stop_agent();
    node.guests.end(node.guests.running("main"), 3);
    restart_agent();
    run_pod(pod);
    EXPECT_EQ(published().phase, "Failed");
    EXPECT_EQ(published().containerStatuses[0].state.terminated->exitCode, 3);
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(PodWorker, WhatRunsWithoutAPodIsRemoved) {
    run_pod(make_pod("web"));
    restart_agent();
    pods->sources_ready();  // the first good LIST has no pod
    settle();
    EXPECT_EQ(node.guests.running_count(), 0U);
    EXPECT_TRUE(node.guests.records.empty());
    EXPECT_TRUE(node.volumes.present.empty());
}

// What a pod leaves whose object was deleted while the machine was down: no record, but files.
TEST_F(PodWorker, LeftoversOfAPodThatNobodyKnowsAreRemoved) {
    node.guests.prepared.insert(PodUid("gone"));
    node.volumes.present.insert(PodUid("gone"));
    node.networks.present.insert(PodUid("gone"));
    apply(make_pod("web"));
    settle();
    advance(seconds(60));
    EXPECT_EQ(node.volumes.tear_downs, 0) << "before the first complete list";
    pods->sources_ready();
    settle();
    EXPECT_EQ(node.volumes.present, std::set<PodUid>{PodUid("uid-1")});
    EXPECT_EQ(node.networks.present, std::set<PodUid>{PodUid("uid-1")});
    EXPECT_EQ(node.guests.prepared, std::set<PodUid>{PodUid("uid-1")});
    EXPECT_TRUE(node.images.released.contains(PodUid("gone")));
    EXPECT_EQ(published().phase, "Running");
}

TEST_F(PodWorker, LeftoversThatCannotBeRemovedAreLookedAtAgain) {
    node.guests.prepared.insert(PodUid("gone"));
    node.volumes.faults.fail_next("tear_down", make_error(Code::conflict, "", "still mounted"));
    pods->sources_ready();
    settle();
    EXPECT_TRUE(node.guests.prepared.contains(PodUid("gone"))) << "it forgot what is mounted";
    advance(seconds(11));
    EXPECT_FALSE(node.guests.prepared.contains(PodUid("gone")));
    EXPECT_EQ(node.volumes.tear_downs, 2);
}

TEST_F(PodWorker, LeftoversOfAPodThatMayExistAreSpared) {
    node.guests.prepared.insert(PodUid("perhaps"));
    bool readable = false;
    pods->sources_ready([&](const PodUid& uid) { return !readable && uid == PodUid("perhaps"); });
    settle();
    advance(seconds(30));
    EXPECT_TRUE(node.guests.prepared.contains(PodUid("perhaps")));
    readable = true;
    advance(seconds(11));
    EXPECT_TRUE(node.guests.prepared.empty());
}

TEST_F(PodWorker, AnObjectThatComesWhileItsLeftoversGoKeepsTheRest) {
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    restart_agent();
    node.guests.obedience = fakes::Guests::Obedience::never;
    node.guests.stop_gate.reset();
    pods->sources_ready();  // the list did not have it
    settle();
    ASSERT_EQ(node.guests.stops.size(), 1U);
    apply(pod);  // a static pod's file is back
    settle();
    node.guests.stop_gate.set();
    settle();
    EXPECT_EQ(node.volumes.tear_downs, 0);
    EXPECT_EQ(node.guests.running_count(), 1U);
    EXPECT_EQ(published().phase, "Running");
    EXPECT_EQ(pods->size(), 1U);
}

TEST_F(PodWorker, APodThatDoesNotFitIsRejected) {
    kube::Pod first = make_pod("first", "uid-1");
    kube::Pod second = make_pod("second", "uid-2");
    first.spec.containers[0].resources.requests["cpu"] = kube::Quantity::of_milli(1500);
    second.spec.containers[0].resources.requests["cpu"] = kube::Quantity::of_milli(1500);
    apply(first);
    run_pod(second);
    EXPECT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(published("uid-1").phase, "Running");
    EXPECT_EQ(published("uid-2").phase, "Failed");
    EXPECT_EQ(published("uid-2").reason, "OutOfcpu");
    EXPECT_EQ(node.events.count("OutOfcpu"), 1U);
}

TEST_F(PodWorker, VolumesAreRefreshedAtResync) {
    settings.resync = seconds(20);
    restart_agent();
    run_pod(make_pod("web"));
    advance(seconds(19));
    EXPECT_EQ(node.volumes.set_ups, 1);
    advance(seconds(2));
    EXPECT_EQ(node.volumes.set_ups, 2);
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(PodWorker, AFailedMountIsAnEventAndTriedAgain) {
    node.volumes.faults.fail_next("set_up",
                                  make_error(Code::unavailable, "FailedMount", "not yet"));
    run_pod(make_pod("web"));
    EXPECT_EQ(node.events.count("FailedMount"), 1U);
    EXPECT_TRUE(node.guests.started.empty());
    advance(seconds(2));
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(PodWorker, AnUnsupportedFieldIsToldByOneEvent) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].volumeDevices.emplace_back();
    run_pod(pod);
    for (int i = 0; i < 5; ++i) {
        advance(seconds(20));
    }
    EXPECT_TRUE(node.guests.started.empty());
    EXPECT_EQ(node.events.count("Failed"), 1U);
    EXPECT_EQ(published().containerStatuses[0].state.waiting->reason, "CreateContainerConfigError");
}

TEST_F(PodWorker, WhatHasNoEffectIsToldOnceAndThePodRuns) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].stdin = true;
    run_pod(pod);
    advance(seconds(20));
    EXPECT_EQ(published().phase, "Running");
    ASSERT_EQ(node.events.count("WithoutEffect"), 1U);
    EXPECT_TRUE(std::ranges::any_of(node.events.seen, [&](const auto& event) {
        return event.reason == "WithoutEffect" &&
               event.message.starts_with("spec.containers{main}.stdin");
    }));
}

TEST_F(PodWorker, AStartErrorOfTheRuntimeIsShown) {
    node.guests.faults.fail_next(
        "compile", make_error(Code::invalid, "CreateContainerError", "not a WebAssembly module"));
    run_pod(make_pod("web"));
    EXPECT_EQ(published().containerStatuses[0].state.waiting->reason, "CreateContainerError");
    EXPECT_EQ(published().containerStatuses[0].state.waiting->message, "not a WebAssembly module");
}

TEST_F(PodWorker, AGuestThatCannotStartIsToldOnceForEachRun) {
    run_pod(make_pod("web"));
    ASSERT_EQ(node.events.count("Failed"), 0U);
    node.guests.end(node.guests.running("main"), 128, ExitKind::start_failed);
    settle();
    EXPECT_EQ(node.events.count("Failed"), 1U);
    node.guests.end(node.guests.running("main"), 1);
    settle();
    EXPECT_EQ(node.events.count("Failed"), 1U);
    advance(seconds(60));
    node.guests.end(node.guests.running("main"), 128, ExitKind::start_failed);
    settle();
    EXPECT_EQ(node.events.count("Failed"), 2U);
}

TEST_F(PodWorker, LogsPointToTheRightRun) {
    run_pod(make_pod("web"));
    auto snapshot = pods->find(PodName{"default", "web"});
    ASSERT_TRUE(snapshot);
    EXPECT_EQ(log_target(*snapshot, "main", LogRun::latest)->path, "/logs/main/0.log");
    EXPECT_EQ(log_target(*snapshot, "main", LogRun::previous).error().message,
              "previous terminated container \"main\" in pod \"web\" not found");
    EXPECT_EQ(log_target(*snapshot, "nobody", LogRun::latest).error().code, Code::not_found);
    node.guests.end(node.guests.running("main"), 1);
    settle();
    snapshot = pods->find(PodName{"default", "web"});
    EXPECT_EQ(log_target(*snapshot, "main", LogRun::latest)->path, "/logs/main/1.log");
    EXPECT_EQ(log_target(*snapshot, "main", LogRun::previous)->path, "/logs/main/0.log");
}

TEST_F(PodWorker, LogsOfAWaitingContainerSayWhy) {
    node.images.faults.fail_next("ensure", make_error(Code::not_found, "ErrImagePull", "no"), 9);
    run_pod(make_pod("web"));
    auto snapshot = pods->find(PodName{"default", "web"});
    auto target = log_target(*snapshot, "main", LogRun::latest);
    EXPECT_EQ(target.error().code, Code::invalid);
    EXPECT_EQ(target.error().message,
              "container \"main\" in pod \"web\" is waiting to start: image can't be pulled");
}

TEST_F(PodWorker, AnObjectThatComesBackAfterItsEndIsANewBeginning) {
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    pods->remove(PodUid("uid-1"));
    apply(pod);  // a watch that hiccuped
    settle();
    EXPECT_EQ(node.guests.running_count(), 1U);
    EXPECT_EQ(pods->size(), 1U);
}

}  // namespace
}  // namespace skiff::pods
