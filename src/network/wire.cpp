#include "network/wire.h"

#include <algorithm>

#include "base/assert.h"
#include "base/text.h"
#include "network/namespaces.h"
#include "network/pod_namespace.h"
#include "network/rtnetlink.h"
#include "network/rtnetlink_peers.h"
#include "os/file.h"

namespace skiff::network {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPodLink = "eth0";
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kInstanceDigits = 8;
constexpr std::size_t kNumberDigits = 5;
static_assert(2 + kInstanceDigits + kNumberDigits <= kLinkNameMax);

// The same on every wire, for each is a network of two. Given, not drawn, so that no service of the
// machine takes them for its own to change; the second bit says that no vendor gave them.
constexpr MacAddress kNodeMac = {0x02, 0x73, 0x6b, 0x00, 0x00, 0x01};
constexpr MacAddress kPodMac = {0x02, 0x73, 0x6b, 0x00, 0x00, 0x02};

IpAddress gateway(IpFamily family) {
    IpAddress address{family, {169, 254, 1, 1}};
    if (family == IpFamily::v6) {
        address.bytes = {0xfe, 0x80};
        address.bytes[15] = 1;
    }
    return address;
}

// In the namespace of the calling thread.
Result<void> write_sysctl(std::string_view name, std::string_view value) {
    return os::write_kernel_file(fs::path("/proc/sys/net") / name, value);
}

// On a thread in the new namespace; `node` is a socket in the node's.
Result<Wire> lay_inside(const WireSettings& settings, std::uint32_t number, Netlink& node) {
    SKIFF_CHECK(dress_pod_namespace(wire_pin(settings, number)));
    SKIFF_TRY(Netlink pod, Netlink::open());
    SKIFF_TRY(os::Fd own, open_own_namespace());
    const std::string name = wire_name(settings.instance, number);
    NetlinkBatch pair;
    add_veth(pair, VethPair{name, kNodeMac, std::string(kPodLink), kPodMac, own.get()});
    SKIFF_CHECK(node.carry_out(pair));
    SKIFF_TRY(Link node_link, get_link(node, name));
    SKIFF_TRY(Link pod_link, get_link(pod, std::string(kPodLink)));
    NetlinkBatch batch;
    make_link_silent(batch, node_link.index);
    set_link_up(batch, node_link.index);
    SKIFF_CHECK(node.carry_out(batch));
    NetlinkBatch inside;
    set_link_up(inside, pod_link.index);
    SKIFF_CHECK(pod.carry_out(inside));
    SKIFF_CHECK(wait_for_link(node, name));
    SKIFF_CHECK(wait_for_link(pod, std::string(kPodLink)));
    return Wire{number, node_link.index, pod_link.index, std::move(pod)};
}

void write_pod_side(NetlinkBatch& batch, const Wire& wire,
                    const std::vector<IpAddress>& addresses) {
    for (const IpAddress& address : addresses) {
        const IpAddress next = gateway(address.family);
        add_address(batch, wire.pod_link, address);
        set_neighbour(batch, wire.pod_link, next, kNodeMac);
        set_default_route(batch, wire.pod_link, next);
    }
}

// That the route is there already is fine if it is ours.
Result<void> add_route(Netlink& node, const Wire& wire, const IpAddress& address) {
    NetlinkBatch batch;
    add_host_route(batch, wire.node_link, address, Existing::refused);
    auto added = node.carry_out(batch);
    if (added || added.error().code != Code::exists) {
        return added;
    }
    SKIFF_TRY(auto routes, list_host_routes(node, address.family));
    auto present = routes.find(address);
    if (present != routes.end() && present->second == wire.node_link) {
        return {};
    }
    return added;
}

}  // namespace

std::string wire_prefix(std::string_view instance) {
    return fmt::format("sk{}", instance);
}

std::string wire_name(std::string_view instance, std::uint32_t number) {
    SKIFF_ASSERT(instance.size() == kInstanceDigits && number > 0 && number < kWireNumbers);
    std::string digits;
    for (std::uint32_t rest = number; rest > 0; rest /= 36) {
        digits.push_back(kDigits[rest % 36]);
    }
    std::ranges::reverse(digits);
    return wire_prefix(instance) + digits;
}

std::optional<std::uint32_t> wire_number(std::string_view instance, std::string_view name) {
    const std::string prefix = wire_prefix(instance);
    if (!name.starts_with(prefix)) {
        return std::nullopt;
    }
    name.remove_prefix(prefix.size());
    if (name.empty() || name.size() > kNumberDigits || name.front() == '0') {
        return std::nullopt;
    }
    std::uint32_t number = 0;
    for (const char c : name) {
        const std::size_t digit = kDigits.find(c);
        if (digit == std::string_view::npos) {
            return std::nullopt;
        }
        number = number * 36 + static_cast<std::uint32_t>(digit);
    }
    return number;
}

fs::path wire_pin(const WireSettings& settings, std::uint32_t number) {
    return settings.folder / fmt::format("{}", number);
}

Result<Wire> lay_wire(const WireSettings& settings, std::uint32_t number) {
    SKIFF_CHECK(remove_wire(settings, number));
    SKIFF_TRY(Netlink node, Netlink::open());
    std::optional<Wire> laid;
    auto made = in_new_namespace([&]() -> Result<void> {
        auto wire = lay_inside(settings, number, node);
        if (!wire) {
            return fail(std::move(wire.error()));
        }
        laid.emplace(std::move(*wire));
        return {};
    });
    if (made) {
        // A packet from another address than the pod's is dropped (RFC 3704, strict).
        made = write_sysctl(
            fmt::format("ipv4/conf/{}/rp_filter", wire_name(settings.instance, number)), "1");
    }
    if (!made) {
        (void)remove_wire(settings, number);
        return fail(std::move(made.error()));
    }
    return std::move(*laid);
}

Result<Wire> find_wire(const WireSettings& settings, std::uint32_t number) {
    SKIFF_TRY(os::Fd pinned, open_pinned(wire_pin(settings, number)));
    SKIFF_TRY(Netlink node, Netlink::open());
    SKIFF_TRY(Link node_link, get_link(node, wire_name(settings.instance, number)));
    std::optional<Wire> found;
    SKIFF_CHECK(in_namespace(pinned, [&]() -> Result<void> {
        SKIFF_TRY(Netlink pod, Netlink::open());
        SKIFF_TRY(Link pod_link, get_link(pod, std::string(kPodLink)));
        found.emplace(Wire{number, node_link.index, pod_link.index, std::move(pod)});
        return {};
    }));
    return std::move(*found);
}

Result<void> connect_wire(const WireSettings& settings, Wire& wire,
                          const std::vector<IpAddress>& addresses, std::string_view label) {
    // The node's side first: an address that something else has is noticed before the pod has it.
    SKIFF_TRY(Netlink node, Netlink::open());
    NetlinkBatch outside;
    NetlinkBatch undo;
    for (const IpAddress& address : addresses) {
        auto routed = add_route(node, wire, address);
        if (!routed) {
            (void)node.carry_out(undo);
            return routed;
        }
        delete_host_route(undo, wire.node_link, address);
        set_neighbour(outside, wire.node_link, address, kPodMac);
        if (settings.node_end == WireSettings::NodeEnd::addressed) {
            add_address(outside, wire.node_link, gateway(address.family));
        }
    }
    set_link_alias(outside, wire.node_link, label);
    NetlinkBatch inside;
    if (settings.mtu != 0) {
        set_link_mtu(outside, wire.node_link, settings.mtu);
        set_link_mtu(inside, wire.pod_link, settings.mtu);
    }
    SKIFF_CHECK(node.carry_out(outside));
    write_pod_side(inside, wire, addresses);
    return wire.pod.carry_out(inside);
}

Result<void> set_wire_mtu(const WireSettings& settings, std::uint32_t number) {
    auto wire = find_wire(settings, number);
    if (!wire) {
        return wire.error().code == Code::not_found ? Result<void>{}
                                                    : fail(std::move(wire.error()));
    }
    SKIFF_TRY(Netlink node, Netlink::open());
    NetlinkBatch outside;
    NetlinkBatch inside;
    set_link_mtu(outside, wire->node_link, settings.mtu);
    set_link_mtu(inside, wire->pod_link, settings.mtu);
    SKIFF_CHECK(node.carry_out(outside));
    return wire->pod.carry_out(inside);
}

Result<void> open_to_loopback(std::string_view instance, std::uint32_t number) {
    return write_sysctl(fmt::format("ipv4/conf/{}/route_localnet", wire_name(instance, number)),
                        "1");
}

Result<void> remove_wire(const WireSettings& settings, std::uint32_t number) {
    SKIFF_TRY(Netlink node, Netlink::open());
    NetlinkBatch batch;
    delete_link(batch, wire_name(settings.instance, number));
    SKIFF_CHECK(node.carry_out(batch));
    return unpin_namespace(wire_pin(settings, number));
}

Result<std::set<std::uint32_t>> list_wires(const WireSettings& settings) {
    SKIFF_TRY(Netlink node, Netlink::open());
    SKIFF_TRY(auto links, list_links(node, wire_prefix(settings.instance)));
    auto pins = os::list_folder(settings.folder);
    if (!pins && pins.error().code != Code::not_found) {
        return fail(std::move(pins.error()));
    }
    std::set<std::uint32_t> numbers;
    for (const auto& [name, link] : links) {
        if (auto number = wire_number(settings.instance, name)) {
            numbers.insert(*number);
        }
    }
    for (const std::string& name : pins.value_or(std::vector<std::string>())) {
        auto number = parse_uint(name);
        if (number && *number > 0 && *number < kWireNumbers) {
            numbers.insert(static_cast<std::uint32_t>(*number));
        }
    }
    return numbers;
}

// A node that forwards no longer hears its own routers unless it is told to.
static Result<void> keep_hearing_routers() {
    const fs::path folder = "/proc/sys/net/ipv6/conf";
    SKIFF_TRY(auto names, os::list_folder(folder));
    for (const std::string& name : names) {
        const fs::path file = folder / name / "accept_ra";
        auto value = os::read_kernel_file(file);
        if (value && trim(*value) == "1") {
            SKIFF_CHECK(os::write_kernel_file(file, "2"));
        }
    }
    return {};
}

Result<void> enable_forwarding(IpFamily family) {
    const bool is_v4 = family == IpFamily::v4;
    const fs::path file =
        is_v4 ? "/proc/sys/net/ipv4/ip_forward" : "/proc/sys/net/ipv6/conf/all/forwarding";
    auto value = os::read_kernel_file(file);
    if (value && trim(*value) == "1") {
        return {};
    }
    Result<void> written;
    if (!is_v4) {
        written = keep_hearing_routers();
    }
    if (written) {
        written = os::write_kernel_file(file, "1");
    }
    if (!written) {
        return fail(std::move(written.error())
                        .context(fmt::format("{} is not 1, so pods reach nothing beyond the node",
                                             file.string())));
    }
    return {};
}

}  // namespace skiff::network
