#include "pods/pods.h"

#include <algorithm>

#include "base/log.h"
#include "pods/admission.h"
#include "pods/observed.h"
#include "pods/preemption.h"
#include "pods/resize.h"

namespace skiff::pods {
namespace {

// A shorter one would leave time for nothing else.
constexpr Duration kResyncMin = std::chrono::seconds(1);
constexpr Duration kBeat = std::chrono::seconds(1);
constexpr Duration kBeatMissing = std::chrono::minutes(2);
constexpr Duration kLabelsRetry = std::chrono::seconds(2);
constexpr Duration kOrphanGrace = std::chrono::seconds(10);
// A look at a folder; the kubelet does it every 2 s.
constexpr Duration kHousekeeping = std::chrono::seconds(10);

}  // namespace

Pods::Pods(async::Executor executor, const Clock& clock, Random& random, const Ports& ports,
           PodsSettings settings)
    : context_{executor,
               clock,
               random,
               ports,
               std::move(settings.node),
               {},
               {},
               {},
               std::max(settings.resync, kResyncMin)},
      pods_max_(settings.pods_max),
      node_labels_(std::move(settings.node_labels)),
      observe_node_(std::move(settings.observe_node)),
      scope_(executor) {
    context_.admit = [this](const Worker& worker) { return judge(worker); };
    context_.admit_resize = [this](const Worker& worker, const kube::Pod& desired) {
        return judge_resize(worker, desired);
    };
    context_.room_made = [this] { offer_room(); };
    auto poke = [this](const PodUid& uid) {
        auto found = workers_.find(uid);
        if (found != workers_.end()) {
            found->second->poke();
        }
    };
    context_.ports.runtime.set_observer(poke);
    context_.ports.probes.set_observer(poke);
    context_.ports.objects.set_observer([this](const PodUid& uid) {
        auto found = workers_.find(uid);
        if (found != workers_.end()) {
            found->second->objects_changed();
        }
    });
}

Pods::~Pods() {
    context_.ports.objects.set_observer({});
    context_.ports.runtime.set_observer({});
    context_.ports.probes.set_observer({});
}

void Pods::start() {
    scope_.spawn("pods heartbeat", beat());
}

Task<void> Pods::beat() {
    for (;;) {
        last_beat_ = context_.clock.steady_now();
        auto slept = co_await async::sleep_for(kBeat);
        if (!slept) {
            co_return;
        }
    }
}

bool Pods::healthy() const {
    return last_beat_ && context_.clock.steady_now() - *last_beat_ < kBeatMissing;
}

void Pods::apply(std::shared_ptr<const kube::Pod> pod) {
    PodUid uid(pod->metadata.uid);
    auto found = workers_.find(uid);
    if (leaving_.contains(uid)) {
        again_[uid] = std::move(pod);
        return;
    }
    if (found != workers_.end()) {
        if (found->second->is_gone()) {
            again_[uid] = std::move(pod);
        } else {
            found->second->update(std::move(pod));
        }
        return;
    }
    if (is_static(*pod) && is_leaving(*pod)) {
        // An edited manifest is another pod of the same name: it may want what that one still has.
        held_[uid] = std::move(pod);
        return;
    }
    auto worker = std::make_shared<Worker>(context_, std::move(pod));
    workers_[uid] = worker;
    scope_.spawn("pod " + uid.str(), run_worker(std::move(worker)));
}

bool Pods::is_leaving(const kube::Pod& pod) const {
    return std::ranges::any_of(workers_, [&](const auto& entry) {
        const kube::Pod& other = *entry.second->pod();
        return entry.second->is_gone() && is_static(other) &&
               other.metadata.name == pod.metadata.name &&
               other.metadata.namespace_ == pod.metadata.namespace_;
    });
}

// The workers that have just ended made room.
void Pods::apply_held() {
    for (auto& [uid, pod] : std::exchange(held_, {})) {
        apply(std::move(pod));  // or it is held again
    }
}

Task<void> Pods::run_worker(std::shared_ptr<Worker> worker) {
    co_await worker->run();
    auto cancelled = co_await async::is_cancelled();
    if (cancelled) {
        co_return;
    }
    PodUid uid = worker->uid();
    workers_.erase(uid);
    offer_room();
    apply_again(uid);
    apply_held();
}

void Pods::apply_again(const PodUid& uid) {
    auto again = again_.find(uid);
    if (again != again_.end()) {
        std::shared_ptr<const kube::Pod> pod = std::move(again->second);
        again_.erase(again);
        apply(std::move(pod));
    }
}

void Pods::remove(const PodUid& uid) {
    again_.erase(uid);
    held_.erase(uid);
    auto found = workers_.find(uid);
    if (found != workers_.end()) {
        found->second->object_gone();
    }
}

void Pods::sources_ready(std::function<bool(const PodUid&)> spared) {
    if (sources_ == Sources::ready) {
        return;
    }
    sources_ = Sources::ready;
    spared_ = std::move(spared);
    for (const auto& [uid, worker] : workers_) {
        worker->poke();
    }
    remove_orphans();
    scope_.spawn("housekeeping", keep_house());
}

Task<void> Pods::keep_house() {
    SteadyTime next = context_.clock.steady_now() + kHousekeeping;
    for (;;) {
        auto slept = co_await async::sleep_until(next);
        if (!slept) {
            co_return;
        }
        if (context_.clock.steady_now() >= next) {
            next = context_.clock.steady_now() + kHousekeeping;
            remove_orphans();
        }
    }
}

void Pods::remove_orphans() {
    for (const PodUid& uid : context_.ports.runtime.pods()) {
        bool exists = workers_.contains(uid) || (spared_ && spared_(uid));
        if (!exists && leaving_.insert(uid).second) {
            log::info("pod without object is removed", log::kv("uid", uid));
            scope_.spawn("orphan " + uid.str(), remove_orphan(uid));
        }
    }
}

Task<Result<void>> Pods::remove_orphan_once(PodUid uid) {
    const Ports& ports = context_.ports;
    // Its object may come while we wait: then it is no orphan any more.
    auto came_back = [this, &uid] { return again_.contains(uid); };
    auto records = ports.runtime.containers(uid);
    for (const ContainerRecord& record : records) {
        if (!record.exit && !came_back()) {
            ContainerId id = record.id;
            auto stopped = co_await ports.runtime.stop(id, kOrphanGrace);
            if (!stopped) {
                co_return stopped;
            }
        }
    }
    if (came_back()) {
        co_return Result<void>();
    }
    auto volumes = co_await ports.volumes.tear_down(uid);
    auto network = co_await ports.network.tear_down(uid);
    if (!volumes) {
        co_return volumes;
    }
    if (!network || came_back()) {
        co_return network;
    }
    auto removed = co_await ports.runtime.remove_pod(uid);
    if (removed) {
        ports.images.release(uid);
    }
    co_return removed;
}

// Once; what is left is found again at the next look.
Task<void> Pods::remove_orphan(PodUid uid) {
    auto removed = co_await remove_orphan_once(uid);
    if (!removed && removed.error().code == Code::cancelled) {
        co_return;
    }
    if (!removed) {
        log::error("pod without object not removed", log::kv("uid", uid),
                   log::kv("error", removed.error().message));
    }
    leaving_.erase(uid);
    apply_again(uid);
}

// Asks until the server answers; meanwhile the pod waits unjudged.
Task<void> Pods::fetch_labels(PodUid uid) {
    for (;;) {
        auto labels = co_await node_labels_.fetch();
        auto waiting = fetched_labels_.find(uid);
        auto worker = workers_.find(uid);
        if (waiting == fetched_labels_.end() || worker == workers_.end()) {
            fetched_labels_.erase(uid);
            co_return;
        }
        if (labels) {
            waiting->second = std::move(*labels);
            worker->second->poke();
            co_return;
        }
        if (labels.error().code == Code::cancelled) {
            co_return;
        }
        auto slept = co_await async::sleep_for(kLabelsRetry);
        if (!slept) {
            co_return;
        }
    }
}

Admission Pods::judge_affinity(const Worker& worker) {
    Admission admission;
    const kube::PodSpec& spec = worker.pod()->spec;
    const std::string& name = context_.node.node_name;
    auto known = node_labels_.known ? node_labels_.known() : std::nullopt;
    bool fits = !known || wants_node(spec, name, *known);
    if (!fits && node_labels_.fetch) {
        auto [fetched, is_first] = fetched_labels_.try_emplace(worker.uid());
        if (is_first) {
            scope_.spawn("labels for " + worker.uid().str(), fetch_labels(worker.uid()));
        }
        if (!fetched->second) {
            return admission;
        }
        fits = wants_node(spec, name, *fetched->second);
        fetched_labels_.erase(fetched);
    }
    admission.verdict = fits ? Admission::Verdict::admitted : Admission::Verdict::rejected;
    if (!fits) {
        admission.reason = "NodeAffinity";
        admission.message =
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    }
    return admission;
}

NodeState Pods::node_state() const {
    NodeState node;
    node.allocatable = context_.node.allocatable;
    node.pods_max = pods_max_;
    if (observe_node_) {
        observe_node_(node);
    }
    return node;
}

std::vector<const kube::Pod*> Pods::taken_beside(const Worker& worker, Evicted evicted) const {
    std::vector<const kube::Pod*> taken;
    for (const auto& [uid, other] : workers_) {
        bool counts = evicted == Evicted::counted || !other->is_evicted();
        if (other.get() != &worker && other->is_taken() && counts) {
            taken.push_back(other->pod().get());
        }
    }
    return taken;
}

Admission Pods::judge(const Worker& worker) {
    const kube::Pod& pod = *worker.pod();
    if (sources_ != Sources::ready && !is_static(pod)) {
        return {};
    }
    NodeState node = node_state();
    auto failures = admission_failures(pod, taken_beside(worker, Evicted::counted), node);
    auto other = std::ranges::find_if(
        failures, [](const AdmissionFailure& failure) { return !failure.missing; });
    if (is_critical(pod) && other != failures.end()) {
        return rejected_for(*other);
    }
    if (!is_critical(pod) && !failures.empty()) {
        return rejected_for(failures.front());
    }
    Admission admission = judge_affinity(worker);
    bool fits = failures.empty() || admission.verdict != Admission::Verdict::admitted;
    return fits ? admission : make_room(worker, node);
}

Admission Pods::make_room(const Worker& worker, const NodeState& node) {
    const kube::Pod& pod = *worker.pod();
    auto staying = taken_beside(worker, Evicted::left_out);
    std::vector<AdmissionFailure::Missing> missing;
    for (AdmissionFailure& failure : admission_failures(pod, staying, node)) {
        if (failure.missing) {
            missing.push_back(std::move(*failure.missing));
        }
    }
    auto victims = choose_victims(pod, staying, missing);
    if (!victims) {
        AdmissionFailure failure;
        failure.reason = "UnexpectedAdmissionError";
        failure.message =
            "Unexpected error while attempting to recover from admission failure: preemption: "
            "error finding a set of pods to preempt: no set of running pods found to reclaim "
            "resources: " +
            describe(missing);
        return rejected_for(failure);
    }
    for (const kube::Pod* victim : *victims) {
        Eviction eviction;
        eviction.reason = "Preempting";
        eviction.message = "Preempted in order to admit critical pod";
        eviction.condition_message = "Pod was preempted by Kubelet to accommodate a critical pod.";
        context_.ports.events.emit(*victim, {}, EventType::warning, eviction.reason,
                                   eviction.message);
        evict(PodUid(victim->metadata.uid), std::move(eviction));
    }
    return {};  // asked again when they have ended
}

ResizeVerdict Pods::judge_resize(const Worker& worker, const kube::Pod& desired) {
    ResizeVerdict verdict;
    if (sources_ != Sources::ready) {
        return verdict;
    }
    NodeState node = node_state();
    node.pressures.clear();
    node.shutdown = NodeState::Shutdown::no;
    node.taints.clear();
    if (auto failure = exceeds_node(desired.spec, node)) {
        verdict.kind = ResizeVerdict::Kind::infeasible;
        verdict.reason = failure->reason;
        verdict.message = failure->message;
        return verdict;
    }
    auto failures = admission_failures(desired, taken_beside(worker, Evicted::counted), node);
    verdict.kind =
        failures.empty() ? ResizeVerdict::Kind::allocated : ResizeVerdict::Kind::deferred;
    if (!failures.empty()) {
        verdict.reason = failures.front().reason;
        verdict.message = failures.front().message;
    }
    return verdict;
}

void Pods::offer_room() {
    std::vector<std::shared_ptr<Worker>> waiting;
    for (const auto& [uid, worker] : workers_) {
        if (worker->awaits_admission()) {
            worker->poke();
        }
        if (worker->awaits_room()) {
            waiting.push_back(worker);
        }
    }
    auto resize_of = [](const std::shared_ptr<Worker>& worker) {
        auto condition = std::ranges::find(worker->status().conditions, kResizePending,
                                           &kube::PodCondition::type);
        bool known = condition != worker->status().conditions.end();
        return WaitingResize{worker->desired().get(), worker->pod().get(),
                             known ? condition->lastTransitionTime : std::nullopt};
    };
    std::ranges::sort(waiting, [&](const auto& a, const auto& b) {
        return goes_before(resize_of(a), resize_of(b));
    });
    for (const auto& worker : waiting) {
        if (worker->awaits_room()) {
            worker->retry_resize();
        }
    }
}

void Pods::evict(const PodUid& uid, Eviction eviction) {
    if (auto found = workers_.find(uid); found != workers_.end()) {
        found->second->evict(std::move(eviction));
    }
}

bool Pods::awaits_eviction() const {
    return std::ranges::any_of(workers_, [](const auto& entry) {
        return entry.second->is_evicted() && entry.second->is_taken();
    });
}

std::vector<std::shared_ptr<const kube::Pod>> Pods::taken() const {
    std::vector<std::shared_ptr<const kube::Pod>> list;
    for (const auto& [uid, worker] : workers_) {
        if (worker->is_taken() && !worker->is_evicted() && !worker->is_gone()) {
            list.push_back(worker->pod());
        }
    }
    return list;
}

PodSnapshot Pods::snapshot_of(const Worker& worker) const {
    PodSnapshot snapshot;
    auto pod = std::make_shared<kube::Pod>(*worker.pod());
    pod->status = worker.status();
    snapshot.pod = std::move(pod);
    snapshot.containers = context_.ports.runtime.containers(worker.uid());
    return snapshot;
}

std::optional<PodName> Pods::find_if(const Holds& holds) const {
    for (const auto& [uid, worker] : workers_) {
        const kube::Pod& pod = *worker->pod();
        if (!worker->is_gone() && holds(pod.spec, worker->status())) {
            return PodName{pod.metadata.namespace_, pod.metadata.name};
        }
    }
    return std::nullopt;
}

std::vector<PodSnapshot> Pods::snapshot() const {
    std::vector<PodSnapshot> pods;
    pods.reserve(workers_.size());
    for (const auto& [uid, worker] : workers_) {
        if (!worker->is_gone()) {
            pods.push_back(snapshot_of(*worker));
        }
    }
    return pods;
}

std::optional<PodSnapshot> Pods::find(const PodName& name) const {
    const Worker* newest = nullptr;
    for (const auto& [uid, worker] : workers_) {
        const kube::ObjectMeta& meta = worker->pod()->metadata;
        if (worker->is_gone() || meta.name != name.name || meta.namespace_ != name.ns) {
            continue;
        }
        if (newest == nullptr ||
            meta.creationTimestamp > newest->pod()->metadata.creationTimestamp) {
            newest = worker.get();
        }
    }
    return newest == nullptr ? std::nullopt : std::optional(snapshot_of(*newest));
}

std::optional<PodSnapshot> Pods::find(const PodUid& uid) const {
    auto found = workers_.find(uid);
    return found == workers_.end() ? std::nullopt : std::optional(snapshot_of(*found->second));
}

Task<void> Pods::stop() {
    co_await scope_.stop();
    for (auto& [uid, worker] : workers_) {
        co_await worker->stop();
    }
    workers_.clear();
}

}  // namespace skiff::pods
