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
    // All outlive it; `changed` is called when it begins, and may be empty.
    NodeShutdown(pods::Pods& pods, const Clock& clock, std::vector<pods::ShutdownGroup> groups,
                 std::function<void()> changed)
        : pods_(pods), clock_(clock), groups_(std::move(groups)), changed_(std::move(changed)) {}

    // Whether pods are given time at all.
    [[nodiscard]] bool is_wanted() const { return pods::whole_of(groups_) > Duration::zero(); }
    [[nodiscard]] bool has_begun() const { return phase_ == Phase::begun; }
    [[nodiscard]] Duration time() const { return pods::whole_of(groups_); }
    // No pod is taken from now on, and those that are here end. Resolves when all have ended or
    // their time is over. The shutdown was called off: cancel() lets pods in again.
    [[nodiscard]] async::Task<Result<void>> run();
    void cancel();

private:
    [[nodiscard]] async::Task<Result<void>> end(pods::ShutdownStep step);
    [[nodiscard]] bool any_holds(const pods::ShutdownStep& step) const;
    void tell() const {
        if (changed_) {
            changed_();
        }
    }

    pods::Pods& pods_;
    const Clock& clock_;
    std::vector<pods::ShutdownGroup> groups_;
    std::function<void()> changed_;
    enum class Phase { waiting, begun } phase_ = Phase::waiting;
};

}  // namespace skiff::app
