// The words of routing netlink that pods' networks need: links, addresses, neighbours, routes.
// The functions that take a batch only write messages.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/ip.h"
#include "network/netlink.h"

namespace skiff::network {

using MacAddress = std::array<std::uint8_t, 6>;
// The bytes as netlink takes them.
[[nodiscard]] inline std::string_view raw(const MacAddress& mac) {
    return {reinterpret_cast<const char*>(mac.data()), mac.size()};
}

// The kernel's longest name of an interface, without the terminating zero.
inline constexpr std::size_t kLinkNameMax = 15;

struct Link {
    std::uint32_t index = 0;
    std::string name;
    // What is sent over it arrives (IF_OPER_UP). Until the kernel's link watch has seen that both
    // ends of a wire are up, it drops packets without a word. Loopback never says it.
    bool is_passing = false;
};

// What the kernel has counted of a link since it was made, as its owner sees it.
struct LinkTraffic {
    struct Direction {
        std::uint64_t bytes = 0;
        std::uint64_t packets = 0;
        std::uint64_t errors = 0;
        std::uint64_t dropped = 0;
        friend bool operator==(const Direction&, const Direction&) = default;
    };
    std::string name;
    Direction received;
    Direction sent;
    friend bool operator==(const LinkTraffic&, const LinkTraffic&) = default;
};

// A pair of interfaces, one in the namespace of the socket, one in another.
struct VethPair {
    std::string name;
    MacAddress mac{};
    std::string peer_name;
    MacAddress peer_mac{};
    int peer_namespace = -1;  // a descriptor of it
};
// Fails with exists where the name is taken.
void add_veth(NetlinkBatch& batch, const VethPair& pair);
// The kernel gives it no IPv6 address of its own and so sends nothing by itself. Without IPv6 in
// the kernel there is nothing to keep it from.
void make_link_silent(NetlinkBatch& batch, std::uint32_t index);
void set_link_up(NetlinkBatch& batch, std::uint32_t index);
// What `ip link` shows beside the name; at most 255 bytes, the rest is cut off.
void set_link_alias(NetlinkBatch& batch, std::uint32_t index, std::string_view alias);
// Its peer, its addresses, routes and neighbours go too. One that is not there is fine.
void delete_link(NetlinkBatch& batch, const std::string& name);

// The address alone (/32, /128); at once, without asking the link whether somebody has it. That it
// is there already is fine.
void add_address(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address);
void delete_address(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address);
// Who has `address` on the link, for good: nobody is ever asked.
void set_neighbour(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address,
                   const MacAddress& mac);

// The default route by a gateway that is taken to be on the link; replaces the present one.
void set_default_route(NetlinkBatch& batch, std::uint32_t link, const IpAddress& gateway);
enum class Existing { refused, replaced };
// To one address, over the link itself. Existing::refused: fails with exists where any route to
// this address alone is in the main table.
void add_host_route(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address,
                    Existing existing);
// Of this link only; one that is not there is fine.
void delete_host_route(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address);

// Fails with not_found where there is none.
[[nodiscard]] Result<Link> get_link(Netlink& netlink, const std::string& name);
// Waits until a link that was set up, as its other end was, passes packets: a moment, on a busy
// machine up to a second. Fails with timeout after five, with not_found where there is none.
[[nodiscard]] Result<void> wait_for_link(Netlink& netlink, const std::string& name);
// The links whose names begin with `prefix`, by their names.
[[nodiscard]] Result<std::map<std::string, Link>> list_links(Netlink& netlink,
                                                             std::string_view prefix);
// What went through each link of the socket's namespace, in the kernel's order.
[[nodiscard]] Result<std::vector<LinkTraffic>> list_link_traffic(Netlink& netlink);
// The links over which routes to single addresses go, by the address: of the main table.
[[nodiscard]] Result<std::map<IpAddress, std::uint32_t>> list_host_routes(Netlink& netlink,
                                                                          IpFamily family);

struct LinkAddress {
    IpAddress address;
    std::uint32_t link = 0;
};
// Of all links.
[[nodiscard]] Result<std::vector<LinkAddress>> list_addresses(Netlink& netlink, IpFamily family);

// An address of a link, of an answer; nullopt for anything else. Pure.
[[nodiscard]] std::optional<LinkAddress> parse_link_address(const NetlinkAnswer& answer);
// A link, or a route to a single address, of an answer; nullopt for anything else. Pure.
[[nodiscard]] std::optional<Link> parse_link(const NetlinkAnswer& answer);
// The same of a link with its counters.
[[nodiscard]] std::optional<LinkTraffic> parse_link_traffic(const NetlinkAnswer& answer);
struct HostRoute {
    IpAddress address;
    std::uint32_t link = 0;
};
[[nodiscard]] std::optional<HostRoute> parse_host_route(const NetlinkAnswer& answer);

}  // namespace skiff::network
