// The status of a pod as the API shows it: container statuses, phase, conditions. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "pods/decide.h"

namespace skiff::pods {

// The condition of a pod whose resources were changed while it runs (contract row 65).
inline constexpr std::string_view kResizePending = "PodResizePending";

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
    // Whether all containers have ended for good and none will start again.
    enum class Finality { open, final } finality = Finality::open;
    // Set for a pod that ends for a reason of its own: DeadlineExceeded.
    std::string failed_reason;
    std::string failed_message;
};

[[nodiscard]] kube::PodStatus status_of(const StatusInputs& inputs);

// The status of a pod that was never admitted: Failed, with everything else left as it was.
[[nodiscard]] kube::PodStatus rejected_status(const Situation& situation);

// Contract §4.1.
[[nodiscard]] std::string phase_of(const kube::Pod& pod, const kube::PodStatus& status,
                                   StatusInputs::Finality finality);

enum class SandboxState { missing, ready };

// Sets the conditions that the kubelet owns, keeping all others of the API's copy. Transition
// times are taken from `previous` where the status is the same.
void set_conditions(kube::PodStatus& status, const kube::Pod& pod, const kube::PodStatus& previous,
                    SandboxState sandbox, WallTime now);

}  // namespace skiff::pods
