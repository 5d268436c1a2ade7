// What the kernel does with packets for the pods of other nodes: routes to their ranges, over a
// tunnel as flannel makes it, or straight to the node where both share a link (host-gw).
//
//   flannel.1   VXLAN 1, UDP 8472, from the node's address; nothing is learned, nobody is asked
//   10.1.3.0/24 via 10.1.3.0 dev flannel.1 onlink         for each peer: the route,
//   10.1.3.0    has the peer's hardware address           its tunnel's end (a neighbour),
//   that        is at 192.0.2.3                            and at which node that is (FDB)
//
// The tunnel bears flannel's name, for operators and firewalls know it by that, and the instance in
// its alias; each route has the instance in its metric. So whatever a killed agent left is found,
// and two instances do not take each other's for their own.
//
// Blocking, any thread; the node's namespace is the one of the calling thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/peers.h"

namespace skiff::network {

// The tunnel's name for each family: flannel.1, flannel-v6.1.
[[nodiscard]] std::string_view tunnel_name(IpFamily family);
// In the alias of an instance's tunnels.
[[nodiscard]] std::string tunnel_alias(std::string_view instance);

struct PeerPlan {
    RouteBackend backend = RouteBackend::none;
    LocalNode self;
    std::vector<PeerRange> peers;
};

struct PeerOutcome {
    // To which there is a way; pods go there with their own address.
    std::vector<IpRange> reached;
    // Peers to which there is none: of host-gw those beyond a router.
    std::vector<PeerComplaint> left_out;
    // The first failure, after which the rest was done all the same; but without its tunnel a
    // family has no routes. conflict: somebody else, flanneld or another instance, has the tunnel
    // of this machine; not_found: no interface has this node's address.
    std::optional<Error> problem;
};

// Makes the kernel do what the plan says and nothing else of this instance's: adds, changes,
// removes. Idempotent.
[[nodiscard]] PeerOutcome apply_peer_routes(const std::string& instance, const PeerPlan& plan);

// The largest packet that pods may send by this backend: of the interfaces with this node's
// addresses, less what the tunnel adds. Fails with not_found where none has one of them.
[[nodiscard]] Result<std::uint32_t> observe_pod_mtu(const LocalNode& self, RouteBackend backend);

// Removes all of it (`skiff node reset`). Goes on after failures and returns the first of them.
[[nodiscard]] Result<void> remove_peer_routes(const std::string& instance);

}  // namespace skiff::network
