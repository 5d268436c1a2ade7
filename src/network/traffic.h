// What went through the interfaces of the node and of its pods (contract rows 48, 49).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "network/pod_attacher.h"
#include "network/rtnetlink.h"

namespace skiff::network {

// Each with the name that it has where it is, as its owner sees it. Never loopback.
using Traffic = std::vector<LinkTraffic>;

struct NodeTraffic {
    // Without the ends of pods' wires and of other runtimes' (`veth…`, `docker…`), as cAdvisor has
    // it: what goes to the outside would count twice.
    Traffic node;
    std::map<PodUid, Traffic> pods;
};

// Of the pods that are given, by what PodAttacher::find() says of them, and of the node. One
// question to the kernel for all whose node's end is known: it counts as sent what they received.
// For others their namespace is asked. A pod that is just being detached is left out. Interfaces of
// the node whose names begin with `wires` are pods'; empty: none are. Blocking.
[[nodiscard]] Result<NodeTraffic> observe_traffic(const std::map<PodUid, Attachment>& pods,
                                                  const std::string& wires);

}  // namespace skiff::network
