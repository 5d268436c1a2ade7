// The conditions of a pod that the kubelet owns (contract row 16). Pure.
#pragma once

#include <string>

#include "base/time.h"
#include "kube/types.h"

namespace skiff::pods {

// What the conditions tell beside the statuses of containers.
struct PodState {
    enum class Sandbox { missing, ready } sandbox = Sandbox::missing;
    // all: containers of the round before have yet to end (rounds.h).
    enum class Restarting { none, all } restarting = Restarting::none;
};

// DisruptionTarget of a pod that the node itself ends, without times.
[[nodiscard]] kube::PodCondition disrupted(std::string message);

// Sets them in `status`, which has its phase and its containers' statuses, keeping those that are
// in it already and all others of the API's copy. Transition times are taken from `previous` where
// the status is the same.
void set_conditions(kube::PodStatus& status, const kube::Pod& pod, const kube::PodStatus& previous,
                    const PodState& state, WallTime now);

}  // namespace skiff::pods
