// Private to this room: paths from images, resolved by the kernel so that nothing escapes a folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace skiff::images {

// The components of a path from an archive or an image: "/" and "." vanish. Fails with corrupt for
// "..", for zero bytes, and beyond the limits of length and depth.
[[nodiscard]] Result<std::vector<std::string>> components(std::string_view path);

// openat2(2): symbolic links are followed as if `root` were "/"; mounts are not crossed.
[[nodiscard]] Result<os::Fd> open_in_root(int root, const std::string& path, int flags);
// The same, but a symbolic link anywhere is an error (Code::invalid for ELOOP).
[[nodiscard]] Result<os::Fd> open_without_links(int root, const std::string& path, int flags);

}  // namespace skiff::images
