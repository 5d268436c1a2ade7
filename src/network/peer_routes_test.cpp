#include "network/peer_routes.h"

#include <gtest/gtest.h>

#include "network/net_fixture.h"
#include "network/nftables.h"
#include "network/rtnetlink_peers.h"
#include "network/wire.h"

namespace skiff::network {
namespace {

constexpr const char* kInstances[] = {"0a1b2c3d", "0a1b2c3e"};
constexpr std::uint16_t kPort = 8080;

// Two nodes on one link, each with one pod. The test's thread is in the first one's namespace.
class TwoNodes {
public:
    TwoNodes() {
        EXPECT_TRUE(in_new_namespace([&]() -> Result<void> {
            SKIFF_CHECK(pin_namespace(pin(1)));
            return {};
        }));
        auto other = open_pinned(pin(1));
        EXPECT_TRUE(other);
        auto netlink = Netlink::open();
        NetlinkBatch batch;
        add_veth(batch,
                 VethPair{"up0", {2, 0, 0, 0, 1, 1}, "up0", {2, 0, 0, 0, 1, 2}, other->get()});
        EXPECT_TRUE(netlink->carry_out(batch));
        for (const int node : {0, 1}) {
            at(node, [&] { begin(node); });
        }
    }
    ~TwoNodes() {
        for (const int node : {0, 1}) {
            at(node, [&] { EXPECT_TRUE(remove_wire(wires(node), 1)); });
        }
        EXPECT_TRUE(unpin_namespace(pin(1)));
    }

    // Runs in the node's namespace.
    void at(int node, const std::function<void()>& body) const {
        if (node == 0) {
            body();
            return;
        }
        auto name_space = open_pinned(pin(node));
        ASSERT_TRUE(name_space);
        EXPECT_TRUE(in_namespace(*name_space, [&]() -> Result<void> {
            body();
            return {};
        }));
    }

    static IpAddress pod(int node, IpFamily family) {
        return family == IpFamily::v4 ? ip(fmt::format("10.1.{}.7", node + 1))
                                      : ip(fmt::format("fd00:0:0:{}::7", node + 1));
    }
    WireSettings wires(int node) const {
        WireSettings settings;
        settings.instance = kInstances[node];
        settings.folder = folder_.path() / fmt::format("wires{}", node);
        return settings;
    }

    static LocalNode local(int node) {
        LocalNode its;
        its.name = fmt::format("n{}", node);
        its.addresses = {ip(fmt::format("192.0.2.{}", node + 1)),
                         ip(fmt::format("2001:db8::{}", node + 1))};
        its.ranges = {range(fmt::format("10.1.{}.0/24", node + 1)),
                      range(fmt::format("fd00:0:0:{}::/64", node + 1))};
        its.mac = tunnel_mac(kInstances[node], its.name);
        return its;
    }
    // What the node is to do when it knows of the other one.
    static PeerPlan plan(int node, RouteBackend backend) {
        PeerPlan plan;
        plan.backend = backend;
        plan.self = local(node);
        const LocalNode other = local(1 - node);
        for (std::size_t i = 0; i < other.ranges.size(); ++i) {
            plan.peers.push_back({other.name, other.ranges[i], other.addresses[i], other.mac});
        }
        return plan;
    }
    PeerOutcome apply(int node, const PeerPlan& plan) const {
        PeerOutcome outcome;
        at(node, [&] { outcome = apply_peer_routes(kInstances[node], plan); });
        return outcome;
    }
    void join(RouteBackend backend) const {
        for (const int node : {0, 1}) {
            auto outcome = apply(node, plan(node, backend));
            EXPECT_FALSE(outcome.problem) << outcome.problem->message;
            EXPECT_EQ(outcome.reached.size(), 2U);
            EXPECT_TRUE(outcome.left_out.empty());
        }
    }

    // Whom the pod of the other node sees when a pod of `from` speaks to it; or what failed.
    Result<IpAddress> talk_between(int from, IpFamily family) const {
        os::Fd listening = listen_in(wire_pin(wires(1 - from), 1), family, kPort);
        return talk_from(wire_pin(wires(from), 1), listening, pod(1 - from, family), kPort);
    }

private:
    std::filesystem::path pin(int node) const {
        return folder_.path() / fmt::format("node{}", node);
    }
    void begin(int node) const {
        auto netlink = Netlink::open();
        ASSERT_TRUE(netlink);
        NetlinkBatch batch;
        for (const char* name : {"lo", "up0"}) {
            auto link = get_link(*netlink, name);
            ASSERT_TRUE(link);
            set_link_up(batch, link->index);
        }
        auto link = get_link(*netlink, "up0");
        const LocalNode its = local(node);
        for (const IpAddress& address : its.addresses) {
            add_address(batch, link->index, address);
        }
        ASSERT_TRUE(netlink->carry_out(batch));
        // The other node is on the link.
        NetlinkBatch routes;
        for (const IpAddress& address : local(1 - node).addresses) {
            add_host_route(routes, link->index, address, Existing::replaced);
            set_neighbour(routes, link->index, address,
                          {2, 0, 0, 0, 1, static_cast<std::uint8_t>(2 - node)});
        }
        ASSERT_TRUE(netlink->carry_out(routes));
        ASSERT_TRUE(os::make_folders(wires(node).folder, 0700));
        for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
            ASSERT_TRUE(enable_forwarding(family));
        }
        auto wire = lay_wire(wires(node), 1);
        ASSERT_TRUE(wire) << wire.error().message;
        auto connected = connect_wire(wires(node), *wire,
                                      {pod(node, IpFamily::v4), pod(node, IpFamily::v6)}, "test");
        ASSERT_TRUE(connected) << connected.error().message;
    }

    TestFolder folder_;
};

std::optional<LinkDetails> find_link(std::string_view name) {
    auto netlink = Netlink::open();
    auto links = list_link_details(*netlink);
    EXPECT_TRUE(links);
    for (const LinkDetails& its : *links) {
        if (its.link.name == name) {
            return its;
        }
    }
    return std::nullopt;
}

void make_foreign_tunnel(const std::string& name) {
    auto netlink = Netlink::open();
    NetlinkBatch batch;
    add_vxlan(batch, name, {2, 0, 0, 0, 9, 9},
              {kTunnelId, kTunnelPort, ip("192.0.2.1"), get_link(*netlink, "up0")->index});
    ASSERT_TRUE(netlink->carry_out(batch));
}

class PeerRoutesOfBoth : public ::testing::TestWithParam<RouteBackend> {};

TEST_P(PeerRoutesOfBoth, CarryPodsPacketsBetweenNodesWithTheirOwnAddresses) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        EXPECT_FALSE(nodes.talk_between(0, IpFamily::v4)) << "there was a way before";
        nodes.join(GetParam());
        for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
            for (const int from : {0, 1}) {
                auto seen = nodes.talk_between(from, family);
                ASSERT_TRUE(seen) << seen.error().message;
                EXPECT_EQ(*seen, TwoNodes::pod(from, family));
            }
        }
        // The node itself comes from its end of the tunnel, which the others know the way to.
        os::Fd listening = listen_in(wire_pin(nodes.wires(1), 1), IpFamily::v4, kPort);
        auto seen = talk(listening, TwoNodes::pod(1, IpFamily::v4), kPort);
        ASSERT_TRUE(seen) << seen.error().message;
        EXPECT_EQ(*seen, GetParam() == RouteBackend::vxlan ? ip("10.1.1.0") : ip("192.0.2.1"));
    });
}

TEST_P(PeerRoutesOfBoth, GoWithTheNodeAndComeBack) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        nodes.join(GetParam());
        PeerPlan nobody = TwoNodes::plan(0, GetParam());
        nobody.peers.clear();
        auto outcome = nodes.apply(0, nobody);
        EXPECT_FALSE(outcome.problem);
        EXPECT_TRUE(outcome.reached.empty());
        EXPECT_FALSE(nodes.talk_between(0, IpFamily::v4));
        if (auto tunnel = find_link("flannel.1")) {
            auto netlink = Netlink::open();
            EXPECT_TRUE(list_neighbours(*netlink, tunnel->link.index, IpFamily::v4)->empty());
            EXPECT_TRUE(list_forwardings(*netlink, tunnel->link.index)->empty());
        }
        nodes.join(GetParam());
        EXPECT_TRUE(nodes.talk_between(0, IpFamily::v4));
    });
}

INSTANTIATE_TEST_SUITE_P(Backends, PeerRoutesOfBoth,
                         ::testing::Values(RouteBackend::vxlan, RouteBackend::host_gw),
                         [](const auto& its) {
                             return its.param == RouteBackend::vxlan ? "Vxlan" : "HostGw";
                         });

TEST(PeerRoutes, TunnelIsFlannelsAndStaysAsItIs) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        nodes.join(RouteBackend::vxlan);
        auto tunnel = find_link("flannel.1");
        ASSERT_TRUE(tunnel);
        EXPECT_EQ(tunnel->alias, "skiff-0a1b2c3d");
        EXPECT_EQ(tunnel->mtu, 1450U);
        EXPECT_EQ(tunnel->mac, TwoNodes::local(0).mac);
        ASSERT_TRUE(tunnel->vxlan);
        EXPECT_EQ(tunnel->vxlan->id, 1U);
        EXPECT_EQ(tunnel->vxlan->port, 8472);
        EXPECT_EQ(tunnel->vxlan->local, ip("192.0.2.1"));
        EXPECT_EQ(find_link("flannel-v6.1")->mtu, 1430U);
        EXPECT_EQ(*observe_pod_mtu(TwoNodes::local(0), RouteBackend::vxlan), 1430U);
        EXPECT_EQ(*observe_pod_mtu(TwoNodes::local(0), RouteBackend::host_gw), 1500U);
        // Again, as after the agent's death: the same interface, so no packet is lost.
        nodes.join(RouteBackend::vxlan);
        EXPECT_EQ(find_link("flannel.1")->link.index, tunnel->link.index);
        // Another range, another address of its own.
        PeerPlan moved = TwoNodes::plan(0, RouteBackend::vxlan);
        moved.self.ranges = {range("10.1.9.0/24")};
        moved.peers.pop_back();
        EXPECT_FALSE(nodes.apply(0, moved).problem);
        auto netlink = Netlink::open();
        std::vector<IpAddress> its;
        auto present = list_addresses(*netlink, IpFamily::v4);
        for (const LinkAddress& address : *present) {
            if (address.link == tunnel->link.index) {
                its.push_back(address.address);
            }
        }
        EXPECT_EQ(its, std::vector{ip("10.1.9.0")});
        EXPECT_FALSE(find_link("flannel-v6.1")) << "there are no IPv6 pods any more";
    });
}

TEST(PeerRoutes, RepairWhatSomebodyRemoved) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        nodes.join(RouteBackend::vxlan);
        auto netlink = Netlink::open();
        NetlinkBatch batch;
        delete_link(batch, "flannel.1");
        ASSERT_TRUE(netlink->carry_out(batch));
        EXPECT_FALSE(nodes.talk_between(0, IpFamily::v4));
        nodes.join(RouteBackend::vxlan);
        EXPECT_TRUE(nodes.talk_between(0, IpFamily::v4));
        const auto tunnel = find_link("flannel.1");
        NetlinkBatch neighbour;
        delete_neighbour(neighbour, tunnel->link.index, ip("10.1.2.0"));
        delete_forwarding(neighbour, tunnel->link.index, TwoNodes::local(1).mac, ip("192.0.2.2"));
        ASSERT_TRUE(netlink->carry_out(neighbour));
        EXPECT_FALSE(nodes.talk_between(0, IpFamily::v4));
        nodes.join(RouteBackend::vxlan);
        EXPECT_TRUE(nodes.talk_between(0, IpFamily::v4));
    });
}

TEST(PeerRoutes, ChangeTheBackendWithoutATrace) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        nodes.join(RouteBackend::vxlan);
        nodes.join(RouteBackend::host_gw);
        EXPECT_FALSE(find_link("flannel.1"));
        EXPECT_TRUE(nodes.talk_between(0, IpFamily::v4));
        nodes.join(RouteBackend::vxlan);
        for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
            EXPECT_TRUE(nodes.talk_between(0, family));
        }
        auto outcome = nodes.apply(0, TwoNodes::plan(0, RouteBackend::none));
        EXPECT_FALSE(outcome.problem);
        EXPECT_EQ(outcome.reached.size(), 2U) << "somebody else carries them";
        EXPECT_FALSE(nodes.talk_between(0, IpFamily::v4));
    });
}

TEST(PeerRoutes, RefuseATunnelThatIsSomebodyElses) {
    SKIFF_NEEDS_ROOT();
    for (const char* name : {"flannel.1", "vxlan0"}) {
        as_a_node([&] {
            TwoNodes nodes;
            make_foreign_tunnel(name);
            const std::uint32_t index = find_link(name)->link.index;
            auto outcome = nodes.apply(0, TwoNodes::plan(0, RouteBackend::vxlan));
            ASSERT_TRUE(outcome.problem);
            EXPECT_EQ(outcome.problem->code, Code::conflict);
            EXPECT_NE(outcome.problem->message.find(name), std::string::npos);
            EXPECT_NE(outcome.problem->message.find("podRoutes: none"), std::string::npos);
            EXPECT_EQ(find_link(name)->link.index, index) << "it is left alone";
            EXPECT_EQ(outcome.reached, std::vector{range("fd00:0:0:2::/64")})
                << "the other family goes on";
            EXPECT_FALSE(find_link("skv0a1b2c3d4"));
            EXPECT_TRUE(remove_peer_routes(kInstances[0]));
            EXPECT_TRUE(find_link(name));
        });
    }
}

TEST(PeerRoutes, ResetRemovesAnInstancesOwnOnly) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        nodes.join(RouteBackend::host_gw);
        // A second instance of this machine, and what a killed agent left half made.
        EXPECT_FALSE(
            apply_peer_routes(kInstances[1], TwoNodes::plan(0, RouteBackend::host_gw)).problem);
        auto netlink = Netlink::open();
        NetlinkBatch batch;
        add_vxlan(batch, "skv0a1b2c3d4", {2, 0, 0, 0, 9, 9},
                  {7, 4789, ip("192.0.2.1"), get_link(*netlink, "up0")->index});
        ASSERT_TRUE(netlink->carry_out(batch));
        EXPECT_TRUE(remove_peer_routes(kInstances[0]));
        EXPECT_FALSE(find_link("skv0a1b2c3d4"));
        EXPECT_TRUE(nodes.talk_between(0, IpFamily::v4)) << "by the other instance's route";
        EXPECT_TRUE(remove_peer_routes(kInstances[1]));
        EXPECT_FALSE(nodes.talk_between(0, IpFamily::v4));
        EXPECT_TRUE(remove_peer_routes(kInstances[1])) << "nothing there is fine";
        nodes.join(RouteBackend::vxlan);
        EXPECT_TRUE(remove_peer_routes(kInstances[0]));
        EXPECT_FALSE(find_link("flannel.1"));
        EXPECT_FALSE(find_link("flannel-v6.1"));
    });
}

TEST(PeerRoutes, HostGwLeavesOutWhoIsBehindARouter) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        PeerPlan plan = TwoNodes::plan(0, RouteBackend::host_gw);
        plan.peers.push_back({"far", range("10.1.5.0/24"), ip("203.0.113.5"), {}});
        auto outcome = nodes.apply(0, plan);
        EXPECT_FALSE(outcome.problem);
        EXPECT_EQ(outcome.reached.size(), 2U);
        ASSERT_EQ(outcome.left_out.size(), 1U);
        EXPECT_EQ(outcome.left_out[0].node, "far");
        EXPECT_NE(outcome.left_out[0].message.find("podRoutes: vxlan"), std::string::npos);
        // With a way there, but over the other node.
        auto netlink = Netlink::open();
        NetlinkBatch batch;
        set_range_route(batch, range("203.0.113.0/24"),
                        {ip("192.0.2.2"), get_link(*netlink, "up0")->index}, {4, 7});
        ASSERT_TRUE(netlink->carry_out(batch));
        outcome = nodes.apply(0, plan);
        ASSERT_EQ(outcome.left_out.size(), 1U);
        EXPECT_NE(outcome.left_out[0].message.find("behind the router 192.0.2.2"),
                  std::string::npos)
            << outcome.left_out[0].message;
    });
}

TEST(PeerRoutes, NameTheAddressThatNoInterfaceHas) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        PeerPlan plan = TwoNodes::plan(0, RouteBackend::vxlan);
        plan.self.addresses = {ip("192.0.2.99")};
        auto outcome = nodes.apply(0, plan);
        ASSERT_TRUE(outcome.problem);
        EXPECT_EQ(outcome.problem->code, Code::not_found);
        EXPECT_NE(outcome.problem->message.find("192.0.2.99"), std::string::npos);
        EXPECT_FALSE(observe_pod_mtu(plan.self, RouteBackend::vxlan));
    });
}

// As in a large cluster: many batches.
TEST(PeerRoutes, TakeAThousandPeers) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        TwoNodes nodes;
        PeerPlan plan = TwoNodes::plan(0, RouteBackend::vxlan);
        for (int i = 0; i < 1000; ++i) {
            plan.peers.push_back({fmt::format("n{}", i),
                                  range(fmt::format("10.{}.{}.0/24", 2 + i / 256, i % 256)),
                                  ip(fmt::format("198.18.{}.{}", i / 256, i % 256)),
                                  {2, 0, 0, 7, static_cast<std::uint8_t>(i / 256),
                                   static_cast<std::uint8_t>(i % 256)}});
        }
        auto outcome = nodes.apply(0, plan);
        ASSERT_FALSE(outcome.problem) << outcome.problem->message;
        const auto tunnel = find_link("flannel.1");
        auto netlink = Netlink::open();
        EXPECT_EQ(list_neighbours(*netlink, tunnel->link.index, IpFamily::v4)->size(), 1001U);
        EXPECT_EQ(list_forwardings(*netlink, tunnel->link.index)->size(), 1001U);
        EXPECT_FALSE(nodes.apply(0, TwoNodes::plan(0, RouteBackend::vxlan)).problem);
        EXPECT_EQ(list_forwardings(*netlink, tunnel->link.index)->size(), 1U);
    });
}

}  // namespace
}  // namespace skiff::network
