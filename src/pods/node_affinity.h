// Whether a pod wants to be on this node: nodeSelector and required node affinity, as the scheduler
// reads them (k8s.io/component-helpers, scheduling/corev1/nodeaffinity). Pure.
#pragma once

#include <string>

#include "kube/node_selector.h"
#include "kube/types.h"

namespace skiff::pods {

using NodeLabels = kube::NodeLabels;

[[nodiscard]] bool wants_node(const kube::PodSpec& spec, const std::string& node_name,
                              const NodeLabels& labels);

}  // namespace skiff::pods
