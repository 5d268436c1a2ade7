// A pod's phase, from its containers' statuses alone (contract §4.1). Pure.
#pragma once

#include <string>

#include "kube/types.h"

namespace skiff::pods {

// Whether all containers have ended for good and none will start again.
enum class Finality { open, final };

// What the init containers of a pod have come to, by the statuses in `status`.
struct InitCount {
    int pending = 0;
    int failed_for_good = 0;
    int sidecars_pending = 0;
};

[[nodiscard]] InitCount count_init(const kube::Pod& pod, const kube::PodStatus& status);

// Whether a regular container runs, or ran once.
[[nodiscard]] bool any_regular_started(const kube::PodStatus& status);

[[nodiscard]] std::string phase_of(const kube::Pod& pod, const kube::PodStatus& status,
                                   Finality finality);

}  // namespace skiff::pods
