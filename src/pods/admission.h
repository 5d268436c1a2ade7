// Whether the node can take a pod at all (contract row 13). Judged once, before anything of the pod
// exists; never again, not even after a restart of the agent. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kube/types.h"
#include "pods/decide.h"

namespace skiff::pods {

// The node as admission sees it.
struct NodeState {
    kube::ResourceList allocatable;
    std::size_t pods_max = 110;
    std::vector<kube::Taint> taints;
    // Conditions of the node that hold now: MemoryPressure, DiskPressure, PIDPressure.
    std::vector<std::string> pressures;
    enum class Shutdown { no, begun } shutdown = Shutdown::no;
};

// One reason against a pod, with the kubelet's words.
struct AdmissionFailure {
    std::string reason;   // OutOfcpu …
    std::string message;  // without "Pod was rejected: "
    // What there is too little of: millicores for cpu, else units.
    struct Missing {
        std::string resource;
        std::int64_t amount = 0;
    };
    std::optional<Missing> missing{};
};

// All reasons against `pod`, given the pods that the node has already taken and that have not
// ended; in the kubelet's order, the first being the one that is told. Empty: it fits.
[[nodiscard]] std::vector<AdmissionFailure> admission_failures(
    const kube::Pod& pod, const std::vector<const kube::Pod*>& taken, const NodeState& node);

// The rejection for one of them.
[[nodiscard]] Admission rejected_for(const AdmissionFailure& failure);

// Whether resources of `spec` exceed what the node has for all pods together: then no end of
// another pod would help. The failure says which.
[[nodiscard]] std::optional<AdmissionFailure> exceeds_node(const kube::PodSpec& spec,
                                                           const NodeState& node);

}  // namespace skiff::pods
