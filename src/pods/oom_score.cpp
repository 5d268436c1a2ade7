#include "pods/oom_score.h"

#include <algorithm>

#include "kube/defaults.h"

namespace skiff::pods {
namespace {

constexpr std::int32_t kGuaranteed = -997;
constexpr std::int32_t kBestEffort = 1000;
// A Burstable container is never as safe as a Guaranteed one nor as lost as a BestEffort one.
constexpr std::int32_t kBurstableMin = 1000 + kGuaranteed;
constexpr std::int32_t kBurstableMax = kBestEffort - 1;
// The priority of the class system-node-critical.
constexpr std::int32_t kNodeCriticalPriority = 2'000'001'000;

}  // namespace

std::int32_t oom_score_adj(const kube::Pod& pod, const kube::Container& container, Bytes capacity) {
    std::string_view qos =
        pod.status.qosClass.empty() ? kube::qos_class(pod.spec) : pod.status.qosClass;
    if (qos == "Guaranteed" || pod.spec.priority.value_or(0) >= kNodeCriticalPriority) {
        return kGuaranteed;
    }
    if (qos == "BestEffort") {
        return kBestEffort;
    }
    auto found = container.resources.requests.find("memory");
    long double requested = found == container.resources.requests.end()
                                ? 0
                                : static_cast<long double>(found->second.value());
    long double share =
        capacity.value == 0 ? 0 : requested / static_cast<long double>(capacity.value);
    auto score = static_cast<std::int32_t>(1000 - 1000 * std::clamp(share, 0.0L, 1.0L));
    return std::clamp(score, kBurstableMin, kBurstableMax);
}

}  // namespace skiff::pods
