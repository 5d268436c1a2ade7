// Looks at the machine every ten seconds, says which pressures hold, and makes room: first of what
// nobody needs, then by ending one pod (contract row 62). Reactor thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/pod_use.h"
#include "async/blocking.h"
#include "async/task.h"
#include "base/time.h"
#include "node/pressure.h"
#include "pods/pods.h"

namespace skiff::app {

class PressureLoop {
public:
    // All outlive it; the functions may be empty.
    struct Parts {
        async::BlockingPool& pool;
        const Clock& clock;
        pods::Pods& pods;
        pods::EventSink& events;
        const PodUsage& usage;
        // The machine as it is now. Blocking; called by the pool.
        std::function<Result<node::MachineFacts>()> observe;
        // A Warning about the node.
        std::function<void(std::string_view reason, std::string message)> tell_node;
        // The conditions are others than before.
        std::function<void()> changed;
        // A pod was ended for a signal, by a kubelet's name.
        std::function<void(std::string_view signal)> evicted;
        // Takes away images and code that no pod needs.
        std::function<async::Task<void>()> drop_unused;
    };
    PressureLoop(Parts parts, node::PressureSettings settings)
        : parts_(std::move(parts)), pressure_(std::move(settings)) {}
    PressureLoop(const PressureLoop&) = delete;
    PressureLoop& operator=(const PressureLoop&) = delete;

    // MemoryPressure, DiskPressure, PIDPressure as far as they hold.
    [[nodiscard]] const std::vector<std::string>& conditions() const {
        return pressure_.conditions();
    }
    [[nodiscard]] async::Task<void> run();
    // One look, and what follows from it. Fails when the machine cannot be looked at.
    [[nodiscard]] async::Task<Result<void>> look();

private:
    // Whether a pod had to go for what it uses beyond its own limits.
    enum class Evicted { none, some };
    [[nodiscard]] async::Task<Result<Evicted>> hold_to_limits();
    [[nodiscard]] async::Task<Result<void>> reclaim(node::PressureReport report);
    [[nodiscard]] async::Task<Result<void>> evict_one(node::PressureReport report);
    [[nodiscard]] async::Task<Result<node::MachineFacts>> observe();
    void evict(const kube::Pod& pod, pods::Eviction eviction, std::string_view signal);

    Parts parts_;
    node::Pressure pressure_;
    std::optional<SteadyTime> evicted_at_;
    std::string told_;  // of which resource the node's event spoke last
};

}  // namespace skiff::app
