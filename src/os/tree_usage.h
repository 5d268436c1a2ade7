// What the files below a folder take on the disk, for limits and reports. See also
// file.h:disk_usage(), which asks for a whole filesystem.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "base/types.h"

namespace skiff::os {

struct TreeUsage {
    Bytes bytes;               // of the blocks that are taken, not of what files seem to hold
    std::uint64_t inodes = 0;  // the folder itself included
    // part: there are `names_max` names or more, or folders so deep that only somebody who hides
    // files makes them. What is told is then too little.
    enum class Counted { all, part } counted = Counted::all;
};

inline constexpr std::uint64_t kTreeNamesMax = 1'000'000;

// Walks all below `root`, which may belong to a guest that changes it meanwhile: no link is
// followed, no mount is entered, a file with several names counts once, what vanishes is not
// counted. A missing root is nothing at all; a file counts itself. Blocking; about a second for a
// million files in the cache.
[[nodiscard]] Result<TreeUsage> tree_usage(const std::filesystem::path& root,
                                           std::uint64_t names_max = kTreeNamesMax);

}  // namespace skiff::os
