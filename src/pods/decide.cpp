#include "pods/decide.h"

#include <algorithm>
#include <array>

#include "kube/pod_fields.h"
#include "pods/deciding.h"
#include "pods/hooks.h"
#include "pods/unsupported.h"

namespace skiff::pods {
namespace {

// When activeDeadlineSeconds is over: counted from the pod's first status, which may be this one.
std::optional<WallTime> active_deadline(const Situation& s) {
    if (!s.pod.spec.activeDeadlineSeconds) {
        return std::nullopt;
    }
    WallTime began = s.previous.startTime ? s.previous.startTime->at : s.now;
    return began + std::chrono::seconds(*s.pod.spec.activeDeadlineSeconds);
}

// The reasons of a pod that its node ends; an agent that starts finds them in the status.
bool ends_pod(std::string_view reason) {
    constexpr std::array<std::string_view, 4> kReasons = {"DeadlineExceeded", "Evicted",
                                                          "Preempting", "Terminated"};
    return std::ranges::find(kReasons, reason) != kReasons.end();
}

// Of a pod that ends by itself or by its node.
Duration end_grace(const Situation& situation) {
    Duration grace = spec_grace(situation.pod);
    const auto& eviction = situation.memory.eviction;
    return eviction && eviction->grace ? std::min(grace, *eviction->grace) : grace;
}

}  // namespace

Duration bounded_grace(std::int64_t seconds) {
    constexpr std::int64_t kGraceSecondsMax = std::int64_t{10} * 365 * 24 * 60 * 60;
    return std::chrono::seconds(std::clamp(seconds, std::int64_t{0}, kGraceSecondsMax));
}

Duration spec_grace(const kube::Pod& pod) {
    return pod.spec.terminationGracePeriodSeconds
               ? bounded_grace(*pod.spec.terminationGracePeriodSeconds)
               : kDefaultGrace;
}

std::optional<Duration> Deciding::asked_grace() {
    const kube::Pod& pod = s_.pod;
    if (s_.memory.eviction) {
        failed_reason_ = s_.memory.eviction->reason;
        failed_message_ = s_.memory.eviction->message;
    } else if (ends_pod(s_.previous.reason)) {
        failed_reason_ = s_.previous.reason;
        failed_message_ = s_.previous.message;
    }
    if (pod.metadata.deletionTimestamp) {
        Duration asked = pod.metadata.deletionGracePeriodSeconds
                             ? bounded_grace(*pod.metadata.deletionGracePeriodSeconds)
                             : spec_grace(pod);
        return s_.memory.eviction ? std::min(asked, end_grace(s_)) : asked;
    }
    if (s_.memory.object == PodMemory::Object::gone) {
        if (s_.memory.termination) {
            return s_.memory.termination->grace;
        }
        // A manifest was removed or edited, which is how a static pod is asked to end; an API
        // object goes without a deletion that we saw only when it was forced.
        return is_static(pod) ? spec_grace(pod) : kGraceMin;
    }
    if (is_terminal(s_.previous.phase) || !failed_reason_.empty()) {
        return end_grace(s_);
    }
    if (auto deadline = active_deadline(s_)) {
        if (s_.now >= *deadline) {
            failed_reason_ = "DeadlineExceeded";
            failed_message_ = "Pod was active on the node longer than the specified deadline";
            return spec_grace(pod);
        }
        wake_at(*deadline);
    }
    return std::nullopt;
}

bool Deciding::anything_runs() const {
    auto active = [](const auto& entry) { return entry.second.active() != nullptr; };
    return std::ranges::any_of(view_, active) ||
           std::ranges::any_of(s_.records, [](const auto& record) { return !record.exit; });
}

bool Deciding::anything_starts() const {
    return s_.memory.sandbox.runs() || s_.memory.volumes.runs() ||
           std::ranges::any_of(s_.memory.containers,
                               [](const auto& entry) { return entry.second.start.runs(); });
}

void Deciding::set_up_pod() {
    Action action;
    const Step& step = s_.memory.sandbox.done() ? s_.memory.volumes : s_.memory.sandbox;
    action.kind = s_.memory.sandbox.done() ? Action::Kind::mount : Action::Kind::prepare;
    if (step.due(s_.now)) {
        out_.actions.push_back(std::move(action));
    } else if (step.phase == Step::Phase::failed) {
        wake_at(step.retry_at);
    }
}

void Deciding::keep_running() {
    if (s_.memory.admission.verdict == Admission::Verdict::pending) {
        return;
    }
    if (work_is_over()) {
        terminate(spec_grace(s_.pod));
        return;
    }
    if (!set_up()) {
        set_up_pod();
        return;
    }
    if (leave_past_round() == Passed::no) {
        return;
    }
    resize_live();
    run_ephemeral();
    if (run_init_containers() == Passed::yes) {
        run_regular_containers();
    }
    collect_outdated();
}

void Deciding::collect_outdated() {
    for (const auto& [name, view] : view_) {
        for (const ContainerId& id : view.outdated) {
            Action action;
            action.kind = Action::Kind::remove_container;
            action.container = name;
            action.id = id;
            out_.actions.push_back(std::move(action));
        }
    }
}

void Deciding::name_waiting(const kube::Container& container) {
    if (view_.at(container.name).runs() || waiting_.contains(container.name)) {
        return;
    }
    if (auto field = unsupported(s_.pod, container)) {
        waiting_[container.name] = Waiting{"CreateContainerConfigError", *field};
        return;
    }
    const Step& volumes = s_.memory.volumes;
    if (volumes.failures > 0 && volumes.code == Code::unsupported) {
        waiting_[container.name] = Waiting{"CreateContainerConfigError", volumes.message};
        return;
    }
    const Step& start = memory(container.name).start;
    if (start.failures > 0 && !start.reason.empty()) {
        waiting_[container.name] = Waiting{start.reason, start.message};
    }
}

void Deciding::name_waiting() {
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        name_hook_failure(container, ContainerRole::sidecar);
    }
    for (const kube::Container& container : s_.pod.spec.containers) {
        name_hook_failure(container, ContainerRole::regular);
    }
    kube::for_each_container(s_.pod.spec,
                             [this](const kube::Container& container) { name_waiting(container); });
}

void Deciding::finish_status() {
    if (is_terminal(s_.pod.status.phase) && std::ranges::all_of(s_.records, is_earlier)) {
        // It ended in an earlier life of this node: there is nothing to add to what is known, but
        // that an edit since then was seen (contract row 17).
        out_.status = s_.pod.status;
        out_.status.observedGeneration = s_.pod.metadata.generation;
        return;
    }
    if (finality_ == Finality::open) {
        name_waiting();
    } else {
        waiting_.clear();
    }
    // A pod that ends shows what is; before, a container counts once its postStart hook succeeded.
    const PodView shown =
        out_.termination ? view_ : without_unstarted(view_, s_.pod, s_.memory, s_.previous);
    StatusInputs inputs{s_, shown, waiting_, finality_, failed_reason_, failed_message_};
    out_.status = status_of(inputs);
}

Decision Deciding::run() {
    auto grace = asked_grace();
    if (s_.memory.admission.verdict == Admission::Verdict::rejected) {
        if (grace) {
            terminate(*grace);
        }
        out_.status = rejected_status(s_);
        return std::move(out_);
    }
    if (grace) {
        terminate(*grace);
    } else {
        keep_running();
    }
    finish_status();
    return std::move(out_);
}

Decision decide(const Situation& situation) {
    return Deciding(situation).run();
}

bool is_terminating(const Situation& situation) {
    return situation.pod.metadata.deletionTimestamp.has_value() ||
           situation.memory.object == PodMemory::Object::gone ||
           is_terminal(situation.previous.phase);
}

}  // namespace skiff::pods
