#include "network/firewall.h"

#include <algorithm>

#include "network/nftables.h"
#include "network/wire.h"

namespace skiff::network {

namespace {

std::string_view word(Transport transport) {
    switch (transport) {
        case Transport::tcp:
            return "tcp";
        case Transport::udp:
            return "udp";
        case Transport::sctp:
            return "sctp";
    }
    return "";
}

// "ip daddr 192.0.2.1 tcp dport 80 dnat ip to 10.1.2.7:8080"
std::string port_rule(const PortMap& map, const IpAddress& pod) {
    const std::string_view family = nft_word(pod.family);
    const std::string at =
        map.node_address
            ? fmt::format("{} daddr {}", family, *map.node_address)
            : fmt::format("meta nfproto {}", pod.family == IpFamily::v4 ? "ipv4" : "ipv6");
    const std::string to = pod.family == IpFamily::v4 ? fmt::format("{}:{}", pod, map.pod_port)
                                                      : fmt::format("[{}]:{}", pod, map.pod_port);
    return fmt::format("    {} {} dport {} dnat {} to {}\n", at, word(map.transport), map.node_port,
                       family, to);
}

// A rule for one address of the node goes before those for all.
std::string port_rules(const Firewall& firewall) {
    std::string particular;
    std::string general;
    for (const Firewall::Ports& pod : firewall.ports) {
        for (const PortMap& map : pod.maps) {
            for (const IpAddress& address : pod.addresses) {
                if (!map.node_address) {
                    general += port_rule(map, address);
                } else if (map.node_address->family == address.family) {
                    particular += port_rule(map, address);
                }
            }
        }
    }
    return particular + general;
}

// A pod that comes to itself by a port of the node must not see its own address as the sender.
std::string hairpin_rules(const Firewall& firewall) {
    std::string text;
    for (const Firewall::Ports& pod : firewall.ports) {
        for (const IpAddress& address : pod.addresses) {
            text += fmt::format("    {0} saddr {1} {0} daddr {1} masquerade\n",
                                nft_word(address.family), address);
        }
    }
    return text;
}

// Sets of where pods are known by their own addresses.
std::string direct_sets(const Firewall& firewall) {
    std::string text;
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        std::vector<std::string> known;
        for (const auto* ranges : {&firewall.pods, &firewall.direct}) {
            for (const IpRange& range : *ranges) {
                if (range.first.family == family) {
                    known.push_back(format_as(range));
                }
            }
        }
        if (!known.empty()) {
            // Merged, for one range may lie in another.
            text += fmt::format(
                "  set direct_{0} {{\n    type {1}; flags interval; auto-merge;\n"
                "    elements = {{ {2} }}\n  }}\n",
                nft_word(family), family == IpFamily::v4 ? "ipv4_addr" : "ipv6_addr",
                fmt::join(known, ", "));
        }
    }
    return text;
}

std::string leaving_rules(const Firewall& firewall) {
    std::string text;
    for (const IpRange& range : firewall.pods) {
        text += fmt::format("    {0} saddr {1} {0} daddr != @direct_{0} masquerade\n",
                            nft_word(range.first.family), range);
    }
    return text;
}

}  // namespace

std::string table_name(std::string_view instance) {
    return fmt::format("skiff-{}", instance);
}

std::string format_table_removal(std::string_view instance) {
    // To add it first is the one way to remove what may not be there.
    return fmt::format("add table inet {0}\ndelete table inet {0}\n", table_name(instance));
}

std::string format_table(const Firewall& firewall) {
    const std::string wires = fmt::format("\"{}*\"", wire_prefix(firewall.instance));
    std::string text = format_table_removal(firewall.instance);
    text += fmt::format("table inet {} {{\n", table_name(firewall.instance));
    text += direct_sets(firewall);
    // Pods with ports may be spoken to from the node's loopback addresses (open_to_loopback()); no
    // pod may speak to them, nor, over IPv6 as rp_filter sees to for IPv4, with another's address.
    text += fmt::format(
        "  chain guard {{\n"
        "    type filter hook prerouting priority raw; policy accept;\n"
        "    iifname {0} ip daddr 127.0.0.0/8 drop\n"
        "    iifname {0} ip6 saddr != fe80::/10 fib saddr . iif oif missing drop\n"
        "  }}\n",
        wires);
    text += "  chain ports {\n" + port_rules(firewall) + "  }\n";
    text +=
        "  chain arriving {\n"
        "    type nat hook prerouting priority dstnat; policy accept;\n"
        "    fib daddr type local jump ports\n"
        "  }\n"
        // Nothing makes the kernel send from ::1 to another machine.
        "  chain own {\n"
        "    type nat hook output priority -100; policy accept;\n"
        "    ip6 daddr ::1 return\n"
        "    fib daddr type local jump ports\n"
        "  }\n";
    text +=
        "  chain leaving {\n"
        "    type nat hook postrouting priority srcnat; policy accept;\n";
    text += fmt::format("    oifname {} ip saddr 127.0.0.0/8 masquerade\n", wires);
    text += hairpin_rules(firewall);
    text += leaving_rules(firewall);
    text += "  }\n}\n";
    return text;
}

}  // namespace skiff::network
