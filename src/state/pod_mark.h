// Which pods of the root-dir are this node's.
#pragma once

#include <vector>

#include "base/result.h"
#include "state/paths.h"

namespace skiff::state {

// The root-dir remembers across boots which pods this instance has something of: files, mounts,
// logs. Neither a folder of the kubelet's names nor one in the shared log folder would be proof of
// that, a kubelet may work beside us. Marking comes before all else of a pod is made, unmarking
// after all else is gone (it takes the pod's folder, if that is empty); both may be repeated. No
// fsync: what is made later on the same disk does not outlive it.
[[nodiscard]] Result<void> mark_pod(const Paths& paths, const PodUid& uid);
[[nodiscard]] Result<void> unmark_pod(const Paths& paths, const PodUid& uid);
[[nodiscard]] std::vector<PodUid> marked_pods(const Paths& paths);
// At the agent's start: one that was killed between a pod's mark and its folder left that empty.
// Whoever else makes a folder there makes it again.
void remove_empty_pods(const Paths& paths);

}  // namespace skiff::state
