// What node and pods use, for the routes of metrics (contract rows 48, 49).
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "app/container_looks.h"
#include "app/pod_traffic.h"
#include "async/blocking.h"
#include "async/task.h"
#include "base/time.h"
#include "pods/pods.h"
#include "server/stats.h"

namespace skiff::app {

// CPU time becomes cores per second by two samples, and a pod's total never shrinks, whatever of it
// ends. Pure.
class CpuMeter {
public:
    // Begins a sample; what is not measured in it is forgotten by the one after.
    void begin(SteadyTime now);
    [[nodiscard]] server::CpuStats node(std::chrono::nanoseconds total);
    [[nodiscard]] server::CpuStats container(const ContainerId& id, std::chrono::nanoseconds total);
    // After all its containers, whose totals together are `running`.
    [[nodiscard]] server::CpuStats pod(const PodUid& uid,
                                       std::map<ContainerId, std::chrono::nanoseconds> running);

private:
    struct Seen {
        std::chrono::nanoseconds total{};
        SteadyTime at{};
        std::optional<std::uint64_t> nano_cores;
        std::uint64_t round = 0;
    };
    struct SeenPod {
        std::map<ContainerId, std::chrono::nanoseconds> running;
        std::chrono::nanoseconds ended{};
        std::uint64_t round = 0;
    };
    [[nodiscard]] server::CpuStats measure(const std::string& key, std::chrono::nanoseconds total);

    SteadyTime now_{};
    std::uint64_t round_ = 0;
    std::map<std::string, Seen> seen_;
    std::map<PodUid, SeenPod> pods_;
};

class StatsCollector {
public:
    // All outlive it.
    struct Parts {
        const pods::Pods& pods;
        pods::Runtime& runtime;
        pods::Volumes& volumes;
        async::BlockingPool& pool;
        const Clock& clock;
        // What the kernel counts of containers, with the disks; empty: nothing.
        std::function<async::Task<Result<ContainerLooks::Looks>>(std::vector<ContainerId>)> look{};
        const PodTraffic* traffic = nullptr;  // nullptr: nothing of networks
    };
    StatsCollector(Parts parts, std::string node_name, std::filesystem::path root_dir)
        : parts_(parts), node_name_(std::move(node_name)), root_dir_(std::move(root_dir)) {}

    // What NodeView::stats() promises: disks are looked at no more than every ten seconds.
    [[nodiscard]] async::Task<Result<server::NodeStats>> collect(server::StatsScope scope);

private:
    struct Disks {
        server::NodeStats stats;
        SteadyTime at{};
    };
    [[nodiscard]] async::Task<Result<server::NodeStats>> look(server::StatsScope scope);
    [[nodiscard]] server::PodStats pod_stats(const pods::PodSnapshot& snapshot);
    [[nodiscard]] async::Task<void> add_disks(const kube::Pod& pod, server::PodStats& stats) const;
    [[nodiscard]] async::Task<void> add_groups(const std::vector<pods::PodSnapshot>& snapshots,
                                               server::NodeStats& stats) const;

    Parts parts_;
    std::string node_name_;
    std::filesystem::path root_dir_;
    CpuMeter meter_;
    std::optional<Disks> last_;
};

}  // namespace skiff::app
