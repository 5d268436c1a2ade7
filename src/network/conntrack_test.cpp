#include "network/conntrack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "network/net_fixture.h"
#include "network/nftables.h"

namespace skiff::network {
namespace {

// Ports of all flows over UDP that the kernel remembers here.
std::vector<std::uint16_t> remembered() {
    std::vector<std::uint16_t> ports;
    auto netlink = Netlink::open(NETLINK_NETFILTER);
    EXPECT_TRUE(netlink);
    NetlinkBatch batch;
    batch.begin<nfgenmsg>(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP, "list");
    EXPECT_TRUE(netlink->ask(batch, [&](const NetlinkAnswer& answer) {
        if (auto flow = parse_udp_flow(answer)) {
            ports.push_back(flow->port);
        }
    }));
    return ports;
}

void send_to(std::string_view address, std::uint16_t port) {
    SocketAddress to = socket_address(ip(address), port);
    os::Fd fd(::socket(to.get()->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::sendto(fd.get(), "ahoy", 4, 0, to.get(), to.size), 4);
}

TEST(Conntrack, ForgetsTheFlowsToPortsForUdp) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        // Without a rule that asks for it the kernel tracks nothing.
        ASSERT_TRUE(
            run_nft("add table inet t\n"
                    "add chain inet t c { type filter hook output priority 0; }\n"
                    "add rule inet t c ct state new accept\n"));
        for (const std::string_view address : {"127.0.0.1", "127.0.0.2", "::1"}) {
            send_to(address, 5001);
        }
        send_to("127.0.0.1", 5002);
        ASSERT_THAT(remembered(), testing::UnorderedElementsAre(5001, 5001, 5001, 5002));
        const PortMap other{Transport::tcp, 5002, 80, std::nullopt};
        ASSERT_TRUE(forget_udp_flows({other, {Transport::udp, 5001, 80, ip("127.0.0.2")}}));
        EXPECT_THAT(remembered(), testing::UnorderedElementsAre(5001, 5001, 5002));
        ASSERT_TRUE(forget_udp_flows({{Transport::udp, 5001, 80, std::nullopt}}));
        EXPECT_THAT(remembered(), testing::ElementsAre(5002));
    });
}

}  // namespace
}  // namespace skiff::network
