// The status of a pod as the API shows it: container statuses, phase, conditions. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "pods/decide.h"
#include "pods/phase.h"

namespace skiff::pods {

// Why a container waits, found by decide().
struct Waiting {
    std::string reason;
    std::string message;
};

struct StatusInputs {
    const Situation& situation;
    const PodView& view;
    // Containers that wait for something that has a name.
    const std::map<std::string, Waiting>& waiting;
    Finality finality = Finality::open;
    // Set for a pod that ends for a reason of its own: DeadlineExceeded.
    std::string failed_reason;
    std::string failed_message;
};

[[nodiscard]] kube::PodStatus status_of(const StatusInputs& inputs);

// The status of a pod that was never admitted: Failed, with everything else left as it was.
[[nodiscard]] kube::PodStatus rejected_status(const Situation& situation);

}  // namespace skiff::pods
