// Images, volumes and statuses with what they do counted, on their way from pods. What each is
// given outlives it.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "app/meters.h"
#include "app/pod_starts.h"
#include "pods/ports.h"

namespace skiff::app {

class MeteredImages final : public pods::Images {
public:
    struct Parts {
        Meters& meters;
        PodStarts& starts;
        const Clock& clock;
    };
    MeteredImages(pods::Images& inner, Parts parts) : inner_(inner), parts_(parts) {}

    async::Task<Result<pods::Image>> ensure(const kube::Pod& pod, std::string container,
                                            std::string reference,
                                            std::string pull_policy) override {
        auto task =
            inner_.ensure(pod, std::move(container), std::move(reference), std::move(pull_policy));
        return timed(PodUid(pod.metadata.uid), std::move(task));
    }
    async::Task<Result<pods::Image>> ensure_files(const kube::Pod& pod, std::string container,
                                                  std::string reference,
                                                  std::string pull_policy) override {
        auto task = inner_.ensure_files(pod, std::move(container), std::move(reference),
                                        std::move(pull_policy));
        return timed(PodUid(pod.metadata.uid), std::move(task));
    }
    async::Task<Result<pods::ModuleFile>> find_module(const pods::Image& image,
                                                      std::string path) override {
        return inner_.find_module(image, std::move(path));
    }
    std::optional<SteadyTime> back_off_until(const PodUid& pod,
                                             const std::string& reference) const override {
        return inner_.back_off_until(pod, reference);
    }
    void release(const PodUid& pod) override { inner_.release(pod); }

private:
    async::Task<Result<pods::Image>> timed(PodUid pod, async::Task<Result<pods::Image>> task);

    pods::Images& inner_;
    Parts parts_;
};

// Also knows what is set up, for the counts of volumes.
class MeteredVolumes final : public pods::Volumes {
public:
    using Mounted = std::map<std::string, pods::MountedVolume>;
    MeteredVolumes(pods::Volumes& inner, Meters& meters, const Clock& clock)
        : inner_(inner), meters_(meters), clock_(clock) {}

    async::Task<Result<Mounted>> set_up(const kube::Pod& pod,
                                        const pods::PodFacts& facts) override {
        return set_up_metered(PodUid(pod.metadata.uid), inner_.set_up(pod, facts));
    }
    async::Task<Result<pods::MountedVolume>> mount_image(const kube::Pod& pod, std::string volume,
                                                         pods::Image image) override {
        auto task = inner_.mount_image(pod, volume, std::move(image));
        return mount_metered(PodUid(pod.metadata.uid), std::move(volume), std::move(task));
    }
    async::Task<Result<std::filesystem::path>> resolve_mount(const kube::Pod& pod,
                                                             const pods::MountedVolume& volume,
                                                             std::string sub_path) override {
        return inner_.resolve_mount(pod, volume, std::move(sub_path));
    }
    async::Task<Result<std::string>> read_file(const pods::MountedVolume& volume,
                                               std::string path) override {
        return inner_.read_file(volume, std::move(path));
    }
    async::Task<Result<std::vector<pods::VolumeUsage>>> usage(const kube::Pod& pod) override {
        return inner_.usage(pod);
    }
    async::Task<Result<void>> tear_down(const PodUid& pod) override {
        return tear_down_metered(pod, inner_.tear_down(pod));
    }

    // What of the pod's volumes is set up: by name, where it is. nullptr: nothing.
    [[nodiscard]] const Mounted* mounted(const PodUid& pod) const;

private:
    async::Task<Result<Mounted>> set_up_metered(PodUid pod, async::Task<Result<Mounted>> task);
    async::Task<Result<pods::MountedVolume>> mount_metered(
        PodUid pod, std::string volume, async::Task<Result<pods::MountedVolume>> task);
    async::Task<Result<void>> tear_down_metered(PodUid pod, async::Task<Result<void>> task);

    pods::Volumes& inner_;
    Meters& meters_;
    const Clock& clock_;
    std::map<PodUid, Mounted> mounted_;
};

class MeteredStatus final : public pods::StatusSink {
public:
    MeteredStatus(pods::StatusSink& inner, PodStarts& starts) : inner_(inner), starts_(starts) {}
    void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override {
        starts_.status(*pod, status);
        inner_.publish(std::move(pod), std::move(status));
    }
    void finish(std::shared_ptr<const kube::Pod> pod) override { inner_.finish(std::move(pod)); }
    void forget(const PodUid& pod) override { inner_.forget(pod); }

private:
    pods::StatusSink& inner_;
    PodStarts& starts_;
};

}  // namespace skiff::app
