// Ends the pods of a node whose machine goes down, group by group (contract row 64). Reactor thread
// only.
#pragma once

#include <functional>
#include <vector>

#include "async/task.h"
#include "base/time.h"
#include "pods/pods.h"
#include "pods/shutdown.h"

namespace skiff::app {

class NodeShutdown {
public:
    // Who else has a part in it; both may be empty.
    struct Node {
        std::function<void()> changed;        // it begins, or is called off
        std::function<std::size_t()> untold;  // statuses that the API server has not heard
    };
    // All outlive it.
    NodeShutdown(pods::Pods& pods, const Clock& clock, std::vector<pods::ShutdownGroup> groups,
                 Node node)
        : pods_(pods), clock_(clock), groups_(std::move(groups)), node_(std::move(node)) {}

    // Whether pods are given time at all.
    [[nodiscard]] bool is_wanted() const { return pods::whole_of(groups_) > Duration::zero(); }
    [[nodiscard]] bool has_begun() const { return phase_ == Phase::begun; }
    [[nodiscard]] Duration time() const { return pods::whole_of(groups_); }
    // No pod is taken from now on, and those that are here end. Resolves when all have ended or
    // their time is over, and the cluster was told so, if that takes no longer than a moment. The
    // shutdown was called off: cancel() lets pods in again.
    [[nodiscard]] async::Task<Result<void>> run();
    void cancel();

private:
    [[nodiscard]] async::Task<Result<void>> end(pods::ShutdownStep step);
    [[nodiscard]] async::Task<Result<void>> tell_statuses() const;
    [[nodiscard]] bool any_holds(const pods::ShutdownStep& step) const;
    void tell() const {
        if (node_.changed) {
            node_.changed();
        }
    }

    pods::Pods& pods_;
    const Clock& clock_;
    std::vector<pods::ShutdownGroup> groups_;
    Node node_;
    enum class Phase { waiting, begun } phase_ = Phase::waiting;
};

}  // namespace skiff::app
