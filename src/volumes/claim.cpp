// Volumes behind claims: what they are bound to, as far as this node can use it.
#include <sys/stat.h>

#include <cerrno>
#include <limits>

#include "base/text.h"
#include "os/file.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

namespace {

using Access = pods::MountedVolume::Access;

constexpr std::string_view kGroupAnnotation = "pv.beta.kubernetes.io/gid";
constexpr std::uint32_t kGroupBits = 0660;
constexpr std::uint32_t kFolderBits = 02770;

std::string claim_name(const kube::Pod& pod, const kube::Volume& volume) {
    return volume.persistentVolumeClaim ? volume.persistentVolumeClaim->claimName
                                        : pod.metadata.name + "-" + volume.name;
}

std::optional<std::uint32_t> group_of(const kube::PersistentVolume& volume) {
    auto found = volume.metadata.annotations.find(std::string(kGroupAnnotation));
    if (found == volume.metadata.annotations.end()) {
        return std::nullopt;
    }
    // One that is no number is of no effect, as with a kubelet.
    auto number = parse_int(found->second);
    bool fits = number && *number >= 0 && *number <= std::numeric_limits<std::int32_t>::max();
    return fits ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
}

std::string_view kind_of(const kube::PersistentVolumeSpec& spec) {
    return spec.nfs ? "nfs" : spec.csi ? "csi" : "some other";
}

void set_fs_group(const kube::Pod& pod, ForeignPlace& place) {
    const auto& context = pod.spec.securityContext;
    if (!context || !context->fsGroup || place.access == Access::read_only) {
        return;
    }
    place.fs_group = static_cast<std::uint32_t>(*context->fsGroup);
    if (context->fsGroupChangePolicy.value_or("") == "OnRootMismatch") {
        place.give = ForeignPlace::Give::on_root_mismatch;
    }
}

Result<bool> is_given(const ForeignPlace& place) {
    struct stat status{};
    if (::lstat(place.given.c_str(), &status) == 0) {
        return true;
    }
    if (place.give == ForeignPlace::Give::always) {
        return false;
    }
    if (::stat(place.path.c_str(), &status) != 0) {
        return fail_errno(errno, place.path.string());
    }
    return status.st_gid == *place.fs_group && (status.st_mode & kFolderBits) == kFolderBits;
}

}  // namespace

async::Task<Result<ForeignPlace>> claimed_place(pods::Objects& objects, const kube::Pod& pod,
                                                const kube::Volume& volume) {
    auto found = co_await objects.bound_volume(pod, claim_name(pod, volume));
    if (!found) {
        co_return fail(std::move(found.error()));
    }
    const kube::PersistentVolumeSpec& spec = (*found)->spec;
    ForeignPlace place;
    place.group = group_of(**found);
    if (volume.persistentVolumeClaim && volume.persistentVolumeClaim->readOnly) {
        place.access = Access::read_only;
    }
    if (spec.hostPath) {
        place.path = spec.hostPath->path;
        place.type = spec.hostPath->type.value_or("");
    } else if (spec.local) {
        place.path = spec.local->path;
        place.type = "Directory";
        // As with a kubelet, a hostPath belongs to whom it belongs.
        set_fs_group(pod, place);
    } else {
        co_return fail(Code::unsupported,
                       "PersistentVolume {} is of {} kind, which is not supported: hostPath and "
                       "local are",
                       (*found)->metadata.name, kind_of(spec));
    }
    co_return place;
}

Result<void> set_up_foreign(const ForeignPlace& place) {
    SKIFF_CHECK(set_up_host_path(place.path.string(), place.type));
    if (!place.fs_group) {
        return {};
    }
    SKIFF_TRY(bool given, is_given(place));
    if (!given) {
        SKIFF_CHECK(give_to_group(place.path, *place.fs_group, kGroupBits));
    }
    return os::make_folders(place.given, 0750);
}

}  // namespace skiff::volumes
