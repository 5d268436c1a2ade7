// subPath: one place inside a volume that may be full of hostile links, found without being led
// outside.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "base/types.h"

namespace skiff::volumes {

// Resolves `sub_path` once, below `volume`, by openat2(RESOLVE_BENEATH): links may stay inside, and
// nothing leads out, also while a guest swaps them. A missing folder is made with the mode of the
// volume's own root, as the kubelet does, so that a container with runAsUser can use it. What was
// found is bind-mounted at `target` from its descriptor, never from a path; `target` is what the
// container gets. A mount that is there already and shows the same file is kept. Blocking.
[[nodiscard]] Result<void> mount_sub_path(const std::filesystem::path& volume,
                                          const std::string& sub_path,
                                          const std::filesystem::path& target);

// The content of a regular file below `volume`, found in the same way, but `..` and absolute links
// lead to places inside. As Volumes::read_file(). Blocking; never waits for a guest.
[[nodiscard]] Result<std::string> read_inside(const std::filesystem::path& volume,
                                              const std::string& path, Bytes limit);

}  // namespace skiff::volumes
