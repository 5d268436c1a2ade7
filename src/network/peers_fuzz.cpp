#include "network/peers.h"

#include "base/fuzz.h"
#include "base/text.h"
#include "kube/codec.h"

namespace skiff::network {

// A Node as the API server hands it over, or the value of its annotation backend-data alone.
SKIFF_FUZZ(network_peers) {
    kube::NodeOutline node;
    if (auto decoded = kube::from_json<kube::NodeOutline>(bytes)) {
        node = std::move(*decoded);
    } else {
        node.spec.podCIDRs = {"10.1.2.0/24"};
        node.metadata.annotations = {{"flannel.alpha.coreos.com/backend-type", "vxlan"},
                                     {"flannel.alpha.coreos.com/backend-data", std::string(bytes)},
                                     {"flannel.alpha.coreos.com/public-ip", "192.0.2.2"},
                                     {"flannel.alpha.coreos.com/kube-subnet-manager", "true"}};
    }
    trim_outline(node);
    LocalNode self;
    self.name = "self";
    self.addresses = {*IpAddress::parse("192.0.2.1"), *IpAddress::parse("2001:db8::1")};
    self.ranges = {*IpRange::parse("10.1.1.0/24"), *IpRange::parse("fd00:0:0:1::/64")};
    const NodeOutlines nodes = {std::make_shared<const kube::NodeOutline>(node)};
    (void)choose_backend(nodes, self.name);
    for (const auto backend : {RouteBackend::none, RouteBackend::vxlan, RouteBackend::host_gw}) {
        const Peers found = find_peers(nodes, self, backend);
        SKIFF_ASSERT(found.ranges.size() <= 2 && found.left_out.size() <= 2);
        for (const PeerRange& peer : found.ranges) {
            SKIFF_ASSERT(!peer.address.is_unspecified());
            SKIFF_ASSERT(backend != RouteBackend::vxlan ||
                         parse_mac(format_mac(peer.mac)) == peer.mac);
            for (const IpRange& own : self.ranges) {
                SKIFF_ASSERT(!own.contains(peer.pods.first) && !peer.pods.contains(own.first));
            }
        }
        for (const PeerComplaint& its : found.left_out) {
            SKIFF_ASSERT(!its.message.empty() && its.message.size() < 1000);
            SKIFF_ASSERT(bounded_utf8(its.message, 1000) == its.message);
        }
    }
}

}  // namespace skiff::network
