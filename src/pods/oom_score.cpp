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

std::int64_t memory_request(const kube::ResourceList& requests) {
    auto found = requests.find("memory");
    return found == requests.end() ? 0 : found->second.value();
}

// What the pod itself asks for beyond its containers belongs to each of them alike.
long double share_of_rest(const kube::PodSpec& spec) {
    if (!spec.resources) {
        return 0;
    }
    std::int64_t rest = memory_request(spec.resources->requests);
    std::size_t count = spec.containers.size() + spec.initContainers.size();
    for (const auto* list : {&spec.containers, &spec.initContainers}) {
        for (const kube::Container& container : *list) {
            rest -= memory_request(container.resources.requests);
        }
    }
    return rest <= 0 ? 0 : static_cast<long double>(rest) / static_cast<long double>(count);
}

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
    long double requested = static_cast<long double>(memory_request(container.resources.requests)) +
                            share_of_rest(pod.spec);
    long double share =
        capacity.value == 0 ? 0 : requested / static_cast<long double>(capacity.value);
    auto score = static_cast<std::int32_t>(1000 - 1000 * std::clamp(share, 0.0L, 1.0L));
    return std::clamp(score, kBurstableMin, kBurstableMax);
}

}  // namespace skiff::pods
