// What a pod's annotations kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth ask
// for, and the built-in network's way of giving it. Of a pod with a plugin it is the plugin's.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "kube/types.h"
#include "network/wire.h"

namespace skiff::network {

// Bits a second; 0: no limit.
struct PodBandwidth {
    std::uint64_t to_pod = 0;    // ingress-bandwidth
    std::uint64_t from_pod = 0;  // egress-bandwidth
    friend bool operator==(const PodBandwidth&, const PodBandwidth&) = default;
};

// Fails with Code::invalid, naming annotation and value, for one that is no quantity of 1k to 1P:
// the limits of a kubelet (k8s.io/kubernetes/pkg/util/bandwidth). Pure.
[[nodiscard]] Result<PodBandwidth> parse_bandwidth(const kube::Pod& pod);

// Limits what goes over a pod's wire, each end what leaves by it, so that packets wait their turn
// and are not dropped. The pod's end is as safe as the node's: nobody in a pod may change it. Again
// is fine; a limit that is not asked for is left as it is. Blocking, in the node's namespace.
[[nodiscard]] Result<void> apply_bandwidth(Wire& wire, const PodBandwidth& bandwidth);

}  // namespace skiff::network
