#include "network/peers.h"

#include <gtest/gtest.h>

#include "network/net_fixture.h"

namespace skiff::network {
namespace {

constexpr const char* kType = "flannel.alpha.coreos.com/backend-type";
constexpr const char* kData = "flannel.alpha.coreos.com/backend-data";
constexpr const char* kData6 = "flannel.alpha.coreos.com/backend-v6-data";
constexpr const char* kAddress = "flannel.alpha.coreos.com/public-ip";
constexpr const char* kAddress6 = "flannel.alpha.coreos.com/public-ipv6";
constexpr const char* kManaged = "flannel.alpha.coreos.com/kube-subnet-manager";

LocalNode self() {
    LocalNode node;
    node.name = "self";
    node.addresses = {ip("192.0.2.1"), ip("2001:db8::1")};
    node.ranges = {range("10.1.1.0/24"), range("fd00:0:0:1::/64")};
    node.mac = {2, 0, 0, 0, 0, 1};
    return node;
}

using Outline = kube::NodeOutline;

// As flanneld leaves it.
Outline flannel_node(std::string name, int number) {
    Outline node;
    node.metadata.name = std::move(name);
    node.spec.podCIDRs = {fmt::format("10.1.{}.0/24", number)};
    node.spec.podCIDR = node.spec.podCIDRs.front();
    node.status.addresses = {{"InternalIP", fmt::format("192.0.2.{}", number)},
                             {"Hostname", node.metadata.name}};
    node.metadata.annotations = {
        {kType, "vxlan"},
        {kData, fmt::format(R"({{"VNI":1,"VtepMAC":"02:00:00:00:00:{:02x}"}})", number)},
        {kAddress, fmt::format("192.0.2.{}", number)},
        {kManaged, "true"}};
    return node;
}

NodeOutlines list(const std::vector<Outline>& nodes) {
    NodeOutlines all;
    for (const Outline& node : nodes) {
        all.push_back(std::make_shared<const Outline>(node));
    }
    return all;
}

Peers find(const std::vector<Outline>& nodes, RouteBackend backend = RouteBackend::vxlan) {
    return find_peers(list(nodes), self(), backend);
}

TEST(Peers, AreReadFromFlannelsAnnotations) {
    Outline both = flannel_node("both", 3);
    both.spec.podCIDRs.emplace_back("fd00:0:0:3::/64");
    both.metadata.annotations[kData6] = R"({"VNI":1,"VtepMAC":"0A:00:00:00:00:33"})";
    both.metadata.annotations[kAddress6] = "2001:db8::3";
    auto found = find({flannel_node("self", 1), both, flannel_node("other", 2)});
    EXPECT_TRUE(found.left_out.empty());
    ASSERT_EQ(found.ranges.size(), 3U);
    EXPECT_EQ(found.ranges[0],
              (PeerRange{"other", range("10.1.2.0/24"), ip("192.0.2.2"), {2, 0, 0, 0, 0, 2}}));
    EXPECT_EQ(
        found.ranges[2],
        (PeerRange{"both", range("fd00:0:0:3::/64"), ip("2001:db8::3"), {0x0a, 0, 0, 0, 0, 0x33}}));
}

TEST(Peers, ThatSayNothingYetArePassedOverInSilence) {
    Outline no_range = flannel_node("no-range", 2);
    no_range.spec = {};
    Outline no_flannel = flannel_node("no-flannel", 3);
    no_flannel.metadata.annotations.clear();
    Outline no_ipv6 = flannel_node("no-ipv6", 4);
    no_ipv6.spec.podCIDRs = {"fd00:0:0:4::/64"};
    auto found = find({no_range, no_flannel, no_ipv6});
    EXPECT_TRUE(found.ranges.empty());
    EXPECT_TRUE(found.left_out.empty());
}

struct WrongCase {
    const char* key;
    const char* value;
    const char* message;
};

TEST(Peers, WithAWrongAnnotationAreLeftOutAndOthersKept) {
    const WrongCase cases[] = {
        {kData, "", "\"\" is not a JSON object"},
        {kData, "null", "\"null\" is not a JSON object"},
        {kData, R"({"VNI":1})", "has no VtepMAC"},
        {kData, R"({"VNI":1,"VtepMAC":7})", "has no VtepMAC"},
        {kData, R"({"VNI":2,"VtepMAC":"02:00:00:00:00:02"})", "VNI is \"2\""},
        {kData, R"({"VNI":"1","VtepMAC":"02:00:00:00:00:02"})", "VNI is"},
        {kData, R"({"VNI":1,"VtepMAC":"03:00:00:00:00:02"})", "hardware address"},
        {kData, R"({"VNI":1,"VtepMAC":"00:00:00:00:00:00"})", "hardware address"},
        {kData, R"({"VNI":1,"VtepMAC":"02:00:00:00:00"})", "hardware address"},
        {kData, R"({"VNI":1,"VtepMAC":"02-00-00-00-00-02"})", "hardware address"},
        {kData, R"({"VNI":1,"VtepMAC":"02:00:00:00:00:01"})", "is another node's"},
        {kAddress, "", "is not an IPv4 address"},
        {kAddress, "127.0.0.1", "is not an IPv4 address"},
        {kAddress, "224.0.0.1", "is not an IPv4 address"},
        {kAddress, "169.254.1.1", "is not an IPv4 address"},
        {kAddress, "2001:db8::2", "is not an IPv4 address"},
        {kAddress, "0.0.0.0", "is not an IPv4 address"},
        {kType, "wireguard", "\"wireguard\", but this node's podRoutes is vxlan"},
        {kType, "host-gw", "\"host-gw\", but this node's podRoutes is vxlan"},
    };
    for (const WrongCase& its : cases) {
        Outline wrong = flannel_node("wrong", 2);
        wrong.metadata.annotations[its.key] = its.value;
        auto found = find({wrong, flannel_node("right", 3)});
        ASSERT_EQ(found.ranges.size(), 1U) << its.value;
        EXPECT_EQ(found.ranges[0].node, "right");
        ASSERT_EQ(found.left_out.size(), 1U) << its.value;
        EXPECT_EQ(found.left_out[0].node, "wrong");
        EXPECT_NE(found.left_out[0].message.find(its.message), std::string::npos)
            << found.left_out[0].message;
        const bool names_it = found.left_out[0].message.find(its.key) != std::string::npos ||
                              found.left_out[0].message.find("VtepMAC") != std::string::npos;
        EXPECT_TRUE(names_it) << found.left_out[0].message;
    }
}

TEST(Peers, CannotDrawOthersPacketsToThemselves) {
    const std::pair<const char*, const char*> cases[] = {
        {"10.1.1.0/25", "overlaps this node's"},
        {"10.1.0.0/16", "overlaps this node's"},
        {"10.1.3.0/25", "overlaps that of node old"},
        {"10.1.2.0/23", "overlaps that of node old"},
        {"192.0.2.0/24", "takes in the address of a node, 192.0.2."},
        {"0.0.0.0/0", "spec.podCIDRs"},
        {"10.1.2.0", "spec.podCIDRs"},
    };
    for (const auto& [text, message] : cases) {
        Outline old = flannel_node("old", 3);
        old.metadata.creationTimestamp = kube::Time(WallTime(std::chrono::seconds(1000)));
        Outline greedy = flannel_node("greedy", 2);
        greedy.metadata.creationTimestamp = kube::Time(WallTime(std::chrono::seconds(2000)));
        greedy.spec.podCIDRs = {text};
        auto found = find({greedy, old});
        ASSERT_EQ(found.ranges.size(), 1U) << text;
        EXPECT_EQ(found.ranges[0].node, "old");
        ASSERT_EQ(found.left_out.size(), 1U) << text;
        EXPECT_NE(found.left_out[0].message.find(message), std::string::npos)
            << found.left_out[0].message;
    }
    Outline old = flannel_node("old", 3);
    old.metadata.creationTimestamp = kube::Time(WallTime(std::chrono::seconds(1000)));
    Outline twin = flannel_node("a-twin", 2);
    twin.metadata.creationTimestamp = kube::Time(WallTime(std::chrono::seconds(2000)));
    twin.metadata.annotations[kData] = old.metadata.annotations[kData];
    auto found = find({twin, old});
    ASSERT_EQ(found.ranges.size(), 1U);
    EXPECT_EQ(found.ranges[0].node, "old") << "the older node has the hardware address";
}

TEST(Peers, OnTheSameMachineNeedNoWay) {
    Outline second = flannel_node("second", 2);
    second.metadata.annotations[kAddress] = "192.0.2.1";
    auto found = find({second});
    EXPECT_TRUE(found.ranges.empty());
    EXPECT_TRUE(found.left_out.empty());
}

TEST(Peers, OfHostGwNeedNoAnnotations) {
    Outline plain = flannel_node("plain", 2);
    plain.metadata.annotations.clear();
    Outline flannel = flannel_node("flannel", 3);
    flannel.metadata.annotations = {
        {kType, "host-gw"}, {kData, "null"}, {kAddress, "192.0.2.33"}, {kManaged, "true"}};
    auto found = find({plain, flannel, flannel_node("tunnel", 4)}, RouteBackend::host_gw);
    ASSERT_EQ(found.ranges.size(), 2U);
    EXPECT_EQ(found.ranges[0].address, ip("192.0.2.2"));
    EXPECT_EQ(found.ranges[1].address, ip("192.0.2.33"));
    ASSERT_EQ(found.left_out.size(), 1U);
    EXPECT_EQ(found.left_out[0].node, "tunnel");
    auto all = find({plain, flannel, flannel_node("tunnel", 4)}, RouteBackend::none);
    EXPECT_EQ(all.ranges.size(), 3U) << "who routes is not known, but whose the ranges are";
}

TEST(Peers, BeyondTheLargestClusterAreLeftOut) {
    std::vector<Outline> nodes;
    for (std::size_t i = 0; i < kPeersMax + 2; ++i) {
        Outline node = flannel_node(fmt::format("n{:05}", i), 2);
        node.spec.podCIDRs = {fmt::format("10.{}.{}.0/24", 2 + i / 256, i % 256)};
        node.metadata.annotations[kData] =
            fmt::format(R"({{"VNI":1,"VtepMAC":"02:00:00:01:{:02x}:{:02x}"}})", i / 256, i % 256);
        node.metadata.annotations[kAddress] = fmt::format("198.18.{}.{}", i / 256, i % 256);
        node.status.addresses.clear();
        nodes.push_back(std::move(node));
    }
    auto found = find(nodes);
    EXPECT_EQ(found.ranges.size(), kPeersMax);
    ASSERT_EQ(found.left_out.size(), 1U);
    EXPECT_NE(found.left_out[0].message.find("5000"), std::string::npos);
}

TEST(Peers, AnnotationsOfThisNodeReadBack) {
    for (const auto backend : {RouteBackend::vxlan, RouteBackend::host_gw}) {
        Outline node;
        node.metadata.name = "self";
        node.spec.podCIDRs = {"10.1.1.0/24", "fd00:0:0:1::/64"};
        node.metadata.annotations = format_peer_annotations(self(), backend);
        EXPECT_EQ(
            node.metadata.annotations.at(kData),
            backend == RouteBackend::vxlan ? R"({"VNI":1,"VtepMAC":"02:00:00:00:00:01"})" : "null");
        LocalNode other;
        other.name = "other";
        other.addresses = {ip("192.0.2.2"), ip("2001:db8::2")};
        other.ranges = {range("10.1.2.0/24"), range("fd00:0:0:2::/64")};
        auto found = find_peers(list({node}), other, backend);
        EXPECT_TRUE(found.left_out.empty());
        ASSERT_EQ(found.ranges.size(), 2U);
        EXPECT_EQ(found.ranges[0].pods, range("10.1.1.0/24"));
        EXPECT_EQ(found.ranges[1].address, ip("2001:db8::1"));
    }
    EXPECT_TRUE(format_peer_annotations(self(), RouteBackend::none).empty());
    LocalNode no_address = self();
    no_address.addresses.clear();
    EXPECT_TRUE(format_peer_annotations(no_address, RouteBackend::vxlan).empty());
}

TEST(Peers, AutoFollowsFlannelsNodesThenSkiffs) {
    auto skiff = [](std::string name, const char* type) {
        Outline node = flannel_node(std::move(name), 2);
        node.metadata.annotations[kType] = type;
        node.status.nodeInfo.containerRuntimeVersion = "skiff://1.0";
        return node;
    };
    auto flannel = [](std::string name, const char* type) {
        Outline node = flannel_node(std::move(name), 3);
        node.metadata.annotations[kType] = type;
        return node;
    };
    auto choose = [](const std::vector<Outline>& nodes) {
        return choose_backend(list(nodes), "self");
    };
    EXPECT_EQ(choose({}), RouteBackend::vxlan);
    EXPECT_EQ(choose({flannel("self", "host-gw")}), RouteBackend::vxlan);
    EXPECT_EQ(choose({flannel("a", "host-gw")}), RouteBackend::host_gw);
    EXPECT_EQ(choose({flannel("a", "host-gw"), skiff("b", "vxlan")}), RouteBackend::host_gw);
    EXPECT_EQ(choose({flannel("a", "vxlan"), skiff("b", "host-gw")}), RouteBackend::vxlan);
    EXPECT_EQ(choose({skiff("a", "vxlan"), skiff("b", "host-gw")}), RouteBackend::host_gw);
    EXPECT_EQ(choose({flannel("a", "wireguard"), flannel("b", "none")}), RouteBackend::vxlan);
}

TEST(Peers, OutlinesKeepOnlyWhatIsRead) {
    Outline node = flannel_node("a", 2);
    node.metadata.uid = "u";
    node.metadata.resourceVersion = "7";
    node.metadata.labels = {{"a", "b"}};
    node.metadata.annotations["other"] = "x";
    node.metadata.annotations[kData] = std::string(100000, 'x');
    trim_outline(node);
    EXPECT_TRUE(node.metadata.labels.empty());
    EXPECT_FALSE(node.metadata.annotations.contains("other"));
    EXPECT_EQ(node.metadata.annotations.at(kData).size(), 256U);
    EXPECT_EQ(node.metadata.uid, "u");
    EXPECT_EQ(node.metadata.resourceVersion, "7");
    ASSERT_EQ(node.status.addresses.size(), 1U);
    EXPECT_EQ(node.status.addresses[0].type, "InternalIP");
}

TEST(Peers, TunnelsEndsDifferByNodeAndInstance) {
    const MacAddress mac = tunnel_mac("0a1b2c3d", "self");
    EXPECT_EQ(mac, tunnel_mac("0a1b2c3d", "self"));
    EXPECT_NE(mac, tunnel_mac("0a1b2c3d", "other"));
    EXPECT_NE(mac, tunnel_mac("0a1b2c3e", "self"));
    EXPECT_EQ(parse_mac(format_mac(mac)), mac) << "neither a group's nor zero";
}

}  // namespace
}  // namespace skiff::network
