// The pods of one `skiff run`: started, shown, counted, stopped. Reactor thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/console.h"
#include "app/rooms.h"
#include "app/workload.h"
#include "async/event.h"
#include "async/scope.h"

namespace skiff::app {

// Keeps the latest status of each pod and wakes the session.
class RunStatus final : public pods::StatusSink {
public:
    void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override;
    void finish(std::shared_ptr<const kube::Pod> pod) override;
    void forget(const PodUid& pod) override;

    [[nodiscard]] const kube::PodStatus* find(const PodUid& pod) const;
    // Pods whose deletion was finished since the last call.
    [[nodiscard]] std::vector<PodUid> take_finished();
    [[nodiscard]] async::Event& changed() { return changed_; }

private:
    std::map<PodUid, kube::PodStatus> statuses_;
    std::vector<PodUid> finished_;
    async::Event changed_;
};

// How guests' lines are marked.
enum class Labels { none, container, pod_and_container };

class RunSession {
public:
    // All outlive it.
    RunSession(Base& base, Rooms& rooms, RunStatus& status, Console& console, Labels labels);

    // Guests with a terminal write to this process's own: their logs are not shown beside.
    void leave_terminal_to_guests() { terminal_is_guests_ = true; }
    // Runs the sets until all ended, one could not be run, nobody reads their output any more, or
    // stop() was asked for. Returns the exit code: 0, that of the first container that failed,
    // kExitCannotRun, or kExitOutputLost.
    [[nodiscard]] async::Task<int> run(std::vector<PodSet> sets);
    // Asks every pod to end, as a deletion does; run() then returns.
    void stop();
    // Removes every pod and waits until nothing of them is left.
    [[nodiscard]] async::Task<void> clean_up();

private:
    struct Running {
        std::shared_ptr<const kube::Pod> pod;
        std::size_t set = 0;
        bool ended = false;
    };
    struct Progress {
        std::int32_t started = 0;
        std::int32_t active = 0;
        std::int32_t succeeded = 0;
        std::int32_t failed = 0;
    };

    void start_due(const std::vector<PodSet>& sets);
    void start_one(const PodSet& set, std::size_t index);
    void look_at(const PodUid& uid, Running& running);
    [[nodiscard]] bool all_ended(const std::vector<PodSet>& sets) const;
    void note_failure(const kube::Pod& pod, const kube::PodStatus& status);
    [[nodiscard]] std::optional<std::string> why_stuck(const kube::PodStatus& status) const;
    [[nodiscard]] async::Task<void> show_logs(std::shared_ptr<const kube::Pod> pod,
                                              std::string container);
    [[nodiscard]] std::string label_of(const kube::Pod& pod, const std::string& container) const;

    Base& base_;
    Rooms& rooms_;
    RunStatus& status_;
    Console& console_;
    Labels labels_;
    std::map<PodUid, Running> pods_;
    std::vector<Progress> progress_;
    enum class Stopping { no, yes } stopping_ = Stopping::no;
    std::optional<int> exit_code_;
    bool cannot_run_ = false;
    bool set_up_failed_ = false;
    bool output_lost_ = false;
    bool terminal_is_guests_ = false;
    async::Scope followers_;
};

}  // namespace skiff::app
