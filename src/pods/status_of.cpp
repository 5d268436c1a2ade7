#include "pods/status_of.h"

#include <algorithm>

#include "kube/defaults.h"
#include "pods/conditions.h"
#include "pods/container_status.h"
#include "pods/resize.h"
#include "pods/resource_status.h"
#include "pods/rounds.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kRejectedPrefix = "Pod was rejected: ";

void copy_what_is_not_ours(kube::PodStatus& status, const kube::PodStatus& api) {
    status.nominatedNodeName = api.nominatedNodeName;
    status.resize = api.resize;
    status.resourceClaimStatuses = api.resourceClaimStatuses;
    status.extendedResourceClaimStatus = api.extendedResourceClaimStatus;
    status.nodeAllocatableResourceClaimStatuses = api.nodeAllocatableResourceClaimStatuses;
    status.volumeHealth = api.volumeHealth;
}

void set_addresses(kube::PodStatus& status, const Situation& situation) {
    if (!situation.node.host_ips.empty()) {
        status.hostIP = situation.node.host_ips.front();
        for (const std::string& ip : situation.node.host_ips) {
            status.hostIPs.push_back(kube::HostIP{ip});
        }
    }
    if (!situation.pod_ips.empty()) {
        status.podIP = situation.pod_ips.front();
        for (const std::string& ip : situation.pod_ips) {
            status.podIPs.push_back(kube::PodIP{ip});
        }
    } else {
        status.podIP = situation.previous.podIP;
        status.podIPs = situation.previous.podIPs;
    }
}

// Conditions of a pod that is being resized, or ended by the node itself.
void set_interruptions(kube::PodStatus& status, const StatusInputs& inputs) {
    const Situation& now = inputs.situation;
    if (!is_terminal(status.phase) && inputs.finality == Finality::open) {
        status.conditions = resize_conditions(now, inputs.view);
    }
    if (now.memory.eviction) {
        status.conditions.push_back(disrupted(now.memory.eviction->condition_message));
    }
}

void set_qos(kube::PodStatus& status, const kube::Pod& pod) {
    status.qosClass =
        pod.status.qosClass.empty() ? std::string(kube::qos_class(pod.spec)) : pod.status.qosClass;
}

void set_phase(kube::PodStatus& status, const StatusInputs& inputs) {
    const Situation& now = inputs.situation;
    bool is_final = inputs.finality == Finality::final;
    if (is_terminal(now.previous.phase)) {
        status.phase = now.previous.phase;
    } else if (!inputs.failed_reason.empty() && is_final) {
        status.phase = "Failed";
    } else {
        status.phase = phase_of(now.pod, status, inputs.finality);
        if (!is_final && is_terminal(status.phase)) {
            // Something still runs beside what has ended: sidecars, or a container being stopped.
            status.phase = now.previous.phase.empty() ? "Pending" : now.previous.phase;
        }
    }
    if (!inputs.failed_reason.empty() && !is_terminal(now.previous.phase)) {
        status.reason = inputs.failed_reason;
        status.message = inputs.failed_message;
    } else if (status.phase == now.previous.phase) {
        status.reason = now.previous.reason;
        status.message = now.previous.message;
    }
}

}  // namespace

kube::PodStatus status_of(const StatusInputs& inputs) {
    const Situation& now = inputs.situation;
    kube::PodStatus status;
    copy_what_is_not_ours(status, now.pod.status);
    status.observedGeneration = now.pod.metadata.generation;
    set_qos(status, now.pod);
    status.startTime = now.previous.startTime ? now.previous.startTime
                                              : std::optional<kube::Time>(kube::Time(now.now));
    for (const kube::Container& container : now.pod.spec.initContainers) {
        ContainerRole role = is_sidecar(container) ? ContainerRole::sidecar : ContainerRole::init;
        status.initContainerStatuses.push_back(container_status(inputs, container, role));
    }
    for (const kube::Container& container : now.pod.spec.containers) {
        status.containerStatuses.push_back(
            container_status(inputs, container, ContainerRole::regular));
    }
    std::ranges::sort(status.containerStatuses, {}, &kube::ContainerStatus::name);
    for (const kube::Container& container : now.pod.spec.ephemeralContainers) {
        status.ephemeralContainerStatuses.push_back(
            container_status(inputs, container, ContainerRole::ephemeral));
    }
    std::ranges::sort(status.ephemeralContainerStatuses, {}, &kube::ContainerStatus::name);
    bool closes = inputs.finality == Finality::final;
    InitCount init = count_init(now.pod, status);
    bool init_done = init.pending == 0 && init.failed_for_good == 0;
    if (closes && (init_done || any_regular_started(status))) {
        close_statuses(status.containerStatuses);
    }
    if (closes) {
        for (kube::ContainerStatus& own : status.initContainerStatuses) {
            if (own.state.waiting && own.lastState.terminated) {
                own.state = {};
                own.state.terminated = std::move(own.lastState.terminated);
                own.lastState = {};
            }
        }
    }
    bound_messages(status);
    set_phase(status, inputs);
    set_addresses(status, now);
    set_pod_resources(status, now);
    set_interruptions(status, inputs);
    // An agent that has just started has not looked at the sandbox yet, but what runs has one.
    bool runs = std::ranges::any_of(inputs.view, [](const auto& v) { return v.second.runs(); });
    bool ready = (now.memory.sandbox.done() || runs) && !is_terminal(status.phase) && !closes;
    PodState state;
    state.sandbox = ready ? PodState::Sandbox::ready : PodState::Sandbox::missing;
    state.restarting =
        is_restarting_all(inputs.view) ? PodState::Restarting::all : PodState::Restarting::none;
    set_conditions(status, now.pod, now.previous, state, now.now);
    return status;
}

kube::PodStatus rejected_status(const Situation& situation) {
    kube::PodStatus status = situation.pod.status;
    const Admission& admission = situation.memory.admission;
    status.observedGeneration = situation.pod.metadata.generation;
    set_qos(status, situation.pod);
    status.phase = "Failed";
    status.reason = admission.reason;
    status.message = std::string(kRejectedPrefix) + admission.message;
    if (!status.startTime) {
        status.startTime = situation.previous.startTime
                               ? situation.previous.startTime
                               : std::optional<kube::Time>(kube::Time(situation.now));
    }
    return status;
}

}  // namespace skiff::pods
