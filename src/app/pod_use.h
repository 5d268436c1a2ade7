// What each pod uses of the machine, for evictions: memory by cgroup, processes by /proc, disk as
// runtime and volumes count it.
#pragma once

#include <memory>
#include <vector>

#include "async/task.h"
#include "kube/types.h"
#include "pods/eviction.h"
#include "pods/ports.h"

namespace skiff::app {

// Threads of a process; 0 when it is gone.
[[nodiscard]] std::uint64_t count_threads(std::int32_t pid);

class PodUsage {
public:
    // Both outlive it.
    PodUsage(pods::Runtime& runtime, pods::Volumes& volumes)
        : runtime_(runtime), volumes_(volumes) {}

    enum class Disk { left_out, measured };
    // Of each pod, in their order. What cannot be counted is nothing, and the log says so; what
    // somebody hides counts as far as it was seen.
    [[nodiscard]] async::Task<std::vector<pods::PodUse>> of(
        std::vector<std::shared_ptr<const kube::Pod>> list, Disk disk) const;

private:
    [[nodiscard]] pods::PodUse without_disk(std::shared_ptr<const kube::Pod> pod) const;
    async::Task<void> add_disk(pods::PodUse& use) const;

    pods::Runtime& runtime_;
    pods::Volumes& volumes_;
};

}  // namespace skiff::app
