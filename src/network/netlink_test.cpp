#include "network/netlink.h"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "network/net_fixture.h"
#include "network/rtnetlink.h"

namespace skiff::network {
namespace {

constexpr MacAddress kOne = {2, 0, 0, 0, 0, 1};
constexpr MacAddress kTwo = {2, 0, 0, 0, 0, 2};

Netlink open_netlink() {
    auto netlink = Netlink::open();
    EXPECT_TRUE(netlink) << netlink.error().message;
    return std::move(*netlink);
}

// Both ends in the thread's namespace.
Result<void> make_pair(Netlink& netlink, const std::string& name, const std::string& peer) {
    SKIFF_TRY(os::Fd own, open_own_namespace());
    NetlinkBatch batch;
    add_veth(batch, VethPair{name, kOne, peer, kTwo, own.get()});
    return netlink.carry_out(batch);
}

TEST(Netlink, MakesFindsAndRemovesLinks) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        Netlink netlink = open_netlink();
        ASSERT_TRUE(make_pair(netlink, "sk1", "other"));
        auto link = get_link(netlink, "sk1");
        ASSERT_TRUE(link) << link.error().message;
        auto links = list_links(netlink, "sk");
        ASSERT_TRUE(links);
        ASSERT_EQ(links->size(), 1U);
        EXPECT_EQ(links->at("sk1").index, link->index);
        NetlinkBatch batch;
        delete_link(batch, "sk1");
        delete_link(batch, "sk1");  // is gone by then, which is fine
        EXPECT_TRUE(netlink.carry_out(batch));
        EXPECT_TRUE(list_links(netlink, "")->size() == 1U) << "its peer went with it";
    });
}

TEST(Netlink, SaysWhichMessageFailedAndWhy) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        Netlink netlink = open_netlink();
        auto missing = get_link(netlink, "nobody");
        ASSERT_FALSE(missing);
        EXPECT_EQ(missing.error().code, Code::not_found);
        EXPECT_NE(missing.error().message.find("nobody"), std::string::npos);
        ASSERT_TRUE(make_pair(netlink, "sk1", "other"));
        auto twice = make_pair(netlink, "sk1", "third");
        ASSERT_FALSE(twice);
        EXPECT_EQ(twice.error().code, Code::exists);
        EXPECT_NE(twice.error().message.find("make the interface sk1"), std::string::npos);
        // The kernel explains itself: a link that is down takes no route.
        auto link = get_link(netlink, "sk1");
        ASSERT_TRUE(link);
        NetlinkBatch batch;
        add_host_route(batch, link->index, ip("10.1.2.3"), Existing::refused);
        auto down = netlink.carry_out(batch);
        ASSERT_FALSE(down);
        EXPECT_NE(down.error().message.find("add the route to 10.1.2.3"), std::string::npos);
        EXPECT_GT(down.error().message.size(), std::string("add the route to 10.1.2.3: ").size());
    });
}

TEST(Netlink, TriesEveryMessageOfABatch) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        Netlink netlink = open_netlink();
        ASSERT_TRUE(make_pair(netlink, "sk1", "other"));
        auto link = get_link(netlink, "sk1");
        ASSERT_TRUE(link);
        NetlinkBatch batch;
        set_link_up(batch, 4711);
        set_link_up(batch, link->index);
        add_host_route(batch, link->index, ip("10.1.2.3"), Existing::refused);
        auto done = netlink.carry_out(batch);
        ASSERT_FALSE(done);
        EXPECT_NE(done.error().message.find("start interface 4711"), std::string::npos);
        auto routes = list_host_routes(netlink, IpFamily::v4);
        ASSERT_TRUE(routes);
        EXPECT_EQ(routes->at(ip("10.1.2.3")), link->index);
    });
}

TEST(Netlink, RoutesToOneAddressAreRefusedReplacedAndRemoved) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        Netlink netlink = open_netlink();
        ASSERT_TRUE(make_pair(netlink, "one", "two"));
        NetlinkBatch up;
        auto one = get_link(netlink, "one");
        auto two = get_link(netlink, "two");
        ASSERT_TRUE(one && two);
        set_link_up(up, one->index);
        set_link_up(up, two->index);
        ASSERT_TRUE(netlink.carry_out(up));
        for (const IpAddress& address : {ip("10.1.2.3"), ip("fd00::3")}) {
            NetlinkBatch first;
            add_host_route(first, one->index, address, Existing::refused);
            ASSERT_TRUE(netlink.carry_out(first));
            NetlinkBatch second;
            add_host_route(second, two->index, address, Existing::refused);
            auto refused = netlink.carry_out(second);
            ASSERT_FALSE(refused);
            EXPECT_EQ(refused.error().code, Code::exists);
            NetlinkBatch third;
            delete_host_route(third, two->index, address);  // is not that one's
            ASSERT_TRUE(netlink.carry_out(third));
            EXPECT_EQ(list_host_routes(netlink, address.family)->at(address), one->index);
            NetlinkBatch fourth;
            delete_host_route(fourth, one->index, address);
            ASSERT_TRUE(netlink.carry_out(fourth));
            EXPECT_FALSE(list_host_routes(netlink, address.family)->contains(address));
        }
    });
}

TEST(Netlink, SendsNoBatchThatIsTooLarge) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        Netlink netlink = open_netlink();
        NetlinkBatch batch;
        for (std::size_t i = 0; i <= NetlinkBatch::kBytesMax / sizeof(nlmsghdr); ++i) {
            set_link_up(batch, 1);
        }
        auto done = netlink.carry_out(batch);
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, Code::exhausted);
        NetlinkBatch text;
        delete_link(text, std::string(NetlinkBatch::kBytesMax, 'x'));
        EXPECT_EQ(netlink.carry_out(text).error().code, Code::exhausted);
    });
}

TEST(Netlink, StaysInTheNamespaceInWhichItWasOpened) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        Netlink outer = open_netlink();
        ASSERT_TRUE(make_pair(outer, "outer", "peer"));
        std::optional<Netlink> inner;
        ASSERT_TRUE(in_new_namespace([&]() -> Result<void> {
            EXPECT_TRUE(get_link(outer, "outer"));
            inner.emplace(open_netlink());
            return {};
        }));
        EXPECT_FALSE(get_link(*inner, "outer"));
        EXPECT_TRUE(get_link(*inner, "lo"));
    });
}

// One message: its length, type, flags, sequence, port, then the payload.
std::string message(std::uint32_t length, std::uint16_t type, std::uint16_t flags,
                    std::string_view payload) {
    nlmsghdr header{};
    header.nlmsg_len = length;
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    header.nlmsg_seq = 7;
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    return bytes.append(payload);
}

TEST(NetlinkAnswers, EndAtALengthThatIsWrong) {
    const std::string good = message(20, RTM_NEWLINK, 0, "abcd");
    ASSERT_EQ(parse_answers(good).size(), 1U);
    EXPECT_EQ(parse_answers(good)[0].payload, "abcd");
    EXPECT_EQ(parse_answers(good)[0].sequence, 7U);
    EXPECT_EQ(parse_answers(good + good).size(), 2U);
    for (const std::uint32_t length : {0U, 15U, 21U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
        EXPECT_TRUE(parse_answers(message(length, RTM_NEWLINK, 0, "abcd")).empty()) << length;
        EXPECT_EQ(parse_answers(good + message(length, RTM_NEWLINK, 0, "abcd")).size(), 1U);
    }
    EXPECT_TRUE(parse_answers(good.substr(0, 19)).empty());
    EXPECT_TRUE(parse_answers("").empty());
}

TEST(NetlinkAnswers, AcknowledgementsThatAreCutOffAreNone) {
    const std::string payload(sizeof(nlmsgerr), '\0');
    const std::string whole = message(16 + sizeof(nlmsgerr), NLMSG_ERROR, 0, payload);
    auto said = parse_acknowledgement(parse_answers(whole).at(0));
    ASSERT_TRUE(said);
    EXPECT_EQ(said->error, 0);
    const std::string cut = message(16 + 4, NLMSG_ERROR, 0, payload.substr(0, 4));
    EXPECT_FALSE(parse_acknowledgement(parse_answers(cut).at(0)));
    EXPECT_FALSE(parse_acknowledgement(parse_answers(message(20, RTM_NEWLINK, 0, "abcd")).at(0)));
    // An explanation behind a message that is longer than what came.
    nlmsgerr error{-EPERM, {}};
    error.msg.nlmsg_len = 0xfffffff0;
    const std::string text(reinterpret_cast<const char*>(&error), sizeof(error));
    auto odd = parse_acknowledgement(
        parse_answers(message(16 + sizeof(error), NLMSG_ERROR, NLM_F_ACK_TLVS, text)).at(0));
    ASSERT_TRUE(odd);
    EXPECT_EQ(odd->error, EPERM);
    EXPECT_EQ(odd->explanation, "");
}

}  // namespace
}  // namespace skiff::network
