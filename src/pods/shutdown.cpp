#include "pods/shutdown.h"

#include <algorithm>

#include "pods/preemption.h"

namespace skiff::pods {
std::vector<ShutdownGroup> shutdown_groups(Duration whole, Duration critical) {
    if (whole <= Duration::zero()) {
        return {};
    }
    critical = std::min(critical, whole);
    return {{0, whole - critical}, {kCriticalPriority, critical}};
}

Duration whole_of(const std::vector<ShutdownGroup>& groups) {
    Duration sum{};
    for (const ShutdownGroup& group : groups) {
        sum += group.grace;
    }
    return sum;
}

std::vector<ShutdownStep> shutdown_steps(
    std::vector<ShutdownGroup> groups, const std::vector<std::shared_ptr<const kube::Pod>>& pods) {
    std::ranges::stable_sort(groups, {}, &ShutdownGroup::priority);
    std::vector<ShutdownStep> steps(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i) {
        steps[i].grace = groups[i].grace;
    }
    for (const auto& pod : pods) {
        if (groups.empty()) {
            break;
        }
        auto above = std::ranges::upper_bound(groups, pod->spec.priority.value_or(0), {},
                                              &ShutdownGroup::priority);
        auto place = above == groups.begin() ? 0 : above - groups.begin() - 1;
        steps[static_cast<std::size_t>(place)].pods.push_back(pod);
    }
    std::erase_if(steps, [](const ShutdownStep& step) { return step.pods.empty(); });
    return steps;
}

Eviction shutdown_eviction(Duration grace) {
    Eviction eviction;
    eviction.reason = "Terminated";
    eviction.message = "Pod was terminated in response to imminent node shutdown.";
    eviction.condition_message = eviction.message;
    eviction.grace = grace;
    return eviction;
}

}  // namespace skiff::pods
