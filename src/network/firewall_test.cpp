#include "network/firewall.h"

#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "network/net_fixture.h"
#include "network/nftables.h"
#include "network/wire.h"

namespace skiff::network {
namespace {

Firewall example() {
    Firewall firewall;
    firewall.instance = "0a1b2c3d";
    firewall.pods = {range("10.1.2.0/24"), range("fd00:1::/64")};
    firewall.direct = {range("10.1.0.0/16")};
    firewall.ports.push_back({{ip("10.1.2.7"), ip("fd00:1::7")},
                              {{Transport::tcp, 80, 8080, std::nullopt},
                               {Transport::udp, 53, 5353, ip("192.0.2.1")},
                               {Transport::sctp, 81, 81, ip("2001:db8::1")}}});
    return firewall;
}

TEST(Firewall, IsOneTableOfTheInstance) {
    const std::string text = format_table(example());
    EXPECT_EQ(text.find("add table inet skiff-0a1b2c3d\ndelete table inet skiff-0a1b2c3d\n"), 0U)
        << "replaced, not added to";
    const std::size_t particular = text.find(
        "ip daddr 192.0.2.1 udp dport 53 dnat ip to "
        "10.1.2.7:5353\n");
    const std::size_t general = text.find(
        "meta nfproto ipv4 tcp dport 80 dnat ip to "
        "10.1.2.7:8080\n");
    ASSERT_NE(particular, std::string::npos) << text;
    ASSERT_NE(general, std::string::npos) << text;
    EXPECT_LT(particular, general) << "a rule for one address goes before one for all";
    for (const std::string_view rule :
         {"meta nfproto ipv6 tcp dport 80 dnat ip6 to [fd00:1::7]:8080\n",
          "ip6 daddr 2001:db8::1 sctp dport 81 dnat ip6 to [fd00:1::7]:81\n",
          "ip saddr 10.1.2.7 ip daddr 10.1.2.7 masquerade\n",
          "ip saddr 10.1.2.0/24 ip daddr != @direct_ip masquerade\n",
          "{ 10.1.2.0/24, 10.1.0.0/16 }",
          "ip6 saddr fd00:1::/64 ip6 daddr != @direct_ip6 masquerade\n", "{ fd00:1::/64 }",
          "iifname \"sk0a1b2c3d*\" ip daddr 127.0.0.0/8 drop\n"}) {
        EXPECT_NE(text.find(rule), std::string::npos) << rule << text;
    }
    EXPECT_EQ(text.find("10.1.2.7:81\n"), std::string::npos)
        << "an address of the other family leads nowhere";
}

TEST(Nftables, TakesTheTableAndItsRemovalAgainAndAgain) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        for (int i = 0; i < 3; ++i) {
            auto done = run_nft(format_table(example()));
            ASSERT_TRUE(done) << done.error().message;
        }
        Firewall nothing;
        nothing.instance = "0a1b2c3d";
        auto empty = run_nft(format_table(nothing));
        ASSERT_TRUE(empty) << empty.error().message;
        // The table is there as long as it is: creating it anew is refused.
        EXPECT_FALSE(run_nft("create table inet skiff-0a1b2c3d"));
        for (int i = 0; i < 2; ++i) {
            ASSERT_TRUE(run_nft(format_table_removal("0a1b2c3d")));
        }
        EXPECT_TRUE(run_nft("create table inet skiff-0a1b2c3d"));
    });
}

TEST(Nftables, SaysWhatIsWrongAndChangesNothing) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        auto done = run_nft("create table inet one\nadd rule inet one nothere drop\n");
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, Code::invalid);
        EXPECT_EQ(done.error().message.find("nftables: Error: "), 0U) << done.error().message;
        EXPECT_NE(done.error().message.find("No such file"), std::string::npos)
            << done.error().message;
        EXPECT_TRUE(run_nft("create table inet one\n")) << "all or nothing";
    });
}

// ---- With packets: a node with a link to the outside world, on which one server listens.

// Makes the outside world and runs `body` with a pin of its namespace. The node is 192.0.2.1 and
// fd99::1, the world 192.0.2.9 and fd99::9: it knows no route to pods.
void beside_the_world(const TestFolder& folder,
                      const std::function<void(const std::filesystem::path&)>& body) {
    as_a_node([&] {
        const auto pin = folder.path() / "world";
        auto node = Netlink::open();
        ASSERT_TRUE(node);
        auto made = in_new_namespace([&]() -> Result<void> {
            SKIFF_CHECK(pin_namespace(pin));
            SKIFF_TRY(os::Fd own, open_own_namespace());
            SKIFF_TRY(Netlink world, Netlink::open());
            NetlinkBatch pair;
            add_veth(pair,
                     VethPair{"up", {2, 0, 0, 0, 0, 1}, "down", {2, 0, 0, 0, 0, 2}, own.get()});
            SKIFF_CHECK(node->carry_out(pair));
            struct End {
                Netlink& netlink;
                const char* name;
                MacAddress other;
                std::array<IpAddress, 2> own;
                std::array<IpAddress, 2> others;
            };
            const std::array<IpAddress, 2> ours = {ip("192.0.2.1"), ip("fd99::1")};
            const std::array<IpAddress, 2> theirs = {ip("192.0.2.9"), ip("fd99::9")};
            for (const End& end : {End{*node, "up", {2, 0, 0, 0, 0, 2}, ours, theirs},
                                   End{world, "down", {2, 0, 0, 0, 0, 1}, theirs, ours}}) {
                SKIFF_TRY(Link link, get_link(end.netlink, end.name));
                NetlinkBatch batch;
                set_link_up(batch, link.index);
                for (std::size_t i = 0; i < 2; ++i) {
                    add_address(batch, link.index, end.own[i]);
                    add_host_route(batch, link.index, end.others[i], Existing::refused);
                    set_neighbour(batch, link.index, end.others[i], end.other);
                }
                SKIFF_CHECK(end.netlink.carry_out(batch));
            }
            return {};
        });
        ASSERT_TRUE(made) << made.error().message;
        body(pin);
    });
}

const std::string kInstance = "0a1b2c3d";

// A pod on wire `number`.
std::filesystem::path make_pod(const TestFolder& folder, std::uint32_t number,
                               const std::vector<IpAddress>& addresses) {
    WireSettings settings{kInstance, folder.path(), WireSettings::NodeEnd::bare};
    auto wire = lay_wire(settings, number);
    EXPECT_TRUE(wire) << wire.error().message;
    auto connected = connect_wire(settings, *wire, addresses, "shop/web");
    EXPECT_TRUE(connected) << connected.error().message;
    EXPECT_TRUE(open_to_loopback(kInstance, number));
    for (const IpAddress& address : addresses) {
        EXPECT_TRUE(enable_forwarding(address.family));
    }
    return wire_pin(settings, number);
}

const std::vector<IpAddress>& pod_addresses() {
    static const std::vector<IpAddress> addresses = {ip("10.1.2.7"), ip("fd00:1::7")};
    return addresses;
}

void apply(const Firewall& firewall) {
    auto done = run_nft(format_table(firewall));
    ASSERT_TRUE(done) << done.error().message;
}

Firewall with_ports(std::vector<PortMap> maps) {
    Firewall firewall;
    firewall.instance = kInstance;
    firewall.pods = {range("10.1.2.0/24"), range("fd00:1::/64")};
    firewall.ports.push_back({pod_addresses(), std::move(maps)});
    return firewall;
}

TEST(Masquerade, TheWorldSeesTheNodeAndPodsSeeEachOther) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    beside_the_world(folder, [&](const std::filesystem::path& world) {
        const auto pod = make_pod(folder, 1, pod_addresses());
        const auto other = make_pod(folder, 2, {ip("10.1.2.8"), ip("fd00:1::8")});
        apply(with_ports({}));
        for (const auto& [outside, node, own, peer] :
             {std::tuple("192.0.2.9", "192.0.2.1", "10.1.2.7", "10.1.2.8"),
              std::tuple("fd99::9", "fd99::1", "fd00:1::7", "fd00:1::8")}) {
            const IpFamily family = ip(outside).family;
            os::Fd server = listen_in(world, family, 80);
            auto seen = talk_from(pod, server, ip(outside), 80);
            ASSERT_TRUE(seen) << seen.error().message;
            EXPECT_EQ(format_as(*seen), node);
            os::Fd beside = listen_in(other, family, 80);
            seen = talk_from(pod, beside, ip(peer), 80);
            ASSERT_TRUE(seen) << seen.error().message;
            EXPECT_EQ(format_as(*seen), own);
        }
    });
}

TEST(HostPort, LeadsToThePodFromTheWorldTheNodePodsAndItself) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    beside_the_world(folder, [&](const std::filesystem::path& world) {
        const auto pod = make_pod(folder, 1, pod_addresses());
        const auto other = make_pod(folder, 2, {ip("10.1.2.8"), ip("fd00:1::8")});
        apply(with_ports({{Transport::tcp, 80, 8080, std::nullopt}}));
        for (const std::string_view node : {"192.0.2.1", "fd99::1"}) {
            os::Fd server = listen_in(pod, ip(node).family, 8080);
            auto seen = talk_from(world, server, ip(node), 80);
            ASSERT_TRUE(seen) << "world: " << seen.error().message;
            EXPECT_EQ(*seen, ip(node).family == IpFamily::v4 ? ip("192.0.2.9") : ip("fd99::9"));
            seen = talk(server, ip(node), 80);
            ASSERT_TRUE(seen) << "node: " << seen.error().message;
            seen = talk_from(other, server, ip(node), 80);
            ASSERT_TRUE(seen) << "pod: " << seen.error().message;
            seen = talk_from(pod, server, ip(node), 80);
            ASSERT_TRUE(seen) << "itself: " << seen.error().message;
        }
        os::Fd server = listen_in(pod, IpFamily::v4, 8080);
        auto seen = talk(server, ip("127.0.0.1"), 80);
        ASSERT_TRUE(seen) << "loopback: " << seen.error().message;
        EXPECT_EQ(*seen, ip("192.0.2.1"));
    });
}

TEST(HostPort, AddressesOfTheNodeAreKeptApart) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    beside_the_world(folder, [&](const std::filesystem::path& world) {
        const auto pod = make_pod(folder, 1, pod_addresses());
        const auto other = make_pod(folder, 2, {ip("10.1.2.8")});
        // As the conformance test has it: one port, two addresses, two protocols.
        Firewall firewall = with_ports({{Transport::tcp, 80, 8080, ip("127.0.0.1")}});
        firewall.ports.push_back({{ip("10.1.2.8")},
                                  {{Transport::tcp, 80, 8080, ip("192.0.2.1")},
                                   {Transport::udp, 80, 8080, ip("192.0.2.1")}}});
        apply(firewall);
        os::Fd local = listen_in(pod, IpFamily::v4, 8080);
        os::Fd public_one = listen_in(other, IpFamily::v4, 8080);
        ASSERT_TRUE(talk(local, ip("127.0.0.1"), 80));
        ASSERT_TRUE(talk(public_one, ip("192.0.2.1"), 80));
        ASSERT_TRUE(talk_from(world, public_one, ip("192.0.2.1"), 80));
        os::Fd datagrams = listen_in(other, IpFamily::v4, 8080, SOCK_DGRAM);
        os::Fd client = make_socket(IpFamily::v4, SOCK_DGRAM);
        auto to = socket_address(ip("192.0.2.1"), 80);
        ASSERT_EQ(::connect(client.get(), to.get(), to.size), 0);
        ASSERT_EQ(::send(client.get(), "x", 1, 0), 1);
        char byte = 0;
        SocketAddress from;
        ASSERT_EQ(::recvfrom(datagrams.get(), &byte, 1, 0, from.get(), &from.size), 1);
        ASSERT_EQ(::sendto(datagrams.get(), "y", 1, 0, from.get(), from.size), 1);
        ASSERT_EQ(::recv(client.get(), &byte, 1, 0), 1);
        EXPECT_EQ(byte, 'y');
    });
}

// A pod that has broken out of its engine, holds every right in its namespace and routes loopback
// addresses over its wire.
Result<void> turn_loopback_outside() {
    SKIFF_CHECK(os::write_kernel_file("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"));
    SKIFF_TRY(Netlink netlink, Netlink::open());
    SKIFF_TRY(Link lo, get_link(netlink, "lo"));
    SKIFF_TRY(Link eth0, get_link(netlink, "eth0"));
    NetlinkBatch batch;
    auto& own = batch.begin<ifaddrmsg>(RTM_DELADDR, 0, "give up the own loopback address");
    own.ifa_family = AF_INET;
    own.ifa_prefixlen = 8;
    own.ifa_index = lo.index;
    batch.put(IFA_LOCAL, ip("127.0.0.1").raw());
    add_host_route(batch, eth0.index, ip("127.0.0.1"), Existing::replaced);
    set_neighbour(batch, eth0.index, ip("127.0.0.1"), {2, 0x73, 0x6b, 0, 0, 1});
    return netlink.carry_out(batch);
}

// Whether a datagram from the pod reaches a server at the node's 127.0.0.1.
bool reaches_loopback(const std::filesystem::path& pod) {
    os::Fd secret = make_socket(IpFamily::v4, SOCK_DGRAM);
    os::Fd witness = make_socket(IpFamily::v4, SOCK_DGRAM);
    for (const auto& [server, address] :
         {std::pair(secret.get(), "127.0.0.1"), std::pair(witness.get(), "192.0.2.1")}) {
        auto at = socket_address(ip(address), 9999);
        EXPECT_EQ(::bind(server, at.get(), at.size), 0) << ::strerror(errno);
    }
    auto name_space = open_pinned(pod);
    EXPECT_TRUE(name_space);
    auto sent = in_namespace(*name_space, []() -> Result<void> {
        os::Fd client = make_socket(IpFamily::v4, SOCK_DGRAM);
        auto from = socket_address(ip("10.1.2.7"), 7777);
        EXPECT_EQ(::bind(client.get(), from.get(), from.size), 0);
        // What is sent later by the same way arrives later.
        for (const std::string_view address : {"127.0.0.1", "192.0.2.1"}) {
            auto to = socket_address(ip(address), 9999);
            EXPECT_EQ(::sendto(client.get(), "x", 1, 0, to.get(), to.size), 1)
                << address << ": " << ::strerror(errno);
        }
        return {};
    });
    EXPECT_TRUE(sent) << sent.error().message;
    char byte = 0;
    EXPECT_EQ(::recv(witness.get(), &byte, 1, 0), 1);
    return ::recv(secret.get(), &byte, 1, MSG_DONTWAIT) == 1;
}

TEST(HostPort, PodsReachNothingOnTheNodesLoopback) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    beside_the_world(folder, [&](const std::filesystem::path&) {
        const auto pod = make_pod(folder, 1, pod_addresses());
        auto name_space = open_pinned(pod);
        ASSERT_TRUE(name_space);
        auto turned = in_namespace(*name_space, turn_loopback_outside);
        ASSERT_TRUE(turned) << turned.error().message;
        EXPECT_TRUE(reaches_loopback(pod)) << "the attack itself works";
        apply(with_ports({{Transport::tcp, 80, 8080, ip("127.0.0.1")}}));
        EXPECT_FALSE(reaches_loopback(pod));
    });
}

}  // namespace
}  // namespace skiff::network
