#include "network/egress_policy.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "base/assert.h"
#include "base/fnv.h"
#include "network/nftables.h"

namespace skiff::network {

namespace {

constexpr std::string_view kTable = "inet skiff-egress";
constexpr std::uint8_t kMappedBits = 96;  // before an IPv4 address within IPv6
constexpr std::array<IpFamily, 2> kFamilies = {IpFamily::v4, IpFamily::v6};

IpAddress address(std::string_view text) {
    auto parsed = IpAddress::parse(text);
    SKIFF_ASSERT(parsed.has_value());
    return *parsed;
}

bool is_wildcard(const EgressRule& rule) {
    return rule.name.starts_with("*.");
}

// The network of a rule without a name. IPv4 lies within IPv6 by our way of writing it alone:
// `::/0` does not mean it.
IpRange range_of(const EgressRule& rule) {
    constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const bool is_v4 = rule.prefix_bits >= kMappedBits &&
                       std::equal(kMapped.begin(), kMapped.end(), rule.address.begin());
    IpAddress its{is_v4 ? IpFamily::v4 : IpFamily::v6, {}};
    const std::size_t from = is_v4 ? kMapped.size() : 0;
    std::copy(rule.address.begin() + static_cast<std::ptrdiff_t>(from), rule.address.end(),
              its.bytes.begin());
    const int prefix = rule.prefix_bits - (is_v4 ? kMappedBits : 0);
    return IpRange::around(its, static_cast<std::uint8_t>(prefix));
}

// " meta l4proto { tcp, udp } th dport 443", or nothing for every port.
std::string port_match(std::uint16_t port) {
    return port == 0 ? "" : fmt::format(" meta l4proto {{ tcp, udp }} th dport {}", port);
}

std::string rule_line(std::string_view chain, std::string_view rule) {
    return fmt::format("add rule {} {} {}\n", kTable, chain, rule);
}

std::string list_of(const std::vector<IpAddress>& all, IpFamily family) {
    std::set<IpAddress> some;
    std::ranges::copy_if(all, std::inserter(some, some.end()),
                         [&](const IpAddress& its) { return its.family == family; });
    return fmt::format("{}", fmt::join(some, ", "));
}

std::string network_rules(const Egress& allowed, bool exact) {
    std::string text;
    for (const EgressRule& rule : allowed.rules) {
        if (rule.name.empty() && (rule.prefix_bits == 128) == exact) {
            const IpRange range = range_of(rule);
            text +=
                rule_line("out", fmt::format("{} daddr {}{} accept", nft_word(range.first.family),
                                             range, port_match(rule.port)));
        }
    }
    return text;
}

// Without a policy only those that are closed else: so most such pods have the same table.
std::string name_server_rules(const EgressPolicy& policy) {
    std::vector<IpAddress> needed = policy.name_servers;
    if (policy.allowed.reach == Reach::everything) {
        std::erase_if(needed, [](const IpAddress& server) {
            return std::ranges::find(metadata_addresses(), server) == metadata_addresses().end();
        });
    }
    std::string text;
    for (const IpFamily family : kFamilies) {
        const std::string servers = list_of(needed, family);
        if (!servers.empty()) {
            text += rule_line("out", fmt::format("{} daddr {{ {} }}{} accept", nft_word(family),
                                                 servers, port_match(53)));
        }
    }
    return text;
}

std::string closed_rules(const EgressPolicy& policy) {
    std::string text;
    for (const IpFamily family : kFamilies) {
        text += rule_line("out", fmt::format("{} daddr {{ {} }} goto refused", nft_word(family),
                                             list_of(metadata_addresses(), family)));
        const std::string node = list_of(policy.node_addresses, family);
        if (!node.empty() && !policy.node_ports.empty()) {
            text += rule_line(
                "out", fmt::format("{} daddr {{ {} }} tcp dport {{ {} }} goto refused",
                                   nft_word(family), node, fmt::join(policy.node_ports, ", ")));
        }
    }
    return text;
}

// Names the entries that have names: sets of other entries are other sets.
std::uint64_t fingerprint(const Egress& allowed) {
    Fnv1a hash;
    for (const EgressRule& rule : allowed.rules) {
        if (!rule.name.empty()) {
            hash.mix(fmt::format("{}:{};", rule.name, rule.port));
        }
    }
    return hash.value();
}

// The sets of names' addresses: of one family, with one port each or with every port.
struct NameSet {
    IpFamily family = IpFamily::v4;
    bool has_port = false;
    std::set<std::string> elements;
};

std::array<NameSet, 4> name_sets(const Egress& allowed, const NameAddresses& addresses) {
    std::array<NameSet, 4> sets;
    for (std::size_t i = 0; i < sets.size(); ++i) {
        sets.at(i).family = kFamilies.at(i / 2);
        sets.at(i).has_port = i % 2 == 1;
    }
    std::size_t left = kNameElementsMax;
    for (const EgressRule& rule : allowed.rules) {
        auto known = addresses.find(rule.name);
        if (rule.name.empty() || known == addresses.end()) {
            continue;
        }
        for (const IpAddress& its : known->second) {
            NameSet& set = sets.at((its.family == IpFamily::v4 ? 0U : 2U) + (rule.port != 0));
            const std::string element =
                set.has_port ? fmt::format("{} . {}", its, rule.port) : format_as(its);
            if (left > 0 && set.elements.insert(element).second) {
                --left;
            }
        }
    }
    return sets;
}

std::string name_rules(const Egress& allowed, const NameAddresses& addresses) {
    if (names_of(allowed).empty()) {
        return {};
    }
    std::string text;
    for (const NameSet& set : name_sets(allowed, addresses)) {
        const bool is_v4 = set.family == IpFamily::v4;
        const std::string name = fmt::format("names{}{}-{:016x}", is_v4 ? 4 : 6,
                                             set.has_port ? "port" : "", fingerprint(allowed));
        text +=
            fmt::format("add set {} {} {{ type {}{}; }}\n", kTable, name,
                        is_v4 ? "ipv4_addr" : "ipv6_addr", set.has_port ? " . inet_service" : "");
        if (!set.elements.empty()) {
            text += fmt::format("add element {} {} {{ {} }}\n", kTable, name,
                                fmt::join(set.elements, ", "));
        }
        text += rule_line(
            "out",
            fmt::format("{}{} daddr{} @{} accept", set.has_port ? "meta l4proto { tcp, udp } " : "",
                        nft_word(set.family), set.has_port ? " . th dport" : "", name));
    }
    return text;
}

std::string wildcard_rules(const Egress& allowed) {
    std::set<std::uint16_t> ports;
    for (const EgressRule& rule : allowed.rules) {
        if (is_wildcard(rule)) {
            ports.insert(rule.port);
        }
    }
    std::string text;
    for (const std::uint16_t port : ports) {
        text += rule_line("out", port == 0 ? "accept" : port_match(port).substr(1) + " accept");
    }
    return text;
}

std::string listed_rules(const Egress& allowed, const NameAddresses& addresses) {
    // Who has an address on the link is asked over IPv6 by packets that a filter sees.
    return rule_line("out",
                     "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, "
                     "mld-listener-report, mld2-listener-report } accept") +
           network_rules(allowed, false) + name_rules(allowed, addresses) +
           wildcard_rules(allowed) + rule_line("out", "goto refused");
}

}  // namespace

const std::vector<IpAddress>& metadata_addresses() {
    // The link-local one is that of AWS, Azure, Google and most others; then the credentials of
    // ECS tasks, Alibaba's, and over IPv6 those of AWS and of Google.
    static const std::vector<IpAddress> all = {address("169.254.169.254"), address("169.254.170.2"),
                                               address("100.100.100.200"), address("fd00:ec2::254"),
                                               address("fd20:ce::254")};
    return all;
}

std::vector<std::string> names_of(const Egress& allowed) {
    std::set<std::string> names;
    for (const EgressRule& rule : allowed.rules) {
        if (allowed.reach == Reach::listed && !rule.name.empty() && !is_wildcard(rule)) {
            names.insert(rule.name);
        }
    }
    return {names.begin(), names.end()};
}

std::vector<std::string> unenforced_entries(const Egress& allowed) {
    std::vector<std::string> entries;
    for (const EgressRule& rule : allowed.rules) {
        if (allowed.reach == Reach::listed && is_wildcard(rule)) {
            entries.push_back(rule.port == 0 ? rule.name
                                             : fmt::format("{}:{}", rule.name, rule.port));
        }
    }
    return entries;
}

bool needs_names(const Egress& allowed) {
    return allowed.reach == Reach::everything ||
           std::ranges::any_of(allowed.rules, [](const auto& rule) { return !rule.name.empty(); });
}

std::string format_egress_table(const EgressPolicy& policy, const NameAddresses& addresses,
                                EarlierAnswers earlier) {
    const bool has_policy = policy.allowed.reach != Reach::everything;
    std::string text = fmt::format("add table {}\n", kTable);
    if (earlier == EarlierAnswers::removed) {
        text += fmt::format("delete table {0}\nadd table {0}\n", kTable);
    }
    text += fmt::format(
        "add chain {0} out {{ type filter hook output priority filter; policy {1}; }}\n"
        "add chain {0} refused\n"
        "flush chain {0} out\n"
        "flush chain {0} refused\n",
        kTable, has_policy ? "drop" : "accept");
    // A connect hears of an ICMP error only when it tries again, a second later; of a reset at once
    // (Linux 6.18; its socket is locked while the answer comes).
    text += rule_line("refused", "meta l4proto tcp counter reject with tcp reset");
    text += rule_line("refused", "counter reject with icmpx admin-prohibited");
    // Of TCP what opens a connection is judged, and nothing else: that is quick, and a caller from
    // the node whose own port is a closed one (any, when it is masqueraded) has its answers.
    text += rule_line("out", "tcp flags & (syn | ack) != syn accept");
    text += rule_line("out", "oifname \"lo\" accept");
    text += network_rules(policy.allowed, true);
    if (needs_names(policy.allowed)) {
        text += name_server_rules(policy);
    }
    if (has_policy) {
        text += rule_line("out", "ct state established,related accept");
    }
    text += closed_rules(policy);
    if (has_policy) {
        text += listed_rules(policy.allowed, addresses);
    }
    return text;
}

}  // namespace skiff::network
