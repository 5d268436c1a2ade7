// A pod's wire: a network namespace, and a pair of interfaces that joins it to the node's.
//
//   node's namespace                         pod's namespace, pinned at <run-dir>/netns/<number>
//     sk<instance><number> ═════════════════ eth0   10.1.2.7/32
//     route 10.1.2.7/32 over it              default route by 169.254.1.1 (fe80::1), which is
//     neighbour 10.1.2.7 for good            the other end for good; nobody has this address
//
// So the node routes between its pods and the world: no bridge, no question of who has an address,
// and a pod is a plain interface that firewalls and policies can name. A wire is laid ahead,
// without addresses, and connected once its pod is known.
//
// Blocking, any thread; the node's namespace is the one of the calling thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/ip.h"
#include "network/netlink.h"

namespace skiff::network {

struct WireSettings {
    std::string instance;          // eight hexadecimal digits: state::Instance::id()
    std::filesystem::path folder;  // of the pinned namespaces
    // Whether the node's ends have the gateway's address. Only for a machine that has none of its
    // own, which else could not be the source of any packet to a pod.
    enum class NodeEnd { bare, addressed } node_end = NodeEnd::bare;
    // The largest packet of a pod; 0: what the kernel takes for Ethernet.
    std::uint32_t mtu = 0;
};

// The name of the node's end: at most kLinkNameMax bytes. Numbers begin at 1 and are below
// kWireNumbers.
inline constexpr std::uint32_t kWireNumbers = 36 * 36 * 36 * 36 * 36;
[[nodiscard]] std::string wire_name(std::string_view instance, std::uint32_t number);
// All of an instance's interfaces begin so, and none of another's.
[[nodiscard]] std::string wire_prefix(std::string_view instance);
// The number in a name; nullopt for a name that is none.
[[nodiscard]] std::optional<std::uint32_t> wire_number(std::string_view instance,
                                                       std::string_view name);
[[nodiscard]] std::filesystem::path wire_pin(const WireSettings& settings, std::uint32_t number);

// Both ends of a wire that exists.
struct Wire {
    std::uint32_t number = 0;
    std::uint32_t node_link = 0;  // indexes of the interfaces
    std::uint32_t pod_link = 0;
    Netlink pod;  // in the pod's namespace
};

// Makes namespace and interfaces. What an earlier attempt left under this number is removed first;
// after a failure nothing is left. When it returns both ends pass packets. The pod's namespace lets
// anybody use ports below 1024.
[[nodiscard]] Result<Wire> lay_wire(const WireSettings& settings, std::uint32_t number);
// One that is there. not_found when any part of it is missing.
[[nodiscard]] Result<Wire> find_wire(const WireSettings& settings, std::uint32_t number);

// Gives the wire its pod's addresses and routes. Idempotent: also repairs what somebody removed.
// Fails with exists, and has given it none, when something else on the machine has a route to one
// of the addresses alone.
[[nodiscard]] Result<void> connect_wire(const WireSettings& settings, Wire& wire,
                                        const std::vector<IpAddress>& addresses,
                                        std::string_view label);
// Gives both ends the settings' MTU. A wire that is not there is fine.
[[nodiscard]] Result<void> set_wire_mtu(const WireSettings& settings, std::uint32_t number);
// Lets pods' packets come from the node's loopback addresses over this wire: for ports of the node
// that are asked for at 127.0.0.1. Nftables closes the way back (firewall.h).
[[nodiscard]] Result<void> open_to_loopback(std::string_view instance, std::uint32_t number);

// Removes a wire; parts that are missing are fine. Its interfaces are gone when this returns, its
// namespace when the last process in it ends.
[[nodiscard]] Result<void> remove_wire(const WireSettings& settings, std::uint32_t number);

// The numbers of all wires of which the machine has any part.
[[nodiscard]] Result<std::set<std::uint32_t>> list_wires(const WireSettings& settings);

// Lets the node route between its interfaces (net.ipv4.ip_forward; for IPv6 its forwarding, without
// giving up the routers that the node itself learns of). Fails, naming the setting and its value,
// where it is off and cannot be turned on.
[[nodiscard]] Result<void> enable_forwarding(IpFamily family);

}  // namespace skiff::network
