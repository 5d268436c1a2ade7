// The Kubernetes objects that Skiff reads and writes, as plain C++ values.
//
// The mapping, the same everywhere:
//   - struct and field names are the API's own; a name that C++ keeps for itself has a trailing
//     underscore (`namespace_`, `operator_`, `continue_`, `template_`, `default_`);
//   - list → std::vector, map → std::map, pointer-in-API → std::optional (absent, false and 0
//     differ), anything else plain;
//   - a time is always std::optional<Time>: the API's zero time and null are an absent value;
//   - Secret.data and other byte fields are `Base64` and hold the decoded bytes;
//   - EphemeralContainer derives from Container;
//   - apiVersion and kind of a top-level object are preset to their only right values;
//   - parts that Skiff does not look into are RawJson (kept) or Ignored (dropped).
// Values copy and compare. JSON and YAML: codec.h. Paths and plurals: resource.h.
#pragma once

#include <vector>

#include "kube/scalars.h"          // IWYU pragma: export
#include "kube/types_auth.h"       // IWYU pragma: export
#include "kube/types_container.h"  // IWYU pragma: export
#include "kube/types_meta.h"       // IWYU pragma: export
#include "kube/types_node.h"       // IWYU pragma: export
#include "kube/types_pod.h"        // IWYU pragma: export
#include "kube/types_storage.h"    // IWYU pragma: export
#include "kube/types_volume.h"     // IWYU pragma: export
#include "kube/types_workload.h"   // IWYU pragma: export

namespace skiff::kube {

// A LIST answer: `items` as they were at metadata.resourceVersion.
template <typename T>
struct List {
    ListMeta metadata;
    std::vector<T> items;
};

}  // namespace skiff::kube
