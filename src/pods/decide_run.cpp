// How a pod's containers come up, again and again: init containers and sidecars in order, then the
// regular ones.
#include <algorithm>

#include "pods/deciding.h"
#include "pods/hooks.h"
#include "pods/resize.h"
#include "pods/resources.h"
#include "pods/rounds.h"
#include "pods/started.h"
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
        const Instance* ran = view.ran();
        return view.round == ContainerView::Round::present &&
               (view.starting || (ran && (!anew || ran->source == Instance::Source::record)));
    });
}

// Upstream forgets a container's runs when all are restarted and knows no back-off then; here what
// ends again and again waits longer and longer, whoever made it end.
void Deciding::start(const kube::Container& container, ContainerKind kind) {
    const ContainerMemory& memory = this->memory(container.name);
    const ContainerView& view = view_.at(container.name);
    // A start that an agent before us asked for, or that was not answered in time, goes on by
    // itself: its outcome comes as a change of the records.
    if (memory.start.runs() || view.starting || unsupported(s_.pod, container) ||
        waits_for_share()) {
        return;
    }
    Action action;
    action.kind = Action::Kind::start;
    action.container = container.name;
    action.container_kind = kind;
    action.round = present_round(s_.pod.spec, view_);
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
    if (view.starting) {
        return Passed::no;
    }
    const Instance* ran = view.ran();
    bool anew = s_.memory.boot == PodMemory::Boot::anew;
    if (ran == nullptr || (anew && ran->source != Instance::Source::record)) {
        start(container, ContainerKind::init);
        return Passed::no;
    }
    if (ran->runs()) {
        return Passed::no;
    }
    if (ran->ended->exit_code == 0) {
        return Passed::yes;
    }
    if (restarts_after(s_.pod.spec, container, ContainerRole::init, ran->ended->exit_code)) {
        start(container, ContainerKind::init);
    }
    return Passed::no;
}

Deciding::Passed Deciding::run_sidecar(const kube::Container& container) {
    if (!view_.at(container.name).runs()) {
        start(container, ContainerKind::init);
        return Passed::no;
    }
    look_after(container, ContainerRole::sidecar);
    const ContainerId& run = view_.at(container.name).latest->id;
    bool started = startup_passed(container, s_.probes) &&
                   !post_start_pending(container, run, s_.memory, s_.previous);
    return started ? Passed::yes : Passed::no;
}

Deciding::Passed Deciding::run_init_containers() {
    // Once a regular container has started the order is history: sidecars start again at once.
    bool begun = regular_started();
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        Passed passed = Passed::yes;
        if (is_sidecar(container)) {
            passed = run_sidecar(container);
        } else if (!begun) {
            passed = run_plain_init(container);
        }
        if (passed == Passed::no && !begun) {
            return Passed::no;
        }
    }
    return Passed::yes;
}

// Whatever else the pod is about; each once, also when it was never answered (contract row 45).
void Deciding::run_ephemeral() {
    for (const kube::Container& container : s_.pod.spec.ephemeralContainers) {
        if (!view_.at(container.name).latest) {
            start(container, ContainerKind::ephemeral);
        }
    }
}

Deciding::Passed Deciding::leave_past_round() {
    std::uint32_t present = present_round(s_.pod.spec, view_);
    Passed passed = Passed::yes;
    auto leave = [&](const kube::Container& container, ContainerKind kind) {
        const ContainerView& view = view_.at(container.name);
        const ContainerMemory& memory = this->memory(container.name);
        if (memory.start.runs() && memory.start_round < present) {
            passed = Passed::no;
        } else if (view.round == ContainerView::Round::past && view.active() != nullptr) {
            passed = Passed::no;
            Termination at_once{kGraceMin, s_.now + kGraceMin};
            stop(container, kind, at_once);
        }
    };
    for (const kube::Container& container : s_.pod.spec.containers) {
        leave(container, ContainerKind::regular);
    }
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        leave(container, ContainerKind::init);
    }
    return passed;
}

void Deciding::resize_live() {
    if (!can_resize_live(s_, view_)) {
        return;
    }
    if (s_.memory.resize.due(s_.now) || s_.memory.resize.done()) {
        Action action;
        action.kind = Action::Kind::resize;
        out_.actions.push_back(std::move(action));
    } else if (s_.memory.resize.phase == Step::Phase::failed) {
        wake_at(s_.memory.resize.retry_at);
    }
}

bool Deciding::waits_for_share() const {
    const auto& given = s_.memory.share;
    return given && s_.memory.resize.phase != Step::Phase::failed &&
           differ_in_share(*given, sandbox_of(s_.pod));
}

void Deciding::run_regular(const kube::Container& container) {
    const ContainerView& view = view_.at(container.name);
    if (view.runs()) {
        look_after(container, ContainerRole::regular);
        return;
    }
    const Instance* ran = view.ran();
    bool again = memory(container.name).after_stop != ContainerMemory::AfterStop::policy;
    if (ran == nullptr || again ||
        restarts_after(s_.pod.spec, container, ContainerRole::regular, ran->ended->exit_code)) {
        start(container, ContainerKind::regular);
    }
}

bool Deciding::init_failed_for_good() const {
    bool anew = s_.memory.boot == PodMemory::Boot::anew;
    return std::ranges::any_of(s_.pod.spec.initContainers, [&](const kube::Container& container) {
        const ContainerView& view = view_.at(container.name);
        const Instance* ran = view.ran();
        bool counts = ran != nullptr && view.active() == nullptr &&
                      (!anew || ran->source != Instance::Source::status);
        return !is_sidecar(container) && counts && ran->ended->exit_code != 0 &&
               !restarts_after(s_.pod.spec, container, ContainerRole::init, ran->ended->exit_code);
    });
}

// True when all regular containers have ended for good, or an init container failed for good: only
// sidecars may still run.
bool Deciding::work_is_over() const {
    if (!regular_started() && init_failed_for_good()) {
        return true;
    }
    return std::ranges::all_of(s_.pod.spec.containers, [this](const kube::Container& container) {
        const ContainerView& view = view_.at(container.name);
        const Instance* ran = view.ran();
        bool again = memory(container.name).after_stop != ContainerMemory::AfterStop::policy;
        return ran != nullptr && view.active() == nullptr && !again &&
               !restarts_after(s_.pod.spec, container, ContainerRole::regular,
                               ran->ended->exit_code);
    });
}

}  // namespace skiff::pods
