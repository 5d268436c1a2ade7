// What the agent may do on the machine, settled once at its start.
#pragma once

#include "os/id_map_probe.h"

namespace skiff::app {

// What needs power only at the beginning, made while it is there. For the verbs that run pods, as
// the first thing. Without privilege (an ordinary user's `skiff run`) the probe asks nothing: the
// volumes of such pods are never idmapped.
[[nodiscard]] os::IdMapProbe make_probe();

}  // namespace skiff::app
