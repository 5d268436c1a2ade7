// IP addresses and ranges of them as values. Pure.
#pragma once

#include <fmt/format.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff::network {

enum class IpFamily : std::uint8_t { v4, v6 };

// One address, in network byte order; of IPv4 the first four bytes count and the others are zero.
struct IpAddress {
    IpFamily family = IpFamily::v4;
    std::array<std::uint8_t, 16> bytes{};
    friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

    // Fails with Code::invalid, naming `text`. No zone ("fe80::1%eth0"), no port.
    [[nodiscard]] static Result<IpAddress> parse(std::string_view text);
    // How many of the bytes count: 4 or 16.
    [[nodiscard]] std::size_t size() const { return family == IpFamily::v4 ? 4 : 16; }
    // Its bits: 32 or 128, the prefix length of a route to it alone.
    [[nodiscard]] std::uint8_t bits() const { return family == IpFamily::v4 ? 32 : 128; }
    // The bytes as netlink takes them.
    [[nodiscard]] std::string_view raw() const {
        return {reinterpret_cast<const char*>(bytes.data()), size()};
    }
    // 0.0.0.0 or ::, which mean every address.
    [[nodiscard]] bool is_unspecified() const { return bytes == decltype(bytes){}; }
    // Of 127.0.0.0/8, or ::1.
    [[nodiscard]] bool is_loopback() const;
};
// As inet_ntop(3) writes it: what Kubernetes shows.
[[nodiscard]] std::string format_as(const IpAddress& address);

// A range in CIDR form.
struct IpRange {
    IpAddress first;          // no bit beyond the prefix is set
    std::uint8_t prefix = 0;  // bits from the left that all its addresses share
    friend auto operator<=>(const IpRange&, const IpRange&) = default;

    // "10.1.2.0/24". Fails with Code::invalid, saying what is wrong: no prefix, one that is too
    // long, bits set beyond it.
    [[nodiscard]] static Result<IpRange> parse(std::string_view text);
    // The range of so many bits that `address` is in.
    [[nodiscard]] static IpRange around(const IpAddress& address, std::uint8_t prefix);
    [[nodiscard]] bool contains(const IpAddress& address) const;
};
[[nodiscard]] std::string format_as(const IpRange& range);

// The ranges of a node's pods: one or two, of different families, the preferred one first, each
// with room for at least one pod (at most /30 and /126) and no larger than /8 and /48. Fails with
// Code::invalid, naming the range and what is allowed.
[[nodiscard]] Result<std::vector<IpRange>> parse_pod_ranges(const std::vector<std::string>& texts);

}  // namespace skiff::network

template <>
struct fmt::formatter<skiff::network::IpAddress> : fmt::formatter<std::string> {
    auto format(const skiff::network::IpAddress& value, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(skiff::network::format_as(value), context);
    }
};
template <>
struct fmt::formatter<skiff::network::IpRange> : fmt::formatter<std::string> {
    auto format(const skiff::network::IpRange& value, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(skiff::network::format_as(value), context);
    }
};
