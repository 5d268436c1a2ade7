// The API server's defaulting for objects that did not pass through it: manifests of `skiff run`
// and static pods. Pure.
#pragma once

#include <string_view>

#include "kube/types.h"

namespace skiff::kube {

// Fills in what the API server would have stored for this pod (core/v1 defaults of v1.37, without
// what admission plugins and controllers add: service-account volumes, tolerations, priority).
// Idempotent. status.phase becomes Pending and status.qosClass is computed.
void apply_defaults(Pod& pod);
// The same for a pod template: what only applies to pods proper (requests from limits) is left out.
void apply_defaults(PodTemplateSpec& pod_template);

// Guaranteed, Burstable or BestEffort, from the requests and limits of cpu and memory.
[[nodiscard]] std::string_view qos_class(const PodSpec& spec);

// The pull policy of an image reference without one: Always for `:latest` or no tag at all,
// IfNotPresent otherwise (a digest counts as a tag).
[[nodiscard]] std::string_view default_pull_policy(std::string_view image);

}  // namespace skiff::kube
