#include "network/rtnetlink_peers.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "network/socket_address.h"

namespace skiff::network {

namespace {

constexpr std::size_t kAliasMax = 255;
constexpr std::uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL;
constexpr std::uint16_t kReplace = NLM_F_CREATE | NLM_F_REPLACE;

template <typename Bytes>
bool copy_exactly(std::string_view from, Bytes& to, std::size_t size) {
    if (from.size() != size) {
        return false;
    }
    std::memcpy(to.data(), from.data(), size);
    return true;
}

Vxlan vxlan_in(std::string_view bytes) {
    Vxlan vxlan;
    for (const NetlinkAttribute& its : NetlinkAttribute{0, bytes}.nested()) {
        switch (its.type) {
            case IFLA_VXLAN_ID:
                vxlan.id = its.u32().value_or(0);
                break;
            case IFLA_VXLAN_LINK:
                vxlan.lower = its.u32().value_or(0);
                break;
            case IFLA_VXLAN_PORT:
                vxlan.port = its.port().value_or(0);
                break;
            case IFLA_VXLAN_LOCAL:
            case IFLA_VXLAN_LOCAL6:
                vxlan.local = its.address().value_or(IpAddress{});
                break;
            default:
                break;
        }
    }
    return vxlan;
}

std::optional<Vxlan> link_info(std::string_view bytes) {
    std::string_view kind;
    std::string_view inside;
    for (const NetlinkAttribute& its : NetlinkAttribute{0, bytes}.nested()) {
        if (its.type == IFLA_INFO_KIND) {
            kind = its.text();
        } else if (its.type == IFLA_INFO_DATA) {
            inside = its.bytes;
        }
    }
    return kind == "vxlan" ? std::optional(vxlan_in(inside)) : std::nullopt;
}

ifinfomsg& begin_change(NetlinkBatch& batch, std::uint32_t index, std::string what) {
    auto& header = batch.begin<ifinfomsg>(RTM_SETLINK, 0, std::move(what));
    header.ifi_index = static_cast<int>(index);
    return header;
}

rtmsg& begin_range(NetlinkBatch& batch, std::uint16_t type, const IpRange& to,
                   const RouteMark& mark) {
    const bool adds = type == RTM_NEWROUTE;
    auto& header =
        batch.begin<rtmsg>(type, adds ? kReplace : std::uint16_t{0},
                           fmt::format("{} the route to {}", adds ? "add" : "remove", to));
    header.rtm_family = socket_family(to.first.family);
    header.rtm_dst_len = to.prefix;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = mark.protocol;
    header.rtm_type = RTN_UNICAST;
    return header;
}

ndmsg& begin_neighbour(NetlinkBatch& batch, std::uint16_t type, std::uint32_t link,
                       std::string what) {
    auto& header = batch.begin<ndmsg>(type, type == RTM_NEWNEIGH ? kReplace : std::uint16_t{0},
                                      std::move(what));
    header.ndm_ifindex = static_cast<int>(link);
    return header;
}

template <typename Each>
Result<void> list_neighbour_entries(Netlink& netlink, std::uint8_t family, Each each) {
    NetlinkBatch batch;
    auto& header = batch.begin<ndmsg>(RTM_GETNEIGH, NLM_F_DUMP, "list the neighbours");
    header.ndm_family = family;
    return netlink.ask(batch, each);
}

}  // namespace

void add_vxlan(NetlinkBatch& batch, const std::string& name, const MacAddress& mac,
               const Vxlan& vxlan) {
    batch.begin<ifinfomsg>(RTM_NEWLINK, kCreate, fmt::format("make the tunnel {}", name));
    batch.put_text(IFLA_IFNAME, name);
    batch.put(IFLA_ADDRESS, raw(mac));
    batch.open_nest(IFLA_LINKINFO);
    batch.put_text(IFLA_INFO_KIND, "vxlan");
    batch.open_nest(IFLA_INFO_DATA);
    batch.put_u32(IFLA_VXLAN_ID, vxlan.id);
    batch.put_u32(IFLA_VXLAN_LINK, vxlan.lower);
    batch.put(vxlan.local.family == IpFamily::v4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6,
              vxlan.local.raw());
    const std::uint16_t port = htons(vxlan.port);
    batch.put(IFLA_VXLAN_PORT, {reinterpret_cast<const char*>(&port), sizeof(port)});
    batch.put_u8(IFLA_VXLAN_LEARNING, 0);
    batch.close_nest();
    batch.close_nest();
}

void rename_link(NetlinkBatch& batch, std::uint32_t index, const std::string& name,
                 std::string_view alias) {
    begin_change(batch, index, fmt::format("name interface {} {}", index, name));
    batch.put_text(IFLA_IFNAME, name);
    batch.put(IFLA_IFALIAS, alias.substr(0, kAliasMax));
}

void set_link_mtu(NetlinkBatch& batch, std::uint32_t index, std::uint32_t mtu) {
    begin_change(batch, index, fmt::format("set the MTU of interface {} to {}", index, mtu));
    batch.put_u32(IFLA_MTU, mtu);
}

void set_range_route(NetlinkBatch& batch, const IpRange& to, const RangeRoute& route,
                     const RouteMark& mark) {
    auto& header = begin_range(batch, RTM_NEWROUTE, to, mark);
    header.rtm_scope = RT_SCOPE_UNIVERSE;
    header.rtm_flags = RTNH_F_ONLINK;
    batch.put(RTA_DST, to.first.raw());
    batch.put(RTA_GATEWAY, route.gateway.raw());
    batch.put_u32(RTA_OIF, route.link);
    batch.put_u32(RTA_PRIORITY, mark.metric);
}

void delete_range_route(NetlinkBatch& batch, const IpRange& to, const RouteMark& mark) {
    auto& header = begin_range(batch, RTM_DELROUTE, to, mark);
    header.rtm_scope = RT_SCOPE_NOWHERE;  // any
    batch.tolerate(ESRCH);
    batch.put(RTA_DST, to.first.raw());
    batch.put_u32(RTA_PRIORITY, mark.metric);
}

void delete_neighbour(NetlinkBatch& batch, std::uint32_t link, const IpAddress& address) {
    auto& header =
        begin_neighbour(batch, RTM_DELNEIGH, link, fmt::format("forget the neighbour {}", address));
    header.ndm_family = socket_family(address.family);
    batch.tolerate(ENOENT);
    batch.put(NDA_DST, address.raw());
}

static void begin_forwarding(NetlinkBatch& batch, std::uint16_t type, const NeighbourEntry& entry) {
    auto& header =
        begin_neighbour(batch, type, entry.link, fmt::format("the tunnel to {}", entry.address));
    header.ndm_family = AF_BRIDGE;
    header.ndm_state = NUD_PERMANENT;
    header.ndm_flags = NTF_SELF;
    batch.tolerate(type == RTM_DELNEIGH ? ENOENT : 0);
    batch.put(NDA_DST, entry.address.raw());
    batch.put(NDA_LLADDR, raw(entry.mac));
}

void set_forwarding(NetlinkBatch& batch, std::uint32_t link, const MacAddress& mac,
                    const IpAddress& node) {
    begin_forwarding(batch, RTM_NEWNEIGH, {link, node, mac});
}

void delete_forwarding(NetlinkBatch& batch, std::uint32_t link, const MacAddress& mac,
                       const IpAddress& node) {
    begin_forwarding(batch, RTM_DELNEIGH, {link, node, mac});
}

std::optional<LinkDetails> parse_link_details(const NetlinkAnswer& answer) {
    auto link = parse_link(answer);
    if (!link) {
        return std::nullopt;
    }
    LinkDetails details;
    details.link = std::move(*link);
    for (const NetlinkAttribute& its : answer.attributes(sizeof(ifinfomsg))) {
        switch (its.type) {
            case IFLA_IFALIAS:
                details.alias = its.text().substr(0, kAliasMax);
                break;
            case IFLA_ADDRESS:
                (void)copy_exactly(its.bytes, details.mac, details.mac.size());
                break;
            case IFLA_MTU:
                details.mtu = its.u32().value_or(0);
                break;
            case IFLA_LINKINFO:
                details.vxlan = link_info(its.bytes);
                break;
            default:
                break;
        }
    }
    return details;
}

std::optional<std::pair<IpRange, RangeRoute>> parse_range_route(const NetlinkAnswer& answer,
                                                                const RouteMark& mark) {
    const auto* header = answer.header<rtmsg>();
    if (answer.type != RTM_NEWROUTE || header == nullptr || header->rtm_table != RT_TABLE_MAIN ||
        header->rtm_type != RTN_UNICAST || header->rtm_protocol != mark.protocol) {
        return std::nullopt;
    }
    std::optional<IpAddress> to;
    std::optional<IpAddress> gateway;
    std::uint32_t link = 0;
    std::uint32_t metric = 0;
    for (const NetlinkAttribute& its : answer.attributes(sizeof(rtmsg))) {
        switch (its.type) {
            case RTA_DST:
                to = its.address();
                break;
            case RTA_GATEWAY:
                gateway = its.address();
                break;
            case RTA_OIF:
                link = its.u32().value_or(0);
                break;
            case RTA_PRIORITY:
                metric = its.u32().value_or(0);
                break;
            default:
                break;
        }
    }
    if (!to || !gateway || link == 0 || metric != mark.metric || header->rtm_dst_len > to->bits()) {
        return std::nullopt;
    }
    return std::pair(IpRange{*to, header->rtm_dst_len}, RangeRoute{*gateway, link});
}

std::optional<NeighbourEntry> parse_neighbour(const NetlinkAnswer& answer, NeighbourKind kind) {
    const auto* header = answer.header<ndmsg>();
    if (answer.type != RTM_NEWNEIGH || header == nullptr || header->ndm_ifindex <= 0 ||
        (header->ndm_state & NUD_PERMANENT) == 0 ||
        (header->ndm_family == AF_BRIDGE) != (kind == NeighbourKind::forwarding)) {
        return std::nullopt;
    }
    NeighbourEntry entry;
    entry.link = static_cast<std::uint32_t>(header->ndm_ifindex);
    bool has_address = false;
    bool has_mac = false;
    for (const NetlinkAttribute& its : answer.attributes(sizeof(ndmsg))) {
        if (its.type == NDA_DST) {
            auto address = its.address();
            has_address = address.has_value();
            entry.address = address.value_or(IpAddress{});
        } else if (its.type == NDA_LLADDR) {
            has_mac = copy_exactly(its.bytes, entry.mac, entry.mac.size());
        }
    }
    return has_address && has_mac ? std::optional(entry) : std::nullopt;
}

Result<std::vector<LinkDetails>> list_link_details(Netlink& netlink) {
    NetlinkBatch batch;
    batch.begin<ifinfomsg>(RTM_GETLINK, NLM_F_DUMP, "list the interfaces");
    batch.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    std::map<std::uint32_t, LinkDetails> links;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        if (auto details = parse_link_details(answer)) {
            links.insert_or_assign(details->link.index, std::move(*details));
        }
    }));
    std::vector<LinkDetails> all;
    for (auto& [index, details] : links) {
        all.push_back(std::move(details));
    }
    return all;
}

Result<RangeRoutes> list_range_routes(Netlink& netlink, IpFamily family, const RouteMark& mark) {
    NetlinkBatch batch;
    auto& header = batch.begin<rtmsg>(RTM_GETROUTE, NLM_F_DUMP, "list the routes");
    header.rtm_family = socket_family(family);
    RangeRoutes routes;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        if (auto route = parse_range_route(answer, mark)) {
            routes.insert_or_assign(route->first, route->second);
        }
    }));
    return routes;
}

Result<Way> find_way(Netlink& netlink, const IpAddress& to) {
    NetlinkBatch batch;
    auto& header = batch.begin<rtmsg>(RTM_GETROUTE, 0, fmt::format("look up the way to {}", to));
    header.rtm_family = socket_family(to.family);
    header.rtm_dst_len = to.bits();
    batch.put(RTA_DST, to.raw());
    Way way;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        if (answer.type != RTM_NEWROUTE || answer.header<rtmsg>() == nullptr) {
            return;
        }
        for (const NetlinkAttribute& its : answer.attributes(sizeof(rtmsg))) {
            if (its.type == RTA_OIF) {
                way.link = its.u32().value_or(0);
            } else if (its.type == RTA_GATEWAY) {
                way.gateway = its.address();
            }
        }
    }));
    if (way.link == 0) {
        return fail(Code::not_found, "look up the way to {}: no interface leads there", to);
    }
    return way;
}

Result<Neighbours> list_neighbours(Netlink& netlink, std::uint32_t link, IpFamily family) {
    Neighbours neighbours;
    SKIFF_CHECK(
        list_neighbour_entries(netlink, socket_family(family), [&](const NetlinkAnswer& answer) {
            auto entry = parse_neighbour(answer, NeighbourKind::neighbour);
            if (entry && entry->link == link && entry->address.family == family) {
                neighbours.insert_or_assign(entry->address, entry->mac);
            }
        }));
    return neighbours;
}

Result<Forwardings> list_forwardings(Netlink& netlink, std::uint32_t link) {
    Forwardings forwardings;
    SKIFF_CHECK(list_neighbour_entries(netlink, AF_BRIDGE, [&](const NetlinkAnswer& answer) {
        auto entry = parse_neighbour(answer, NeighbourKind::forwarding);
        if (entry && entry->link == link) {
            forwardings.insert_or_assign(entry->mac, entry->address);
        }
    }));
    return forwardings;
}

}  // namespace skiff::network
