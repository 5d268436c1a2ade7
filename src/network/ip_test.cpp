#include "network/ip.h"

#include <gtest/gtest.h>

#include "network/port_map.h"

namespace skiff::network {
namespace {

TEST(IpAddress, IsReadAndWrittenAsKubernetesDoes) {
    EXPECT_EQ(format_as(*IpAddress::parse("10.1.2.3")), "10.1.2.3");
    EXPECT_EQ(format_as(*IpAddress::parse("fd00:0::1")), "fd00::1");
    for (const std::string_view text :
         {"", "10.1.2", "10.1.2.3.4", "010.1.2.3 ", "fe80::1%eth0", "host", "10.1.2.3/24"}) {
        auto parsed = IpAddress::parse(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code, Code::invalid);
    }
    EXPECT_FALSE(IpAddress::parse(std::string_view("10.1.2.3\0", 9)));
}

TEST(IpRange, HoldsTheAddressesOfItsPrefix) {
    const IpRange range = *IpRange::parse("10.1.2.0/23");
    EXPECT_EQ(format_as(range), "10.1.2.0/23");
    EXPECT_TRUE(range.contains(*IpAddress::parse("10.1.3.255")));
    EXPECT_FALSE(range.contains(*IpAddress::parse("10.1.4.0")));
    EXPECT_FALSE(range.contains(*IpAddress::parse("::10.1.2.0")));
    EXPECT_TRUE(IpRange::parse("::/0")->contains(*IpAddress::parse("fd00::1")));
}

TEST(IpRange, SaysWhatIsWrongWithAText) {
    for (const auto& [text, words] :
         {std::pair("10.1.2.0", "no prefix length"), std::pair("10.1.2.0/33", "not in 0-32"),
          std::pair("fd00::/129", "not in 0-128"), std::pair("10.1.2.0/x", "not in 0-32"),
          std::pair("10.1.2.3/24", "in the range 10.1.2.0/24"), std::pair("/24", "not an IP")}) {
        auto range = IpRange::parse(text);
        ASSERT_FALSE(range) << text;
        EXPECT_EQ(range.error().code, Code::invalid);
        EXPECT_NE(range.error().message.find(words), std::string::npos) << range.error().message;
    }
}

TEST(PodRanges, AreOneOfEachFamily) {
    EXPECT_EQ(parse_pod_ranges({"10.1.0.0/16"})->size(), 1U);
    EXPECT_EQ(parse_pod_ranges({"fd00:1::/64", "10.1.0.0/30"})->front().first.family, IpFamily::v6);
    for (const auto& [texts, words] :
         {std::pair(std::vector<std::string>{}, "no range"),
          std::pair(std::vector<std::string>{"10.1.0.0/31"}, "not in 8-30"),
          std::pair(std::vector<std::string>{"10.0.0.0/7"}, "not in 8-30"),
          std::pair(std::vector<std::string>{"fd00::/127"}, "not in 48-126"),
          std::pair(std::vector<std::string>{"10.1.0.0/24", "10.2.0.0/24"}, "second one of IPv4"),
          std::pair(std::vector<std::string>{"10.1.0.0/24", "x"}, "no prefix")}) {
        auto ranges = parse_pod_ranges(texts);
        ASSERT_FALSE(ranges);
        EXPECT_NE(ranges.error().message.find(words), std::string::npos) << ranges.error().message;
    }
}

kube::Pod pod_with(kube::ContainerPort port) {
    kube::Pod pod;
    pod.spec.containers.resize(1);
    pod.spec.containers[0].name = "main";
    pod.spec.containers[0].ports.push_back(std::move(port));
    return pod;
}

kube::ContainerPort port(std::int32_t node, const std::string& address,
                         const std::string& protocol) {
    kube::ContainerPort result;
    result.containerPort = 8080;
    result.hostPort = node;
    result.hostIP = address;
    result.protocol = protocol;
    return result;
}

TEST(PortMaps, AreTheHostPortsOfThePod) {
    EXPECT_TRUE(port_maps_of(pod_with(port(0, "", "TCP")))->empty());
    auto maps = port_maps_of(pod_with(port(80, "", "")));
    ASSERT_TRUE(maps);
    ASSERT_EQ(maps->size(), 1U);
    EXPECT_EQ(maps->front(), (PortMap{Transport::tcp, 80, 8080, std::nullopt}));
    maps = port_maps_of(pod_with(port(53, "192.0.2.1", "SCTP")));
    EXPECT_EQ(format_as(maps->at(0)), "SCTP 53 8080 192.0.2.1");
    EXPECT_FALSE(port_maps_of(pod_with(port(80, "0.0.0.0", "UDP")))->at(0).node_address);
    EXPECT_FALSE(port_maps_of(pod_with(port(80, "::", "UDP")))->at(0).node_address);
}

TEST(PortMaps, OfInitContainersAreThoseOfSidecars) {
    kube::Pod pod = pod_with(port(80, "", "TCP"));
    pod.spec.initContainers = pod.spec.containers;
    EXPECT_EQ(port_maps_of(pod)->size(), 1U);
    pod.spec.initContainers[0].restartPolicy = "Always";
    pod.spec.initContainers[0].ports[0].hostPort = 81;
    auto maps = port_maps_of(pod);
    ASSERT_TRUE(maps);
    ASSERT_EQ(maps->size(), 2U);
    EXPECT_EQ(maps->at(1).node_port, 81);
}

TEST(PortMaps, RefuseWhatIsNone) {
    for (const auto& [bad, words] : {std::pair(port(80, "host", "TCP"), "hostIP of hostPort 80"),
                                     std::pair(port(80, "", "ICMP"), "'ICMP' of hostPort 80"),
                                     std::pair(port(65536, "", "TCP"), "port 65536"),
                                     std::pair(port(-1, "", "TCP"), "port -1")}) {
        auto maps = port_maps_of(pod_with(bad));
        ASSERT_FALSE(maps) << words;
        EXPECT_EQ(maps.error().code, Code::invalid);
        EXPECT_NE(maps.error().message.find(words), std::string::npos) << maps.error().message;
        EXPECT_NE(maps.error().message.find("container main"), std::string::npos);
    }
    kube::Pod many = pod_with(port(1, "", "TCP"));
    many.spec.containers[0].ports.resize(kPortMapsMax + 1, port(1, "", "TCP"));
    EXPECT_EQ(port_maps_of(many).error().code, Code::exhausted);
}

}  // namespace
}  // namespace skiff::network
