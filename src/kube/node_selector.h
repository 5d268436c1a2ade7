// Node selectors (k8s.io/component-helpers, scheduling/corev1/nodeaffinity), for pods that choose
// nodes and volumes that are bound to some. Pure.
#pragma once

#include <map>
#include <string>

#include "kube/types_pod.h"

namespace skiff::kube {

using NodeLabels = std::map<std::string, std::string>;

// Whether one of the terms holds for the node; an empty term holds for none.
[[nodiscard]] bool selects(const NodeSelector& selector, const std::string& node_name,
                           const NodeLabels& labels);

}  // namespace skiff::kube
