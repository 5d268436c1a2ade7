// What a pod may ask for and Skiff does not offer yet: never ignored in silence (docs: what
// differs from a kubelet). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kube/types.h"

namespace skiff::pods {

// The message for a container that cannot be started as asked, naming the field; nullopt when
// everything it asks for is honoured. It waits with CreateContainerConfigError.
[[nodiscard]] std::optional<std::string> unsupported(const kube::Pod& pod,
                                                     const kube::Container& container);

// The same for a container that `kubectl debug` added.
[[nodiscard]] std::string unsupported_ephemeral(const kube::EphemeralContainer& container);

// One line for each wish that would widen what a container may do. It is not granted, the container
// runs without it: one Warning event.
[[nodiscard]] std::vector<std::string> refused_powers(const kube::Pod& pod);

}  // namespace skiff::pods
