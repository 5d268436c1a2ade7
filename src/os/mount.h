// Mounts of the host's namespace, as the volume and state rooms need them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace skiff::os {

struct TmpfsOptions {
    std::optional<Bytes> size;  // the kernel's default (half the memory) if absent
    unsigned mode = 0755;
};
// Mounts a fresh tmpfs (nosuid, nodev, noexec) on an existing folder.
[[nodiscard]] Result<void> mount_tmpfs(const std::filesystem::path& target,
                                       const TmpfsOptions& options);

enum class BindAccess { read_write, read_only };
// Bind-mounts a file or folder (not recursively) onto an existing target; private, nosuid, nodev.
[[nodiscard]] Result<void> mount_bind(const std::filesystem::path& source,
                                      const std::filesystem::path& target, BindAccess access);

// Mounts folders over each other, the lowest first, on an existing target, read-only, nosuid, nodev
// and noexec. At least two, at most 128.
[[nodiscard]] Result<void> mount_layers(const std::vector<std::filesystem::path>& layers,
                                        const std::filesystem::path& target);

// Whether `path` itself (a symbolic link is not followed) is the root of a mount.
[[nodiscard]] Result<bool> is_mount_point(const std::filesystem::path& path);

// Detaches every mount stacked on `path`; none there, or no such path, is fine.
[[nodiscard]] Result<void> unmount(const std::filesystem::path& path);

// One mount of this namespace.
struct MountEntry {
    std::filesystem::path point;
    std::string filesystem;  // its type: "ext4", "fuse.sshfs"
};
// All of them, in the order in which they were mounted: later ones hide earlier ones.
[[nodiscard]] Result<std::vector<MountEntry>> mount_table();

// Mount points at or below `folder` in this namespace, deepest first.
[[nodiscard]] Result<std::vector<std::filesystem::path>> mounts_below(
    const std::filesystem::path& folder);
// Detaches all of mounts_below(folder).
[[nodiscard]] Result<void> unmount_below(const std::filesystem::path& folder);

}  // namespace skiff::os
