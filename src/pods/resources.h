// What a pod and its containers ask of the node, and what of it they may use: sums over containers,
// pod-level resources (contract row 66) and the overhead of a RuntimeClass. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "kube/types.h"
#include "pods/ports.h"

namespace skiff::pods {

// What a pod asks of the node for its whole life: the larger of its containers' sum (with sidecars)
// and the largest init container; what spec.resources says in place of that; plus spec.overhead.
[[nodiscard]] kube::ResourceList pod_requests(const kube::PodSpec& spec);
// The same sums of limits; overhead is added only where there is a limit.
[[nodiscard]] kube::ResourceList pod_limits(const kube::PodSpec& spec);

// The limits that hold for one container: its own, and those of the pod for cpu and memory where it
// has none.
[[nodiscard]] kube::ResourceList limits_of(const kube::PodSpec& spec,
                                           const kube::Container& container);
// What the container's run is given of the node.
[[nodiscard]] ContainerLimits container_limits(const kube::PodSpec& spec,
                                               const kube::Container& container);

// The pod's share of the node: a limit only where every container has one, or the pod itself.
[[nodiscard]] PodSandbox sandbox_of(const kube::Pod& pod);

// status.resources of a pod that has `sandbox`: what its containers ask for, and what its cgroup
// holds it to.
[[nodiscard]] kube::ResourceRequirements actual_resources(const kube::PodSpec& spec,
                                                          const PodSandbox& sandbox);

// A quantity as the kubelet counts the resource: processors in thousandths.
[[nodiscard]] std::int64_t units_of(std::string_view resource, const kube::Quantity& quantity);
[[nodiscard]] std::optional<Bytes> memory_limit(const kube::ResourceList& limits);
[[nodiscard]] std::optional<std::int64_t> cpu_millis(const kube::ResourceList& list);

}  // namespace skiff::pods
