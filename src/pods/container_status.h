// What the API shows of one container, and what holds for all of a pod's together (contract rows
// 18-20, 42). Pure.
#pragma once

#include <vector>

#include "pods/status_of.h"

namespace skiff::pods {

[[nodiscard]] kube::ContainerStatus container_status(const StatusInputs& inputs,
                                                     const kube::Container& container,
                                                     ContainerRole role);

// A pod that ends may not keep containers that seem to run or to wait for ever (what the kubelet's
// TerminatePod does).
void close_statuses(std::vector<kube::ContainerStatus>& statuses);

// All termination messages of a pod share 12 KiB, cut as the kubelet cuts them (contract row 42).
void bound_messages(kube::PodStatus& status);

}  // namespace skiff::pods
