#include "network/peer_routes.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "network/first_failure.h"
#include "network/rtnetlink_peers.h"

namespace skiff::network {

namespace {

constexpr std::array kFamilies = {IpFamily::v4, IpFamily::v6};
// No routing daemon of iproute2's list has this number.
constexpr std::uint8_t kRouteProtocol = 83;
// Messages in one batch: each has about 100 bytes.
constexpr std::size_t kBatchMessages = 64;
// What a packet becomes larger by: its Ethernet header, VXLAN 8, UDP 8, IP.
constexpr std::uint32_t overhead(IpFamily family) {
    return 14 + 8 + 8 + (family == IpFamily::v4 ? 20 : 40);
}

RouteMark mark_of(std::string_view instance) {
    RouteMark mark{kRouteProtocol, 0};
    std::from_chars(instance.data(), instance.data() + instance.size(), mark.metric, 16);
    mark.metric = std::max(mark.metric, 1U);  // 0 is no metric
    return mark;
}

// Under which a tunnel is made before it has its alias. No wire's (wire.h), for v is no hexadecimal
// digit.
std::string temporary_name(std::string_view instance, IpFamily family) {
    return fmt::format("skv{}{}", instance, family == IpFamily::v4 ? 4 : 6);
}

// Sends what is written to it in batches, and keeps the first failure.
class Changes {
public:
    explicit Changes(Netlink& netlink) : netlink_(netlink) {}

    // For one message.
    NetlinkBatch& next() {
        if (batch_.size() >= kBatchMessages) {
            flush();
        }
        return batch_;
    }
    [[nodiscard]] Result<void> finish() {
        flush();
        return std::move(first_);
    }

private:
    void flush() {
        if (!batch_.empty()) {
            keep_first(first_, netlink_.carry_out(batch_));
            batch_ = NetlinkBatch();
        }
    }
    Netlink& netlink_;
    NetlinkBatch batch_;
    Result<void> first_;
};

// Tells `set` of what is missing or different in `present`, `remove` of what should not be there.
template <typename Map, typename Set, typename Remove>
void reconcile(const Map& present, const Map& wanted, Set set, Remove remove) {
    for (const auto& [key, value] : present) {
        if (!wanted.contains(key)) {
            remove(key, value);
        }
    }
    for (const auto& [key, value] : wanted) {
        auto found = present.find(key);
        if (found == present.end() || found->second != value) {
            set(key, value);
        }
    }
}

Result<LinkDetails> link_of(Netlink& netlink, const std::vector<LinkDetails>& links,
                            const IpAddress& address) {
    SKIFF_TRY(auto addresses, list_addresses(netlink, address.family));
    auto at = std::ranges::find(addresses, address, &LinkAddress::address);
    if (at != addresses.end()) {
        auto link = std::ranges::find_if(
            links, [&](const LinkDetails& its) { return its.link.index == at->link; });
        if (link != links.end()) {
            return *link;
        }
    }
    return fail(Code::not_found, "no interface has the node's address {}", address);
}

std::uint32_t tunnel_mtu(const LinkDetails& lower, IpFamily family) {
    return lower.mtu > overhead(family) ? lower.mtu - overhead(family) : lower.mtu;
}

tl::unexpected<Error> taken(const LinkDetails& by) {
    return fail(
        Code::conflict,
        "the interface {} (alias \"{}\") has this machine's tunnel already, VXLAN {} at UDP "
        "port {}: flanneld or another Skiff node runs here. Let flannel give pods their "
        "addresses (its CNI plugin, with podNetwork: cni), or stop it and remove "
        "the interface (ip link delete {}), or set podRoutes: none",
        by.link.name, by.alias, kTunnelId, kTunnelPort, by.link.name);
}

// One family's tunnel, as it should be.
struct TunnelPlan {
    IpFamily family = IpFamily::v4;
    std::string name;
    std::string alias;
    std::string temporary;
    MacAddress mac{};
    Vxlan vxlan;
    std::uint32_t mtu = 0;
    IpAddress inner;  // its own address: what the node's own packets to other nodes' pods come from
};

Result<TunnelPlan> plan_tunnel(Netlink& netlink, const std::vector<LinkDetails>& links,
                               const std::string& instance,
                               const std::pair<IpAddress, PeerPlan>& node) {
    const auto& [address, plan] = node;
    SKIFF_TRY(LinkDetails lower, link_of(netlink, links, address));
    TunnelPlan tunnel;
    tunnel.family = address.family;
    tunnel.name = tunnel_name(address.family);
    tunnel.alias = tunnel_alias(instance);
    tunnel.temporary = temporary_name(instance, address.family);
    tunnel.mac = plan.self.mac;
    tunnel.vxlan = {kTunnelId, kTunnelPort, address, lower.link.index};
    tunnel.mtu = tunnel_mtu(lower, address.family);
    tunnel.inner = plan.self.range(address.family)->first;
    return tunnel;
}

// Makes it under the temporary name and gives it the right one with the alias, so that no agent is
// killed between the two and then takes its own tunnel for somebody else's.
Result<std::uint32_t> make_tunnel(Netlink& netlink, const TunnelPlan& plan) {
    NetlinkBatch batch;
    delete_link(batch, plan.temporary);
    add_vxlan(batch, plan.temporary, plan.mac, plan.vxlan);
    auto made = netlink.carry_out(batch);
    if (!made && made.error().code == Code::exists) {
        SKIFF_TRY(auto links, list_link_details(netlink));
        for (const LinkDetails& its : links) {
            if (its.vxlan && its.vxlan->id == kTunnelId && its.vxlan->port == kTunnelPort) {
                return taken(its);
            }
        }
    }
    SKIFF_CHECK(made);
    SKIFF_TRY(Link link, get_link(netlink, plan.temporary));
    NetlinkBatch named;
    make_link_silent(named, link.index);
    rename_link(named, link.index, plan.name, plan.alias);
    SKIFF_CHECK(netlink.carry_out(named));
    return link.index;
}

// The index of the tunnel's interface.
Result<std::uint32_t> ensure_tunnel(Netlink& netlink, const std::vector<LinkDetails>& links,
                                    const TunnelPlan& plan) {
    auto found = std::ranges::find_if(
        links, [&](const LinkDetails& its) { return its.link.name == plan.name; });
    std::uint32_t index = 0;
    if (found != links.end() && found->alias != plan.alias) {
        return taken(*found);
    }
    if (found != links.end() && found->vxlan == plan.vxlan && found->mac == plan.mac) {
        index = found->link.index;
    } else {
        NetlinkBatch old;
        if (found != links.end()) {
            delete_link(old, plan.name);
            SKIFF_CHECK(netlink.carry_out(old));
        }
        SKIFF_TRY(index, make_tunnel(netlink, plan));
    }
    NetlinkBatch batch;
    set_link_mtu(batch, index, plan.mtu);
    set_link_up(batch, index);
    SKIFF_TRY(auto addresses, list_addresses(netlink, plan.family));
    for (const LinkAddress& its : addresses) {
        if (its.link == index && its.address != plan.inner) {
            delete_address(batch, index, its.address);
        }
    }
    add_address(batch, index, plan.inner);
    SKIFF_CHECK(netlink.carry_out(batch));
    return index;
}

// Who is at the tunnel's other ends. What is not wanted any more goes, and what is comes first: a
// route comes after it.
Result<void> reconcile_ends(Netlink& netlink, std::uint32_t index, IpFamily family,
                            const std::vector<PeerRange>& peers) {
    Neighbours neighbours;
    Forwardings forwardings;
    for (const PeerRange& peer : peers) {
        if (peer.pods.first.family == family) {
            neighbours.emplace(peer.pods.first, peer.mac);
            forwardings.emplace(peer.mac, peer.address);
        }
    }
    SKIFF_TRY(auto known_neighbours, list_neighbours(netlink, index, family));
    SKIFF_TRY(auto known_forwardings, list_forwardings(netlink, index));
    Changes changes(netlink);
    reconcile(
        known_forwardings, forwardings,
        [&](const auto& mac, const auto& node) {
            set_forwarding(changes.next(), index, mac, node);
        },
        [&](const auto& mac, const auto& node) {
            delete_forwarding(changes.next(), index, mac, node);
        });
    reconcile(
        known_neighbours, neighbours,
        [&](const auto& address, const auto& mac) {
            set_neighbour(changes.next(), index, address, mac);
        },
        [&](const auto& address, const auto&) {
            delete_neighbour(changes.next(), index, address);
        });
    return changes.finish();
}

Result<void> reconcile_routes(Netlink& netlink, IpFamily family, const RouteMark& mark,
                              const RangeRoutes& wanted) {
    SKIFF_TRY(auto present, list_range_routes(netlink, family, mark));
    Changes changes(netlink);
    reconcile(
        present, wanted,
        [&](const auto& to, const auto& route) {
            // IPv6 takes no gateway inside a range that it has another route to.
            if (present.contains(to)) {
                delete_range_route(changes.next(), to, mark);
            }
            set_range_route(changes.next(), to, route, mark);
        },
        [&](const auto& to, const auto&) { delete_range_route(changes.next(), to, mark); });
    return changes.finish();
}

// Removes the instance's tunnels but those of these names.
Result<void> remove_tunnels(Netlink& netlink, const std::string& instance,
                            const std::vector<std::string>& kept) {
    SKIFF_TRY(auto links, list_link_details(netlink));
    NetlinkBatch batch;
    for (const LinkDetails& its : links) {
        const bool is_ours = its.alias == tunnel_alias(instance) && its.vxlan &&
                             std::ranges::find(kept, its.link.name) == kept.end();
        const bool is_half_made = std::ranges::any_of(kFamilies, [&](IpFamily family) {
            return its.link.name == temporary_name(instance, family);
        });
        if (is_ours || is_half_made) {
            delete_link(batch, its.link.name);
        }
    }
    return batch.empty() ? Result<void>{} : netlink.carry_out(batch);
}

// One application of a plan.
class Application {
public:
    Application(Netlink& netlink, const std::string& instance, const PeerPlan& plan)
        : netlink_(netlink), instance_(instance), plan_(plan), mark_(mark_of(instance)) {}

    PeerOutcome run() {
        std::vector<std::string> kept;
        for (const IpFamily family : kFamilies) {
            if (plan_.backend == RouteBackend::vxlan && has_family(family)) {
                kept.emplace_back(tunnel_name(family));
            }
        }
        keep_first(first_, remove_tunnels(netlink_, instance_, kept));
        for (const IpFamily family : kFamilies) {
            keep_first(first_, apply(family));
        }
        if (!first_) {
            outcome_.problem = std::move(first_.error());
        }
        return std::move(outcome_);
    }

private:
    [[nodiscard]] bool has_family(IpFamily family) const {
        return plan_.self.address(family).has_value() && plan_.self.range(family).has_value();
    }

    Result<void> apply(IpFamily family) {
        RangeRoutes routes;
        std::optional<std::uint32_t> tunnel;
        if (plan_.backend == RouteBackend::vxlan && has_family(family)) {
            SKIFF_TRY(auto links, list_link_details(netlink_));
            SKIFF_TRY(auto tunnel_plan, plan_tunnel(netlink_, links, instance_,
                                                    {*plan_.self.address(family), plan_}));
            SKIFF_TRY(tunnel, ensure_tunnel(netlink_, links, tunnel_plan));
            keep_first(first_, reconcile_ends(netlink_, *tunnel, family, plan_.peers));
        }
        for (const PeerRange& peer : plan_.peers) {
            if (peer.pods.first.family == family && has_family(family)) {
                add_route(routes, peer, tunnel);
            }
        }
        return reconcile_routes(netlink_, family, mark_, routes);
    }

    void add_route(RangeRoutes& routes, const PeerRange& peer,
                   const std::optional<std::uint32_t>& tunnel) {
        if (plan_.backend == RouteBackend::host_gw) {
            auto way = find_way(netlink_, peer.address);
            if (!way || way->gateway) {
                const std::string by =
                    way ? fmt::format("behind the router {}", *way->gateway) : way.error().message;
                outcome_.left_out.push_back(
                    {peer.node, fmt::format("its address {} is not on a link of this node ({}), as "
                                            "host-gw needs it: set podRoutes: vxlan on all nodes",
                                            peer.address, by)});
                return;
            }
            routes.emplace(peer.pods, RangeRoute{peer.address, way->link});
        } else if (tunnel) {
            routes.emplace(peer.pods, RangeRoute{peer.pods.first, *tunnel});
        }
        outcome_.reached.push_back(peer.pods);
    }

    Netlink& netlink_;
    const std::string& instance_;
    const PeerPlan& plan_;
    RouteMark mark_;
    PeerOutcome outcome_;
    Result<void> first_;
};

}  // namespace

std::string_view tunnel_name(IpFamily family) {
    return family == IpFamily::v4 ? "flannel.1" : "flannel-v6.1";
}

std::string tunnel_alias(std::string_view instance) {
    return fmt::format("skiff-{}", instance);
}

PeerOutcome apply_peer_routes(const std::string& instance, const PeerPlan& plan) {
    auto netlink = Netlink::open();
    if (!netlink) {
        PeerOutcome outcome;
        outcome.problem = std::move(netlink.error());
        return outcome;
    }
    return Application(*netlink, instance, plan).run();
}

Result<std::uint32_t> observe_pod_mtu(const LocalNode& self, RouteBackend backend) {
    SKIFF_TRY(Netlink netlink, Netlink::open());
    SKIFF_TRY(auto links, list_link_details(netlink));
    std::optional<std::uint32_t> smallest;
    for (const IpAddress& address : self.addresses) {
        SKIFF_TRY(LinkDetails link, link_of(netlink, links, address));
        const std::uint32_t mtu =
            backend == RouteBackend::vxlan ? tunnel_mtu(link, address.family) : link.mtu;
        smallest = std::min(smallest.value_or(mtu), mtu);
    }
    if (!smallest) {
        return fail(Code::not_found, "the node has no address of its own");
    }
    return *smallest;
}

Result<void> remove_peer_routes(const std::string& instance) {
    SKIFF_TRY(Netlink netlink, Netlink::open());
    Result<void> first;
    for (const IpFamily family : kFamilies) {
        keep_first(first, reconcile_routes(netlink, family, mark_of(instance), {}));
    }
    keep_first(first, remove_tunnels(netlink, instance, {}));
    return first;
}

}  // namespace skiff::network
