// Fakes of what a pod takes from elsewhere, images and volumes, and the faults that every fake can
// be told of.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "pods/ports.h"

namespace skiff::pods::fakes {

// Fails a call as often as told.
class Faults {
public:
    void fail_next(std::string call, Error error, int times = 1) {
        planned_[std::move(call)] = {std::move(error), times};
    }
    void heal(const std::string& call) { planned_.erase(call); }
    [[nodiscard]] std::optional<Error> take(const std::string& call) {
        auto found = planned_.find(call);
        if (found == planned_.end() || found->second.second == 0) {
            return std::nullopt;
        }
        --found->second.second;
        return found->second.first;
    }

private:
    std::map<std::string, std::pair<Error, int>> planned_;
};

inline Error make_error(Code code, std::string reason, std::string message) {
    Error error;
    error.code = code;
    error.reason = std::move(reason);
    error.message = std::move(message);
    return error;
}

class ImageStore final : public Images {
public:
    Task<Result<Image>> ensure(const kube::Pod&, std::string, std::string reference,
                               std::string) override {
        auto waited = co_await gate.wait();
        if (!waited) {
            co_return fail(std::move(waited.error()));
        }
        ++pulls[reference];
        if (auto error = faults.take("ensure")) {
            co_return fail(std::move(*error));
        }
        Image image = layout;
        image.reference = reference;
        image.image_id = reference + "@sha256:00";
        co_return image;
    }
    Task<Result<Image>> ensure_files(const kube::Pod&, std::string, std::string reference,
                                     std::string) override {
        ++pulls[reference];
        if (auto error = faults.take("ensure_files")) {
            co_return fail(std::move(*error));
        }
        Image image;
        image.kind = ImageKind::files;
        image.reference = reference;
        co_return image;
    }
    Task<Result<ModuleFile>> find_module(const Image&, std::string path) override {
        if (auto error = faults.take("find_module")) {
            co_return fail(std::move(*error));
        }
        ModuleFile module;
        module.path = path;
        module.digest = "sha256:11";
        co_return module;
    }
    std::optional<SteadyTime> back_off_until(const PodUid&, const std::string&) const override {
        return until;
    }
    void release(const PodUid& pod) override { released.insert(pod); }

    ImageStore() { gate.set(); }
    async::Event gate;  // closed: pulls hang
    Faults faults;
    Image layout = [] {
        Image image;
        image.module = "/store/module";
        image.module_digest = "sha256:11";
        image.module_name = "hello.wasm";
        return image;
    }();
    std::optional<SteadyTime> until;
    std::map<std::string, int> pulls;
    std::set<PodUid> released;
};

class VolumeSets final : public Volumes {
public:
    Task<Result<std::map<std::string, MountedVolume>>> set_up(const kube::Pod& pod,
                                                              const PodFacts&) override {
        ++set_ups;
        if (auto error = faults.take("set_up")) {
            co_return fail(std::move(*error));
        }
        std::map<std::string, MountedVolume> mounted;
        for (const kube::Volume& volume : pod.spec.volumes) {
            MountedVolume made;
            made.path = "/volumes/" + volume.name;
            mounted[volume.name] = std::move(made);
        }
        present.insert(PodUid(pod.metadata.uid));
        co_return mounted;
    }
    Task<Result<std::filesystem::path>> resolve_mount(const kube::Pod&, const MountedVolume& volume,
                                                      std::string sub_path) override {
        co_return volume.path / sub_path;
    }
    Task<Result<MountedVolume>> mount_image(const kube::Pod&, std::string volume, Image) override {
        MountedVolume made;
        made.path = "/volumes/" + volume;
        made.origin = VolumeOrigin::image;
        made.access = MountedVolume::Access::read_only;
        co_return made;
    }
    Task<Result<std::string>> read_file(const MountedVolume& volume, std::string path) override {
        auto found = files.find(volume.path / path);
        if (found == files.end()) {
            co_return fail(Code::not_found, "no such file");
        }
        co_return found->second;
    }
    Task<Result<std::vector<VolumeUsage>>> usage(const kube::Pod& pod) override {
        if (auto error = faults.take("usage")) {
            co_return fail(std::move(*error));
        }
        co_return usages[PodUid(pod.metadata.uid)];
    }
    Task<Result<void>> tear_down(const PodUid& pod) override {
        ++tear_downs;
        if (auto error = faults.take("tear_down")) {
            co_return fail(std::move(*error));
        }
        present.erase(pod);
        co_return Result<void>();
    }

    Faults faults;
    int set_ups = 0;
    int tear_downs = 0;
    std::map<PodUid, std::vector<VolumeUsage>> usages;
    std::map<std::filesystem::path, std::string> files;
    std::set<PodUid> present;
};

}  // namespace skiff::pods::fakes
