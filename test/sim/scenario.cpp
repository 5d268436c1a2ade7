#include "scenario.h"

namespace skiff::sim {
namespace {

kube::Container container_of(const std::string& name) {
    kube::Container container;
    container.name = name;
    container.image = "registry.test/" + name + ":1";
    return container;
}

kube::ContainerRestartRule rule_of(const std::string& action, std::vector<std::int32_t> codes) {
    kube::ContainerRestartRule rule;
    rule.action = action;
    rule.exitCodes.emplace();
    rule.exitCodes->operator_ = "In";
    rule.exitCodes->values = std::move(codes);
    return rule;
}

void add_rules(Dice& dice, kube::Container& container) {
    if (dice.chance(0.15)) {
        container.restartPolicyRules.push_back(rule_of("Restart", {1}));
    }
    if (dice.chance(0.15)) {
        container.restartPolicyRules.push_back(rule_of("RestartAllContainers", {42}));
    }
}

kube::Probe probe_of(Dice& dice) {
    kube::Probe probe;
    probe.exec.emplace().command = {"probe"};
    probe.periodSeconds = 10;
    probe.failureThreshold = 3;
    probe.successThreshold = 1;
    probe.timeoutSeconds = 1;
    if (dice.chance(0.2)) {
        probe.terminationGracePeriodSeconds = dice.number(1, 20);
    }
    return probe;
}

// Of containers that go on.
void add_probes(Dice& dice, kube::Container& container) {
    if (dice.chance(0.2)) {
        container.startupProbe = probe_of(dice);
    }
    if (dice.chance(0.25)) {
        container.readinessProbe = probe_of(dice);
        container.readinessProbe->terminationGracePeriodSeconds.reset();  // it may have none
    }
    if (dice.chance(0.25)) {
        container.livenessProbe = probe_of(dice);
    }
}

void add_hooks(Dice& dice, kube::Container& container) {
    if (dice.chance(0.15)) {
        container.lifecycle.emplace().postStart.emplace().exec.emplace().command = {"postStart"};
    }
    if (dice.chance(0.2)) {
        if (!container.lifecycle) {
            container.lifecycle.emplace();
        }
        auto& hook = container.lifecycle->preStop.emplace();
        if (dice.chance(0.5)) {
            hook.exec.emplace().command = {"preStop"};
        } else {
            hook.sleep.emplace().seconds = dice.number(1, 20);
        }
    }
}

}  // namespace

kube::Pod random_pod(Dice& dice, int number) {
    kube::Pod pod;
    pod.metadata.name = fmt::format("pod-{}", number);
    pod.metadata.namespace_ = "default";
    pod.metadata.uid = fmt::format("uid-{}", number);
    pod.spec.restartPolicy = dice.one_of<std::string>({"Always", "OnFailure", "Never"});
    pod.spec.terminationGracePeriodSeconds = dice.one_of<std::int64_t>({0, 1, 5, 30, 30, 300});
    pod.status.phase = "Pending";
    pod.status.qosClass = "BestEffort";
    if (dice.chance(0.15)) {
        pod.spec.activeDeadlineSeconds = dice.number(10, 900);
    }
    for (int i = dice.number(0, 3); i > 0; --i) {
        bool sidecar = dice.chance(0.5);
        kube::Container init = container_of(fmt::format("{}-{}", sidecar ? "side" : "init", i));
        if (sidecar) {
            init.restartPolicy = "Always";
            add_probes(dice, init);
            add_hooks(dice, init);
        } else if (dice.chance(0.1)) {
            init.restartPolicy = dice.one_of<std::string>({"Never", "OnFailure"});
        }
        add_rules(dice, init);
        pod.spec.initContainers.push_back(std::move(init));
    }
    for (int i = dice.number(1, 3); i > 0; --i) {
        kube::Container main = container_of(fmt::format("main-{}", i));
        if (dice.chance(0.1)) {
            main.restartPolicy = dice.one_of<std::string>({"Never", "OnFailure", "Always"});
        }
        add_rules(dice, main);
        add_probes(dice, main);
        add_hooks(dice, main);
        pod.spec.containers.push_back(std::move(main));
    }
    return pod;
}

void Users::create() {
    api_.create(random_pod(world_.dice, ++created_));
}

void Users::edit_spec(const std::string& uid) {
    Dice& dice = world_.dice;
    int kind = dice.number(0, 3);
    api_.edit(uid, Api::Change::of_spec, [&](kube::Pod& pod) {
        if (kind <= 1) {
            kube::Container& container = kind == 1 && !pod.spec.initContainers.empty()
                                             ? dice.one_of(pod.spec.initContainers)
                                             : dice.one_of(pod.spec.containers);
            container.image += ".1";
            world_.journal.note("edit {}/{}: image", pod.metadata.name, container.name);
        } else if (kind == 2) {
            // It may be set, and lowered (never raised).
            std::int64_t longest = pod.spec.activeDeadlineSeconds.value_or(3600);
            pod.spec.activeDeadlineSeconds = std::max<std::int64_t>(1, longest / 2);
            world_.journal.note("edit {}: deadline {} s", pod.metadata.name,
                                *pod.spec.activeDeadlineSeconds);
        } else {
            kube::EphemeralContainer debugger;
            debugger.name = fmt::format("debug-{}", pod.spec.ephemeralContainers.size());
            debugger.image = "registry.test/debug:1";
            pod.spec.ephemeralContainers.push_back(std::move(debugger));
            world_.journal.note("edit {}: ephemeral container", pod.metadata.name);
        }
    });
}

void Users::edit(const std::string& uid) {
    if (world_.dice.chance(0.8)) {
        edit_spec(uid);
        return;
    }
    int value = world_.dice.number(0, 9);
    api_.edit(uid, Api::Change::of_labels,
              [&](kube::Pod& pod) { pod.metadata.labels["value"] = std::to_string(value); });
}

void Users::act() {
    auto uids = api_.uids();
    if (uids.empty() || (uids.size() < kPodsMax && world_.dice.chance(0.5))) {
        create();
        return;
    }
    std::string uid = world_.dice.one_of(uids);
    if (world_.dice.chance(0.6)) {
        edit(uid);
    } else {
        api_.remove(uid, world_.dice.one_of<std::int64_t>({0, 1, 5, 30, 30, 120}));
    }
}

void Users::delete_all() {
    for (const std::string& uid : api_.uids()) {
        api_.remove(uid, world_.dice.one_of<std::int64_t>({1, 5, 30}));
    }
}

}  // namespace skiff::sim
