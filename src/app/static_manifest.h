// The pods that a static manifest describes, whatever it came from (contract row 54). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "kube/types.h"

namespace skiff::app {

// Where a manifest came from.
struct ManifestSource {
    enum class Kind { file, http } kind = Kind::file;
    std::string name;  // path or URL: a part of what makes the pods' uids
};

// The pods of one manifest, named and marked as the kubelet does: `<name>-<node>`, an uid that is a
// hash of content, node and source, the annotations kubernetes.io/config.*. Documents are Pods,
// Lists and PodLists of them. Fails with invalid, naming field, value and what is allowed, also for
// references to API objects, which a static pod may not have.
[[nodiscard]] Result<std::vector<kube::Pod>> parse_static_pods(std::string_view text,
                                                               const ManifestSource& source,
                                                               const std::string& node_name,
                                                               WallTime now);

}  // namespace skiff::app
