// Rounds: a container whose end matches a rule with the action RestartAllContainers ends the pod's
// present round. Everything stops, and the next round begins with the first init container
// (contract row 68). Each record tells in which round its container was started, so nothing else
// has to be remembered: an agent that dies in the middle finds the same round again. Pure.
#pragma once

#include <cstdint>

#include "kube/types.h"
#include "pods/observed.h"

namespace skiff::pods {

// terminated.reason and waiting.reason of containers that another's end took down.
inline constexpr std::string_view kRestartingAll = "RestartingAllContainers";

// Whether some container of the pod has such a rule.
[[nodiscard]] bool may_restart_all(const kube::PodSpec& spec);

// Finds the present round and marks the containers in `view` whose latest run belongs to an earlier
// one. A run of which only the API server knows ended before the machine was booted anew: it ends
// no round, and belongs to none but the first.
void mark_rounds(const kube::PodSpec& spec, PodView& view);

// The round in which containers are started now.
[[nodiscard]] std::uint32_t present_round(const kube::PodSpec& spec, const PodView& view);

// Whether containers of an earlier round have yet to end.
[[nodiscard]] bool is_restarting_all(const PodView& view);

}  // namespace skiff::pods
