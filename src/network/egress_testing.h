// For tests: a node in a namespace of its own, with one pod on it and addresses to be reached.
#pragma once

#include <chrono>

#include "network/net_fixture.h"
#include "network/wire.h"

namespace skiff::network {

// All of them are the node's own, at which its thread's sockets listen; a pod's packets come to
// them as they would to another machine's.
inline const std::vector<std::string>& addresses_of_test_node() {
    static const std::vector<std::string> all = {"192.0.2.9", "192.0.2.10",      "198.51.100.4",
                                                 "fd99::9",   "169.254.169.254", "fd99::4",
                                                 "fd99::10",  "fd00:ec2::254"};
    return all;
}

// Call it inside as_a_node().
inline void add_test_addresses() {
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    auto loopback = get_link(*netlink, "lo");
    ASSERT_TRUE(loopback);
    NetlinkBatch batch;
    for (const std::string& address : addresses_of_test_node()) {
        add_address(batch, loopback->index, ip(address));
    }
    auto done = netlink->carry_out(batch);
    ASSERT_TRUE(done) << done.error().message;
}

// A pod with 10.1.2.7 and fd00:1::7; the pin of its namespace.
inline std::filesystem::path make_test_pod(const TestFolder& folder) {
    const WireSettings settings{"0a1b2c3d", folder.path(), WireSettings::NodeEnd::bare};
    auto wire = lay_wire(settings, 7);
    EXPECT_TRUE(wire) << wire.error().message;
    auto connected = connect_wire(settings, *wire, {ip("10.1.2.7"), ip("fd00:1::7")}, "shop/web");
    EXPECT_TRUE(connected) << connected.error().message;
    return wire_pin(settings, 7);
}

// Runs `body` beside such a pod on a node.
inline void beside_a_pod(const std::function<void(const std::filesystem::path&)>& body) {
    as_a_node([&] {
        const TestFolder folder;
        add_test_addresses();
        body(make_test_pod(folder));
        EXPECT_TRUE(remove_wire({"0a1b2c3d", folder.path(), WireSettings::NodeEnd::bare}, 7));
    });
}

enum class Reached { yes, refused, silent };

// Whether a process of the pod reaches a server of the node's at `port`, by TCP. `refused`: it was
// told within half a second.
inline Reached reach(const std::filesystem::path& pin, std::string_view to, std::uint16_t port) {
    const IpAddress address = ip(to);
    const os::Fd server = listen_at(address.family, port);
    const auto began = std::chrono::steady_clock::now();
    if (talk_from(pin, server, address, port)) {
        return Reached::yes;
    }
    const auto took = std::chrono::steady_clock::now() - began;
    return took < std::chrono::milliseconds(500) ? Reached::refused : Reached::silent;
}

// Whether a datagram of the pod's arrives.
inline bool reach_by_udp(const std::filesystem::path& pin, std::string_view to,
                         std::uint16_t port) {
    const IpAddress address = ip(to);
    const os::Fd server = listen_at(address.family, port, SOCK_DGRAM);
    auto name_space = open_pinned(pin);
    EXPECT_TRUE(name_space);
    const auto send = [&]() -> Result<void> {
        const os::Fd client = make_socket(address.family, SOCK_DGRAM);
        auto there = socket_address(address, port);
        (void)::sendto(client.get(), "x", 1, 0, there.get(), there.size);
        return {};
    };
    EXPECT_TRUE(in_namespace(*name_space, send));
    char byte = 0;
    // Between namespaces of one machine it has arrived when sendto() returns.
    return ::recv(server.get(), &byte, 1, MSG_DONTWAIT) == 1;
}

}  // namespace skiff::network
