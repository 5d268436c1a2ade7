// What the kernel's connection tracking remembers of flows over UDP.
#pragma once

#include <vector>

#include "base/result.h"
#include "network/netlink.h"
#include "network/port_map.h"

namespace skiff::network {

// A flow of UDP keeps the way that its first packet got, until nothing has come for some time:
// whoever sent to a port of the node before its pod was there, or sends on when it is gone, would
// never reach the next one. TCP needs none of this: it ends its connections.
//
// Forgets the flows that are sent to the UDP ones among `ports`, whoever gets them: their next
// packet meets the rules that hold now. Blocking, in the network namespace of the calling thread;
// reads every flow there is if there is such a port. For the built-in network; a plugin (portmap)
// does it itself.
[[nodiscard]] Result<void> forget_udp_flows(const std::vector<PortMap>& ports);

// A flow as the kernel lists it, in what it needs to know it again.
struct UdpFlow {
    std::uint8_t family = 0;
    IpAddress to;
    std::uint16_t port = 0;
    std::string original;  // CTA_TUPLE_ORIG
    std::string zone;      // CTA_ZONE; may be empty
};
// nullopt for a flow of another protocol and for what is none. Pure.
[[nodiscard]] std::optional<UdpFlow> parse_udp_flow(const NetlinkAnswer& answer);

}  // namespace skiff::network
