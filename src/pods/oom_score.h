// Who is killed first when the machine's memory ends: a container's oom_score_adj, by its pod's
// quality of service (Kubernetes: "Node out of memory behavior").
#pragma once

#include <cstdint>

#include "base/types.h"
#include "kube/types.h"

namespace skiff::pods {

// Guaranteed and node-critical pods -997, BestEffort 1000, Burstable in between: the less of the
// machine's memory a container requested, the higher. `capacity` is the machine's memory; zero
// means that it is not known, and then a request counts for nothing.
[[nodiscard]] std::int32_t oom_score_adj(const kube::Pod& pod, const kube::Container& container,
                                         Bytes capacity);

}  // namespace skiff::pods
