#include "pods/decide.h"

#include <algorithm>

#include "pods/status_of.h"
#include "pods/unsupported.h"

namespace skiff::pods {
namespace {

const ContainerMemory kNothing;

// One decision in the making.
class Deciding {
public:
    explicit Deciding(const Situation& situation)
        : s_(situation),
          view_(observe(situation.pod, situation.records, situation.previous, situation.now)) {}

    Decision run();

private:
    [[nodiscard]] const ContainerMemory& memory(const std::string& container) const {
        auto found = s_.memory.containers.find(container);
        return found == s_.memory.containers.end() ? kNothing : found->second;
    }
    void wake_at(WallTime time) {
        if (!out_.wake || time < *out_.wake) {
            out_.wake = time;
        }
    }

    // Whether the pod has to end now, and within which grace.
    [[nodiscard]] std::optional<Duration> asked_grace();
    void terminate(Duration grace);
    void stop_in_order(const Termination& termination);
    void stop(const kube::Container& container, ContainerKind kind, const Termination& termination);
    // Whether a stop that failed is due again.
    [[nodiscard]] bool stop_failed(const ContainerMemory& memory) {
        if (memory.stop_retry_at && s_.now < *memory.stop_retry_at) {
            wake_at(*memory.stop_retry_at);
        }
        return memory.stop_retry_at && *memory.stop_retry_at <= s_.now;
    }
    void clean_up();
    void keep_running();
    void set_up_pod();
    [[nodiscard]] bool set_up() const {
        return s_.memory.sandbox.done() && s_.memory.volumes.done();
    }
    enum class Passed { no, yes };
    [[nodiscard]] Passed run_init_containers();
    [[nodiscard]] Passed run_plain_init(const kube::Container& container);
    void run_regular(const kube::Container& container);
    void start(const kube::Container& container, ContainerRole role);
    void replace(const kube::Container& container);
    void name_waiting();
    void name_waiting(const kube::Container& container);
    void collect_outdated();
    [[nodiscard]] bool anything_runs() const;
    [[nodiscard]] bool anything_starts() const;
    [[nodiscard]] bool regular_started() const;
    [[nodiscard]] bool work_is_over() const;
    void finish_status();

    const Situation& s_;
    PodView view_;
    Decision out_;
    std::map<std::string, Waiting> waiting_;
    std::string failed_reason_;
    std::string failed_message_;
    StatusInputs::Finality finality_ = StatusInputs::Finality::open;
};

// When activeDeadlineSeconds is over: counted from the pod's first status, which may be this one.
std::optional<WallTime> active_deadline(const Situation& s) {
    if (!s.pod.spec.activeDeadlineSeconds) {
        return std::nullopt;
    }
    WallTime began = s.previous.startTime ? s.previous.startTime->at : s.now;
    return began + std::chrono::seconds(*s.pod.spec.activeDeadlineSeconds);
}

// Of a container that never failed: its first restart is immediate.
CrashBackOff fresh_back_off(const kube::Container& container, WallTime now) {
    CrashBackOff fresh;
    fresh.updated = now;
    fresh.spec_hash = spec_hash(container);
    return fresh;
}

// The API server takes any number; so long is for ever, and sums with it do not wrap.
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
    if (s_.previous.reason == "DeadlineExceeded") {
        failed_reason_ = s_.previous.reason;
        failed_message_ = s_.previous.message;
    }
    if (pod.metadata.deletionTimestamp) {
        return pod.metadata.deletionGracePeriodSeconds
                   ? bounded_grace(*pod.metadata.deletionGracePeriodSeconds)
                   : spec_grace(pod);
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
        return spec_grace(pod);
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

bool Deciding::regular_started() const {
    bool anew = s_.memory.boot == PodMemory::Boot::anew;
    return std::ranges::any_of(s_.pod.spec.containers, [&](const kube::Container& container) {
        const ContainerView& view = view_.at(container.name);
        const auto& latest = view.latest;
        return view.starting || (latest && (!anew || latest->source == Instance::Source::record));
    });
}

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
    out_.actions.push_back(std::move(action));
}

// Regular and plain init containers at once, then the sidecars from the last to the first.
void Deciding::stop_in_order(const Termination& termination) {
    bool others_run = false;
    for (const kube::Container& container : s_.pod.spec.containers) {
        others_run = others_run || view_.at(container.name).active() != nullptr;
        stop(container, ContainerKind::regular, termination);
    }
    for (const kube::Container& container : s_.pod.spec.initContainers) {
        if (!is_sidecar(container)) {
            others_run = others_run || view_.at(container.name).active() != nullptr;
            stop(container, ContainerKind::init, termination);
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
    finality_ = StatusInputs::Finality::final;
    clean_up();
}

// Nothing runs any more: give back what the pod held, then let its object go.
void Deciding::clean_up() {
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
    if (run_init_containers() == Passed::yes) {
        for (const kube::Container& container : s_.pod.spec.containers) {
            run_regular(container);
        }
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
        name_waiting(container);
    }
    for (const kube::Container& container : s_.pod.spec.containers) {
        name_waiting(container);
    }
}

void Deciding::finish_status() {
    if (is_terminal(s_.pod.status.phase) && std::ranges::all_of(s_.records, is_earlier)) {
        // It ended in an earlier life of this node: there is nothing to add to what is known.
        out_.status = s_.pod.status;
        return;
    }
    if (finality_ == StatusInputs::Finality::open) {
        name_waiting();
    } else {
        waiting_.clear();
    }
    StatusInputs inputs{s_, view_, waiting_, finality_, failed_reason_, failed_message_};
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

}  // namespace

Decision decide(const Situation& situation) {
    return Deciding(situation).run();
}

bool is_terminating(const Situation& situation) {
    return situation.pod.metadata.deletionTimestamp.has_value() ||
           situation.memory.object == PodMemory::Object::gone ||
           is_terminal(situation.previous.phase);
}

}  // namespace skiff::pods
