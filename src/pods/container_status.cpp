#include "pods/container_status.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "pods/resource_status.h"
#include "pods/rounds.h"
#include "pods/started.h"

namespace skiff::pods {
namespace {

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

void set_readiness(kube::ContainerStatus& status, const kube::Container& container,
                   ContainerRole role, const ProbeResults* probes) {
    if (role == ContainerRole::ephemeral) {
        return;  // nobody waits for one, and no probe asks it (contract row 45)
    }
    status.started = false;
    if (status.state.running) {
        status.started = startup_passed(container, probes);
        status.ready =
            *status.started && readiness_passed(container, probes) && role != ContainerRole::init;
    }
    if (role == ContainerRole::init && status.state.terminated) {
        status.ready = status.state.terminated->exitCode == 0;
    }
}

// Whether the run had to end because all containers of its pod were restarted.
enum class Cause { own, restart_of_all };
kube::ContainerStateTerminated ended_state(const Instance& instance, Cause cause) {
    kube::ContainerStateTerminated state = terminated_state(instance);
    if (cause == Cause::restart_of_all && instance.ended->by == Ended::By::node) {
        state.reason = kRestartingAll;
        state.message = "stopped because all containers of the pod are restarted";
    }
    return state;
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
        bool other_round =
            view.before->round && view.latest->round && *view.before->round < *view.latest->round;
        status.lastState.terminated =
            ended_state(*view.before, other_round ? Cause::restart_of_all : Cause::own);
    }
    if (latest.runs()) {
        kube::ContainerStateRunning running;
        running.startedAt = kube::Time(latest.started);
        status.state.running = running;
    } else {
        bool past = view.round == ContainerView::Round::past;
        status.state.terminated = ended_state(latest, past ? Cause::restart_of_all : Cause::own);
    }
}

// What a container that does not run waits for, if it waits.
kube::ContainerStateWaiting waiting_state(const StatusInputs& inputs, const std::string& name) {
    kube::ContainerStateWaiting state;
    auto named = inputs.waiting.find(name);
    if (named != inputs.waiting.end()) {
        state.reason = named->second.reason;
        state.message = named->second.message;
    } else if (inputs.view.at(name).latest) {
        state.reason = kRestartingAll;
        state.message = "all containers of the pod are restarted";
    } else {
        bool has_init = !inputs.situation.pod.spec.initContainers.empty();
        state.reason = has_init ? "PodInitializing" : "ContainerCreating";
    }
    return state;
}

}  // namespace

kube::ContainerStatus container_status(const StatusInputs& inputs, const kube::Container& container,
                                       ContainerRole role) {
    const ContainerView& view = inputs.view.at(container.name);
    kube::ContainerStatus status;
    status.name = container.name;
    status.image = container.image;
    if (view.latest) {
        set_runs(status, view);
    }
    bool named = inputs.waiting.contains(container.name);
    bool past = view.round == ContainerView::Round::past;
    if (!view.latest || ((named || past) && !view.latest->runs())) {
        kube::ContainerStateWaiting state = waiting_state(inputs, container.name);
        if (status.state.terminated) {
            status.lastState.terminated = std::move(status.state.terminated);
            status.state.terminated.reset();
        }
        status.state.waiting = std::move(state);
    }
    set_readiness(status, container, role, inputs.situation.probes);
    set_resources(status, container, view, inputs.situation.previous);
    echo_mounts(status, container);
    return status;
}

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

}  // namespace skiff::pods
