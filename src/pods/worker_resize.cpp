// The worker's part in the in-place resize (contract row 65): asking for room, acting upon what was
// allocated, and telling of it.
#include <algorithm>

#include "base/log.h"
#include "pods/resize.h"
#include "pods/resources.h"
#include "pods/worker.h"

namespace skiff::pods {
namespace {

const kube::PodCondition* find_condition(const kube::PodStatus& status, std::string_view type) {
    auto found = std::ranges::find(status.conditions, type, &kube::PodCondition::type);
    return found == status.conditions.end() ? nullptr : &*found;
}

// One running container that is given other limits.
struct Change {
    std::string name;
    ContainerId id;
    ContainerLimits from;
    ContainerLimits to;
    kube::ResourceRequirements resources;
};

ContainerLimits limits_of_run(const kube::ResourceRequirements& resources) {
    ContainerLimits limits;
    limits.memory = memory_limit(resources.limits);
    limits.cpu_limit_millis = cpu_millis(resources.limits);
    limits.cpu_request_millis = cpu_millis(resources.requests);
    return limits;
}

std::vector<Change> changes_of(const kube::Pod& pod, const PodView& view) {
    std::vector<Change> changes;
    for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
        for (const kube::Container& container : *list) {
            const auto& latest = view.at(container.name).latest;
            if (!latest || resize_need(pod.spec, container, *latest) != ResizeNeed::live) {
                continue;
            }
            Change change;
            change.name = container.name;
            change.id = latest->id;
            change.from = limits_of_run(*latest->resources);
            change.to = container_limits(pod.spec, container);
            change.resources = run_resources(pod.spec, container);
            changes.push_back(std::move(change));
        }
    }
    return changes;
}

// Whether `to` allows less than `from`; no limit is the most.
template <typename T>
bool shrinks(const std::optional<T>& from, const std::optional<T>& to) {
    return to && (!from || *to < *from);
}

template <typename T>
std::optional<T> larger(const std::optional<T>& a, const std::optional<T>& b) {
    return a && b ? std::optional<T>(std::max(*a, *b)) : std::nullopt;
}

// The pod's share while containers grow and shrink in it: never less than what either state needs.
PodSandbox larger_share(const PodSandbox& before, const PodSandbox& after) {
    PodSandbox share = after;
    share.memory_limit = larger(before.memory_limit, after.memory_limit);
    share.cpu_limit_millis = larger(before.cpu_limit_millis, after.cpu_limit_millis);
    return share;
}

// A memory limit below what is in use would kill instead of limit.
Result<void> check_memory(const Runtime& runtime, const std::vector<Change>& changes) {
    std::vector<std::string> problems;
    for (const Change& change : changes) {
        if (!shrinks(change.from.memory, change.to.memory)) {
            continue;
        }
        auto usage = runtime.usage(change.id);
        if (usage && usage->memory_working_set.value >= change.to.memory->value) {
            problems.push_back(fmt::format(
                "attempting to set container \"{}\" memory limit ({}) below current usage ({})",
                change.name, change.to.memory->value, usage->memory_working_set.value));
        }
    }
    if (problems.empty()) {
        return {};
    }
    bool one = problems.size() == 1;
    return fail(Code::unavailable, "cannot decrease memory limits: {}{}{}", one ? "" : "[",
                fmt::join(problems, ", "), one ? "" : "]");
}

// The same for the pod as a whole.
Result<void> check_pod_memory(const Runtime& runtime, const std::vector<ContainerRecord>& records,
                              const PodSandbox& before, const PodSandbox& after) {
    if (!shrinks(before.memory_limit, after.memory_limit)) {
        return {};
    }
    std::uint64_t used = 0;
    for (const ContainerRecord& record : records) {
        if (auto usage = runtime.usage(record.id)) {
            used += usage->memory_working_set.value;
        }
    }
    if (used < after.memory_limit->value) {
        return {};
    }
    return fail(Code::unavailable,
                "cannot decrease memory limits: attempting to set pod memory limit ({}) below "
                "current usage ({})",
                after.memory_limit->value, used);
}

}  // namespace

void Worker::recall_allocation() {
    auto text = ports_.runtime.allocation(uid_);
    auto stored = text ? parse_allocation(*text) : allocation_of_status(*desired_);
    if (!stored) {
        log::warn("allocation not readable, the status tells", log::kv("uid", uid_),
                  log::kv("error", stored.error().message));
        stored = allocation_of_status(*desired_);
    }
    if (differ_in_resources(desired_->spec, *stored)) {
        pod_ = std::make_shared<const kube::Pod>(with_resources_of(*desired_, *stored));
    }
    if (const auto* pending = find_condition(status_, kResizePending)) {
        memory_.resize_pending =
            PendingResize{pending->reason, pending->message, pending->observedGeneration};
    }
    if (const auto* progress = find_condition(status_, kResizeInProgress)) {
        memory_.resize_generation = progress->observedGeneration;
    }
}

void Worker::retry_resize() {
    ask_resize_ = Ask::again;
    judge_resize();
    wake_.set();
}

void Worker::judge_resize() {
    if (memory_.admission.verdict != Admission::Verdict::admitted || is_gone() ||
        is_terminal(status_.phase) || desired_->metadata.deletionTimestamp || is_evicted()) {
        return;
    }
    if (desired_ == pod_ || !differ_in_resources(desired_->spec, pod_->spec)) {
        memory_.resize_pending.reset();
        return;
    }
    std::int64_t generation = desired_->metadata.generation;
    auto& pending = memory_.resize_pending;
    if (pending && pending->generation == generation && ask_resize_ == Ask::once) {
        return;
    }
    ResizeVerdict verdict = context_.admit_resize(*this, *desired_);
    if (verdict.kind == ResizeVerdict::Kind::unknown) {
        return;
    }
    ask_resize_ = Ask::once;
    if (verdict.kind == ResizeVerdict::Kind::allocated) {
        allocate();
        return;
    }
    bool deferred = verdict.kind == ResizeVerdict::Kind::deferred;
    std::string reason = deferred ? "Deferred" : "Infeasible";
    bool told = pending && pending->generation == generation && pending->reason == reason;
    pending = PendingResize{reason, verdict.message, generation};
    if (!told) {
        ports_.events.emit(*pod_, {}, EventType::warning,
                           deferred ? "ResizeDeferred" : "ResizeInfeasible",
                           resize_message(deferred ? verdict.reason : reason, *desired_, generation,
                                          verdict.message));
    }
}

// The desired resources are the pod's from now on, also for the next agent.
void Worker::allocate() {
    pod_ = desired_;
    std::int64_t generation = pod_->metadata.generation;
    ports_.runtime.store_allocation(uid_, format_allocation(pod_->spec));
    memory_.resize_pending.reset();
    memory_.resize_generation = generation;
    if (!memory_.resize.runs()) {
        memory_.resize = Step{};
    }
    ports_.events.emit(*pod_, {}, EventType::normal, "ResizeStarted",
                       resize_message("started", *pod_, generation));
    context_.room_made();
}

void Worker::tell_resize(const kube::PodStatus& before) {
    if (find_condition(before, kResizeInProgress) == nullptr ||
        find_condition(status_, kResizeInProgress) != nullptr || is_terminal(status_.phase) ||
        memory_.termination) {
        return;
    }
    ports_.events.emit(*pod_, {}, EventType::normal, "ResizeCompleted",
                       resize_message("completed", *pod_, memory_.resize_generation.value_or(0)));
}

Task<Result<void>> Worker::resize_to(std::shared_ptr<const kube::Pod> pod) {
    auto records = ports_.runtime.containers(uid_);
    auto changes = changes_of(*pod, observe(*pod, records, status_, context_.clock.wall_now()));
    PodSandbox wanted = sandbox_of(*pod);
    wanted.allocation = format_allocation(pod->spec);
    PodSandbox before = memory_.share.value_or(wanted);
    SKIFF_CO_CHECK(check_memory(ports_.runtime, changes));
    SKIFF_CO_CHECK(check_pod_memory(ports_.runtime, records, before, wanted));
    PodSandbox between = larger_share(before, wanted);
    SKIFF_CO_CHECK(co_await ports_.runtime.prepare_pod(between));
    memory_.share = between;
    // What shrinks makes room for what grows.
    std::ranges::stable_partition(changes, [](const Change& change) {
        return shrinks(change.from.memory, change.to.memory) ||
               shrinks(change.from.cpu_limit_millis, change.to.cpu_limit_millis);
    });
    for (const Change& change : changes) {
        auto resized = co_await ports_.runtime.resize(change.id, change.to, change.resources);
        // It may have ended meanwhile; its next run has what was allocated.
        if (!resized && resized.error().code != Code::conflict) {
            co_return fail(
                std::move(resized.error()).context(fmt::format("container {}", change.name)));
        }
    }
    SKIFF_CO_CHECK(co_await ports_.runtime.prepare_pod(wanted));
    memory_.share = wanted;
    co_return Result<void>();
}

Task<void> Worker::resize() {
    std::string told = memory_.resize.message;
    auto result = co_await resize_to(pod_);
    if (!result && result.error().code != Code::cancelled && result.error().message != told) {
        ports_.events.emit(*pod_, {}, EventType::warning, "ResizeError",
                           resize_message("error", *pod_, memory_.resize_generation.value_or(0),
                                          result.error().message));
    }
    settle(memory_.resize, result);
}

void Worker::evict(Eviction eviction) {
    if (!is_evicted() && !is_terminal(status_.phase)) {
        memory_.eviction = std::move(eviction);
        wake_.set();
    }
}

}  // namespace skiff::pods
