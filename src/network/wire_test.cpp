#include "network/wire.h"

#include <gtest/gtest.h>

#include <thread>

#include "network/net_fixture.h"

namespace skiff::network {
namespace {

namespace fs = std::filesystem;

const std::string kInstance = "0a1b2c3d";

WireSettings settings_in(const TestFolder& folder) {
    return WireSettings{kInstance, folder.path(), WireSettings::NodeEnd::bare};
}

// Gives the node an address, as machines have.
void give_node(const IpAddress& address) {
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    auto loopback = get_link(*netlink, "lo");
    NetlinkBatch batch;
    add_address(batch, loopback->index, address);
    ASSERT_TRUE(netlink->carry_out(batch));
}

fs::path make_pod(const WireSettings& settings, std::uint32_t number,
                  const std::vector<IpAddress>& addresses) {
    auto wire = lay_wire(settings, number);
    EXPECT_TRUE(wire) << wire.error().message;
    auto connected = connect_wire(settings, *wire, addresses, "shop/web");
    EXPECT_TRUE(connected) << connected.error().message;
    return wire_pin(settings, number);
}

TEST(WireNames, AreShortAndTellTheNumber) {
    EXPECT_EQ(wire_name(kInstance, 1), "sk0a1b2c3d1");
    EXPECT_EQ(wire_name(kInstance, 36), "sk0a1b2c3d10");
    EXPECT_EQ(wire_name(kInstance, kWireNumbers - 1), "sk0a1b2c3dzzzzz");
    EXPECT_LE(wire_name(kInstance, kWireNumbers - 1).size(), kLinkNameMax);
    for (const std::uint32_t number : {1U, 35U, 36U, 4711U, kWireNumbers - 1}) {
        EXPECT_EQ(wire_number(kInstance, wire_name(kInstance, number)), number);
    }
    for (const std::string_view name : {"sk0a1b2c3d", "sk0a1b2c3d0", "sk0a1b2c3d01", "sk0a1b2c3dA",
                                        "sk0a1b2c3d123456", "sk0a1b2c3e1", "eth0", ""}) {
        EXPECT_FALSE(wire_number(kInstance, name)) << name;
    }
}

TEST(Wire, PodsAndTheirNodeReachEachOther) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        const WireSettings settings = settings_in(folder);
        give_node(ip("192.0.2.1"));
        give_node(ip("fd99::1"));
        ASSERT_TRUE(enable_forwarding(IpFamily::v4));
        ASSERT_TRUE(enable_forwarding(IpFamily::v6));
        const auto one = make_pod(settings, 1, {ip("10.1.2.7"), ip("fd00:1::7")});
        const auto two = make_pod(settings, 2, {ip("10.1.2.8"), ip("fd00:1::8")});
        struct Case {
            std::string_view first, second, node;
        };
        for (const Case& c : {Case{"10.1.2.7", "10.1.2.8", "192.0.2.1"},
                              Case{"fd00:1::7", "fd00:1::8", "fd99::1"}}) {
            const IpFamily family = ip(c.first).family;
            // Port 80: in its namespace anybody may have it. The same one in each.
            os::Fd in_one = listen_in(one, family, 80);
            os::Fd in_two = listen_in(two, family, 80);
            os::Fd in_node = listen_at(family, 80);
            auto seen = talk_from(one, in_two, ip(c.second), 80);
            ASSERT_TRUE(seen) << seen.error().message;
            EXPECT_EQ(*seen, ip(c.first));
            seen = talk_from(two, in_one, ip(c.first), 80);
            ASSERT_TRUE(seen) << seen.error().message;
            EXPECT_EQ(*seen, ip(c.second));
            seen = talk(in_one, ip(c.first), 80);
            ASSERT_TRUE(seen) << seen.error().message;
            EXPECT_EQ(*seen, ip(c.node));
            seen = talk_from(one, in_node, ip(c.node), 80);
            ASSERT_TRUE(seen) << seen.error().message;
            EXPECT_EQ(*seen, ip(c.first));
            seen = talk_from(one, in_one, family == IpFamily::v4 ? ip("127.0.0.1") : ip("::1"), 80);
            EXPECT_TRUE(seen) << "its own loopback: " << seen.error().message;
        }
    });
}

// Nobody says again what was lost on the way: a name server's answer, say.
TEST(Wire, TheFirstPacketArrives) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        const WireSettings settings = settings_in(folder);
        give_node(ip("192.0.2.1"));
        for (std::uint32_t number = 1; number <= 50; ++number) {
            const auto pod = make_pod(settings, number, {ip("10.1.2.7")});
            const os::Fd hearing = listen_in(pod, IpFamily::v4, 53, SOCK_DGRAM);
            const os::Fd node = make_socket(IpFamily::v4, SOCK_DGRAM);
            auto address = socket_address(ip("10.1.2.7"), 53);
            EXPECT_EQ(::sendto(node.get(), "x", 1, 0, address.get(), address.size), 1);
            char byte = 0;
            EXPECT_EQ(::recv(hearing.get(), &byte, 1, MSG_DONTWAIT), 1) << number;
            EXPECT_TRUE(remove_wire(settings, number));
        }
    });
}

TEST(Wire, AnybodyInThePodMayHavePortsBelow1024) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        const auto pod = make_pod(settings_in(folder), 1, {ip("10.1.2.7")});
        auto name_space = open_pinned(pod);
        ASSERT_TRUE(name_space);
        std::string said;
        ASSERT_TRUE(in_namespace(*name_space, [&]() -> Result<void> {
            SKIFF_TRY(said, os::read_kernel_file("/proc/sys/net/ipv4/ip_unprivileged_port_start"));
            return {};
        }));
        EXPECT_EQ(said, "0\n");
    });
}

TEST(Wire, AMachineWithoutAnyAddressReachesItsPods) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        WireSettings settings = settings_in(folder);
        settings.node_end = WireSettings::NodeEnd::addressed;
        const auto one = make_pod(settings, 1, {ip("10.1.2.7"), ip("fd00:1::7")});
        make_pod(settings, 2, {ip("10.1.2.8"), ip("fd00:1::8")});
        for (const std::string_view address : {"10.1.2.7", "fd00:1::7"}) {
            os::Fd server = listen_in(one, ip(address).family, 80);
            auto seen = talk(server, ip(address), 80);
            EXPECT_TRUE(seen) << address << ": " << seen.error().message;
        }
    });
}

TEST(Wire, ConnectingAgainChangesNothingAndRepairs) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        const WireSettings settings = settings_in(folder);
        give_node(ip("192.0.2.1"));
        const std::vector<IpAddress> addresses = {ip("10.1.2.7")};
        const auto pod = make_pod(settings, 1, addresses);
        auto wire = find_wire(settings, 1);
        ASSERT_TRUE(wire) << wire.error().message;
        ASSERT_TRUE(connect_wire(settings, *wire, addresses, "shop/web"));
        os::Fd server = listen_in(pod, IpFamily::v4, 80);
        ASSERT_TRUE(talk(server, addresses[0], 80));
        // Somebody tidies up.
        auto node = Netlink::open();
        NetlinkBatch batch;
        delete_host_route(batch, wire->node_link, addresses[0]);
        ASSERT_TRUE(node->carry_out(batch));
        NetlinkBatch inside;
        delete_address(inside, wire->pod_link, addresses[0]);
        ASSERT_TRUE(wire->pod.carry_out(inside));
        EXPECT_FALSE(talk(server, addresses[0], 80));
        ASSERT_TRUE(connect_wire(settings, *wire, addresses, "shop/web"));
        auto seen = talk(server, addresses[0], 80);
        EXPECT_TRUE(seen) << seen.error().message;
    });
}

TEST(Wire, TakesNoAddressThatSomethingElseOnTheMachineHas) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    TestFolder other;
    as_a_node([&] {
        make_pod(WireSettings{"ffffffff", other.path()}, 1, {ip("fd00:1::7")});
        auto wire = lay_wire(settings_in(folder), 1);
        ASSERT_TRUE(wire);
        auto taken =
            connect_wire(settings_in(folder), *wire, {ip("10.1.2.7"), ip("fd00:1::7")}, "shop/web");
        ASSERT_FALSE(taken);
        EXPECT_EQ(taken.error().code, Code::exists);
        auto node = Netlink::open();
        EXPECT_TRUE(list_host_routes(*node, IpFamily::v4)->empty()) << "none of them is given";
        EXPECT_TRUE(connect_wire(settings_in(folder), *wire, {ip("10.1.2.7"), ip("fd00:1::8")},
                                 "shop/web"));
    });
}

// What a crash may leave: any part, without the others.
TEST(Wire, IsRemovedAndLaidAgainWhateverIsLeftOfIt) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        const WireSettings settings = settings_in(folder);
        const fs::path pin = wire_pin(settings, 1);
        const auto lose_link = [&] {
            auto node = Netlink::open();
            NetlinkBatch batch;
            delete_link(batch, wire_name(kInstance, 1));
            ASSERT_TRUE(node->carry_out(batch));
        };
        const std::vector<std::function<void()>> crashes = {
            [] {},
            [&] { lose_link(); },
            [&] { ASSERT_TRUE(unpin_namespace(pin)); },
            [&] {
                // Between the file and the mount.
                lose_link();
                ASSERT_TRUE(os::unmount(pin));
            },
        };
        for (std::size_t i = 0; i < crashes.size(); ++i) {
            SCOPED_TRACE(i);
            make_pod(settings, 1, {ip("10.1.2.7")});
            crashes[i]();
            EXPECT_EQ(find_wire(settings, 1).has_value(), i == 0);
            EXPECT_EQ(list_wires(settings)->count(1), 1U) << "what is left is found";
            make_pod(settings, 1, {ip("10.1.2.7")});
            EXPECT_TRUE(find_wire(settings, 1));
            crashes[i]();
            ASSERT_TRUE(remove_wire(settings, 1));
            ASSERT_TRUE(remove_wire(settings, 1));
            EXPECT_TRUE(list_wires(settings)->empty());
            EXPECT_FALSE(fs::exists(pin));
            auto node = Netlink::open();
            EXPECT_TRUE(list_host_routes(*node, IpFamily::v4)->empty());
        }
    });
}

TEST(Wire, SeveralInstancesOnAMachineSeeOnlyTheirOwn) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    TestFolder other;
    as_a_node([&] {
        const WireSettings ours = settings_in(folder);
        const WireSettings theirs{"0a1b2c3e", other.path()};
        make_pod(ours, 1, {ip("10.1.2.7")});
        make_pod(theirs, 1, {ip("10.1.2.8")});
        make_pod(theirs, 2, {ip("10.1.2.9")});
        EXPECT_EQ(list_wires(ours)->size(), 1U);
        EXPECT_EQ(list_wires(theirs)->size(), 2U);
        ASSERT_TRUE(remove_wire(ours, 1));
        EXPECT_EQ(list_wires(theirs)->size(), 2U);
        EXPECT_TRUE(find_wire(theirs, 1));
    });
}

TEST(Wire, ThePodsNamespaceIsOnlyEntered) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        const auto own = [] {
            std::error_code error;
            return fs::read_symlink("/proc/thread-self/ns/net", error).string();
        };
        const std::string before = own();
        make_pod(settings_in(folder), 1, {ip("10.1.2.7")});
        ASSERT_TRUE(find_wire(settings_in(folder), 1));
        EXPECT_EQ(own(), before);
        auto name_space = open_pinned(wire_pin(settings_in(folder), 1));
        ASSERT_TRUE(name_space);
        std::string inside;
        auto failed = in_namespace(*name_space, [&]() -> Result<void> {
            inside = own();
            return fail(Code::internal, "some failure");
        });
        EXPECT_EQ(failed.error().message, "some failure");
        EXPECT_NE(inside, before);
        EXPECT_EQ(own(), before);
    });
}

TEST(Wire, SocketsCanBeMadeInThePodFromOutside) {
    SKIFF_NEEDS_ROOT();
    TestFolder folder;
    as_a_node([&] {
        const auto pod = make_pod(settings_in(folder), 1, {ip("10.1.2.7")});
        os::Fd server = listen_in(pod, IpFamily::v4, 80);
        auto client = socket_in(pod, AF_INET, SOCK_STREAM);
        ASSERT_TRUE(client) << client.error().message;
        auto to = socket_address(ip("127.0.0.1"), 80);
        const int connected = ::connect(client->get(), to.get(), to.size);
        EXPECT_TRUE(connected == 0 || errno == EINPROGRESS) << ::strerror(errno);
        os::Fd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
        EXPECT_TRUE(accepted) << "the pod's loopback, not the node's: " << ::strerror(errno);
        EXPECT_EQ(socket_in(folder.path() / "none", AF_INET, SOCK_STREAM).error().code,
                  Code::not_found);
    });
}

TEST(Forwarding, KeepsTheRoutersThatTheNodeHears) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        const fs::path file = "/proc/sys/net/ipv6/conf/lo/accept_ra";
        ASSERT_TRUE(os::write_kernel_file(file, "1"));
        ASSERT_TRUE(enable_forwarding(IpFamily::v6));
        EXPECT_EQ(*os::read_kernel_file(file), "2\n");
        EXPECT_EQ(*os::read_kernel_file("/proc/sys/net/ipv6/conf/all/forwarding"), "1\n");
        ASSERT_TRUE(os::write_kernel_file(file, "0"));
        ASSERT_TRUE(enable_forwarding(IpFamily::v6));
        EXPECT_EQ(*os::read_kernel_file(file), "0\n") << "whoever hears none goes on so";
    });
}

}  // namespace
}  // namespace skiff::network
