// Where the pod's own volumes lie, and what they hold.
#include <sys/stat.h>

#include "os/tree_usage.h"
#include "volumes/sub_path.h"
#include "volumes/volumes.h"

namespace skiff::volumes {

namespace {

using Content = OwnPlace::Content;

struct Counted {
    pods::VolumeUsage usage;
    std::filesystem::path path;
};

std::optional<Bytes> limit_of(const kube::Volume& volume) {
    bool limited =
        volume.emptyDir && volume.emptyDir->sizeLimit && !volume.emptyDir->sizeLimit->is_zero();
    if (!limited) {
        return std::nullopt;
    }
    return Bytes{static_cast<std::uint64_t>(volume.emptyDir->sizeLimit->value())};
}

Result<std::vector<pods::VolumeUsage>> count(std::vector<Counted> volumes) {
    std::vector<pods::VolumeUsage> all;
    for (Counted& volume : volumes) {
        SKIFF_TRY(auto found, os::tree_usage(volume.path));
        if (found.inodes == 0) {
            continue;  // not set up, or no more
        }
        pods::DiskUse& use = volume.usage.use;
        use.bytes = found.bytes;
        use.inodes = found.inodes;
        use.counted = found.counted == os::TreeUsage::Counted::all ? pods::DiskUse::Counted::all
                                                                   : pods::DiskUse::Counted::part;
        all.push_back(std::move(volume.usage));
    }
    return all;
}

}  // namespace

std::optional<OwnPlace> own_place(const kube::Volume& volume) {
    if (volume.configMap) {
        return OwnPlace{"kubernetes.io~configmap", Medium::disk, Content::payload};
    }
    if (volume.secret) {
        return OwnPlace{"kubernetes.io~secret", Medium::memory, Content::payload};
    }
    if (volume.downwardAPI) {
        return OwnPlace{"kubernetes.io~downward-api", Medium::memory, Content::payload};
    }
    if (volume.projected) {
        return OwnPlace{"kubernetes.io~projected", Medium::memory, Content::payload};
    }
    if (volume.hostPath || volume.persistentVolumeClaim || volume.ephemeral || volume.image ||
        unsupported_kind(volume)) {
        return std::nullopt;
    }
    // A volume with no source at all is an emptyDir, as the API's defaulting says.
    bool in_memory = volume.emptyDir && volume.emptyDir->medium == "Memory";
    return OwnPlace{"kubernetes.io~empty-dir", in_memory ? Medium::memory : Medium::disk,
                    Content::guests};
}

async::Task<Result<std::string>> PodVolumes::read_file(const pods::MountedVolume& volume,
                                                       std::string path) {
    auto work = [from = volume.path, path = std::move(path)] {
        return read_inside(from, path, pods::kGuestFileBytesMax);
    };
    co_return co_await pool_.run(std::move(work));
}

async::Task<Result<std::vector<pods::VolumeUsage>>> PodVolumes::usage(const kube::Pod& pod) {
    std::vector<Counted> volumes;
    PodUid uid(pod.metadata.uid);
    for (const kube::Volume& volume : pod.spec.volumes) {
        auto place = own_place(volume);
        if (!place || !state::can_name_a_file(volume.name) || !state::can_name_a_file(uid.str())) {
            continue;
        }
        Counted counted;
        counted.usage.name = volume.name;
        counted.usage.medium = place->medium;
        counted.usage.limit = limit_of(volume);
        counted.path = paths_.pod_volume(uid, std::string(place->plugin), volume.name);
        volumes.push_back(std::move(counted));
    }
    auto work = [volumes = std::move(volumes)] { return count(volumes); };
    co_return co_await pool_.run(std::move(work));
}

}  // namespace skiff::volumes
