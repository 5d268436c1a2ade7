// Taints of the node and tolerations of pods, by the rules of the core API. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "kube/types.h"

namespace skiff::pods {

[[nodiscard]] bool tolerates(const kube::Toleration& toleration, const kube::Taint& taint);
// The first taint of that effect that none of the tolerations fits; nullptr when there is none.
[[nodiscard]] const kube::Taint* find_untolerated(const std::vector<kube::Taint>& taints,
                                                  const std::vector<kube::Toleration>& tolerations,
                                                  std::string_view effect);

}  // namespace skiff::pods
