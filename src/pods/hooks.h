// Lifecycle hooks (contract row 37): when one is due, and how it is run.
#pragma once

#include <memory>
#include <string>

#include "async/task.h"
#include "kube/types.h"
#include "pods/decide.h"
#include "pods/start_container.h"

namespace skiff::pods {

// A postStart hook may take its time, but not for ever.
inline constexpr Duration kPostStartMax = std::chrono::hours(1);

// Whether the run of this container, which goes on, has a postStart hook that has not succeeded. As
// long as it is so, the container counts as not started. A status that says that the run runs was
// only made when its hook had succeeded: so the hook of an agent that died is not run again, unless
// that agent could not tell. Pure.
[[nodiscard]] bool post_start_pending(const kube::Container& container, const ContainerId& run,
                                      const PodMemory& memory, const kube::PodStatus& previous);

// The pod as its status shows it: runs whose postStart hook has not succeeded are not there yet.
// Pure.
[[nodiscard]] PodView without_unstarted(const PodView& view, const kube::Pod& pod,
                                        const PodMemory& memory, const kube::PodStatus& previous);

// Whether the run may be stopped, as far as its preStop hook is concerned: there is none, it has
// ended, or its time is over. Pure.
enum class PreStop { due, running, over };
[[nodiscard]] PreStop pre_stop_of(const kube::Container& container, const ContainerId& run,
                                  const ContainerMemory& memory);

struct HookRun {
    std::shared_ptr<const kube::Pod> pod;
    kube::Container container;
    ContainerId run;
    enum class Which { post_start, pre_stop } which = Which::post_start;
    std::string address;  // the pod's
    Duration timeout{};
};
// Runs the hook to its end. A failure's message is the kubelet's; `ports` outlives the call. Emits
// LifecycleHTTPFallback when a server was asked again without TLS.
[[nodiscard]] Task<Result<void>> run_hook(const Ports& ports, HookRun hook);

}  // namespace skiff::pods
