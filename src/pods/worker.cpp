#include "pods/worker.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "kube/pod_fields.h"
#include "pods/annotations.h"
#include "pods/conditions.h"
#include "pods/container_config.h"
#include "pods/resize.h"
#include "pods/resources.h"
#include "pods/unsupported.h"

namespace skiff::pods {
namespace {

bool is_transient(Code code) {
    return code == Code::unavailable || code == Code::timeout || code == Code::denied ||
           code == Code::unauthenticated;
}

// Whether this node took the pod before: the API server's copy or the node's records say so.
bool was_taken(const kube::Pod& pod, const std::vector<ContainerRecord>& records) {
    return !records.empty() || pod.status.startTime.has_value() ||
           !pod.status.containerStatuses.empty();
}

}  // namespace

Worker::Worker(const WorkerContext& context, std::shared_ptr<const kube::Pod> pod)
    : context_(context),
      ports_(context.ports),
      uid_(pod->metadata.uid),
      desired_(std::move(pod)),
      pod_(desired_),
      status_(pod_->status),
      resync_at_(context.clock.steady_now() + context.resync),
      starts_(context.executor),
      scope_(context.executor) {
    auto records = ports_.runtime.containers(uid_);
    if (was_taken(*pod_, records)) {
        memory_.admission.verdict = Admission::Verdict::admitted;
        recall_allocation();
    }
    if (sandbox_was_lost(records, status_)) {
        memory_.boot = PodMemory::Boot::anew;
    }
}

bool Worker::is_taken() const {
    return memory_.admission.verdict == Admission::Verdict::admitted && !is_terminal(status_.phase);
}

void Worker::update(std::shared_ptr<const kube::Pod> pod) {
    if (is_gone()) {
        return;
    }
    if (pod->metadata.generation != pod_->metadata.generation ||
        pod->metadata.labels != pod_->metadata.labels ||
        pod->metadata.annotations != pod_->metadata.annotations) {
        objects_changed();
    }
    desired_ = std::move(pod);
    bool keeps = memory_.admission.verdict == Admission::Verdict::admitted &&
                 differ_in_resources(desired_->spec, pod_->spec);
    pod_ = keeps ? std::make_shared<const kube::Pod>(with_resources_of(*desired_, pod_->spec))
                 : desired_;
    wake_.set();
}

void Worker::objects_changed() {
    want_refresh();
    WallTime now = context_.clock.wall_now();
    auto try_now = [now](Step& step) {
        if (step.phase == Step::Phase::failed) {
            step.retry_at = std::min(step.retry_at, now);
        }
    };
    try_now(memory_.volumes);
    for (auto& [name, memory] : memory_.containers) {
        if (memory.start.reason == "CreateContainerConfigError") {
            try_now(memory.start);
        }
    }
    wake_.set();
}

void Worker::want_refresh() {
    bool runs = refresh_ == Refresh::running || refresh_ == Refresh::running_stale;
    refresh_ = runs ? Refresh::running_stale : Refresh::wanted;
}

void Worker::object_gone() {
    memory_.object = PodMemory::Object::gone;
    wake_.set();
}

Task<void> Worker::run() {
    while (turn() == Turn::wait) {
        auto woken = co_await wake_.wait(deadline());
        wake_.reset();
        if (!woken && woken.error().code == Code::cancelled) {
            co_return;
        }
    }
    auto joined = co_await scope_.join();
    if (joined) {
        co_await starts_.stop();
    }
}

Task<void> Worker::stop() {
    co_await starts_.stop();
    co_await scope_.stop();
}

SteadyTime Worker::deadline() const {
    SteadyTime earliest = resync_at_;
    if (wake_at_) {
        Duration left = std::max(Duration(*wake_at_ - context_.clock.wall_now()), Duration(0));
        // A millisecond more, so that rounding never wakes too early.
        earliest =
            std::min(earliest, context_.clock.steady_now() + left + std::chrono::milliseconds(1));
    }
    if (refresh_ == Refresh::wanted && memory_.volumes.done() && !memory_.termination) {
        earliest = std::min(earliest, refresh_not_before_);
    }
    return hold_until_ ? std::min(earliest, *hold_until_) : earliest;
}

PodFacts Worker::facts() const {
    PodFacts facts;
    facts.node_name = context_.node.node_name;
    facts.host_ips = context_.node.host_ips;
    facts.pod_ips = network_.pod_ips;
    facts.allocatable = context_.node.allocatable;
    for (const auto& [name, limit] : limits_of(pod_->spec, kube::Container())) {
        facts.allocatable[name] = limit;  // the pod's own, for containers without one
    }
    facts.memory_capacity = context_.node.memory_capacity;
    return facts;
}

void Worker::judge_admission() {
    if (memory_.admission.verdict != Admission::Verdict::pending ||
        pod_->metadata.deletionTimestamp || is_terminal(status_.phase)) {
        return;
    }
    memory_.admission = context_.admit(*this);
    if (memory_.admission.verdict == Admission::Verdict::rejected) {
        ports_.events.emit(*pod_, {}, EventType::warning, memory_.admission.reason,
                           memory_.admission.message);
    }
    if (memory_.admission.verdict == Admission::Verdict::admitted) {
        for (const std::string& line : unknown_annotations(*pod_)) {
            ports_.events.emit(*pod_, {}, EventType::warning, "UnknownAnnotation", line);
        }
        for (const std::string& line : refused_powers(*pod_)) {
            ports_.events.emit(*pod_, {}, EventType::warning, "NotGranted", line);
        }
        for (const std::string& line : without_effect(*pod_, context_.node.guest_input)) {
            ports_.events.emit(*pod_, {}, EventType::warning, "WithoutEffect", line);
        }
    }
}

// One event for each wish that is not granted, however often the pod is looked at.
void Worker::tell_once() {
    kube::for_each_container(pod_->spec, [this](const kube::Container& container) {
        auto field = unsupported(*pod_, container);
        if (field && told_.insert(container.name + *field).second) {
            ports_.events.emit(*pod_, container.name, EventType::warning, "Failed",
                               "Error: " + *field);
        }
    });
}

void Worker::tell_back_offs(const Decision& decision) {
    for (const BackOffNotice& notice : decision.back_offs) {
        auto& told = memory_.containers[notice.container].told_back_off;
        if (told != notice.attempt) {
            told = notice.attempt;
            ports_.events.emit(*pod_, notice.container, EventType::warning, "BackOff",
                               fmt::format("Back-off restarting failed container {} in pod {}",
                                           notice.container, describe_pod(*pod_)));
        }
    }
}

// A runner has begun before its guest turns out not to be startable.
void Worker::tell_start_errors(const std::vector<ContainerRecord>& records) {
    for (const ContainerRecord& record : records) {
        if (!record.exit || record.exit->kind != ExitKind::start_failed) {
            continue;
        }
        auto memory = memory_.containers.find(record.name);
        if (memory != memory_.containers.end() && memory->second.begun == record.attempt) {
            memory->second.begun.reset();
            ports_.events.emit(*pod_, record.name, EventType::warning, "Failed",
                               "Error: " + record.exit->message);
        }
    }
}

Worker::Turn Worker::turn() {
    bool held = is_taken();
    judge_admission();
    judge_resize();
    auto records = ports_.runtime.containers(uid_);
    tell_start_errors(records);
    cut_hooks_of_ended(records);
    auto results = probe(records);
    const ProbeResults* probes = results ? &*results : nullptr;
    Situation situation{*pod_,         records,          status_, memory_,
                        context_.node, network_.pod_ips, probes,  context_.clock.wall_now()};
    Decision decision = decide(situation);
    kube::PodStatus before = std::exchange(status_, std::move(decision.status));
    wake_at_ = decision.wake;
    // A pod whose work was over may be restarted as a whole: its next end has all its grace again.
    memory_.termination = decision.termination;
    if (memory_.admission.verdict == Admission::Verdict::admitted && !is_terminal(status_.phase)) {
        tell_once();
    }
    tell_back_offs(decision);
    tell_resize(before);
    if (held && !is_taken()) {
        context_.room_made();
    }
    Turn result = Turn::wait;
    // The status goes out before what follows from it (finish), but knows what has just begun.
    bool finishes = std::ranges::any_of(
        decision.actions, [](const Action& action) { return action.kind == Action::Kind::finish; });
    if (finishes) {
        publish();
    }
    for (const Action& action : decision.actions) {
        if (carry_out(action) == Turn::retire) {
            result = Turn::retire;
        }
    }
    refresh_if_due();
    if (result == Turn::wait) {
        publish();
    }
    return result;
}

// Whether a better status is about to come, so that this one may wait a little.
bool Worker::may_hold() const {
    if (is_terminal(status_.phase) || pod_->metadata.deletionTimestamp ||
        memory_.termination.has_value()) {
        return false;
    }
    bool starts = memory_.sandbox.runs() || memory_.volumes.runs() ||
                  std::ranges::any_of(memory_.containers,
                                      [](const auto& entry) { return entry.second.start.runs(); });
    auto plain = [](const kube::ContainerStatus& status) {
        return !status.state.waiting || status.state.waiting->reason == "ContainerCreating" ||
               status.state.waiting->reason == "PodInitializing";
    };
    return starts && std::ranges::all_of(status_.containerStatuses, plain) &&
           std::ranges::all_of(status_.initContainerStatuses, plain);
}

void Worker::publish() {
    // A pod that nobody judged yet has no status of ours: with one it would count as taken by the
    // next agent.
    bool unjudged = memory_.admission.verdict == Admission::Verdict::pending &&
                    !pod_->metadata.deletionTimestamp && !is_terminal(pod_->status.phase);
    if (is_gone() || unjudged) {
        hold_until_.reset();
        return;
    }
    bool same = published_ && *published_ == status_;
    if (same && published_pod_ == pod_) {
        hold_until_.reset();
        return;
    }
    SteadyTime now = context_.clock.steady_now();
    if (!same && may_hold()) {
        bool first = !published_ && pod_->status.containerStatuses.empty();
        if (!hold_until_) {
            hold_until_ = now + (first ? kFirstStatusHold : kNextStatusHold);
        }
        if (now < *hold_until_) {
            return;
        }
    }
    hold_until_.reset();
    published_ = status_;
    published_pod_ = pod_;
    ports_.status.publish(pod_, status_);
}

WallTime Worker::jittered(Duration delay) {
    auto extra = static_cast<std::int64_t>(context_.random.uniform() * 0.5 *
                                           static_cast<double>(delay.count()));
    return context_.clock.wall_now() + delay + Duration(extra);
}

WallTime Worker::retry_time(const Step& step, const Error& error) {
    if (!is_transient(error.code)) {
        return jittered(kErrorRetry);
    }
    Duration delay = kTransientRetry;
    for (std::uint32_t i = 1; i < step.failures && delay < kErrorRetry; ++i) {
        delay *= 2;
    }
    return context_.clock.wall_now() + std::min(delay, kErrorRetry);
}

void Worker::settle(Step& step, const Result<void>& result) {
    wake_.set();
    if (result) {
        step = Step{};
        step.phase = Step::Phase::done;
        return;
    }
    const Error& error = result.error();
    if (error.code == Code::cancelled) {
        step.phase = Step::Phase::idle;
        return;
    }
    ++step.failures;
    step.phase = Step::Phase::failed;
    step.code = error.code;
    step.reason = error.reason;
    step.message = error.message;
    step.retry_at = retry_time(step, error);
}

Worker::Turn Worker::carry_out(const Action& action) {
    switch (action.kind) {
        case Action::Kind::prepare:
            memory_.sandbox.phase = Step::Phase::running;
            starts_.spawn("prepare pod", prepare());
            break;
        case Action::Kind::mount:
            memory_.volumes.phase = Step::Phase::running;
            starts_.spawn("mount volumes", mount());
            break;
        case Action::Kind::start:
            begin_start(action);
            break;
        case Action::Kind::stop:
            begin_stop(action);
            break;
        case Action::Kind::post_start:
            begin_post_start(action);
            break;
        case Action::Kind::pre_stop:
            begin_pre_stop(action);
            break;
        case Action::Kind::cancel_starts:
            if (told_.insert("cancel").second) {
                scope_.spawn("cancel starts", cancel_starts());
            }
            break;
        case Action::Kind::resize:
            memory_.resize.phase = Step::Phase::running;
            scope_.spawn("resize pod", resize());
            break;
        case Action::Kind::remove_container:
            if (removing_.insert(action.id).second) {
                scope_.spawn("remove container", remove_container(action.id));
            }
            break;
        case Action::Kind::tear_down:
            memory_.tear_down.phase = Step::Phase::running;
            scope_.spawn("tear down pod", tear_down());
            break;
        case Action::Kind::finish:
            memory_.finish = PodMemory::Finish::asked;
            ports_.status.finish(pod_);
            break;
        case Action::Kind::remove_pod:
            memory_.removal.phase = Step::Phase::running;
            scope_.spawn("remove pod", remove_pod());
            break;
        case Action::Kind::retire:
            return Turn::retire;
    }
    return Turn::wait;
}

void Worker::begin_start(const Action& action) {
    ContainerMemory& memory = memory_.containers[action.container];
    memory.start.phase = Step::Phase::running;
    memory.start_round = action.round;
    memory.stop_by.reset();
    memory.stop_retry_at.reset();
    StartRequest request;
    request.pod = pod_;
    request.container = action.container;
    request.kind = action.container_kind;
    request.attempt = action.attempt;
    request.round = action.round;
    request.handler = handler_;
    request.facts = facts();
    request.default_egress = context_.node.default_egress;
    request.listening = context_.node.listening;
    request.guest_input = context_.node.guest_input;
    request.network = network_;
    request.volumes = volumes_;
    starts_.spawn("start container", start(std::move(request), action.back_off));
}

void Worker::begin_stop(const Action& action) {
    ContainerMemory& memory = memory_.containers[action.container];
    memory.stop_by = action.stop_by;
    memory.stop_retry_at.reset();
    memory.after_stop = action.after_stop;
    cut_hook(action.container);
    if (!action.message.empty()) {
        ports_.events.emit(*pod_, action.container, EventType::normal, "Killing", action.message);
    }
    scope_.spawn("stop container", stop_container(action.container, action.id, action.grace));
}

void Worker::refresh_if_due() {
    SteadyTime now = context_.clock.steady_now();
    if (now >= resync_at_) {
        auto extra = static_cast<std::int64_t>(context_.random.uniform() * 0.5 *
                                               static_cast<double>(context_.resync.count()));
        resync_at_ = now + context_.resync + Duration(extra);
        want_refresh();
    }
    if (refresh_ == Refresh::wanted && memory_.volumes.done() && !memory_.termination &&
        now >= refresh_not_before_) {
        refresh_ = Refresh::running;
        refresh_not_before_ = now + kRefreshPause;
        starts_.spawn("refresh volumes", refresh());
    }
}

}  // namespace skiff::pods
