// How a pod ends: in which order its containers are stopped, and what is given back afterwards.
#include <algorithm>

#include "pods/deciding.h"

namespace skiff::pods {

void Deciding::stop(const kube::Container& container, ContainerKind kind,
                    const Termination& termination) {
    const ContainerView& view = view_.at(container.name);
    const ContainerMemory& memory = this->memory(container.name);
    // A start of ours is cancelled first; what it leaves is stopped then.
    if (view.active() == nullptr || memory.start.runs()) {
        return;
    }
    if (memory.stop_by && *memory.stop_by <= termination.kill_at && !stop_failed(memory)) {
        return;
    }
    Action action;
    action.kind = Action::Kind::stop;
    action.container = container.name;
    action.container_kind = kind;
    action.id = *view.active();
    action.stop_by = termination.kill_at;
    action.grace = std::max(Duration(termination.kill_at - s_.now), kGraceMin);
    if (!memory.stop_by && !view.starting) {
        action.message = "Stopping container " + container.name;
    }
    stop_after_hook(container, std::move(action));
}

// Regular, ephemeral and plain init containers at once, then the sidecars from the last to the
// first.
void Deciding::stop_in_order(const Termination& termination) {
    begin_pre_stops(termination);
    bool others_run = false;
    auto end = [&](const kube::Container& container, ContainerKind kind) {
        others_run = others_run || view_.at(container.name).active() != nullptr;
        stop(container, kind, termination);
    };
    for (const kube::Container& container : s_.pod.spec.containers) {
        end(container, ContainerKind::regular);
    }
    for (const kube::Container& container : s_.pod.spec.ephemeralContainers) {
        end(container, ContainerKind::ephemeral);
    }
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        if (!is_sidecar(container)) {
            end(container, ContainerKind::init);
        }
    }
    if (others_run && s_.now < termination.kill_at) {
        wake_at(termination.kill_at);
        return;
    }
    for (auto it = s_.pod.spec.initContainers.rbegin(); it != s_.pod.spec.initContainers.rend();
         ++it) {
        if (is_sidecar(*it) && view_.at(it->name).active() != nullptr) {
            stop(*it, ContainerKind::init, termination);
            if (s_.now < termination.kill_at) {
                wake_at(termination.kill_at);
                return;
            }
        }
    }
}

void Deciding::terminate(Duration grace) {
    grace = std::max(grace, kGraceMin);
    Termination termination;
    termination.grace = grace;
    termination.kill_at = s_.now + grace;
    if (s_.memory.termination) {
        // The grace period may only shrink; what of it is over stays over.
        const Termination& before = *s_.memory.termination;
        termination.grace = std::min(before.grace, grace);
        termination.kill_at =
            grace < before.grace ? std::min(before.kill_at, s_.now + grace) : before.kill_at;
    }
    out_.termination = termination;
    if (anything_starts()) {
        Action cancel;
        cancel.kind = Action::Kind::cancel_starts;
        out_.actions.push_back(std::move(cancel));
    }
    stop_in_order(termination);
    if (anything_runs() || anything_starts()) {
        return;
    }
    finality_ = Finality::final;
    clean_up();
}

// Nothing runs any more: give back what the pod held, then let its object go.
void Deciding::clean_up() {
    if (s_.memory.resize.runs()) {
        return;  // it would make anew what is given back here; its end wakes the worker
    }
    auto add = [this](Action::Kind kind) {
        Action action;
        action.kind = kind;
        out_.actions.push_back(std::move(action));
    };
    auto step = [&](const Step& taken, Action::Kind kind) {
        if (taken.due(s_.now)) {
            add(kind);
        } else if (taken.phase == Step::Phase::failed) {
            wake_at(taken.retry_at);
        }
        return taken.done();
    };
    if (!step(s_.memory.tear_down, Action::Kind::tear_down)) {
        return;
    }
    if (s_.memory.object == PodMemory::Object::gone) {
        if (step(s_.memory.removal, Action::Kind::remove_pod)) {
            add(Action::Kind::retire);
        }
        return;
    }
    if (s_.pod.metadata.deletionTimestamp && s_.memory.finish == PodMemory::Finish::not_asked) {
        add(Action::Kind::finish);
    }
}

}  // namespace skiff::pods
