// What the agent may do on the machine, settled once at its start.
#pragma once

#include "os/capabilities.h"
#include "os/id_map_probe.h"

namespace skiff::app {

// What the agent itself keeps, and what it only leaves to the programs that it starts. SECURITY.md
// says why.
[[nodiscard]] os::CapabilitySet agent_capabilities();
[[nodiscard]] os::CapabilitySet started_capabilities();

// For the verbs that run pods, as the first thing, before any thread: gives up every capability
// that is not needed, after making what needs some of them only now. Those that are missing are one
// warning. Without privilege (an ordinary user's `skiff run`) there is nothing to give up, and the
// probe asks nothing: the volumes of such pods are never idmapped.
[[nodiscard]] os::IdMapProbe settle_powers();

}  // namespace skiff::app
