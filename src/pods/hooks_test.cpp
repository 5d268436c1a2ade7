#include "pods/hooks.h"

#include <gtest/gtest.h>

#include "pods/decide_fixture.h"
#include "pods/worker_fixture.h"

namespace skiff::pods {
namespace {

kube::LifecycleHandler command(std::string word) {
    kube::LifecycleHandler handler;
    handler.exec.emplace();
    handler.exec->command = {std::move(word)};
    return handler;
}

kube::LifecycleHandler nap(std::int64_t length) {
    kube::LifecycleHandler handler;
    handler.sleep.emplace();
    handler.sleep->seconds = length;
    return handler;
}

// ---- what is decided ---------------------------------------------------------------------------

class HookDecision : public Decide {
protected:
    kube::Container& main() { return pod.spec.containers[0]; }
    void with_post_start(kube::Container& container) {
        container.lifecycle.emplace();
        container.lifecycle->postStart = command("hello");
    }
    void with_pre_stop(kube::Container& container) {
        container.lifecycle.emplace();
        container.lifecycle->preStop = command("bye");
    }
    HookMemory& hook(const std::string& container, HookMemory::Phase phase,
                     const std::string& run = "main-0") {
        HookMemory& its = memory.containers[container].post_start;
        its.run = ContainerId(run);
        its.phase = phase;
        return its;
    }
    void begun(const Action& action) {
        memory.containers[action.container].pre_stop =
            HookMemory{action.id, HookMemory::Phase::running, {}, action.stop_by};
    }
};

TEST_F(HookDecision, AContainerCountsOnceItsPostStartHookSucceeded) {
    with_post_start(main());
    ran("main");
    Decision decision = run();
    ASSERT_EQ(describe(decision), "post_start:main");
    EXPECT_EQ(decision.actions[0].id, ContainerId("main-0"));
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "ContainerCreating");
    EXPECT_EQ(decision.status.phase, "Pending");
    hook("main", HookMemory::Phase::running);
    EXPECT_EQ(describe(run()), "");
    hook("main", HookMemory::Phase::done);
    decision = run();
    EXPECT_TRUE(of(decision, "main").state.running);
    EXPECT_EQ(of(decision, "main").started, true);
    EXPECT_EQ(condition(decision, "Ready").status, "True");
}

TEST_F(HookDecision, AnAgentThatCouldTellDoesNotRunTheHookAgain) {
    with_post_start(main());
    ran("main");
    hook("main", HookMemory::Phase::done);
    run();
    memory.containers.clear();  // a new agent, which knows the status
    EXPECT_EQ(describe(run()), "");
    previous.containerStatuses.clear();  // and one that does not
    EXPECT_EQ(describe(run()), "post_start:main");
}

TEST_F(HookDecision, ThoseBehindWaitForTheHook) {
    with_post_start(main());
    add_container("second");
    EXPECT_EQ(describe(run()), "start:main");
    memory.containers["main"].start.phase = Step::Phase::running;
    EXPECT_EQ(describe(run()), "");
    memory.containers["main"].start = Step{};
    ran("main");
    EXPECT_EQ(describe(run()), "post_start:main");
    hook("main", HookMemory::Phase::running);
    EXPECT_EQ(describe(run()), "");
    hook("main", HookMemory::Phase::done);
    EXPECT_EQ(describe(run()), "start:second");
}

TEST_F(HookDecision, ThoseBehindDoNotWaitForOneThatCannotStart) {
    with_post_start(main());
    add_container("second");
    Step& start = memory.containers["main"].start;
    start.phase = Step::Phase::failed;
    start.retry_at = now + seconds(10);
    start.failures = 1;
    start.reason = "ErrImagePull";
    EXPECT_EQ(describe(run()), "start:second");
}

TEST_F(HookDecision, WhenTheHookFailsTheContainerEndsAndSaysWhy) {
    with_post_start(main());
    ran("main");
    hook("main", HookMemory::Phase::failed).message = "exited with 3";
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].message, "FailedPostStartHook");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "PostStartHookError");
    EXPECT_EQ(of(decision, "main").state.waiting->message, "exited with 3");
    EXPECT_FALSE(of(decision, "main").ready);
    records.clear();
    ended("main", 143);
    decision = run();
    EXPECT_EQ(describe(decision), "start:main");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "PostStartHookError");
    EXPECT_EQ(of(decision, "main").lastState.terminated->exitCode, 143);
    // Also while the hook of the next run goes on.
    ran("main", 1);
    EXPECT_EQ(describe(run()), "post_start:main");
    hook("main", HookMemory::Phase::running, "main-1");
    decision = run();
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "PostStartHookError");
    EXPECT_EQ(of(decision, "main").restartCount, 0);
}

TEST_F(HookDecision, AContainerThatMayNotRestartEndsWithItsHook) {
    pod.spec.restartPolicy = "Never";
    with_post_start(main());
    add_container("second");
    ended("main", 143);
    ran("second");
    hook("main", HookMemory::Phase::failed).message = "exited with 3";
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(of(decision, "main").state.terminated->exitCode, 143);
}

TEST_F(HookDecision, APreStopHookComesFirstAndUsesUpTheGracePeriod) {
    with_pre_stop(main());
    ran("main");
    delete_pod(30);
    Decision decision = run();
    ASSERT_EQ(describe(decision), "pre_stop:main");
    EXPECT_EQ(decision.actions[0].message, "Stopping container main");
    EXPECT_EQ(decision.actions[0].grace, seconds(30));
    begun(decision.actions[0]);
    now += seconds(12);
    decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(*decision.wake, kNow + seconds(30));
    memory.containers["main"].pre_stop.phase = HookMemory::Phase::done;
    decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].grace, seconds(18));
    EXPECT_EQ(decision.actions[0].message, "") << "it was told";
}

TEST_F(HookDecision, AHookThatUsedAllTheGraceLeavesTwoSeconds) {
    with_pre_stop(main());
    ran("main");
    delete_pod(30);
    begun(run().actions[0]);
    now += seconds(30);
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].grace, kGraceMin);
}

TEST_F(HookDecision, AShorterGraceCutsTheHook) {
    with_pre_stop(main());
    ran("main");
    delete_pod(30);
    begun(run().actions[0]);
    now += seconds(1);
    delete_pod(2);
    EXPECT_EQ(describe(run()), "");
    now += seconds(2);
    EXPECT_EQ(describe(run()), "stop:main");
}

TEST_F(HookDecision, AFailedHookDoesNotHoldUpTheStop) {
    with_pre_stop(main());
    ran("main");
    delete_pod(30);
    begun(run().actions[0]);
    memory.containers["main"].pre_stop.phase = HookMemory::Phase::failed;
    EXPECT_EQ(describe(run()), "stop:main");
}

TEST_F(HookDecision, WhatNeverRanHasNoPreStopHook) {
    with_pre_stop(main());
    starts("main");
    delete_pod(30);
    EXPECT_EQ(describe(run()), "stop:main");
}

TEST_F(HookDecision, SidecarsHooksBeginWithTheOthersAndTheirStopsComeLater) {
    kube::Container& sidecar = add_init("proxy");
    sidecar.restartPolicy = "Always";
    with_pre_stop(sidecar);
    with_pre_stop(main());
    ran("proxy", 0, ContainerKind::init);
    ran("main");
    delete_pod(30);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "pre_stop:proxy pre_stop:main");
    for (const Action& action : decision.actions) {
        begun(action);
        memory.containers[action.container].pre_stop.phase = HookMemory::Phase::done;
    }
    decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    memory.containers["main"].stop_by = decision.actions[0].stop_by;
    ended("main", 0);
    records.erase(records.begin() + 1);
    EXPECT_EQ(describe(run()), "stop:proxy");
}

TEST_F(HookDecision, AlsoADeadOrChangedContainerHasItsPreStopHook) {
    with_pre_stop(main());
    ran("main");
    main().image = "registry.test/other:1";
    Decision decision = run();
    ASSERT_EQ(describe(decision), "pre_stop:main");
    EXPECT_EQ(decision.actions[0].message, "Container main definition changed, will be restarted");
    begun(decision.actions[0]);
    now += seconds(10);
    EXPECT_EQ(describe(run()), "");
    memory.containers["main"].pre_stop.phase = HookMemory::Phase::done;
    decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].grace, seconds(20));
    EXPECT_EQ(decision.actions[0].after_stop, ContainerMemory::AfterStop::start_again);
}

TEST_F(HookDecision, ASidecarLetsTheNextStartOnceItsHookSucceeded) {
    kube::Container& sidecar = add_init("proxy");
    sidecar.restartPolicy = "Always";
    with_post_start(sidecar);
    ran("proxy", 0, ContainerKind::init);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "post_start:proxy");
    EXPECT_EQ(of(decision, "proxy").started, false);
    hook("proxy", HookMemory::Phase::done, "proxy-0");
    EXPECT_EQ(describe(run()), "start:main");
}

// ---- how it is carried out ---------------------------------------------------------------------

class WorkerHooks : public PodWorker {
protected:
    kube::Pod pod_with(std::optional<kube::LifecycleHandler> post_start,
                       std::optional<kube::LifecycleHandler> pre_stop) {
        kube::Pod pod = make_pod("web");
        pod.spec.containers[0].lifecycle.emplace();
        pod.spec.containers[0].lifecycle->postStart = std::move(post_start);
        pod.spec.containers[0].lifecycle->preStop = std::move(pre_stop);
        return pod;
    }
    const kube::ContainerStatus& main() { return published().containerStatuses[0]; }
};

TEST_F(WorkerHooks, ThePodIsReadyAfterThePostStartHook) {
    node.commands.gate.reset();
    run_pod(pod_with(command("hello"), {}));
    advance(seconds(5));
    ASSERT_EQ(node.commands.runs.size(), 1U);
    EXPECT_EQ(node.commands.runs[0].container, node.guests.running("main"));
    EXPECT_TRUE(main().state.waiting);
    node.commands.gate.set();
    settle();
    EXPECT_TRUE(main().state.running);
    EXPECT_TRUE(main().ready);
    EXPECT_EQ(node.commands.runs.size(), 1U);
    restart_agent();
    kube::Pod pod = pod_with(command("hello"), {});
    pod.status = published();
    run_pod(pod);
    EXPECT_EQ(node.commands.runs.size(), 1U) << "an agent that finds it running leaves it alone";
}

TEST_F(WorkerHooks, AFailedPostStartHookIsAnEventWithoutItsWords) {
    node.commands.end = {3, "the password is sesame"};
    kube::Pod pod = pod_with(command("hello"), {});
    run_pod(pod);
    // Once, and once again: the first restart is immediate.
    EXPECT_EQ(node.events.count("FailedPostStartHook"), 2U);
    EXPECT_EQ(node.guests.stops.size(), 2U);
    EXPECT_EQ(main().state.waiting->reason, "CrashLoopBackOff");
    std::set<std::string> told;
    for (const auto& [name, status] : node.statuses.history) {
        const auto& waiting = status.containerStatuses[0].state.waiting;
        if (waiting && waiting->reason == "PostStartHookError") {
            told.insert(waiting->message);
        }
    }
    EXPECT_EQ(
        told,
        std::set<std::string>{
            "Exec lifecycle hook ([hello]) for Container \"main\" in Pod \"web_default(uid-1)\" "
            "failed - error: command 'hello' exited with 3: the password is sesame, message: "
            "\"the password is sesame\""});
    node.commands.end = {0, ""};
    advance(seconds(60));
    EXPECT_TRUE(main().state.running);
}

TEST_F(WorkerHooks, APreStopHookRunsBeforeTheStop) {
    node.commands.gate.reset();
    kube::Pod pod = pod_with({}, command("bye"));
    run_pod(pod);
    ContainerId run = node.guests.running("main");
    delete_pod(pod, 30);
    ASSERT_EQ(node.commands.runs.size(), 1U);
    EXPECT_EQ(node.commands.runs[0].container, run);
    EXPECT_TRUE(node.guests.stops.empty());
    EXPECT_EQ(node.events.count("Killing"), 1U);
    advance(seconds(10));
    node.commands.gate.set();
    settle();
    ASSERT_EQ(node.guests.stops.size(), 1U);
    EXPECT_EQ(node.guests.stops[0].second, seconds(20));
    EXPECT_EQ(node.events.count("Killing"), 1U);
    EXPECT_EQ(node.events.count("FailedPreStopHook"), 0U);
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(WorkerHooks, APreStopHookThatDoesNotEndIsCutOff) {
    node.commands.gate.reset();
    kube::Pod pod = pod_with({}, command("bye"));
    run_pod(pod);
    delete_pod(pod, 30);
    advance(seconds(29));
    EXPECT_TRUE(node.guests.stops.empty());
    advance(seconds(1) + std::chrono::milliseconds(1));
    ASSERT_EQ(node.guests.stops.size(), 1U);
    EXPECT_EQ(node.guests.stops[0].second, kGraceMin);
    EXPECT_EQ(node.statuses.finished.size(), 1U);
    EXPECT_EQ(node.events.count("FailedPreStopHook"), 0U) << "as a kubelet has it";
}

TEST_F(WorkerHooks, AFailedPreStopHookIsAnEventAndTheStopFollows) {
    node.commands.end = {1, "no"};
    kube::Pod pod = pod_with({}, command("bye"));
    run_pod(pod);
    delete_pod(pod, 30);
    EXPECT_EQ(node.events.count("FailedPreStopHook"), 1U);
    EXPECT_EQ(node.guests.stops.size(), 1U);
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(WorkerHooks, AContainerThatEndsByItselfDoesNotWaitForItsHook) {
    node.commands.gate.reset();
    kube::Pod pod = pod_with({}, command("bye"));
    run_pod(pod);
    ContainerId run = node.guests.running("main");
    delete_pod(pod, 30);
    node.guests.end(run, 0);
    settle();
    EXPECT_TRUE(node.guests.stops.empty());
    EXPECT_EQ(node.statuses.finished.size(), 1U);
}

TEST_F(WorkerHooks, AnHttpHookGoesToThePod) {
    kube::LifecycleHandler get;
    get.httpGet.emplace();
    get.httpGet->path = "/bye";
    kube::Pod pod = pod_with({}, get);
    run_pod(pod);
    delete_pod(pod, 30);
    ASSERT_EQ(node.probes.hooks.size(), 1U);
    EXPECT_EQ(node.probes.hooks[0].action.path, "/bye");
    EXPECT_EQ(node.probes.hooks[0].address, published().podIP);
    EXPECT_FALSE(published().podIP.empty());
    EXPECT_EQ(node.guests.stops.size(), 1U);
}

TEST_F(WorkerHooks, ANapTakesItsTime) {
    // Waits of hooks have the system's time, which a test does not spend.
    kube::Pod pod = pod_with(nap(0), nap(3600));
    run_pod(pod);
    EXPECT_TRUE(main().state.running);
    delete_pod(pod, 30);
    EXPECT_TRUE(node.guests.stops.empty());
    advance(seconds(31));
    EXPECT_EQ(node.guests.stops.size(), 1U);
}

TEST_F(WorkerHooks, WhatIsNoHookFails) {
    kube::LifecycleHandler tcp;
    tcp.tcpSocket.emplace();
    run_pod(pod_with(tcp, {}));
    EXPECT_EQ(node.events.count("FailedPostStartHook"), 2U) << "the first restart is immediate";
}

// ---- probes ------------------------------------------------------------------------------------

TEST_F(WorkerHooks, ProbesAreAskedOfWhatRunsAndItsAnswersCount) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].readinessProbe = kube::Probe{};
    pod.spec.containers[0].livenessProbe = kube::Probe{};
    run_pod(pod);
    PodUid uid("uid-1");
    ASSERT_TRUE(node.probes.orders.contains(uid));
    const ProbeOrder& order = node.probes.orders[uid];
    ASSERT_EQ(order.targets.size(), 1U);
    EXPECT_EQ(order.targets[0].id, node.guests.running("main"));
    EXPECT_EQ(order.address, published().podIP);
    EXPECT_FALSE(main().ready);
    node.probes.say(uid, ProbeKind::readiness, "main", ProbeResult::success);
    settle();
    EXPECT_TRUE(main().ready);
    int applied = node.probes.applied;
    advance(seconds(120));
    EXPECT_EQ(node.probes.applied, applied) << "nothing new to ask";
    node.probes.say(uid, ProbeKind::liveness, "main", ProbeResult::failure);
    settle();
    EXPECT_EQ(node.guests.stops.size(), 1U);
    EXPECT_EQ(main().restartCount, 1);
    EXPECT_FALSE(main().ready);
    EXPECT_EQ(node.probes.orders[uid].targets[0].id, node.guests.running("main"));
}

TEST_F(WorkerHooks, ReadinessOutlivesTheAgent) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].readinessProbe = kube::Probe{};
    run_pod(pod);
    PodUid uid("uid-1");
    node.probes.say(uid, ProbeKind::readiness, "main", ProbeResult::success);
    settle();
    ASSERT_TRUE(main().ready);
    pod.status = published();
    stop_agent();
    node.probes.forget(uid);
    node.statuses.history.clear();
    restart_agent();
    run_pod(pod);
    advance(seconds(20));
    EXPECT_EQ(node.probes.orders[uid].targets[0].known, ProbeTarget::Known::ready);
    for (const auto& [name, status] : node.statuses.history) {
        EXPECT_TRUE(status.containerStatuses[0].ready);
    }
    EXPECT_TRUE(main().ready);
}

TEST_F(WorkerHooks, TheProberForgetsAPodThatHasGone) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].readinessProbe = kube::Probe{};
    run_pod(pod);
    delete_pod(pod, 30);
    pods->remove(PodUid("uid-1"));
    settle();
    EXPECT_EQ(node.probes.forgotten, std::vector<PodUid>{PodUid("uid-1")});
}

}  // namespace
}  // namespace skiff::pods
