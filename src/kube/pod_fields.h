// What the downward API tells of a pod, the same for variables (pods) and volumes. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/types.h"

namespace skiff::kube {

// Every container of a pod: init containers first, then the regular and the ephemeral ones, each
// kind in its order.
template <typename F>
void for_each_container(const PodSpec& spec, F&& each) {
    for (const Container& container : spec.initContainers) {
        each(container);
    }
    for (const Container& container : spec.containers) {
        each(container);
    }
    for (const EphemeralContainer& container : spec.ephemeralContainers) {
        each(static_cast<const Container&>(container));
    }
}

// The container of that name, of whatever kind; nullptr if there is none.
[[nodiscard]] const Container* find_container(const Pod& pod, std::string_view name);

// Annotations of pods that come from files, as the kubelet names them (contract row 54).
inline constexpr std::string_view kConfigSource = "kubernetes.io/config.source";
inline constexpr std::string_view kConfigHash = "kubernetes.io/config.hash";
// Whether it comes from a file or a URL of the node's (static pods), or is the mirror of one that
// does.
[[nodiscard]] bool is_from_file(const Pod& pod);
// An annotation's value; empty when there is none.
[[nodiscard]] std::string annotation(const Pod& pod, std::string_view key);

// Whether a condition of pods is the node agent's own (contract row 16): it writes these, and keeps
// all others as the server has them.
[[nodiscard]] bool is_agents_condition(std::string_view type);

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
