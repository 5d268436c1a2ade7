#include "network/traffic.h"

#include <gtest/gtest.h>

#include <chrono>

#include "network/net_fixture.h"
#include "network/wire.h"

namespace skiff::network {
namespace {

constexpr std::uint16_t kPort = 80;
constexpr std::size_t kPayload = 1000;
// Beside the payload: Ethernet, IPv4 and UDP, as the kernel counts.
constexpr std::size_t kHeaders = 14 + 20 + 8;

// Two pods on a node with an address, of which one sends the other datagrams.
class PodTraffic : public ::testing::Test {
protected:
    Attachment attach(std::uint32_t number, std::string_view address) {
        auto wire = lay_wire(settings, number);
        EXPECT_TRUE(wire) << wire.error().message;
        EXPECT_TRUE(connect_wire(settings, *wire, {ip(address)}, "shop/web"));
        Attachment attachment;
        attachment.name_space = wire_pin(settings, number);
        attachment.node_link = wire_name(settings.instance, number);
        return attachment;
    }
    // From the first pod to the second, which hears all of them.
    void send(const Attachment& from, const Attachment& to, int count) {
        os::Fd hearing = listen_in(to.name_space, IpFamily::v4, kPort, SOCK_DGRAM);
        auto name_space = open_pinned(from.name_space);
        ASSERT_TRUE(name_space);
        ASSERT_TRUE(in_namespace(*name_space, [&]() -> Result<void> {
            os::Fd client = make_socket(IpFamily::v4, SOCK_DGRAM);
            auto address = socket_address(ip("10.1.2.8"), kPort);
            const std::string payload(kPayload, 'x');
            for (int i = 0; i < count; ++i) {
                EXPECT_EQ(::sendto(client.get(), payload.data(), payload.size(), 0, address.get(),
                                   address.size),
                          static_cast<ssize_t>(kPayload));
            }
            return {};
        }));
        std::string heard(kPayload, 0);
        for (int i = 0; i < count; ++i) {
            ASSERT_EQ(::recv(hearing.get(), heard.data(), heard.size(), 0),
                      static_cast<ssize_t>(kPayload));
        }
    }
    TestFolder folder;
    WireSettings settings{"0a1b2c3d", folder.path(), WireSettings::NodeEnd::addressed};
};

// What one end has sent the other one has received, whichever of them is asked. Beside the
// datagrams a pod's kernel now and then sends a report of IPv6 groups, which is smaller than one of
// them.
TEST_F(PodTraffic, IsCountedAsThePodSeesIt) {
    SKIFF_NEEDS_ROOT();
    as_a_node([&] {
        ASSERT_TRUE(enable_forwarding(IpFamily::v4));
        std::map<PodUid, Attachment> pods{{PodUid("one"), attach(1, "10.1.2.7")},
                                          {PodUid("two"), attach(2, "10.1.2.8")}};
        auto inside = pods;
        for (auto& [uid, attachment] : inside) {
            attachment.node_link.clear();
        }
        constexpr int kDatagrams = 30;
        auto before = observe_traffic(pods, wire_prefix(settings.instance));
        auto before_inside = observe_traffic(inside, wire_prefix(settings.instance));
        ASSERT_TRUE(before) << before.error().message;
        ASSERT_TRUE(before_inside) << before_inside.error().message;
        send(pods.at(PodUid("one")), pods.at(PodUid("two")), kDatagrams);
        auto after = observe_traffic(pods, wire_prefix(settings.instance));
        auto after_inside = observe_traffic(inside, wire_prefix(settings.instance));
        ASSERT_TRUE(after);
        ASSERT_TRUE(after_inside);
        using Direction = LinkTraffic::Direction;
        for (const auto& [from, to] :
             {std::pair(&*before, &*after), std::pair(&*before_inside, &*after_inside)}) {
            auto more = [&](const char* pod, Direction LinkTraffic::* which,
                            std::uint64_t Direction::* what) {
                const LinkTraffic& now = to->pods.at(PodUid(pod)).at(0);
                EXPECT_EQ(now.name, "eth0");
                return now.*which.*what - from->pods.at(PodUid(pod)).at(0).*which.*what;
            };
            constexpr std::uint64_t kAll = kDatagrams * (kPayload + kHeaders);
            for (const auto& [pod, which] :
                 {std::pair("one", &LinkTraffic::sent), std::pair("two", &LinkTraffic::received)}) {
                EXPECT_GE(more(pod, which, &Direction::bytes), kAll) << pod;
                EXPECT_LT(more(pod, which, &Direction::bytes), kAll + kPayload) << pod;
                EXPECT_GE(more(pod, which, &Direction::packets), kDatagrams) << pod;
                EXPECT_LT(more(pod, which, &Direction::packets), 2 * kDatagrams) << pod;
            }
            EXPECT_LT(more("one", &LinkTraffic::received, &Direction::bytes), kPayload);
            EXPECT_LT(more("two", &LinkTraffic::sent, &Direction::bytes), kPayload);
        }
        EXPECT_TRUE(after->node.empty()) << "it has loopback and pods' wires only";
    });
}

TEST_F(PodTraffic, APodWhoseWireIsGoneIsLeftOut) {
    SKIFF_NEEDS_ROOT();
    as_a_node([&] {
        std::map<PodUid, Attachment> pods{{PodUid("one"), attach(1, "10.1.2.7")},
                                          {PodUid("two"), attach(2, "10.1.2.8")}};
        pods.at(PodUid("two")).node_link.clear();
        for (const std::uint32_t number : {1U, 2U}) {
            ASSERT_TRUE(remove_wire(settings, number));
        }
        auto traffic = observe_traffic(pods, wire_prefix(settings.instance));
        ASSERT_TRUE(traffic) << traffic.error().message;
        EXPECT_TRUE(traffic->pods.empty());
    });
}

TEST_F(PodTraffic, OfTheNodeIsWhatGoesOutside) {
    SKIFF_NEEDS_ROOT();
    as_a_node([&] {
        auto netlink = Netlink::open();
        ASSERT_TRUE(netlink);
        auto own = open_own_namespace();
        NetlinkBatch batch;
        add_veth(batch,
                 VethPair{"uplink", {2, 0, 0, 0, 0, 1}, "veth1", {2, 0, 0, 0, 0, 2}, own->get()});
        ASSERT_TRUE(netlink->carry_out(batch));
        (void)attach(1, "10.1.2.7");
        auto traffic = observe_traffic({}, wire_prefix(settings.instance));
        ASSERT_TRUE(traffic);
        ASSERT_EQ(traffic->node.size(), 1U);
        EXPECT_EQ(traffic->node[0].name, "uplink");
    });
}

// A scrape of a full node: two of its ends and the kernel's answer in well under the time that a
// reactor would miss.
TEST_F(PodTraffic, OfAFullNodeIsReadAtOnce) {
    SKIFF_NEEDS_ROOT();
    as_a_node([&] {
        constexpr std::uint32_t kPods = 110;
        std::map<PodUid, Attachment> pods;
        for (std::uint32_t i = 1; i <= kPods; ++i) {
            pods[PodUid(fmt::format("{}", i))] = attach(i, fmt::format("10.1.2.{}", i));
        }
        auto begun = std::chrono::steady_clock::now();
        auto traffic = observe_traffic(pods, wire_prefix(settings.instance));
        auto took = std::chrono::steady_clock::now() - begun;
        ASSERT_TRUE(traffic);
        EXPECT_EQ(traffic->pods.size(), kPods);
        RecordProperty(
            "microseconds",
            std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
        EXPECT_LT(took, std::chrono::seconds(1));
    });
}

}  // namespace
}  // namespace skiff::network
