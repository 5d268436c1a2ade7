// The words of routing netlink that the way to other nodes' pods needs, beside those of
// rtnetlink.h: tunnels, routes to ranges, who is at a tunnel's other ends. The functions that take
// a batch only write messages.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/ip.h"
#include "network/netlink.h"
#include "network/rtnetlink.h"

namespace skiff::network {

// Of a VXLAN interface: RFC 7348, without learning and without a group.
struct Vxlan {
    std::uint32_t id = 0;     // VNI
    std::uint16_t port = 0;   // UDP, at both ends
    IpAddress local;          // from where it sends
    std::uint32_t lower = 0;  // the index of the interface over which it sends
    friend bool operator==(const Vxlan&, const Vxlan&) = default;
};

// An interface with what tells whose it is.
struct LinkDetails {
    Link link;
    std::string alias;
    MacAddress mac{};
    std::uint32_t mtu = 0;
    std::optional<Vxlan> vxlan;
};
[[nodiscard]] Result<std::vector<LinkDetails>> list_link_details(Netlink& netlink);

// Fails with exists where the name is taken, or another interface has this id and port.
void add_vxlan(NetlinkBatch& batch, const std::string& name, const MacAddress& mac,
               const Vxlan& vxlan);
// Both in one step; the interface must be down.
void rename_link(NetlinkBatch& batch, std::uint32_t index, const std::string& name,
                 std::string_view alias);
void set_link_mtu(NetlinkBatch& batch, std::uint32_t index, std::uint32_t mtu);

// Whose a route is: its protocol (the kernel only keeps the number) and its metric.
struct RouteMark {
    std::uint8_t protocol = 0;
    std::uint32_t metric = 0;
};
// A route to a range by a gateway that is taken to be on the link.
struct RangeRoute {
    IpAddress gateway;
    std::uint32_t link = 0;
    friend auto operator<=>(const RangeRoute&, const RangeRoute&) = default;
};
using RangeRoutes = std::map<IpRange, RangeRoute>;
// Replaces the one of this mark to the same range.
void set_range_route(NetlinkBatch& batch, const IpRange& to, const RangeRoute& route,
                     const RouteMark& mark);
// That there is none is fine.
void delete_range_route(NetlinkBatch& batch, const IpRange& to, const RouteMark& mark);
// Those of the main table with this mark.
[[nodiscard]] Result<RangeRoutes> list_range_routes(Netlink& netlink, IpFamily family,
                                                    const RouteMark& mark);

// Which way the kernel would send.
struct Way {
    std::uint32_t link = 0;
    std::optional<IpAddress> gateway;  // nullopt: the address is on the link itself
};
// Fails with the kernel's errno where there is no route (unreachable).
[[nodiscard]] Result<Way> find_way(Netlink& netlink, const IpAddress& to);

// The neighbours of a link that were given for good (set_neighbour()).
using Neighbours = std::map<IpAddress, MacAddress>;
void delete_neighbour(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address);
[[nodiscard]] Result<Neighbours> list_neighbours(Netlink& netlink, std::uint32_t link,
                                                 IpFamily family);

// At which node a tunnel's other end is, by its hardware address, for good.
using Forwardings = std::map<MacAddress, IpAddress>;
void set_forwarding(NetlinkBatch& batch, std::uint32_t link, const MacAddress& mac,
                    const IpAddress& node);
void delete_forwarding(NetlinkBatch& batch, std::uint32_t link, const MacAddress& mac,
                       const IpAddress& node);
[[nodiscard]] Result<Forwardings> list_forwardings(Netlink& netlink, std::uint32_t link);

// What an answer says; nullopt for anything else. Pure.
[[nodiscard]] std::optional<LinkDetails> parse_link_details(const NetlinkAnswer& answer);
[[nodiscard]] std::optional<std::pair<IpRange, RangeRoute>> parse_range_route(
    const NetlinkAnswer& answer, const RouteMark& mark);
struct NeighbourEntry {
    std::uint32_t link = 0;
    IpAddress address;
    MacAddress mac{};
};
enum class NeighbourKind { neighbour, forwarding };
[[nodiscard]] std::optional<NeighbourEntry> parse_neighbour(const NetlinkAnswer& answer,
                                                            NeighbourKind kind);

}  // namespace skiff::network
