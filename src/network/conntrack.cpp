#include "network/conntrack.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>

namespace skiff::network {

namespace {

constexpr std::uint16_t kSubsystem = NFNL_SUBSYS_CTNETLINK << 8;
// More than one port has in practice; what is left is forgotten by its own time-out.
constexpr std::size_t kFlowsMax = 65536;
constexpr std::size_t kFlowsAtOnce = 64;

void read_address(const NetlinkAttribute& part, UdpFlow& flow) {
    for (const NetlinkAttribute& its : part.nested()) {
        if (its.type == CTA_IP_V4_DST || its.type == CTA_IP_V6_DST) {
            flow.to = its.address().value_or(IpAddress{});
        }
    }
}

bool is_udp(const NetlinkAttribute& part, UdpFlow& flow) {
    bool is_udp = false;
    for (const NetlinkAttribute& its : part.nested()) {
        if (its.type == CTA_PROTO_NUM) {
            is_udp = its.bytes == std::string_view("\x11");
        } else if (its.type == CTA_PROTO_DST_PORT) {
            flow.port = its.port().value_or(0);
        }
    }
    return is_udp;
}

bool leads_to(const UdpFlow& flow, const PortMap& map) {
    return map.transport == Transport::udp && map.node_port == flow.port &&
           (!map.node_address || *map.node_address == flow.to);
}

Result<std::vector<UdpFlow>> list_flows(Netlink& netlink, const std::vector<PortMap>& ports) {
    NetlinkBatch batch;
    auto& header = batch.begin<nfgenmsg>(kSubsystem | IPCTNL_MSG_CT_GET, NLM_F_DUMP, "list flows");
    header.version = NFNETLINK_V0;
    std::vector<UdpFlow> found;
    SKIFF_CHECK(netlink.ask(batch, [&](const NetlinkAnswer& answer) {
        auto flow = parse_udp_flow(answer);
        if (flow && found.size() < kFlowsMax &&
            std::ranges::any_of(ports, [&](const auto& map) { return leads_to(*flow, map); })) {
            found.push_back(std::move(*flow));
        }
    }));
    return found;
}

void forget(NetlinkBatch& batch, const UdpFlow& flow) {
    auto& header =
        batch.begin<nfgenmsg>(kSubsystem | IPCTNL_MSG_CT_DELETE, 0,
                              fmt::format("forget a flow to {} port {}", flow.to, flow.port));
    header.nfgen_family = flow.family;
    header.version = NFNETLINK_V0;
    batch.put(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.original);
    if (!flow.zone.empty()) {
        batch.put(CTA_ZONE, flow.zone);
    }
    batch.tolerate(ENOENT);
}

}  // namespace

std::optional<UdpFlow> parse_udp_flow(const NetlinkAnswer& answer) {
    const auto* header = answer.header<nfgenmsg>();
    if (header == nullptr || answer.type != (kSubsystem | IPCTNL_MSG_CT_NEW)) {
        return std::nullopt;
    }
    UdpFlow flow;
    flow.family = header->nfgen_family;
    bool found = false;
    for (const NetlinkAttribute& its : answer.attributes(sizeof(nfgenmsg))) {
        if (its.type == CTA_ZONE) {
            flow.zone = its.bytes;
        }
        if (its.type != CTA_TUPLE_ORIG) {
            continue;
        }
        flow.original = its.bytes;
        for (const NetlinkAttribute& part : its.nested()) {
            if (part.type == CTA_TUPLE_IP) {
                read_address(part, flow);
            } else if (part.type == CTA_TUPLE_PROTO) {
                found = is_udp(part, flow);
            }
        }
    }
    return found ? std::optional(std::move(flow)) : std::nullopt;
}

Result<void> forget_udp_flows(const std::vector<PortMap>& ports) {
    if (std::ranges::none_of(ports,
                             [](const auto& map) { return map.transport == Transport::udp; })) {
        return {};
    }
    SKIFF_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
    SKIFF_TRY(const auto flows, list_flows(netlink, ports));
    for (std::size_t begin = 0; begin < flows.size(); begin += kFlowsAtOnce) {
        NetlinkBatch batch;
        const auto end = std::min(begin + kFlowsAtOnce, flows.size());
        for (std::size_t at = begin; at < end; ++at) {
            forget(batch, flows[at]);
        }
        SKIFF_CHECK(netlink.carry_out(batch));
    }
    return {};
}

}  // namespace skiff::network
