// Whether the node can take a pod at all (contract row 13). Judged once, before anything of the pod
// exists; never again, not even after a restart of the agent. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "kube/types.h"
#include "pods/decide.h"

namespace skiff::pods {

// What a pod asks of the node for its whole life: the larger of its containers' sum (with sidecars)
// and the largest init container, plus spec.overhead.
[[nodiscard]] kube::ResourceList pod_requests(const kube::PodSpec& spec);

// Judges `pod` given the pods that the node has already taken and that have not ended.
// `pods_max` counts `pod` too.
[[nodiscard]] Admission admit(const kube::Pod& pod, const std::vector<const kube::Pod*>& taken,
                              const kube::ResourceList& allocatable, std::size_t pods_max);

}  // namespace skiff::pods
