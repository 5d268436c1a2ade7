// /runningpods/ (contract row 59): what really runs, whatever the API server says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kube/types.h"

namespace skiff::server {

// A PodList of the pods that have a running container: name, namespace, uid and those containers
// with their images, as a kubelet makes it of its runtime.
[[nodiscard]] std::string running_pods_json(
    const std::vector<std::shared_ptr<const kube::Pod>>& pods);

}  // namespace skiff::server
