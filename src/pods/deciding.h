// The inside of decide(): one class, its rules in three files. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "pods/decide.h"
#include "pods/status_of.h"

namespace skiff::pods {

// One decision in the making. Only decide*.cpp includes this: decide.cpp says what phase of its
// life the pod is in, decide_run.cpp brings containers up, decide_end.cpp takes them down.
class Deciding {
public:
    explicit Deciding(const Situation& situation)
        : s_(situation),
          view_(observe(situation.pod, situation.records, situation.previous, situation.now)) {}

    Decision run();

private:
    [[nodiscard]] const ContainerMemory& memory(const std::string& container) const {
        static const ContainerMemory kNothing;
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
    // Stops what belongs to an earlier round (rounds.h); yes when nothing of one is left.
    [[nodiscard]] Passed leave_past_round();
    void run_ephemeral();
    [[nodiscard]] Passed run_init_containers();
    // Whether what follows a sidecar may start.
    [[nodiscard]] Passed run_sidecar(const kube::Container& container);
    [[nodiscard]] Passed run_plain_init(const kube::Container& container);
    void run_regular(const kube::Container& container);
    void start(const kube::Container& container, ContainerKind kind);
    // Regular containers in their order, as far as postStart hooks let them.
    void run_regular_containers();
    // Whether those behind it wait for its start and its postStart hook.
    [[nodiscard]] bool holds_up(const kube::Container& container) const;
    // What a run needs while its pod goes on: its postStart hook, and its end when it must.
    void look_after(const kube::Container& container, ContainerRole role);
    // What runs gets the resources that were allocated, as far as that needs no restart.
    void resize_live();
    // Whether the pod's share has to grow before anything starts in it.
    [[nodiscard]] bool waits_for_share() const;
    struct Ending {
        std::string message;
        Duration grace{};
        ContainerMemory::AfterStop after = ContainerMemory::AfterStop::policy;
    };
    [[nodiscard]] std::optional<Ending> ending(const kube::Container& container,
                                               ContainerRole role) const;
    // Whether this decision has such an action already.
    [[nodiscard]] bool ordered(Action::Kind kind, const std::string& container) const;
    // Orders the stop once the preStop hook lets it, which is begun if need be.
    void stop_after_hook(const kube::Container& container, Action stop);
    // All at once, also of sidecars whose turn has not come: so a kubelet does it.
    void begin_pre_stops(const Termination& termination);
    void name_hook_failure(const kube::Container& container, ContainerRole role);
    void name_waiting();
    void name_waiting(const kube::Container& container);
    void collect_outdated();
    [[nodiscard]] bool anything_runs() const;
    [[nodiscard]] bool anything_starts() const;
    [[nodiscard]] bool regular_started() const;
    [[nodiscard]] bool work_is_over() const;
    [[nodiscard]] bool init_failed_for_good() const;
    void finish_status();

    const Situation& s_;
    PodView view_;
    Decision out_;
    std::map<std::string, Waiting> waiting_;
    std::string failed_reason_;
    std::string failed_message_;
    Finality finality_ = Finality::open;
};

}  // namespace skiff::pods
