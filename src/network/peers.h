// Where the pods of other nodes are, by what the Node objects say: their ranges, their addresses,
// and flannel's annotations (flannel.alpha.coreos.com/…), which this node writes, too. Pure.
//
// Nothing in a Node object is trusted: a range that takes in addresses of nodes or of this node's
// pods, or what an older Node has already said, is left out, so that no node can draw another's
// packets to itself.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/node_outline.h"
#include "network/ip.h"
#include "network/rtnetlink.h"

namespace skiff::network {

// As large as Kubernetes lets clusters be.
inline constexpr std::size_t kPeersMax = 5000;
// Flannel's defaults, and k3s's.
inline constexpr std::uint32_t kTunnelId = 1;
inline constexpr std::uint16_t kTunnelPort = 8472;

// How packets come to the pods of other nodes; flannel's word for it is backend.
enum class RouteBackend { none, vxlan, host_gw };
// "none", "vxlan", "host-gw".
[[nodiscard]] std::string_view to_string(RouteBackend backend);
[[nodiscard]] std::optional<RouteBackend> parse_route_backend(std::string_view text);

using NodeOutlines = std::vector<std::shared_ptr<const kube::NodeOutline>>;

// This node as its peers see it.
struct LocalNode {
    std::string name;
    std::vector<IpAddress> addresses;  // at most one of a family
    std::vector<IpRange> ranges;       // of its pods
    MacAddress mac{};                  // of its end of the tunnels
    [[nodiscard]] std::optional<IpAddress> address(IpFamily family) const;
    [[nodiscard]] std::optional<IpRange> range(IpFamily family) const;
};

// The pods of another node, of one family.
struct PeerRange {
    std::string node;
    IpRange pods;
    IpAddress address;  // of the node
    MacAddress mac{};   // of its end of the tunnel; of vxlan only
    friend auto operator<=>(const PeerRange&, const PeerRange&) = default;
};

// A node that is left out, and which of its fields is why.
struct PeerComplaint {
    std::string node;
    std::string message;
    friend auto operator<=>(const PeerComplaint&, const PeerComplaint&) = default;
};

struct Peers {
    std::vector<PeerRange> ranges;  // none overlaps another
    std::vector<PeerComplaint> left_out;
};

// Takes out of a Node what nobody here reads (kube::Reflector::set_transform()).
void trim_outline(kube::NodeOutline& node);

// What `podRoutes: auto` means: what most of flannel's own nodes do; without any, host-gw where a
// Skiff node was told so; else vxlan.
[[nodiscard]] RouteBackend choose_backend(const NodeOutlines& nodes, std::string_view self);

// Those other nodes whose pods can be reached by this backend; of `none` all that have ranges. A
// node that says nothing yet (no range, no annotations, no address of the family) is passed over in
// silence, one that says something wrong or something else than this node is in `left_out`.
[[nodiscard]] Peers find_peers(const NodeOutlines& nodes, const LocalNode& self,
                               RouteBackend backend);

// What this node says of itself, by the annotations' names; empty for `none`.
[[nodiscard]] std::map<std::string, std::string> format_peer_annotations(const LocalNode& self,
                                                                         RouteBackend backend);

// The hardware address of this node's end: the same at every start, and no other node's.
[[nodiscard]] MacAddress tunnel_mac(std::string_view instance, std::string_view node);

// "0a:1b:2c:3d:4e:5f", of one interface: neither zero nor a group's. Fails with Code::invalid.
[[nodiscard]] Result<MacAddress> parse_mac(std::string_view text);
[[nodiscard]] std::string format_mac(const MacAddress& mac);

}  // namespace skiff::network
