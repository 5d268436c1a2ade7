// Where a guest may connect to: the values of the annotation `skiff/egress` and of the setting
// `defaultEgress`, as agent, runner and engine hand them on.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff {

// One destination.
struct EgressRule {
    // In lower case: a host name, or "*." and a domain for every name below it. Empty: `address`.
    std::string name;
    // A network: IPv6, or IPv4 mapped to it, and its bits from the left (0-128).
    std::array<std::uint8_t, 16> address{};
    std::uint8_t prefix_bits = 0;
    std::uint16_t port = 0;  // 0: every port
    friend bool operator==(const EgressRule&, const EgressRule&) = default;
    // For the wire.
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.name, s.address, s.prefix_bits, s.port);
    }
};

enum class Reach : std::uint8_t { nothing, listed, everything };
constexpr Reach last_of(Reach) {
    return Reach::everything;
}

struct Egress {
    Reach reach = Reach::everything;
    std::vector<EgressRule> rules;  // with Reach::listed only
    friend bool operator==(const Egress&, const Egress&) = default;
};

constexpr std::size_t kEgressRulesMax = 256;

// One entry: NAME, *.DOMAIN, ADDRESS or CIDR, each with an optional :PORT; IPv6 with a port in
// brackets ("[fd00::/8]:443"). Fails with Code::invalid, naming the entry and what is allowed.
[[nodiscard]] Result<EgressRule> parse_egress_rule(std::string_view entry);

// A list of entries; the single entry "none" allows nothing. An empty list is an error: it would
// not say whether everything or nothing is meant.
[[nodiscard]] Result<Egress> parse_egress(std::span<const std::string> entries);
// The same from a text, entries parted by commas or white space.
[[nodiscard]] Result<Egress> parse_egress(std::string_view text);

}  // namespace skiff
