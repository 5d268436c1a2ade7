#include "app/pod_starts.h"

#include <algorithm>

namespace skiff::app {

namespace {

bool all_run(const kube::Pod& pod, const kube::PodStatus& status) {
    return status.containerStatuses.size() == pod.spec.containers.size() &&
           std::ranges::all_of(status.containerStatuses, [](const kube::ContainerStatus& its) {
               return its.state.running.has_value();
           });
}

Duration time_of_init(const kube::PodStatus& status) {
    Duration sum{};
    for (const kube::ContainerStatus& its : status.initContainerStatuses) {
        const auto& ended = its.state.terminated;
        if (ended && ended->startedAt && ended->finishedAt) {
            sum += std::max<Duration>(ended->finishedAt->at - ended->startedAt->at, Duration{});
        }
    }
    return sum;
}

}  // namespace

void PodStarts::began(const PodUid& pod) {
    starting_.try_emplace(pod, Start{clock_.steady_now(), std::nullopt, {}, Start::Told::no});
}

void PodStarts::pulled(const PodUid& pod, SteadyTime from, SteadyTime until) {
    auto found = starting_.find(pod);
    if (found == starting_.end()) {
        return;
    }
    Start& start = found->second;
    start.pull_from = std::min(start.pull_from.value_or(from), from);
    start.pull_until = std::max(start.pull_until, until);
}

void PodStarts::status(const kube::Pod& pod, const kube::PodStatus& status) {
    auto found = starting_.find(PodUid(pod.metadata.uid));
    if (found == starting_.end() || found->second.told == Start::Told::yes ||
        !all_run(pod, status)) {
        return;
    }
    Start& start = found->second;
    start.told = Start::Told::yes;
    Duration took = clock_.steady_now() - start.began;
    meters_.pod_start.observe(took);
    meters_.pod_worker.observe({"create"}, took);
    if (!pod.metadata.creationTimestamp) {
        return;  // of a file
    }
    Duration total = std::max<Duration>(clock_.wall_now() - pod.metadata.creationTimestamp->at,
                                        Duration::zero());
    Duration pulling =
        start.pull_from ? start.pull_until - *start.pull_from : SteadyTime::duration{};
    meters_.pod_start_total.observe(total);
    meters_.pod_start_sli.observe(
        std::max(total - pulling - time_of_init(status), Duration::zero()));
}

}  // namespace skiff::app
