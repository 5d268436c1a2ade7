// When a container that runs counts as started and as ready, by what its probes said (contract row
// 19). Pure; the one place where this is judged, for the status and for what waits for a sidecar.
#pragma once

#include <map>
#include <string>

#include "kube/types.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"

namespace skiff::pods {

// Whether one kind's results (of ProbeResults) say `wanted` of the container.
[[nodiscard]] bool counts_as(ProbeResult wanted, const std::map<std::string, ProbeResult>& results,
                             const std::string& container);

// Of a container that runs. One without that probe always passes; with a probe and without results
// (nobody probes, or not yet) it does not. `probes` may be null.
[[nodiscard]] bool startup_passed(const kube::Container& container, const ProbeResults* probes);
[[nodiscard]] bool readiness_passed(const kube::Container& container, const ProbeResults* probes);

}  // namespace skiff::pods
