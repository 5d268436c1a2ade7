#include "kube/patch.h"

#include "base/fuzz.h"
#include "kube/codec.h"

namespace skiff::kube {

// The input: two objects, as pods and as nodes, with a zero byte between them: what the API server
// has, and whose status is wanted.
SKIFF_FUZZ(kube_patch) {
    fuzz::Input input(bytes);
    const std::string_view known = input.part();
    const std::string_view wanted = input.rest();
    const auto known_pod = from_json<Pod>(known);
    const auto wanted_pod = from_json<Pod>(wanted);
    if (known_pod && wanted_pod) {
        SKIFF_ASSERT(!pod_status_patch(*known_pod, known_pod->status));
        const auto patch = pod_status_patch(*known_pod, wanted_pod->status);
        SKIFF_ASSERT(!patch || patch->starts_with('{'));
    }
    const auto known_node = from_json<Node>(known);
    const auto wanted_node = from_json<Node>(wanted);
    if (known_node && wanted_node) {
        SKIFF_ASSERT(!node_status_patch(*known_node, known_node->status));
        SKIFF_ASSERT(!node_metadata_patch(*known_node, *known_node));
        (void)node_status_patch(*known_node, wanted_node->status);
        (void)node_metadata_patch(*known_node, *wanted_node);
    }
}

}  // namespace skiff::kube
