#include "network/pod_namespace.h"

#include <fmt/format.h>

#include "network/namespaces.h"
#include "network/netlink.h"
#include "network/rtnetlink.h"
#include "os/file.h"

namespace skiff::network {

namespace {

// A kernel without IPv6 has none of these.
void quiet_ipv6() {
    for (const char* name : {"accept_ra", "accept_dad"}) {
        (void)os::write_kernel_file(fmt::format("/proc/sys/net/ipv6/conf/default/{}", name), "0");
    }
}

Result<void> start_loopback() {
    SKIFF_TRY(Netlink netlink, Netlink::open());
    SKIFF_TRY(Link loopback, get_link(netlink, "lo"));
    NetlinkBatch batch;
    set_link_up(batch, loopback.index);
    return netlink.carry_out(batch);
}

}  // namespace

Result<void> dress_pod_namespace(const std::filesystem::path& pin) {
    SKIFF_CHECK(pin_namespace(pin));
    SKIFF_CHECK(os::write_kernel_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
    quiet_ipv6();
    return start_loopback();
}

}  // namespace skiff::network
