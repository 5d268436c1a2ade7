// What a pod may ask for and Skiff does not offer yet: never ignored in silence (docs: what
// differs from a kubelet). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kube/types.h"
#include "pods/decide.h"

namespace skiff::pods {

// The message for a container that cannot be started as asked, with field, value and remedy;
// nullopt when everything it asks for is honoured. It waits with CreateContainerConfigError.
[[nodiscard]] std::optional<std::string> unsupported(const kube::Pod& pod,
                                                     const kube::Container& container);

// One line for each wish that would widen what a container may do. It is not granted, the container
// runs without it: one Warning event.
[[nodiscard]] std::vector<std::string> refused_powers(const kube::Pod& pod);

// One line for each wish that common templates carry and that has no effect here yet: the
// containers run without it, one Warning event.
[[nodiscard]] std::vector<std::string> without_effect(const kube::Pod& pod,
                                                      NodeFacts::GuestInput input);

}  // namespace skiff::pods
