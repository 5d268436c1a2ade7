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

// Reactor thread. Missing objects are not_found unless the source says optional.
[[nodiscard]] async::Task<Result<Payload>> config_map_payload(
    pods::Objects& objects, const kube::Pod& pod, const kube::ConfigMapVolumeSource& source);
[[nodiscard]] async::Task<Result<Payload>> secret_payload(pods::Objects& objects,
                                                          const kube::Pod& pod,
                                                          const kube::SecretVolumeSource& source);
[[nodiscard]] Result<Payload> downward_api_payload(const kube::Pod& pod,
                                                   const pods::PodFacts& facts,
                                                   const kube::DownwardAPIVolumeSource& source);
// `field` names the volume in messages: "spec.volumes[2]".
[[nodiscard]] async::Task<Result<Payload>> projected_payload(
    pods::Objects& objects, const kube::Pod& pod, const pods::PodFacts& facts,
    const kube::ProjectedVolumeSource& source, std::string field);

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

// Gives a folder and what is in it to `fs_group` (contract row 29): group, setgid on folders, and
// `mask` added to the modes. Symbolic links are left alone. Blocking.
[[nodiscard]] Result<void> give_to_group(const std::filesystem::path& folder,
                                         std::uint32_t fs_group, std::uint32_t mask);

}  // namespace skiff::volumes
