// One function for each kind of volume: what it contains (from the API), or which folder it is (on
// the node).
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "async/task.h"
#include "base/result.h"
#include "kube/types.h"
#include "pods/ports.h"
#include "volumes/payload.h"

namespace skiff::volumes {

inline constexpr std::string_view kImagePlugin = "kubernetes.io~image";

using Medium = pods::VolumeUsage::Medium;

// Where a volume lies whose files are the pod's own.
struct OwnPlace {
    std::string_view plugin;  // the folder's name, as the kubelet writes it
    Medium medium = Medium::disk;
    enum class Content {
        payload,  // from the API: read-only for guests
        guests,   // of an emptyDir
    } content = Content::payload;
};
// nullopt for volumes that belong to somebody else, and for kinds that are not offered. Pure.
[[nodiscard]] std::optional<OwnPlace> own_place(const kube::Volume& volume);

// Reactor thread. Missing objects are not_found unless the source says optional.
[[nodiscard]] async::Task<Result<Payload>> config_map_payload(
    pods::Objects& objects, const kube::Pod& pod, const kube::ConfigMapVolumeSource& source);
[[nodiscard]] async::Task<Result<Payload>> secret_payload(pods::Objects& objects,
                                                          const kube::Pod& pod,
                                                          const kube::SecretVolumeSource& source);
[[nodiscard]] Result<Payload> downward_api_payload(const kube::Pod& pod,
                                                   const pods::PodFacts& facts,
                                                   const kube::DownwardAPIVolumeSource& source);
// Of spec.volumes[volume_index], which is a projected one. Sources are read in order; a later one
// replaces a file of the same path.
[[nodiscard]] async::Task<Result<Payload>> projected_payload(pods::Objects& objects,
                                                             const kube::Pod& pod,
                                                             const pods::PodFacts& facts,
                                                             std::size_t volume_index);

// The uid that all containers of the pod run as, if the pod says so and it is the same: the owner
// of service account tokens (contract row 31).
[[nodiscard]] std::optional<std::uint32_t> common_user(const kube::Pod& pod);

// Blocking. Makes the folder of an emptyDir (0777, once), a tmpfs of `tmpfs_size` on it for the
// medium Memory.
struct EmptyDirPlan {
    std::filesystem::path path;
    bool in_memory = false;
    std::optional<Bytes> tmpfs_size;
    std::optional<std::uint32_t> fs_group;
};
// Fails with unsupported for a medium that is not offered, naming the field.
[[nodiscard]] Result<EmptyDirPlan> plan_empty_dir(const kube::Pod& pod, const pods::PodFacts& facts,
                                                  const kube::EmptyDirVolumeSource& source,
                                                  const std::string& field);
[[nodiscard]] Result<void> set_up_empty_dir(const EmptyDirPlan& plan);

// Blocking. Checks what is at the path against `type`, and makes it where the type says so.
[[nodiscard]] Result<void> set_up_host_path(const std::string& path, const std::string& type);

// A folder of somebody else's that a volume is: of hostPath, or behind a claim.
struct ForeignPlace {
    std::filesystem::path path;
    std::string type;  // as hostPath.type: checked each time
    pods::MountedVolume::Access access = pods::MountedVolume::Access::read_write;
    std::optional<std::uint32_t> group;  // see pods::MountedVolume
    // Its files are given to this group once for each pod; `given` is a folder that is made then.
    std::optional<std::uint32_t> fs_group;
    enum class Give { always, on_root_mismatch } give = Give::always;
    std::filesystem::path given;
};
// The place of a persistentVolumeClaim or an ephemeral volume (contract row 61): PersistentVolumes
// of the kinds hostPath and local. As Objects::bound_volume(), or unsupported, naming the kind.
// `given` is left to the caller.
[[nodiscard]] async::Task<Result<ForeignPlace>> claimed_place(pods::Objects& objects,
                                                              const kube::Pod& pod,
                                                              const kube::Volume& volume);
// Blocking: checks what is there, or makes it where the type says so, and gives it to the group.
[[nodiscard]] Result<void> set_up_foreign(const ForeignPlace& place);

// Gives a folder and what is in it to `fs_group` (contract row 29): group, setgid on folders, and
// `mask` added to the modes. Symbolic links and what is mounted inside are left alone; guests may
// change what is there meanwhile. Blocking.
[[nodiscard]] Result<void> give_to_group(const std::filesystem::path& folder,
                                         std::uint32_t fs_group, std::uint32_t mask);

}  // namespace skiff::volumes
