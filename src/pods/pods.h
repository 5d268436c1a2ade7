// All pods of the node: one worker for each uid, the latest object wins. Reactor thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/scope.h"
#include "async/task.h"
#include "base/random.h"
#include "base/time.h"
#include "pods/admission.h"
#include "pods/node_affinity.h"
#include "pods/ports.h"
#include "pods/worker.h"

namespace skiff::pods {

struct PodsSettings {
    NodeFacts node;
    std::size_t pods_max = 110;
    // The Node's labels, by which pods choose nodes.
    struct LabelSource {
        // As they are known here; nullopt: not known, then nobody is refused for them.
        std::function<std::optional<NodeLabels>()> known;
        // Asked of the API server before a pod is refused, for the copy may be late. Empty: `known`
        // is the truth.
        std::function<Task<Result<NodeLabels>>()> fetch;
    } node_labels;
    // Fills in what of the node changes while it runs: taints, pressures, shutdown. May be empty.
    std::function<void(NodeState&)> observe_node;
    // After how long every pod is looked at anew and its volumes refreshed, + up to 50 %.
    Duration resync = std::chrono::minutes(1);
};

// A pod as the node sees it now: the object with the current status, and what is on the node.
struct PodSnapshot {
    std::shared_ptr<const kube::Pod> pod;  // status: the current one
    std::vector<ContainerRecord> containers;
};

class Pods {
public:
    // Everything given outlives this object. Registers itself as the observer of
    // runtime and probes.
    Pods(async::Executor executor, const Clock& clock, Random& random, const Ports& ports,
         PodsSettings settings);
    ~Pods();
    Pods(const Pods&) = delete;
    Pods& operator=(const Pods&) = delete;

    // Starts the loop behind healthy(). Optional.
    void start();
    // A pod of this node is there or changed. Any order, any number of times.
    void apply(std::shared_ptr<const kube::Pod> pod);
    // The pod's object is gone: it is stopped (fast; a static pod within its own grace period) and
    // everything of it removed. Unknown uids are fine.
    void remove(const PodUid& uid);
    // Every source was listed once: new pods are judged and started from now on (those that run
    // were adopted already; those of files start when they are applied, as a kubelet's do). What
    // the node has of pods that no source knows is removed, now and at every later look:
    // containers, mounts, files, logs. `spared` (may be null) names pods that may exist although
    // nobody applied them; asked at every look. Once; repeats are of no effect.
    void sources_ready(std::function<bool(const PodUid&)> spared = {});

    // The node ends a pod (contract rows 62, 64); of no effect for one that ends already or is not
    // here.
    void evict(const PodUid& uid, Eviction eviction);
    // Whether a pod that the node ends still holds its share.
    [[nodiscard]] bool awaits_eviction() const;
    // Pods that hold their share of the node and are not being ended by it.
    [[nodiscard]] std::vector<std::shared_ptr<const kube::Pod>> taken() const;

    [[nodiscard]] std::vector<PodSnapshot> snapshot() const;
    // The pod of that name; of two (one may still be going) the newer.
    [[nodiscard]] std::optional<PodSnapshot> find(const PodName& name) const;
    [[nodiscard]] std::optional<PodSnapshot> find(const PodUid& uid) const;
    // The first pod of the node of which that holds, without a copy of any.
    using Holds = std::function<bool(const kube::PodSpec&, const kube::PodStatus&)>;
    [[nodiscard]] std::optional<PodName> find_if(const Holds& holds) const;
    // Number of pods of which something is on the node or wanted there.
    [[nodiscard]] std::size_t size() const { return workers_.size(); }
    // False when the loop stands still (/healthz/syncloop).
    [[nodiscard]] bool healthy() const;

    // Ends all loops. Containers go on.
    [[nodiscard]] Task<void> stop();

private:
    [[nodiscard]] Task<void> run_worker(std::shared_ptr<Worker> worker);
    [[nodiscard]] Task<void> beat();
    [[nodiscard]] Task<void> keep_house();
    void remove_orphans();
    [[nodiscard]] Task<void> remove_orphan(PodUid uid);
    [[nodiscard]] Task<Result<void>> remove_orphan_once(PodUid uid);
    [[nodiscard]] Admission judge(const Worker& worker);
    // A critical pod that only lacks resources: others make room for it.
    [[nodiscard]] Admission make_room(const Worker& worker, const NodeState& node);
    [[nodiscard]] NodeState node_state() const;
    enum class Evicted { counted, left_out };
    [[nodiscard]] std::vector<const kube::Pod*> taken_beside(const Worker& worker,
                                                             Evicted evicted) const;
    [[nodiscard]] ResizeVerdict judge_resize(const Worker& worker, const kube::Pod& desired);
    // Whoever waits for room is asked again.
    void offer_room();
    // Whether the pod's selectors fit; pending while the server is asked.
    [[nodiscard]] Admission judge_affinity(const Worker& worker);
    [[nodiscard]] Task<void> fetch_labels(PodUid uid);
    [[nodiscard]] PodSnapshot snapshot_of(const Worker& worker) const;

    WorkerContext context_;
    std::size_t pods_max_;
    PodsSettings::LabelSource node_labels_;
    std::function<void(NodeState&)> observe_node_;
    // For pods that do not fit the labels known here: those of the server, nullopt until they come.
    std::map<PodUid, std::optional<NodeLabels>> fetched_labels_;
    enum class Sources { unknown, ready } sources_ = Sources::unknown;
    std::map<PodUid, std::shared_ptr<Worker>> workers_;
    // Orphans that are being removed.
    std::set<PodUid> leaving_;
    // Objects that came (back) while the pod of the same uid was still being removed.
    std::map<PodUid, std::shared_ptr<const kube::Pod>> again_;
    // Static pods that wait for the end of one of the same name.
    std::map<PodUid, std::shared_ptr<const kube::Pod>> held_;
    // Whether a static pod of the same name still ends.
    [[nodiscard]] bool is_leaving(const kube::Pod& pod) const;
    void apply_held();
    void apply_again(const PodUid& uid);
    std::function<bool(const PodUid&)> spared_;
    std::optional<SteadyTime> last_beat_;
    async::Scope scope_;
};

}  // namespace skiff::pods
