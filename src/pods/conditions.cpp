#include "pods/conditions.h"

#include <algorithm>
#include <iterator>

#include "kube/pod_fields.h"
#include "pods/observed.h"
#include "pods/phase.h"
#include "pods/rounds.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kAllRestarting = "AllContainersRestarting";

std::string name_list(const std::vector<std::string>& names) {
    return fmt::format("[{}]", fmt::join(names, " "));
}

struct Verdicts {
    std::vector<std::string> incomplete;  // init
    std::vector<std::string> unready;
};

Verdicts judge(const kube::Pod& pod, const kube::PodStatus& status) {
    Verdicts verdicts;
    for (const kube::Container& container : pod.spec.initContainers) {
        const auto* found = find_status(status.initContainerStatuses, container.name);
        bool sidecar = is_sidecar(container);
        bool complete =
            found != nullptr && (sidecar ? found->started.value_or(false) : found->ready);
        if (!complete) {
            verdicts.incomplete.push_back(container.name);
        }
        if (sidecar && (found == nullptr || !found->ready)) {
            verdicts.unready.push_back(container.name);
        }
    }
    for (const kube::Container& container : pod.spec.containers) {
        const auto* found = find_status(status.containerStatuses, container.name);
        if (found == nullptr || !found->ready) {
            verdicts.unready.push_back(container.name);
        }
    }
    return verdicts;
}

kube::PodCondition condition(std::string_view type, bool holds, std::string_view reason = {},
                             std::string message = {}) {
    kube::PodCondition made;
    made.type = type;
    made.status = holds ? "True" : "False";
    if (!holds || !reason.empty()) {
        made.reason = reason;
        made.message = std::move(message);
    }
    return made;
}

kube::PodCondition initialized(const kube::Pod& pod, const kube::PodStatus& status,
                               const Verdicts& verdicts) {
    if (pod.spec.initContainers.empty() || any_regular_started(status)) {
        return status.phase == "Succeeded" ? condition("Initialized", true, "PodCompleted")
                                           : condition("Initialized", true);
    }
    if (status.phase == "Succeeded") {
        return condition("Initialized", true, "PodCompleted");
    }
    if (verdicts.incomplete.empty()) {
        return condition("Initialized", true);
    }
    return condition("Initialized", false, "ContainersNotInitialized",
                     "containers with incomplete status: " + name_list(verdicts.incomplete));
}

kube::PodCondition containers_ready(const kube::PodStatus& status, const Verdicts& verdicts) {
    if (status.phase == "Succeeded") {
        return condition("ContainersReady", false, "PodCompleted");
    }
    if (status.phase == "Failed") {
        return condition("ContainersReady", false, "PodFailed");
    }
    if (!verdicts.unready.empty()) {
        return condition("ContainersReady", false, "ContainersNotReady",
                         "containers with unready status: " + name_list(verdicts.unready));
    }
    return condition("ContainersReady", true);
}

kube::PodCondition pod_ready(const kube::Pod& pod, const kube::PodCondition& containers) {
    kube::PodCondition ready = containers;
    ready.type = "Ready";
    if (containers.status != "True") {
        return ready;
    }
    std::vector<std::string> unmet;
    for (const kube::PodReadinessGate& gate : pod.spec.readinessGates) {
        auto found =
            std::ranges::find(pod.status.conditions, gate.conditionType, &kube::PodCondition::type);
        if (found == pod.status.conditions.end()) {
            unmet.push_back(
                fmt::format("corresponding condition of pod readiness gate \"{}\" does not exist.",
                            gate.conditionType));
        } else if (found->status != "True") {
            unmet.push_back(
                fmt::format("the status of pod readiness gate \"{}\" is not \"True\", but {}",
                            gate.conditionType, found->status));
        }
    }
    if (unmet.empty()) {
        return ready;
    }
    return condition("Ready", false, "ReadinessGatesNotReady",
                     fmt::format("{}", fmt::join(unmet, ", ")));
}

// Contract row 68; only on pods that have such a rule.
kube::PodCondition restarting_all(const kube::PodStatus& status, PodState::Restarting restarting) {
    if (status.phase == "Succeeded" || status.phase == "Failed") {
        return condition(kAllRestarting, false,
                         status.phase == "Succeeded" ? "PodCompleted" : "PodFailed");
    }
    if (restarting == PodState::Restarting::none) {
        return condition(kAllRestarting, false);
    }
    return condition(kAllRestarting, true, "RestartAllContainersStarted",
                     "a container ended with an exit code for which all containers restart");
}

}  // namespace

kube::PodCondition disrupted(std::string message) {
    return condition("DisruptionTarget", true, "TerminationByKubelet", std::move(message));
}

void set_conditions(kube::PodStatus& status, const kube::Pod& pod, const kube::PodStatus& previous,
                    const PodState& state, WallTime now) {
    Verdicts verdicts = judge(pod, status);
    kube::PodCondition containers = containers_ready(status, verdicts);
    std::vector<kube::PodCondition> ours;
    ours.push_back(
        condition("PodReadyToStartContainers", state.sandbox == PodState::Sandbox::ready));
    ours.push_back(initialized(pod, status, verdicts));
    ours.push_back(pod_ready(pod, containers));
    ours.push_back(std::move(containers));
    ours.push_back(condition("PodScheduled", true));
    if (may_restart_all(pod.spec)) {
        ours.push_back(restarting_all(status, state.restarting));
    }
    std::ranges::move(status.conditions, std::back_inserter(ours));
    for (kube::PodCondition& made : ours) {
        if (made.observedGeneration == 0) {
            made.observedGeneration = pod.metadata.generation;
        }
        made.lastTransitionTime = kube::Time(now);
        auto before = std::ranges::find(previous.conditions, made.type, &kube::PodCondition::type);
        if (before != previous.conditions.end() && before->status == made.status &&
            before->lastTransitionTime) {
            made.lastTransitionTime = before->lastTransitionTime;
        }
        if (before != previous.conditions.end()) {
            made.lastProbeTime = before->lastProbeTime;
        }
    }
    for (const kube::PodCondition& other : pod.status.conditions) {
        bool made = std::ranges::find(ours, other.type, &kube::PodCondition::type) != ours.end();
        if (!made && !kube::is_agents_condition(other.type)) {
            ours.push_back(other);
        }
    }
    status.conditions = std::move(ours);
}

}  // namespace skiff::pods
