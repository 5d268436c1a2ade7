// What to send to the API server so that a known object becomes a wanted one: strategic merge
// patches of statuses. Pure.
//
// Both sides are encoded by our own codec, so a field that Skiff does not know can never be
// touched. Send with content type kStrategicMergePatch.
#pragma once

#include <optional>
#include <string>

#include "kube/types.h"

namespace skiff::kube {

inline constexpr std::string_view kStrategicMergePatch = "application/strategic-merge-patch+json";
inline constexpr std::string_view kMergePatch = "application/merge-patch+json";

// The patch that turns `known.status` into `wanted`, with metadata.uid as its precondition: the
// server refuses it (409) when the name meanwhile belongs to another pod. nullopt when nothing
// differs. Conditions and podIPs, hostIPs merge by their keys, container statuses are replaced as
// lists. The fields that a node may not touch (claim statuses) are taken from `known`.
[[nodiscard]] std::optional<std::string> pod_status_patch(const Pod& known, PodStatus wanted);

// The same for a node, without the uid. Addresses are replaced as a whole: their merge key `type`
// is not unique on a node with two address families.
[[nodiscard]] std::optional<std::string> node_status_patch(const Node& known,
                                                           const NodeStatus& wanted);

// The patch that gives `known` the labels and annotations of `wanted` (others stay) and its
// missing spec.providerID; nullopt when it has them.
[[nodiscard]] std::optional<std::string> node_metadata_patch(const Node& known, const Node& wanted);

}  // namespace skiff::kube
