#include "app/metered_ports.h"

namespace skiff::app {

async::Task<Result<pods::Image>> MeteredImages::timed(PodUid pod,
                                                      async::Task<Result<pods::Image>> task) {
    SteadyTime begun = parts_.clock.steady_now();
    auto image = co_await std::move(task);
    SteadyTime now = parts_.clock.steady_now();
    parts_.starts.pulled(pod, begun, now);
    if (image) {
        parts_.meters.start_phase.observe({"image"}, now - begun);
    }
    co_return image;
}

async::Task<Result<MeteredVolumes::Mounted>> MeteredVolumes::set_up_metered(
    PodUid pod, async::Task<Result<Mounted>> task) {
    SteadyTime begun = clock_.steady_now();
    auto mounted = co_await std::move(task);
    if (!mounted) {
        co_return mounted;
    }
    // Later calls only refresh contents.
    auto [known, is_new] = mounted_.try_emplace(pod);
    if (is_new) {
        meters_.start_phase.observe({"volumes"}, clock_.steady_now() - begun);
    }
    for (const auto& [name, volume] : *mounted) {
        known->second.insert_or_assign(name, volume);
    }
    co_return mounted;
}

async::Task<Result<pods::MountedVolume>> MeteredVolumes::mount_metered(
    PodUid pod, std::string volume, async::Task<Result<pods::MountedVolume>> task) {
    auto mounted = co_await std::move(task);
    if (mounted) {
        mounted_[pod].insert_or_assign(volume, *mounted);
    }
    co_return mounted;
}

async::Task<Result<void>> MeteredVolumes::tear_down_metered(PodUid pod,
                                                            async::Task<Result<void>> task) {
    auto gone = co_await std::move(task);
    if (gone) {
        mounted_.erase(pod);
    }
    co_return gone;
}

const MeteredVolumes::Mounted* MeteredVolumes::mounted(const PodUid& pod) const {
    auto found = mounted_.find(pod);
    return found == mounted_.end() ? nullptr : &found->second;
}

}  // namespace skiff::app
