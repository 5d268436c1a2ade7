// How a pod's containers come up, again and again: init containers and sidecars in order, then the
// regular ones.
#include <algorithm>

#include "pods/deciding.h"
#include "pods/unsupported.h"

namespace skiff::pods {
namespace {

// Of a container that never failed: its first restart is immediate.
CrashBackOff fresh_back_off(const kube::Container& container, WallTime now) {
    CrashBackOff fresh;
    fresh.updated = now;
    fresh.spec_hash = spec_hash(container);
    return fresh;
}

}  // namespace

bool Deciding::regular_started() const {
    bool anew = s_.memory.boot == PodMemory::Boot::anew;
    return std::ranges::any_of(s_.pod.spec.containers, [&](const kube::Container& container) {
        const ContainerView& view = view_.at(container.name);
        const auto& latest = view.latest;
        return view.starting || (latest && (!anew || latest->source == Instance::Source::record));
    });
}

void Deciding::start(const kube::Container& container, ContainerRole role) {
    const ContainerMemory& memory = this->memory(container.name);
    const ContainerView& view = view_.at(container.name);
    // A start that an agent before us asked for, or that was not answered in time, goes on by
    // itself: its outcome comes as a change of the records.
    if (memory.start.runs() || view.starting || unsupported(s_.pod, container)) {
        return;
    }
    Action action;
    action.kind = Action::Kind::start;
    action.container = container.name;
    action.container_kind =
        role == ContainerRole::regular ? ContainerKind::regular : ContainerKind::init;
    action.attempt = view.latest ? view.latest->attempt + 1 : 0;
    bool again = memory.after_stop == ContainerMemory::AfterStop::start_again;
    if (view.latest && !again) {
        std::string hash = spec_hash(container);
        BackOffVerdict verdict =
            judge_back_off(*view.latest, memory.back_off, hash, s_.node.crash_back_off_max, s_.now);
        if (verdict.until) {
            wake_at(*verdict.until);
            waiting_[container.name] = Waiting{
                "CrashLoopBackOff",
                fmt::format("back-off {} restarting failed container={} pod={}",
                            format_duration(verdict.delay), container.name, describe_pod(s_.pod))};
            out_.back_offs.push_back(BackOffNotice{container.name, view.latest->attempt});
            return;
        }
        action.back_off = verdict.next;
    } else {
        action.back_off = fresh_back_off(container, s_.now);
    }
    if (!memory.start.due(s_.now)) {
        wake_at(memory.start.retry_at);
        return;
    }
    out_.actions.push_back(std::move(action));
}

Deciding::Passed Deciding::run_plain_init(const kube::Container& container) {
    const ContainerView& view = view_.at(container.name);
    const auto& latest = view.latest;
    if (view.starting) {
        return Passed::no;
    }
    bool anew = s_.memory.boot == PodMemory::Boot::anew;
    if (!latest || (anew && latest->source != Instance::Source::record)) {
        start(container, ContainerRole::init);
        return Passed::no;
    }
    if (latest->runs()) {
        return Passed::no;
    }
    if (latest->ended->exit_code == 0) {
        return Passed::yes;
    }
    if (restarts_after(s_.pod.spec, container, ContainerRole::init, latest->ended->exit_code)) {
        start(container, ContainerRole::init);
    }
    return Passed::no;
}

Deciding::Passed Deciding::run_init_containers() {
    bool begun = regular_started();
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        if (!is_sidecar(container)) {
            if (!begun && run_plain_init(container) == Passed::no) {
                return Passed::no;
            }
            continue;
        }
        if (view_.at(container.name).runs()) {
            replace(container);
            continue;
        }
        start(container, ContainerRole::sidecar);
        if (!begun) {
            return Passed::no;
        }
    }
    return Passed::yes;
}

// A running container whose name or image changed is stopped and starts again.
void Deciding::replace(const kube::Container& container) {
    const Instance& latest = *view_.at(container.name).latest;
    const ContainerMemory& memory = this->memory(container.name);
    if (latest.spec_hash == spec_hash(container) || (memory.stop_by && !stop_failed(memory))) {
        return;
    }
    Action action;
    action.kind = Action::Kind::stop;
    action.container = container.name;
    action.id = latest.id;
    action.grace = std::max(spec_grace(s_.pod), kGraceMin);
    action.stop_by = s_.now + action.grace;
    action.after_stop = ContainerMemory::AfterStop::start_again;
    if (!memory.stop_by) {
        action.message = "Container " + container.name + " definition changed, will be restarted";
    }
    out_.actions.push_back(std::move(action));
}

void Deciding::run_regular(const kube::Container& container) {
    const auto& latest = view_.at(container.name).latest;
    if (view_.at(container.name).runs()) {
        replace(container);
        return;
    }
    bool again = memory(container.name).after_stop == ContainerMemory::AfterStop::start_again;
    if (!latest || again ||
        restarts_after(s_.pod.spec, container, ContainerRole::regular, latest->ended->exit_code)) {
        start(container, ContainerRole::regular);
    }
}

// True when all regular containers have ended for good, or an init container failed for good: only
// sidecars may still run.
bool Deciding::work_is_over() const {
    bool begun = regular_started();
    bool anew = s_.memory.boot == PodMemory::Boot::anew;
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        const ContainerView& view = view_.at(container.name);
        const auto& latest = view.latest;
        bool counts = latest && view.active() == nullptr &&
                      (!anew || latest->source != Instance::Source::status);
        if (!begun && !is_sidecar(container) && counts && latest->ended->exit_code != 0 &&
            !restarts_after(s_.pod.spec, container, ContainerRole::init,
                            latest->ended->exit_code)) {
            return true;
        }
    }
    return std::ranges::all_of(s_.pod.spec.containers, [this](const kube::Container& container) {
        const ContainerView& view = view_.at(container.name);
        const auto& latest = view.latest;
        bool again = memory(container.name).after_stop == ContainerMemory::AfterStop::start_again;
        return latest && view.active() == nullptr && !again &&
               !restarts_after(s_.pod.spec, container, ContainerRole::regular,
                               latest->ended->exit_code);
    });
}

}  // namespace skiff::pods
