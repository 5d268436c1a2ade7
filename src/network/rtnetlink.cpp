#include "network/rtnetlink.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <thread>

#include "network/socket_address.h"

namespace skiff::network {

namespace {

constexpr std::size_t kAliasMax = 255;
constexpr std::uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL;
constexpr std::uint16_t kReplace = NLM_F_CREATE | NLM_F_REPLACE;
// IFLA_INET6_ADDR_GEN_MODE: no address of the kernel's own making.
constexpr std::uint8_t kNoGeneratedAddress = 1;
constexpr std::chrono::seconds kLinkPatience{5};
constexpr std::chrono::milliseconds kLinkPoll{1};

ifinfomsg& begin_link(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags,
                      std::string what) {
    return batch.begin<ifinfomsg>(type, flags, std::move(what));
}

void begin_address(NetlinkBatch& batch, std::uint16_t type, std::uint32_t link,
                   const IpAddress& address) {
    const bool adds = type == RTM_NEWADDR;
    auto& header =
        batch.begin<ifaddrmsg>(type, adds ? kReplace : std::uint16_t{0},
                               fmt::format("{} address {}", adds ? "add" : "remove", address));
    header.ifa_family = socket_family(address.family);
    header.ifa_prefixlen = address.bits();
    header.ifa_flags = IFA_F_NODAD;
    header.ifa_scope = RT_SCOPE_UNIVERSE;
    header.ifa_index = link;
    batch.put(IFA_LOCAL, address.raw());
    batch.put(IFA_ADDRESS, address.raw());
}

rtmsg& begin_route(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags, std::string what) {
    auto& header = batch.begin<rtmsg>(type, flags, std::move(what));
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_STATIC;
    header.rtm_type = RTN_UNICAST;
    return header;
}

}  // namespace

// Left to itself the kernel makes a queue for each processor that the machine might have, of which
// such a pair, which sends without locks, uses one.
static void put_one_queue(NetlinkBatch& batch) {
    batch.put_u32(IFLA_NUM_TX_QUEUES, 1);
    batch.put_u32(IFLA_NUM_RX_QUEUES, 1);
}

void add_veth(NetlinkBatch& batch, const VethPair& pair) {
    begin_link(batch, RTM_NEWLINK, kCreate, fmt::format("make the interface {}", pair.name));
    batch.put_text(IFLA_IFNAME, pair.name);
    batch.put(IFLA_ADDRESS, raw(pair.mac));
    put_one_queue(batch);
    batch.open_nest(IFLA_LINKINFO);
    batch.put_text(IFLA_INFO_KIND, "veth");
    batch.open_nest(IFLA_INFO_DATA);
    batch.open_nest(VETH_INFO_PEER);
    const ifinfomsg peer{};
    batch.put_header({reinterpret_cast<const char*>(&peer), sizeof(peer)});
    batch.put_text(IFLA_IFNAME, pair.peer_name);
    batch.put(IFLA_ADDRESS, raw(pair.peer_mac));
    put_one_queue(batch);
    batch.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(pair.peer_namespace));
    batch.close_nest();
    batch.close_nest();
    batch.close_nest();
}

void make_link_silent(NetlinkBatch& batch, std::uint32_t index) {
    auto& header = begin_link(batch, RTM_SETLINK, 0, fmt::format("silence interface {}", index));
    header.ifi_index = static_cast<int>(index);
    batch.tolerate(EAFNOSUPPORT);
    batch.open_nest(IFLA_AF_SPEC);
    batch.open_nest(AF_INET6);
    batch.put_u8(IFLA_INET6_ADDR_GEN_MODE, kNoGeneratedAddress);
    batch.close_nest();
    batch.close_nest();
}

void set_link_up(NetlinkBatch& batch, std::uint32_t index) {
    auto& header = begin_link(batch, RTM_SETLINK, 0, fmt::format("start interface {}", index));
    header.ifi_index = static_cast<int>(index);
    header.ifi_flags = IFF_UP;
    header.ifi_change = IFF_UP;
}

void set_link_alias(NetlinkBatch& batch, std::uint32_t index, std::string_view alias) {
    auto& header = begin_link(batch, RTM_SETLINK, 0, fmt::format("label interface {}", index));
    header.ifi_index = static_cast<int>(index);
    batch.put(IFLA_IFALIAS, alias.substr(0, kAliasMax));
}

void delete_link(NetlinkBatch& batch, const std::string& name) {
    begin_link(batch, RTM_DELLINK, 0, fmt::format("remove the interface {}", name));
    batch.tolerate(ENODEV);
    batch.put_text(IFLA_IFNAME, name);
}

void add_address(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address) {
    begin_address(batch, RTM_NEWADDR, link, address);
}

void delete_address(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address) {
    begin_address(batch, RTM_DELADDR, link, address);
    batch.tolerate(EADDRNOTAVAIL);
}

void set_neighbour(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address,
                   const MacAddress& mac) {
    auto& header =
        batch.begin<ndmsg>(RTM_NEWNEIGH, kReplace, fmt::format("name the neighbour {}", address));
    header.ndm_family = socket_family(address.family);
    header.ndm_ifindex = static_cast<int>(link);
    header.ndm_state = NUD_PERMANENT;
    batch.put(NDA_DST, address.raw());
    batch.put(NDA_LLADDR, raw(mac));
}

void set_default_route(NetlinkBatch& batch, std::uint32_t link, const IpAddress& gateway) {
    auto& header = begin_route(batch, RTM_NEWROUTE, kReplace,
                               fmt::format("set the default route by {}", gateway));
    header.rtm_family = socket_family(gateway.family);
    header.rtm_scope = RT_SCOPE_UNIVERSE;
    header.rtm_flags = RTNH_F_ONLINK;
    batch.put(RTA_GATEWAY, gateway.raw());
    batch.put_u32(RTA_OIF, link);
}

void add_host_route(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address,
                    Existing existing) {
    auto& header =
        begin_route(batch, RTM_NEWROUTE, existing == Existing::refused ? kCreate : kReplace,
                    fmt::format("add the route to {}", address));
    header.rtm_family = socket_family(address.family);
    header.rtm_dst_len = address.bits();
    header.rtm_scope = address.family == IpFamily::v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    batch.put(RTA_DST, address.raw());
    batch.put_u32(RTA_OIF, link);
}

void delete_host_route(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address) {
    auto& header =
        begin_route(batch, RTM_DELROUTE, 0, fmt::format("remove the route to {}", address));
    header.rtm_family = socket_family(address.family);
    header.rtm_dst_len = address.bits();
    header.rtm_scope = RT_SCOPE_NOWHERE;  // any
    batch.tolerate(ESRCH);
    batch.put(RTA_DST, address.raw());
    batch.put_u32(RTA_OIF, link);
}

std::optional<Link> parse_link(const NetlinkAnswer& answer) {
    const auto* header = answer.header<ifinfomsg>();
    if (answer.type != RTM_NEWLINK || header == nullptr || header->ifi_index <= 0) {
        return std::nullopt;
    }
    Link link;
    link.index = static_cast<std::uint32_t>(header->ifi_index);
    for (const NetlinkAttribute& attribute : answer.attributes(sizeof(ifinfomsg))) {
        if (attribute.type == IFLA_IFNAME) {
            link.name = attribute.text().substr(0, kLinkNameMax);
        } else if (attribute.type == IFLA_OPERSTATE) {
            link.is_passing = !attribute.bytes.empty() && attribute.bytes.front() == IF_OPER_UP;
        }
    }
    return link.name.empty() ? std::nullopt : std::optional(link);
}

std::optional<LinkTraffic> parse_link_traffic(const NetlinkAnswer& answer) {
    auto link = parse_link(answer);
    if (!link) {
        return std::nullopt;
    }
    for (const NetlinkAttribute& attribute : answer.attributes(sizeof(ifinfomsg))) {
        // Kernels add to its end.
        rtnl_link_stats64 counters{};
        if (attribute.type != IFLA_STATS64 ||
            attribute.bytes.size() < offsetof(rtnl_link_stats64, multicast)) {
            continue;
        }
        std::memcpy(&counters, attribute.bytes.data(),
                    std::min(attribute.bytes.size(), sizeof(counters)));
        LinkTraffic traffic;
        traffic.name = std::move(link->name);
        traffic.received = {counters.rx_bytes, counters.rx_packets, counters.rx_errors,
                            counters.rx_dropped};
        traffic.sent = {counters.tx_bytes, counters.tx_packets, counters.tx_errors,
                        counters.tx_dropped};
        return traffic;
    }
    return std::nullopt;
}

std::optional<HostRoute> parse_host_route(const NetlinkAnswer& answer) {
    const auto* header = answer.header<rtmsg>();
    if (answer.type != RTM_NEWROUTE || header == nullptr || header->rtm_table != RT_TABLE_MAIN ||
        header->rtm_type != RTN_UNICAST) {
        return std::nullopt;
    }
    HostRoute route;
    route.address.family = header->rtm_family == AF_INET ? IpFamily::v4 : IpFamily::v6;
    bool has_address = false;
    for (const NetlinkAttribute& attribute : answer.attributes(sizeof(rtmsg))) {
        if (attribute.type == RTA_DST && attribute.bytes.size() == route.address.size()) {
            std::memcpy(route.address.bytes.data(), attribute.bytes.data(), attribute.bytes.size());
            has_address = true;
        } else if (attribute.type == RTA_OIF) {
            route.link = attribute.u32().value_or(0);
        }
    }
    if (!has_address || route.link == 0 || header->rtm_dst_len != route.address.bits()) {
        return std::nullopt;
    }
    return route;
}

std::optional<LinkAddress> parse_link_address(const NetlinkAnswer& answer) {
    const auto* header = answer.header<ifaddrmsg>();
    if (answer.type != RTM_NEWADDR || header == nullptr || header->ifa_index == 0 ||
        (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)) {
        return std::nullopt;
    }
    IpAddress address;
    address.family = header->ifa_family == AF_INET ? IpFamily::v4 : IpFamily::v6;
    bool has_address = false;
    for (const NetlinkAttribute& attribute : answer.attributes(sizeof(ifaddrmsg))) {
        // Of a link between two, IFA_ADDRESS is the other end's.
        const bool wanted =
            attribute.type == IFA_LOCAL || (attribute.type == IFA_ADDRESS && !has_address);
        if (wanted && attribute.bytes.size() == address.size()) {
            std::memcpy(address.bytes.data(), attribute.bytes.data(), attribute.bytes.size());
            has_address = true;
        }
    }
    return has_address ? std::optional(LinkAddress{address, header->ifa_index}) : std::nullopt;
}

Result<Link> get_link(Netlink& netlink, const std::string& name) {
    NetlinkBatch batch;
    begin_link(batch, RTM_GETLINK, 0, fmt::format("look up the interface {}", name));
    batch.put_text(IFLA_IFNAME, name);
    batch.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    std::optional<Link> found;
    auto asked =
        netlink.ask(batch, [&](const NetlinkAnswer& answer) { found = parse_link(answer); });
    if (!asked) {
        return fail(std::move(asked.error()));
    }
    if (!found) {
        return fail(Code::internal, "look up the interface {}: no answer that names it", name);
    }
    return std::move(*found);
}

Result<void> wait_for_link(Netlink& netlink, const std::string& name) {
    const auto deadline = std::chrono::steady_clock::now() + kLinkPatience;
    for (;;) {
        SKIFF_TRY(Link link, get_link(netlink, name));
        if (link.is_passing) {
            return {};
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            return fail(Code::timeout, "the interface {} passes no packets {} s after its start",
                        name, kLinkPatience.count());
        }
        // tidy: allow banned: blocking as all of this file is, and over after a poll or two
        std::this_thread::sleep_for(kLinkPoll);
    }
}

Result<std::map<std::string, Link>> list_links(Netlink& netlink, std::string_view prefix) {
    NetlinkBatch batch;
    begin_link(batch, RTM_GETLINK, NLM_F_DUMP, "list the interfaces");
    batch.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    std::map<std::string, Link> links;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        auto link = parse_link(answer);
        if (link && link->name.starts_with(prefix)) {
            links.insert_or_assign(link->name, *link);
        }
    }));
    return links;
}

Result<std::vector<LinkTraffic>> list_link_traffic(Netlink& netlink) {
    NetlinkBatch batch;
    begin_link(batch, RTM_GETLINK, NLM_F_DUMP, "list what went through the interfaces");
    // By index, as a list that changed meanwhile is told again.
    std::map<std::uint32_t, LinkTraffic> found;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        auto link = parse_link(answer);
        auto traffic = parse_link_traffic(answer);
        if (link && traffic) {
            found.insert_or_assign(link->index, std::move(*traffic));
        }
    }));
    std::vector<LinkTraffic> all;
    for (auto& [index, traffic] : found) {
        all.push_back(std::move(traffic));
    }
    return all;
}

Result<std::vector<LinkAddress>> list_addresses(Netlink& netlink, IpFamily family) {
    NetlinkBatch batch;
    auto& header = batch.begin<ifaddrmsg>(RTM_GETADDR, NLM_F_DUMP, "list the addresses");
    header.ifa_family = socket_family(family);
    std::vector<LinkAddress> addresses;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        auto address = parse_link_address(answer);
        if (address && address->address.family == family) {
            addresses.push_back(*address);
        }
    }));
    return addresses;
}

Result<std::map<IpAddress, std::uint32_t>> list_host_routes(Netlink& netlink, IpFamily family) {
    NetlinkBatch batch;
    auto& header = batch.begin<rtmsg>(RTM_GETROUTE, NLM_F_DUMP, "list the routes");
    header.rtm_family = socket_family(family);
    std::map<IpAddress, std::uint32_t> routes;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        if (auto route = parse_host_route(answer)) {
            routes.insert_or_assign(route->address, route->link);
        }
    }));
    return routes;
}

}  // namespace skiff::network
