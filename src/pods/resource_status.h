// What a status says of resources (contract rows 18, 52, 65, 66). Pure.
#pragma once

#include "kube/types.h"
#include "pods/decide.h"
#include "pods/observed.h"

namespace skiff::pods {

// Sets `resources` and `allocatedResources` of one container: what was allocated, and what its run
// has of it. `previous` is the pod's status before, for runs of which only that tells.
void set_resources(kube::ContainerStatus& status, const kube::Container& container,
                   const ContainerView& view, const kube::PodStatus& previous);

// Sets those of the pod, which has a share of the node once it is set up.
void set_pod_resources(kube::PodStatus& status, const Situation& situation);

}  // namespace skiff::pods
