// In which order pods end when the machine goes down, and how long each may take (contract row 64).
// Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/time.h"
#include "kube/types.h"
#include "pods/decide.h"

namespace skiff::pods {

// Pods of this priority and above, up to that of the next group.
struct ShutdownGroup {
    std::int32_t priority = 0;
    Duration grace{};
};

// What shutdownGracePeriod and shutdownGracePeriodCriticalPods mean: the critical pods last, for
// their part of the whole. Empty when the whole is zero.
[[nodiscard]] std::vector<ShutdownGroup> shutdown_groups(Duration whole, Duration critical);
[[nodiscard]] Duration whole_of(const std::vector<ShutdownGroup>& groups);

struct ShutdownStep {
    Duration grace{};  // each of its pods has at most this
    std::vector<std::shared_ptr<const kube::Pod>> pods;
};
// One step after the other, the lowest priority first; a group without pods has none. Pods below
// the lowest group belong to it.
[[nodiscard]] std::vector<ShutdownStep> shutdown_steps(
    std::vector<ShutdownGroup> groups, const std::vector<std::shared_ptr<const kube::Pod>>& pods);

[[nodiscard]] Eviction shutdown_eviction(Duration grace);

}  // namespace skiff::pods
