// Checks of pods that did not come through an API server: manifests of `skiff run`, static pods.
// Pure.
#pragma once

#include <string_view>

#include "base/result.h"
#include "kube/types.h"

namespace skiff::kube {

// What the API server would refuse and what would confuse the node: names, images, references from
// mounts to volumes, paths, ports, policies. The error is Code::invalid and names the field, the
// value and what is allowed.
[[nodiscard]] Result<void> validate(const Pod& pod);

// RFC 1123: at most 63 lower-case letters, digits and '-', not at the ends.
[[nodiscard]] bool is_dns_label(std::string_view name);
// RFC 1123: labels joined by '.', at most 253 characters.
[[nodiscard]] bool is_dns_subdomain(std::string_view name);

}  // namespace skiff::kube
