// One pod's loop: gathers what is known, asks decide(), carries the actions out through the ports,
// and sleeps until something changes. Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "async/event.h"
#include "async/scope.h"
#include "async/task.h"
#include "base/random.h"
#include "base/time.h"
#include "pods/decide.h"
#include "pods/hooks.h"
#include "pods/start_container.h"

namespace skiff::pods {

// Contract §6.
inline constexpr Duration kErrorRetry = std::chrono::seconds(10);     // + up to 50 %
inline constexpr Duration kTransientRetry = std::chrono::seconds(1);  // doubling up to kErrorRetry
// How long the first status of a pod that is being started is held back: in most cases it is
// Running by then and one PATCH says it all.
inline constexpr Duration kFirstStatusHold = std::chrono::seconds(2);
// The same between the starts of several containers.
inline constexpr Duration kNextStatusHold = std::chrono::milliseconds(100);
// Between two looks at a pod's volumes: whoever writes a ConfigMap often costs the node no more.
inline constexpr Duration kRefreshPause = std::chrono::seconds(1);

class Worker;

struct ResizeVerdict {
    enum class Kind {
        unknown,  // it cannot be judged yet
        allocated,
        deferred,  // not now; to be asked again when there is room
        infeasible,
    } kind = Kind::unknown;
    std::string reason;  // OutOfcpu …
    std::string message;
};

// What the workers of a node share. Outlives them.
struct WorkerContext {
    async::Executor executor;
    const Clock& clock;
    Random& random;
    Ports ports;
    NodeFacts node;
    // Judges a pod that the node has not taken yet; pending while it cannot be judged.
    std::function<Admission(const Worker&)> admit;
    // Whether the node can give a pod that it has taken the resources that `desired` asks for.
    std::function<ResizeVerdict(const Worker&, const kube::Pod& desired)> admit_resize;
    // A pod holds less of the node than before.
    std::function<void()> room_made;
    // After how long every pod is looked at anew, + up to 50 %.
    Duration resync = std::chrono::minutes(1);
};

class Worker {
public:
    Worker(const WorkerContext& context, std::shared_ptr<const kube::Pod> pod);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Runs until the pod's object is gone and nothing of it is left on the node.
    [[nodiscard]] Task<void> run();
    // Ends what is in progress without touching containers: the agent stops, the pod goes on.
    [[nodiscard]] Task<void> stop();

    // The object changed; the latest wins.
    void update(std::shared_ptr<const kube::Pod> pod);
    // The object is gone: everything local goes, too.
    void object_gone();
    // Something that the pod's volumes or variables are read from changed: they are looked at
    // soon, and what failed for their sake is tried again.
    void objects_changed();
    // Something else changed: decide soon.
    void poke() { wake_.set(); }
    // The node ends the pod; of no effect when that has begun, or the pod has ended.
    void evict(Eviction eviction);
    // There may be room now for a resize that waits for it.
    void retry_resize();

    [[nodiscard]] const PodUid& uid() const { return uid_; }
    // The object, with the resources that the node has allocated to it.
    [[nodiscard]] const std::shared_ptr<const kube::Pod>& pod() const { return pod_; }
    // The object as its source has it.
    [[nodiscard]] const std::shared_ptr<const kube::Pod>& desired() const { return desired_; }
    [[nodiscard]] bool is_evicted() const { return memory_.eviction.has_value(); }
    [[nodiscard]] bool awaits_admission() const {
        return memory_.admission.verdict == Admission::Verdict::pending;
    }
    // Whether a resize of it waits for room.
    [[nodiscard]] bool awaits_room() const {
        return memory_.resize_pending && memory_.resize_pending->reason == "Deferred";
    }
    // As decided last; before that, what the object says.
    [[nodiscard]] const kube::PodStatus& status() const { return status_; }
    [[nodiscard]] bool is_gone() const { return memory_.object == PodMemory::Object::gone; }
    // Whether the pod holds its share of the node.
    [[nodiscard]] bool is_taken() const;

private:
    enum class Turn { wait, retire };
    [[nodiscard]] Turn turn();
    void judge_admission();
    // What was allocated before this agent (or after the machine was booted anew).
    void recall_allocation();
    void judge_resize();
    void allocate();
    void tell_resize(const kube::PodStatus& before);
    void tell_once();
    void tell_back_offs(const Decision& decision);
    void tell_start_errors(const std::vector<ContainerRecord>& records);
    void publish();
    [[nodiscard]] bool may_hold() const;
    [[nodiscard]] SteadyTime deadline() const;
    [[nodiscard]] PodFacts facts() const;

    [[nodiscard]] Turn carry_out(const Action& action);
    void begin_start(const Action& action);
    void begin_stop(const Action& action);
    void begin_post_start(const Action& action);
    void begin_pre_stop(const Action& action);
    [[nodiscard]] HookRun hook_run(const Action& action, HookRun::Which which) const;
    // Where probes and hooks of the node find the pod; empty while that is not known.
    [[nodiscard]] std::string address() const;
    // Its probes as things are, and what they have said; nullopt for a pod without any.
    [[nodiscard]] std::optional<ProbeResults> probe(const std::vector<ContainerRecord>& records);
    // The hook of a container that has ended is over, and so is one that a stop overtakes.
    void cut_hook(const std::string& container);
    void cut_hooks_of_ended(const std::vector<ContainerRecord>& records);
    void refresh_if_due();
    void want_refresh();

    // Steps; each settles what it was begun for and wakes the loop.
    [[nodiscard]] Task<void> prepare();
    [[nodiscard]] Task<Result<void>> prepare_sandbox();
    [[nodiscard]] Task<void> mount();
    [[nodiscard]] Task<void> refresh();
    [[nodiscard]] Task<void> start(StartRequest request, CrashBackOff back_off);
    [[nodiscard]] Task<void> stop_container(std::string container, ContainerId id, Duration grace);
    [[nodiscard]] Task<void> see_hook_through(HookRun hook);
    void tell_failed_hook(const std::string& container, HookRun::Which which, const Error& error);
    // The hook to its end, or cancelled when it is cut.
    [[nodiscard]] Task<Result<void>> run_hook_until_cut(HookRun hook);
    [[nodiscard]] Task<void> cancel_starts();
    [[nodiscard]] Task<void> resize();
    [[nodiscard]] Task<Result<void>> resize_to(std::shared_ptr<const kube::Pod> pod);
    [[nodiscard]] Task<void> remove_container(ContainerId id);
    [[nodiscard]] Task<void> tear_down();
    [[nodiscard]] Task<Result<void>> tear_down_all();
    [[nodiscard]] Task<void> remove_pod();

    void settle(Step& step, const Result<void>& result);
    [[nodiscard]] WallTime retry_time(const Step& step, const Error& error);
    [[nodiscard]] WallTime jittered(Duration delay);

    const WorkerContext& context_;
    const Ports& ports_;
    PodUid uid_;
    std::shared_ptr<const kube::Pod> desired_;
    std::shared_ptr<const kube::Pod> pod_;
    kube::PodStatus status_;
    PodMemory memory_;
    std::string handler_ = "wasmtime";
    PodNetwork network_;
    std::map<std::string, MountedVolume> volumes_;
    // Set to cut the hook of a container.
    struct RunningHook {
        ContainerId run;
        async::Event enough;
    };
    std::map<std::string, std::shared_ptr<RunningHook>> hooks_;
    // What the prober was asked for last.
    struct Probed {
        std::shared_ptr<const kube::Pod> pod;
        std::vector<ContainerId> runs;
        std::string address;
        ProbeOrder::Scope scope = ProbeOrder::Scope::all;
        friend bool operator==(const Probed&, const Probed&) = default;
    };
    std::optional<Probed> probed_;
    std::set<ContainerId> removing_;
    std::set<std::string> told_;
    enum class Ask { once, again } ask_resize_ = Ask::again;

    async::Event wake_;
    std::optional<WallTime> wake_at_;
    SteadyTime resync_at_;
    // running_stale: something changed after it had begun, so another one follows.
    enum class Refresh { not_wanted, wanted, running, running_stale };
    Refresh refresh_ = Refresh::not_wanted;
    SteadyTime refresh_not_before_{};

    std::optional<kube::PodStatus> published_;
    std::shared_ptr<const kube::Pod> published_pod_;
    std::optional<SteadyTime> hold_until_;

    async::Scope starts_;  // what must end before a pod ends
    async::Scope scope_;   // everything else
};

}  // namespace skiff::pods
