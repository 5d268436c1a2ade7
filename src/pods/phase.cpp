#include "pods/phase.h"

#include <algorithm>

#include "pods/observed.h"
#include "pods/restart.h"
#include "pods/rounds.h"

namespace skiff::pods {
namespace {

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

}  // namespace

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
        if (ended == nullptr || ended->reason == kRestartingAll) {
            ++count.pending;
        } else if (ended->exitCode != 0) {
            bool again = restarts_after(pod.spec, container, ContainerRole::init, ended->exitCode);
            ++(again ? count.pending : count.failed_for_good);
        }
    }
    return count;
}

bool any_regular_started(const kube::PodStatus& status) {
    return std::ranges::any_of(status.containerStatuses, [](const kube::ContainerStatus& s) {
        return s.state.running || s.state.terminated || s.lastState.terminated;
    });
}

std::string phase_of(const kube::Pod& pod, const kube::PodStatus& status, Finality finality) {
    bool is_final = finality == Finality::final;
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

}  // namespace skiff::pods
