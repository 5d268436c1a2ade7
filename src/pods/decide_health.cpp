// What happens to a run while it goes on: its hooks, its health, and its end before that of the
// pod.
#include <algorithm>

#include "pods/deciding.h"
#include "pods/hooks.h"
#include "pods/probing.h"
#include "pods/resize.h"

namespace skiff::pods {

bool Deciding::ordered(Action::Kind kind, const std::string& container) const {
    return std::ranges::any_of(out_.actions, [&](const Action& action) {
        return action.kind == kind && action.container == container;
    });
}

bool Deciding::holds_up(const kube::Container& container) const {
    if (!container.lifecycle || !container.lifecycle->postStart) {
        return false;
    }
    const ContainerView& view = view_.at(container.name);
    const ContainerMemory& memory = this->memory(container.name);
    if (view.runs()) {
        const HookMemory& hook = memory.post_start;
        bool failed = hook.run == view.latest->id && hook.phase == HookMemory::Phase::failed;
        return !failed && post_start_pending(container, view.latest->id, s_.memory, s_.previous);
    }
    return ordered(Action::Kind::start, container.name) || view.starting || memory.start.runs();
}

void Deciding::run_regular_containers() {
    bool held = false;
    for (const kube::Container& container : s_.pod.spec.containers) {
        if (!held || view_.at(container.name).runs()) {
            run_regular(container);
        }
        held = held || holds_up(container);
    }
}

std::optional<Deciding::Ending> Deciding::ending(const kube::Container& container,
                                                 ContainerRole role) const {
    using AfterStop = ContainerMemory::AfterStop;
    const Instance& latest = *view_.at(container.name).latest;
    if (latest.spec_hash != spec_hash(container)) {
        return Ending{"Container " + container.name + " definition changed, will be restarted",
                      spec_grace(s_.pod), AfterStop::start_again};
    }
    // Its resizePolicy wants that for the resources that changed.
    if (resize_need(s_.pod.spec, container, latest) == ResizeNeed::restart) {
        return Ending{"Container " + container.name + " resize requires restart",
                      spec_grace(s_.pod), AfterStop::start_again};
    }
    const HookMemory& hook = memory(container.name).post_start;
    if (hook.run == latest.id && hook.phase == HookMemory::Phase::failed) {
        return Ending{"FailedPostStartHook", spec_grace(s_.pod), AfterStop::policy};
    }
    auto sick = unhealthy(s_.pod, container, s_.probes);
    if (!sick) {
        return std::nullopt;
    }
    constexpr std::int32_t kKilled = 137;
    bool again = restarts_after(s_.pod.spec, container, role, kKilled);
    return Ending{fmt::format("Container {} failed {} probe{}", container.name,
                              sick->kind == ProbeKind::startup ? "startup" : "liveness",
                              again ? ", will be restarted" : ""),
                  sick->grace, again ? AfterStop::restart : AfterStop::policy};
}

void Deciding::look_after(const kube::Container& container, ContainerRole role) {
    const ContainerId& run = view_.at(container.name).latest->id;
    const ContainerMemory& memory = this->memory(container.name);
    if (memory.post_start.run != run &&
        post_start_pending(container, run, s_.memory, s_.previous)) {
        Action hook;
        hook.kind = Action::Kind::post_start;
        hook.container = container.name;
        hook.id = run;
        out_.actions.push_back(std::move(hook));
        return;
    }
    auto wanted = ending(container, role);
    if (!wanted || (memory.stop_by && !stop_failed(memory))) {
        return;
    }
    Action action;
    action.kind = Action::Kind::stop;
    action.container = container.name;
    action.id = run;
    action.stop_by = memory.pre_stop.run == run ? memory.pre_stop.until
                                                : s_.now + std::max(wanted->grace, kGraceMin);
    action.grace = std::max(Duration(action.stop_by - s_.now), kGraceMin);
    action.after_stop = wanted->after;
    if (!memory.stop_by) {
        action.message = std::move(wanted->message);
    }
    stop_after_hook(container, std::move(action));
}

void Deciding::stop_after_hook(const kube::Container& container, Action stop) {
    const ContainerMemory& memory = this->memory(container.name);
    if (view_.at(container.name).runs()) {
        switch (pre_stop_of(container, stop.id, memory)) {
            case PreStop::due:
                stop.kind = Action::Kind::pre_stop;
                wake_at(stop.stop_by);
                if (!ordered(stop.kind, container.name)) {
                    out_.actions.push_back(std::move(stop));
                }
                return;
            case PreStop::running:
                if (s_.now < stop.stop_by) {
                    wake_at(stop.stop_by);
                    return;
                }
                break;
            case PreStop::over:
                break;
        }
    }
    if (memory.pre_stop.run == stop.id) {
        stop.message.clear();  // it was told when the hook began
    }
    out_.actions.push_back(std::move(stop));
}

void Deciding::begin_pre_stops(const Termination& termination) {
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        const ContainerView& view = view_.at(container.name);
        if (is_sidecar(container) && view.runs() && !view.starting &&
            pre_stop_of(container, view.latest->id, memory(container.name)) == PreStop::due) {
            stop(container, ContainerKind::init, termination);
        }
    }
}

// Until a hook succeeds, or the container will not start again.
void Deciding::name_hook_failure(const kube::Container& container, ContainerRole role) {
    const HookMemory& hook = memory(container.name).post_start;
    const ContainerView& view = view_.at(container.name);
    if (hook.message.empty() || !view.latest || waiting_.contains(container.name)) {
        return;
    }
    bool again = view.runs()
                     ? post_start_pending(container, view.latest->id, s_.memory, s_.previous)
                     : restarts_after(s_.pod.spec, container, role, view.latest->ended->exit_code);
    if (again) {
        waiting_[container.name] = Waiting{"PostStartHookError", hook.message};
    }
}

}  // namespace skiff::pods
