// The kubelet's layout for volumes that change as a whole: what a reader sees is the old payload or
// the new one.
//
//   <volume>/..2026_11_23_22_14_05.000000001/key    the files
//   <volume>/..data -> ..2026_11_23_22_14_05.…      swapped by rename(2)
//   <volume>/key -> ..data/key                      one link for each first path component
//
// All links are relative, so they hold wherever the folder is mounted.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "volumes/payload.h"

namespace skiff::volumes {

enum class Written { changed, unchanged };

struct Showing {
    Payload payload;  // its paths were checked
    // With it the files get that group, and group read.
    std::optional<std::uint32_t> fs_group;
    // Names in the folder on which containers mount something else: left alone.
    std::set<std::string> mount_points;
};

// Makes `folder` (which exists) show exactly the payload. Writes nothing when it already does, so
// that watchers of the files stay quiet. Owners are counted from the first id of the range that the
// folder's own owner lies in: 0, or that of the pod it was given to because it cannot be idmapped.
// Blocking. What a crash leaves behind is removed by the next call.
[[nodiscard]] Result<Written> write_payload(const std::filesystem::path& folder,
                                            const Showing& showing, WallTime now);

}  // namespace skiff::volumes
