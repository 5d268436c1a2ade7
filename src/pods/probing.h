// What of a pod is probed, and what follows when a probe says that a container must not go on
// (contract §4.4). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kube/types.h"
#include "pods/decide.h"
#include "pods/observed.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"

namespace skiff::pods {

// Whether any container of the pod has a probe: for most pods nothing below has to be asked.
[[nodiscard]] bool has_probes(const kube::Pod& pod);

// The runs that the order below is about, and its scope: while they stay the same, so does it.
[[nodiscard]] std::vector<ContainerId> probed_runs(const kube::Pod& pod,
                                                   const std::vector<ContainerRecord>& records,
                                                   const kube::PodStatus& previous,
                                                   const PodMemory& memory);
[[nodiscard]] ProbeOrder::Scope probe_scope(const kube::Pod& pod, const PodMemory& memory);

// What the worker asks the prober for, as things are: every run that counts as running, which one
// does not before its postStart hook has succeeded. What `previous` says of the very run is known
// from an agent before this one.
[[nodiscard]] ProbeOrder probe_order(const std::shared_ptr<const kube::Pod>& pod,
                                     const std::vector<ContainerRecord>& records,
                                     const kube::PodStatus& previous, const PodMemory& memory);

// A run that has to end.
struct Unhealthy {
    ProbeKind kind = ProbeKind::liveness;
    Duration grace{};  // the probe's own, else the pod's
};
// Of a container that runs. `probes` may be null.
[[nodiscard]] std::optional<Unhealthy> unhealthy(const kube::Pod& pod,
                                                 const kube::Container& container,
                                                 const ProbeResults* probes);

}  // namespace skiff::pods
