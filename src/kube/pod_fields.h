// What the downward API tells of a pod, the same for variables (pods) and volumes. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/types.h"

namespace skiff::kube {

// The container or init container of that name; nullptr if there is none.
[[nodiscard]] const Container* find_container(const Pod& pod, std::string_view name);

// The text of "metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels['KEY']" or
// "metadata.annotations['KEY']" (empty when there is no such key); nullopt for any other path.
[[nodiscard]] std::optional<std::string> metadata_field(const Pod& pod,
                                                        std::string_view field_path);

// "limits.cpu" and so on of a container, divided and rounded up; a limit that is not set, or zero,
// is what the node can give (`allocatable`). Fails with invalid for a resource that is not offered.
[[nodiscard]] Result<std::string> resource_field(const Container& container,
                                                 const ResourceList& allocatable,
                                                 const ResourceFieldSelector& selector);

}  // namespace skiff::kube
