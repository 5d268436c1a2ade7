// The conditions of a pod that the kubelet owns (contract row 16). Pure.
#pragma once

#include <string_view>

#include "base/time.h"
#include "kube/types.h"

namespace skiff::pods {

// The condition of a pod whose resources were changed while it runs (contract row 65).
inline constexpr std::string_view kResizePending = "PodResizePending";

// What the conditions tell beside the statuses of containers.
struct PodState {
    enum class Sandbox { missing, ready } sandbox = Sandbox::missing;
    // all: containers of the round before have yet to end (rounds.h).
    enum class Restarting { none, all } restarting = Restarting::none;
};

// Sets them in `status`, which has its phase and its containers' statuses, keeping all others of
// the API's copy. Transition times are taken from `previous` where the status is the same.
void set_conditions(kube::PodStatus& status, const kube::Pod& pod, const kube::PodStatus& previous,
                    const PodState& state, WallTime now);

}  // namespace skiff::pods
