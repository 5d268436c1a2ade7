// In-place resize (contract row 65): what a pod was allocated, what its containers run with, and
// what still has to be done about the difference. Pure.
//
// Three sets of resources: those that the pod's spec asks for, those that the node allocated (the
// worker puts them in place of the spec's, so that everything else sees only them), and those that
// each run has. The first becomes the second when the node has room, the second the third by
// Runtime::resize(), or by a restart where the container's resizePolicy wants one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kube/types.h"
#include "pods/decide.h"
#include "pods/observed.h"

namespace skiff::pods {

inline constexpr std::string_view kResizePending = "PodResizePending";
inline constexpr std::string_view kResizeInProgress = "PodResizeInProgress";

// Whether two specs of one pod differ in the resources that can be changed in place.
[[nodiscard]] bool differ_in_resources(const kube::PodSpec& a, const kube::PodSpec& b);
// `pod` with the resources of `allocated` in place of its own.
[[nodiscard]] kube::Pod with_resources_of(kube::Pod pod, const kube::PodSpec& allocated);
// The allocation as it is kept over a restart of the agent, and back. A corrupt text is
// Code::corrupt.
[[nodiscard]] std::string format_allocation(const kube::PodSpec& spec);
[[nodiscard]] Result<kube::PodSpec> parse_allocation(std::string_view text);
// What the API's copy of our own status says was allocated: all there is after a reboot. Containers
// that it does not know keep what their spec asks for.
[[nodiscard]] kube::PodSpec allocation_of_status(const kube::Pod& pod);

// What a run of the container has (ContainerSpec::resources): its own requests, the limits that
// hold for it.
[[nodiscard]] kube::ResourceRequirements run_resources(const kube::PodSpec& spec,
                                                       const kube::Container& container);

enum class ResizeNeed { none, live, restart };
// What a run needs so that it has what `container` was allocated. None where an older agent
// started it and nobody knows what it has.
[[nodiscard]] ResizeNeed resize_need(const kube::PodSpec& spec, const kube::Container& container,
                                     const Instance& run);
// Whether two shares hold the pod to different limits.
[[nodiscard]] bool differ_in_share(const PodSandbox& a, const PodSandbox& b);
// Whether something can be done about it while all goes on running.
[[nodiscard]] bool can_resize_live(const Situation& situation, const PodView& view);
// Whether a running container, or the pod's share of the node, has not yet what was allocated.
[[nodiscard]] bool resize_in_progress(const Situation& situation, const PodView& view);

// PodResizePending and PodResizeInProgress as far as they hold, without times.
[[nodiscard]] std::vector<kube::PodCondition> resize_conditions(const Situation& situation,
                                                                const PodView& view);
// "Pod resize started: {…}": the text of a resize event, which names every container's resources,
// the generation and, where there is one, the error.
[[nodiscard]] std::string resize_message(std::string_view what, const kube::Pod& pod,
                                         std::int64_t generation, std::string_view error = {});

// Of resizes that wait for room, who is asked first: who needs no more than it has, then the higher
// priority, then Guaranteed, then who waits longest.
struct WaitingResize {
    const kube::Pod* desired = nullptr;
    const kube::Pod* allocated = nullptr;
    std::optional<kube::Time> since;
};
[[nodiscard]] bool goes_before(const WaitingResize& a, const WaitingResize& b);

}  // namespace skiff::pods
