#include "pods/probing.h"

#include <gtest/gtest.h>

#include "pods/decide_fixture.h"

namespace skiff::pods {
namespace {

class Probing : public Decide {
protected:
    Probing() { main().livenessProbe = kube::Probe{}; }
    kube::Container& main() { return pod.spec.containers[0]; }
    ProbeOrder order() {
        return probe_order(std::make_shared<const kube::Pod>(pod), records, previous, memory);
    }
    void stopped(const Action& action) {
        ContainerMemory& its = memory.containers[action.container];
        its.stop_by = action.stop_by;
        its.after_stop = action.after_stop;
    }

    ProbeResults& results = probes.emplace();
};

TEST_F(Probing, ADeadContainerIsStoppedAndStartsAgain) {
    ran("main");
    results.liveness["main"] = ProbeResult::success;
    EXPECT_EQ(describe(run()), "");
    results.liveness["main"] = ProbeResult::failure;
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    const Action& stop = decision.actions[0];
    EXPECT_EQ(stop.message, "Container main failed liveness probe, will be restarted");
    EXPECT_EQ(stop.grace, seconds(30));
    stopped(stop);
    EXPECT_EQ(describe(run()), "") << "once";
    records.clear();
    results.liveness.clear();
    ended("main", 143);
    EXPECT_EQ(describe(run()), "start:main");
}

TEST_F(Probing, ADeadContainerStartsAgainWhateverItEndsWith) {
    pod.spec.restartPolicy = "OnFailure";
    ran("main");
    results.liveness["main"] = ProbeResult::failure;
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    stopped(decision.actions[0]);
    records.clear();
    results.liveness.clear();
    ended("main", 0);  // a server that drained
    decision = run();
    EXPECT_EQ(describe(decision), "start:main");
    EXPECT_EQ(decision.status.phase, "Running") << "and the pod has not succeeded";
}

TEST_F(Probing, ADeadContainerThatMayNotRestartOnlyEnds) {
    pod.spec.restartPolicy = "Never";
    ran("main");
    results.liveness["main"] = ProbeResult::failure;
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].message, "Container main failed liveness probe");
    stopped(decision.actions[0]);
    records.clear();
    ended("main", 143);
    decision = run();
    EXPECT_EQ(describe(decision), "tear_down");
    EXPECT_EQ(decision.status.phase, "Failed");
}

TEST_F(Probing, RestartsForHealthBackOff) {
    ended("main", 143, 0, seconds(2));
    ContainerMemory& its = memory.containers["main"];
    its.after_stop = ContainerMemory::AfterStop::restart;
    its.back_off = CrashBackOff{seconds(10), now - seconds(60), spec_hash(main())};
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "CrashLoopBackOff");
    EXPECT_EQ(*decision.wake, now + seconds(8));
}

TEST_F(Probing, AProbesOwnGraceIsTheContainersThen) {
    pod.spec.terminationGracePeriodSeconds = 3600;
    main().livenessProbe->terminationGracePeriodSeconds = 5;
    ran("main");
    results.liveness["main"] = ProbeResult::failure;
    EXPECT_EQ(run().actions[0].grace, seconds(5));
    results.liveness["main"] = ProbeResult::success;
    main().startupProbe = kube::Probe{};
    results.startup["main"] = ProbeResult::failure;
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].grace, seconds(3600));
    EXPECT_EQ(decision.actions[0].message,
              "Container main failed startup probe, will be restarted");
}

TEST_F(Probing, StartedAndReadyAreWhatTheProbesSay) {
    main().startupProbe = kube::Probe{};
    main().readinessProbe = kube::Probe{};
    ran("main");
    results.startup["main"] = ProbeResult::unknown;
    results.readiness["main"] = ProbeResult::failure;
    Decision decision = run();
    EXPECT_EQ(of(decision, "main").started, false);
    EXPECT_FALSE(of(decision, "main").ready);
    EXPECT_EQ(decision.status.phase, "Running");
    results.startup["main"] = ProbeResult::success;
    decision = run();
    EXPECT_EQ(of(decision, "main").started, true);
    EXPECT_FALSE(of(decision, "main").ready);
    EXPECT_EQ(condition(decision, "ContainersReady").message,
              "containers with unready status: [main]");
    results.readiness["main"] = ProbeResult::success;
    decision = run();
    EXPECT_TRUE(of(decision, "main").ready);
    EXPECT_EQ(condition(decision, "Ready").status, "True");
}

TEST_F(Probing, AReadinessGateHoldsReadyOnly) {
    pod.spec.readinessGates.push_back(kube::PodReadinessGate{"example.com/lb"});
    ran("main");
    Decision decision = run();
    EXPECT_EQ(condition(decision, "ContainersReady").status, "True");
    EXPECT_EQ(condition(decision, "Ready").reason, "ReadinessGatesNotReady");
    EXPECT_EQ(condition(decision, "Ready").message,
              "corresponding condition of pod readiness gate \"example.com/lb\" does not exist.");
    kube::PodCondition gate;
    gate.type = "example.com/lb";
    gate.status = "True";
    pod.status.conditions.push_back(gate);
    EXPECT_EQ(condition(run(), "Ready").status, "True");
}

TEST_F(Probing, AnEndingPodIsNotStoppedForItsHealth) {
    ran("main");
    results.liveness["main"] = ProbeResult::failure;
    delete_pod(30);
    Decision decision = run();
    ASSERT_EQ(describe(decision), "stop:main");
    EXPECT_EQ(decision.actions[0].message, "Stopping container main");
    EXPECT_EQ(order().scope, ProbeOrder::Scope::readiness);
}

TEST_F(Probing, OnlyRunsWithProbesAreAsked) {
    EXPECT_TRUE(has_probes(pod));
    add_container("plain");
    ran("plain");
    EXPECT_TRUE(order().targets.empty()) << "main does not run";
    ran("main");
    ASSERT_EQ(order().targets.size(), 1U);
    EXPECT_EQ(order().targets[0].id, ContainerId("main-0"));
    EXPECT_EQ(order().targets[0].started, now - seconds(60));
    ended("main", 1, 1);
    records[1].exit = records.back().exit;
    EXPECT_TRUE(order().targets.empty());
    starts("main", 2);
    EXPECT_TRUE(order().targets.empty());
    kube::Container plain;
    pod.spec.containers = {plain};
    EXPECT_FALSE(has_probes(pod));
}

TEST_F(Probing, CommandsHaveThePlainVariablesOfTheirContainer) {
    main().livenessProbe->exec.emplace();
    main().livenessProbe->exec->command = {"check", "$(PORT)", "$(SECRET)", "$$(PORT)"};
    main().env = {kube::EnvVar{"PORT", "80", {}}, kube::EnvVar{"SECRET", "", kube::EnvVarSource{}}};
    ran("main");
    EXPECT_EQ(order().targets[0].container.livenessProbe->exec->command,
              (std::vector<std::string>{"check", "80", "$(SECRET)", "$(PORT)"}));
}

TEST_F(Probing, WhatIsKnownOfARunIsOfThatRunOnly) {
    main().readinessProbe = kube::Probe{};
    ran("main");
    EXPECT_EQ(order().targets[0].known, ProbeTarget::Known::nothing);
    kube::ContainerStatus status;
    status.name = "main";
    status.containerID = format_container_id(ContainerId("main-0"));
    status.started = true;
    previous.containerStatuses = {status};
    EXPECT_EQ(order().targets[0].known, ProbeTarget::Known::started);
    previous.containerStatuses[0].ready = true;
    EXPECT_EQ(order().targets[0].known, ProbeTarget::Known::ready);
    previous.containerStatuses[0].containerID = format_container_id(ContainerId("main-9"));
    EXPECT_EQ(order().targets[0].known, ProbeTarget::Known::nothing);
}

}  // namespace
}  // namespace skiff::pods
