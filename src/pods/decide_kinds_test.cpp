// Sidecars, ephemeral containers, and the restart of all containers of a pod.
#include <gtest/gtest.h>

#include <optional>

#include "pods/decide_fixture.h"
#include "pods/rounds.h"

namespace skiff::pods {
namespace {

class DecideKinds : public Decide {
protected:
    kube::Container& add_sidecar(const std::string& name) {
        kube::Container& container = add_init(name);
        container.restartPolicy = "Always";
        return container;
    }
    kube::EphemeralContainer& add_ephemeral(const std::string& name) {
        kube::EphemeralContainer container;
        container.name = name;
        container.image = "registry.test/" + name + ":1";
        pod.spec.ephemeralContainers.push_back(std::move(container));
        return pod.spec.ephemeralContainers.back();
    }
    static void restart_all_on(kube::Container& container, std::int32_t code) {
        kube::ContainerRestartRule rule;
        rule.action = "RestartAllContainers";
        rule.exitCodes.emplace();
        rule.exitCodes->operator_ = "In";
        rule.exitCodes->values = {code};
        container.restartPolicyRules.push_back(std::move(rule));
    }
    static const kube::ContainerStatus& ephemeral(const Decision& decision) {
        return decision.status.ephemeralContainerStatuses.at(0);
    }
    ContainerRecord& ran_in(std::uint32_t round, const std::string& name, std::uint32_t attempt,
                            ContainerKind kind = ContainerKind::regular) {
        ContainerRecord& record = ran(name, attempt, kind);
        record.round = round;
        return record;
    }
    void end(ContainerRecord& record, int code, ExitKind kind = ExitKind::exited) const {
        ContainerExit exit;
        exit.kind = kind;
        exit.exit_code = code;
        exit.reason = code == 0 ? "Completed" : "Error";
        exit.finished = now - seconds(1);
        record.exit = exit;
    }
    ContainerRecord& record(const std::string& name) {
        for (ContainerRecord& each : records) {
            if (each.name == name) {
                return each;
            }
        }
        ADD_FAILURE() << name;
        return records.front();
    }
};

TEST_F(DecideKinds, ASidecarThatEndsRestartsWhateverThePolicyAndOnItsOwn) {
    pod.spec.restartPolicy = "Never";
    add_sidecar("proxy");
    ended("proxy", 1);
    ran("main");
    Decision decision = run();
    EXPECT_EQ(describe(decision), "start:proxy");
    EXPECT_EQ(condition(decision, "Ready").message, "containers with unready status: [proxy]");
}

TEST_F(DecideKinds, ASidecarThatEndsBeforeTheOthersBeganHoldsThemUp) {
    add_sidecar("proxy");
    ended("proxy", 0);
    EXPECT_EQ(describe(run()), "start:proxy");
}

TEST_F(DecideKinds, AnEphemeralContainerStartsInARunningPod) {
    ran("main");
    add_ephemeral("debugger");
    Decision decision = run();
    EXPECT_EQ(describe(decision), "start:debugger");
    EXPECT_EQ(decision.actions[0].container_kind, ContainerKind::ephemeral);
    EXPECT_EQ(ephemeral(decision).state.waiting->reason, "ContainerCreating");
    EXPECT_EQ(decision.status.phase, "Running");
    EXPECT_EQ(condition(decision, "Ready").status, "True");
}

TEST_F(DecideKinds, AnEphemeralContainerStartsBesideAnInitContainer) {
    add_init("init");
    ran("init", 0, ContainerKind::init);
    add_ephemeral("debugger");
    EXPECT_EQ(describe(run()), "start:debugger");
}

TEST_F(DecideKinds, AnEphemeralContainerIsNeverRestarted) {
    ran("main");
    add_ephemeral("debugger");
    ended("debugger", 1);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(ephemeral(decision).state.terminated->exitCode, 1);
    EXPECT_FALSE(ephemeral(decision).ready);
    EXPECT_FALSE(ephemeral(decision).started.has_value());
    records.pop_back();  // nor when only its status is left
    decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(ephemeral(decision).state.terminated->exitCode, 1);
}

TEST_F(DecideKinds, AnEphemeralContainerDoesNotHoldUpCompletionAndEndsWithThePod) {
    pod.spec.restartPolicy = "Never";
    ended("main", 0);
    add_ephemeral("debugger");
    ran("debugger");
    EXPECT_EQ(describe(run()), "stop:debugger");
    record("debugger").exit = ContainerExit{};
    Decision decision = run();
    EXPECT_EQ(describe(decision), "tear_down");
    EXPECT_EQ(decision.status.phase, "Succeeded");
}

TEST_F(DecideKinds, ADeletedPodStopsItsEphemeralContainers) {
    ran("main");
    add_ephemeral("debugger");
    ran("debugger");
    delete_pod(30);
    EXPECT_EQ(describe(run()), "stop:main stop:debugger");
}

TEST_F(DecideKinds, RestartsAllContainersWhenARuleSaysSo) {
    pod.spec.restartPolicy = "Never";
    add_init("init");
    add_sidecar("proxy");
    restart_all_on(pod.spec.containers[0], 42);
    add_container("other");
    end(ran("init", 0, ContainerKind::init), 0);
    ran("proxy", 0, ContainerKind::init);
    ran("main");
    ran("other");
    EXPECT_EQ(condition(run(), "AllContainersRestarting").status, "False");

    end(record("main"), 42);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "stop:other stop:proxy");
    EXPECT_EQ(decision.actions[0].grace, kGraceMin);
    EXPECT_EQ(condition(decision, "AllContainersRestarting").status, "True");
    EXPECT_EQ(condition(decision, "AllContainersRestarting").reason, "RestartAllContainersStarted");
    EXPECT_EQ(decision.status.phase, "Running");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, kRestartingAll);
    EXPECT_EQ(of(decision, "main").lastState.terminated->exitCode, 42);

    end(record("other"), 137, ExitKind::killed);
    EXPECT_EQ(describe(run()), "stop:proxy");
    end(record("proxy"), 143, ExitKind::stopped);
    decision = run();
    EXPECT_EQ(describe(decision), "start:init");
    EXPECT_EQ(decision.actions[0].round, 1U);
    EXPECT_EQ(decision.actions[0].attempt, 1U);
    EXPECT_EQ(condition(decision, "AllContainersRestarting").status, "False");
    EXPECT_EQ(condition(decision, "Initialized").status, "True");
    EXPECT_EQ(of(decision, "other").state.waiting->reason, kRestartingAll);
    EXPECT_EQ(of(decision, "other").lastState.terminated->reason, kRestartingAll);
    EXPECT_EQ(decision.status.phase, "Running");
}

TEST_F(DecideKinds, TheNextRoundStartsInOrderAndEnds) {
    pod.spec.restartPolicy = "Never";
    add_init("init");
    restart_all_on(pod.spec.containers[0], 42);
    end(ran("init", 0, ContainerKind::init), 0);
    end(ran("main"), 42);
    ran_in(1, "init", 1, ContainerKind::init);
    EXPECT_EQ(describe(run()), "");
    end(records.back(), 0);
    EXPECT_EQ(describe(run()), "start:main");
    end(ran_in(1, "main", 1), 0);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "tear_down");
    EXPECT_EQ(decision.status.phase, "Succeeded");
    EXPECT_EQ(of(decision, "main").restartCount, 1);
}

TEST_F(DecideKinds, AStartOfTheOldRoundIsWaitedForOrStopped) {
    restart_all_on(pod.spec.containers[0], 42);
    add_container("other");
    end(ran("main"), 42);
    memory.containers["other"].start.phase = Step::Phase::running;
    EXPECT_EQ(describe(run()), "");
    memory.containers["other"].start = Step{};
    starts("other");  // of an agent before us
    EXPECT_EQ(describe(run()), "stop:other");
}

TEST_F(DecideKinds, AnInitContainerMayRestartAllBeforeTheOthersBegan) {
    pod.spec.restartPolicy = "Never";
    add_init("first");
    restart_all_on(add_init("second"), 42);
    end(ran("first", 0, ContainerKind::init), 0);
    end(ran("second", 0, ContainerKind::init), 42);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "start:first");
    EXPECT_EQ(decision.status.phase, "Pending");
}

TEST_F(DecideKinds, RestartsOfAllAreSlowedDownLikeAnyOther) {
    restart_all_on(pod.spec.containers[0], 42);
    end(ran("main"), 42);
    end(ran_in(1, "main", 1), 42);
    memory.containers["main"].back_off =
        CrashBackOff{seconds(10), now, spec_hash(pod.spec.containers[0])};
    Decision decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(of(decision, "main").state.waiting->reason, "CrashLoopBackOff");
}

TEST_F(DecideKinds, DeletionWinsOverTheRestartOfAll) {
    restart_all_on(pod.spec.containers[0], 42);
    add_container("other");
    end(ran("main"), 42);
    ran("other");
    delete_pod(30);
    EXPECT_EQ(describe(run()), "stop:other");
    end(record("other"), 143, ExitKind::stopped);
    Decision decision = run();
    EXPECT_EQ(decision.status.phase, "Failed");
    EXPECT_EQ(of(decision, "main").state.terminated->exitCode, 42);
}

TEST_F(DecideKinds, ARoundKeptOverABootGoesOn) {
    pod.spec.restartPolicy = "Never";
    restart_all_on(pod.spec.containers[0], 42);
    add_container("other");
    end(ran("main"), 42);
    ran("other");
    run();
    reboot();
    EXPECT_EQ(describe(run()), "start:main start:other");
}

// What the API server alone remembers of `main` is of a boot before, and no sign that the pod's
// containers have begun in this round, whose first end is on no record any more.
TEST_F(DecideKinds, AnOldRunWithoutRecordIsOfNoLaterRound) {
    restart_all_on(add_sidecar("side"), 42);
    add_init("init");
    end(ran("main"), 0);
    run();
    records.clear();
    end(ran_in(1, "side", 1, ContainerKind::init), 0);
    ran_in(1, "side", 2, ContainerKind::init);
    EXPECT_EQ(describe(run()), "start:init");
}

}  // namespace
}  // namespace skiff::pods
