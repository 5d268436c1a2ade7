#include "pods/status_of.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "kube/defaults.h"
#include "pods/unsupported.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kRejectedPrefix = "Pod was rejected: ";

kube::ContainerStateTerminated terminated_state(const Instance& instance) {
    kube::ContainerStateTerminated state;
    state.exitCode = instance.ended->exit_code;
    state.reason = instance.ended->reason;
    state.message = instance.ended->message;
    if (instance.started != WallTime{}) {
        state.startedAt = kube::Time(instance.started);
    }
    if (instance.ended->finished != WallTime{}) {
        state.finishedAt = kube::Time(instance.ended->finished);
    }
    state.containerID = format_container_id(instance.id);
    return state;
}

void echo_mounts(kube::ContainerStatus& status, const kube::Container& container) {
    for (const kube::VolumeMount& mount : container.volumeMounts) {
        kube::VolumeMountStatus echo;
        echo.name = mount.name;
        echo.mountPath = mount.mountPath;
        echo.readOnly = mount.readOnly;
        if (mount.readOnly) {
            // Nothing writable is ever below a read-only mount, so what asks for that has it.
            bool asked = mount.recursiveReadOnly.value_or("Disabled") != "Disabled";
            echo.recursiveReadOnly = asked ? "Enabled" : "Disabled";
        }
        status.volumeMounts.push_back(std::move(echo));
    }
}

// Whether a probe of the container lets it count: no probe always does.
enum class Verdict { no, yes };
Verdict probe_verdict(const std::optional<kube::Probe>& probe,
                      const std::map<std::string, ProbeResult>* results, const std::string& name) {
    if (!probe) {
        return Verdict::yes;
    }
    if (results == nullptr) {
        return Verdict::no;
    }
    auto found = results->find(name);
    return found != results->end() && found->second == ProbeResult::success ? Verdict::yes
                                                                            : Verdict::no;
}

void set_readiness(kube::ContainerStatus& status, const kube::Container& container,
                   ContainerRole role, const ProbeResults* probes) {
    status.started = false;
    if (status.state.running) {
        bool started =
            probe_verdict(container.startupProbe, probes != nullptr ? &probes->startup : nullptr,
                          container.name) == Verdict::yes;
        bool ready = probe_verdict(container.readinessProbe,
                                   probes != nullptr ? &probes->readiness : nullptr,
                                   container.name) == Verdict::yes;
        status.started = started;
        status.ready = started && ready && role != ContainerRole::init;
    }
    if (role == ContainerRole::init && status.state.terminated) {
        status.ready = status.state.terminated->exitCode == 0;
    }
}

void set_runs(kube::ContainerStatus& status, const ContainerView& view) {
    const Instance& latest = *view.latest;
    status.restartCount = static_cast<std::int32_t>(latest.attempt);
    status.containerID = format_container_id(latest.id);
    if (!latest.image.empty()) {
        status.image = latest.image;
    }
    status.imageID = latest.image_id;
    if (latest.ids) {
        kube::LinuxContainerUser user;
        user.uid = latest.ids->uid;
        user.gid = latest.ids->gid;
        user.supplementalGroups.assign(latest.ids->groups.begin(), latest.ids->groups.end());
        status.user.emplace().linux = std::move(user);
    }
    if (view.before && view.before->ended) {
        status.lastState.terminated = terminated_state(*view.before);
    }
    if (latest.runs()) {
        kube::ContainerStateRunning running;
        running.startedAt = kube::Time(latest.started);
        status.state.running = running;
    } else {
        status.state.terminated = terminated_state(latest);
    }
}

const kube::ContainerStatus* find_anywhere(const kube::PodStatus& status, std::string_view name) {
    const auto* found = find_status(status.containerStatuses, name);
    return found != nullptr ? found : find_status(status.initContainerStatuses, name);
}

// What the container runs with: a run keeps what it was started with, whatever the spec says now.
void set_resources(kube::ContainerStatus& status, const kube::Container& container,
                   const kube::PodStatus& previous) {
    const auto* before = find_anywhere(previous, container.name);
    if (status.state.running && before != nullptr && before->state.running &&
        before->containerID == status.containerID) {
        status.allocatedResources = before->allocatedResources;
        status.resources = before->resources;
        return;
    }
    status.allocatedResources = container.resources.requests;
    if (!container.resources.limits.empty() || !container.resources.requests.empty()) {
        kube::ResourceRequirements resources;
        resources.limits = container.resources.limits;
        resources.requests = container.resources.requests;
        status.resources = std::move(resources);
    }
}

kube::ContainerStatus container_status(const StatusInputs& inputs, const kube::Container& container,
                                       ContainerRole role) {
    const ContainerView& view = inputs.view.at(container.name);
    kube::ContainerStatus status;
    status.name = container.name;
    status.image = container.image;
    if (view.latest) {
        set_runs(status, view);
    }
    auto waiting = inputs.waiting.find(container.name);
    bool named = waiting != inputs.waiting.end();
    if (!view.latest || (named && !view.latest->runs())) {
        kube::ContainerStateWaiting state;
        bool has_init = !inputs.situation.pod.spec.initContainers.empty();
        state.reason = named ? waiting->second.reason
                             : std::string(has_init ? "PodInitializing" : "ContainerCreating");
        state.message = named ? waiting->second.message : std::string();
        if (status.state.terminated) {
            status.lastState.terminated = std::move(status.state.terminated);
            status.state.terminated.reset();
        }
        status.state.waiting = std::move(state);
    }
    set_readiness(status, container, role, inputs.situation.probes);
    set_resources(status, container, inputs.situation.previous);
    echo_mounts(status, container);
    return status;
}

// A pod that ends may not keep containers that seem to run or to wait for ever (what the kubelet's
// TerminatePod does).
void close_statuses(std::vector<kube::ContainerStatus>& statuses) {
    for (kube::ContainerStatus& status : statuses) {
        if (status.state.terminated) {
            continue;
        }
        kube::ContainerStateTerminated closed;
        if (status.state.waiting && status.lastState.terminated) {
            closed = *status.lastState.terminated;
            status.lastState.terminated.reset();
        } else {
            closed.exitCode = 137;
            closed.reason = "ContainerStatusUnknown";
            closed.message = "The container could not be located when the pod was terminated";
        }
        status.state = {};
        status.state.terminated = std::move(closed);
        status.ready = false;
        status.started = false;
    }
}

// All termination messages of a pod share 12 KiB, cut as the kubelet cuts them (contract row 42).
void bound_messages(kube::PodStatus& status) {
    constexpr std::size_t kMessagesBytesMax = 12 * 1024;
    auto lists = std::array{&status.initContainerStatuses, &status.containerStatuses,
                            &status.ephemeralContainerStatuses};
    std::size_t containers = 0;
    for (const auto* list : lists) {
        containers += list->size();
    }
    for (auto* list : lists) {
        for (kube::ContainerStatus& own : *list) {
            for (kube::ContainerState* state : {&own.state, &own.lastState}) {
                if (state->terminated) {
                    std::string& message = state->terminated->message;
                    message = bounded_utf8(message, kMessagesBytesMax / containers);
                }
            }
        }
    }
}

struct InitCount {
    int pending = 0;
    int failed_for_good = 0;
    int sidecars_pending = 0;
};

InitCount count_init(const kube::Pod& pod, const kube::PodStatus& status) {
    InitCount count;
    for (const kube::Container& container : pod.spec.initContainers) {
        const auto* found = find_status(status.initContainerStatuses, container.name);
        if (is_sidecar(container)) {
            bool started = found != nullptr && found->started.value_or(false);
            bool ended =
                found != nullptr && (found->state.terminated || found->lastState.terminated);
            count.sidecars_pending += !started && !ended ? 1 : 0;
            continue;
        }
        const kube::ContainerStateTerminated* ended = nullptr;
        if (found != nullptr && found->state.terminated) {
            ended = &*found->state.terminated;
        } else if (found != nullptr && found->state.waiting && found->lastState.terminated) {
            ended = &*found->lastState.terminated;
        }
        if (ended == nullptr) {
            ++count.pending;
        } else if (ended->exitCode != 0) {
            bool again = restarts_after(pod.spec, container, ContainerRole::init, ended->exitCode);
            ++(again ? count.pending : count.failed_for_good);
        }
    }
    return count;
}

struct Count {
    int running = 0;
    int waiting = 0;
    int stopped = 0;
    int succeeded = 0;
    int restarting = 0;  // stopped, and to be started again
};

Count count_regular(const kube::Pod& pod, const kube::PodStatus& status) {
    Count count;
    for (const kube::Container& container : pod.spec.containers) {
        const auto* found = find_status(status.containerStatuses, container.name);
        if (found == nullptr) {
            ++count.waiting;
        } else if (found->state.running) {
            ++count.running;
        } else if (found->state.terminated) {
            std::int32_t code = found->state.terminated->exitCode;
            ++count.stopped;
            count.succeeded += code == 0 ? 1 : 0;
            count.restarting +=
                restarts_after(pod.spec, container, ContainerRole::regular, code) ? 1 : 0;
        } else if (found->lastState.terminated) {
            ++count.stopped;
            ++count.restarting;
        } else {
            ++count.waiting;
        }
    }
    return count;
}

bool any_regular_started(const kube::PodStatus& status) {
    return std::ranges::any_of(status.containerStatuses, [](const kube::ContainerStatus& s) {
        return s.state.running || s.state.terminated || s.lastState.terminated;
    });
}

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

bool is_ours(std::string_view type) {
    return type == kResizePending || type == "PodReadyToStartContainers" || type == "Initialized" ||
           type == "Ready" || type == "ContainersReady" || type == "PodScheduled";
}

void copy_what_is_not_ours(kube::PodStatus& status, const kube::PodStatus& api) {
    status.nominatedNodeName = api.nominatedNodeName;
    status.resize = api.resize;
    status.resourceClaimStatuses = api.resourceClaimStatuses;
    status.extendedResourceClaimStatus = api.extendedResourceClaimStatus;
    status.nodeAllocatableResourceClaimStatuses = api.nodeAllocatableResourceClaimStatuses;
    status.volumeHealth = api.volumeHealth;
    status.allocatedResources = api.allocatedResources;
    status.resources = api.resources;
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

void set_ephemeral(kube::PodStatus& status, const kube::Pod& pod) {
    for (const kube::EphemeralContainer& container : pod.spec.ephemeralContainers) {
        kube::ContainerStatus waiting;
        waiting.name = container.name;
        waiting.image = container.image;
        waiting.state.waiting = kube::ContainerStateWaiting{"CreateContainerConfigError",
                                                            unsupported_ephemeral(container)};
        status.ephemeralContainerStatuses.push_back(std::move(waiting));
    }
    std::ranges::sort(status.ephemeralContainerStatuses, {}, &kube::ContainerStatus::name);
}

// Names of running containers whose spec asks for other resources than they run with.
std::vector<std::string> resized(const kube::Pod& pod, const kube::PodStatus& status) {
    std::vector<std::string> names;
    for (const kube::Container& container : pod.spec.containers) {
        const auto* found = find_status(status.containerStatuses, container.name);
        if (found == nullptr || !found->state.running) {
            continue;
        }
        kube::ResourceRequirements has = found->resources.value_or(kube::ResourceRequirements{});
        if (has.limits != container.resources.limits ||
            has.requests != container.resources.requests) {
            names.push_back(container.name);
        }
    }
    return names;
}

void set_qos(kube::PodStatus& status, const kube::Pod& pod) {
    status.qosClass =
        pod.status.qosClass.empty() ? std::string(kube::qos_class(pod.spec)) : pod.status.qosClass;
}

void set_phase(kube::PodStatus& status, const StatusInputs& inputs) {
    const Situation& now = inputs.situation;
    bool is_final = inputs.finality == StatusInputs::Finality::final;
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

std::string phase_of(const kube::Pod& pod, const kube::PodStatus& status,
                     StatusInputs::Finality finality) {
    bool is_final = finality == StatusInputs::Finality::final;
    InitCount init = count_init(pod, status);
    Count count = count_regular(pod, status);
    bool started = any_regular_started(status);
    if (init.failed_for_good > 0 && !started) {
        return "Failed";
    }
    if (!is_final && !started && (init.pending > 0 || init.sidecars_pending > 0)) {
        return "Pending";
    }
    if (count.waiting > 0) {
        return is_final ? "Failed" : "Pending";
    }
    if (count.running > 0) {
        return "Running";
    }
    bool all_well = count.stopped == count.succeeded;
    if (!is_final && count.restarting > 0) {
        return "Running";
    }
    return all_well ? "Succeeded" : "Failed";
}

void set_conditions(kube::PodStatus& status, const kube::Pod& pod, const kube::PodStatus& previous,
                    SandboxState sandbox, WallTime now) {
    Verdicts verdicts = judge(pod, status);
    kube::PodCondition containers = containers_ready(status, verdicts);
    std::vector<kube::PodCondition> ours;
    ours.push_back(condition("PodReadyToStartContainers", sandbox == SandboxState::ready));
    ours.push_back(initialized(pod, status, verdicts));
    ours.push_back(pod_ready(pod, containers));
    ours.push_back(std::move(containers));
    ours.push_back(condition("PodScheduled", true));
    if (auto names = resized(pod, status); !names.empty()) {
        ours.push_back(condition(kResizePending, true, "Infeasible",
                                 "in-place resize is not supported by this node: containers " +
                                     name_list(names) +
                                     " keep their resources until they restart"));
    }
    for (kube::PodCondition& made : ours) {
        made.observedGeneration = pod.metadata.generation;
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
        if (!is_ours(other.type)) {
            ours.push_back(other);
        }
    }
    status.conditions = std::move(ours);
}

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
    set_ephemeral(status, now.pod);
    bool closes = inputs.finality == StatusInputs::Finality::final;
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
    // An agent that has just started has not looked at the sandbox yet, but what runs has one.
    bool runs = std::ranges::any_of(inputs.view, [](const auto& v) { return v.second.runs(); });
    bool ready = (now.memory.sandbox.done() || runs) && !is_terminal(status.phase) && !closes;
    set_conditions(status, now.pod, now.previous,
                   ready ? SandboxState::ready : SandboxState::missing, now.now);
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
