#include "network/ip.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"
#include "network/socket_address.h"

namespace skiff::network {

namespace {

// The longest text of an address; more is not worth repeating in a message.
constexpr std::size_t kTextMax = INET6_ADDRSTRLEN + 4;

// Sets every bit of `bytes` from number `prefix` on to zero.
void clear_beyond(std::array<std::uint8_t, 16>& bytes, std::size_t prefix) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::size_t at = i * 8;
        if (prefix <= at) {
            bytes[i] = 0;
        } else if (prefix < at + 8) {
            bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xffU << (at + 8 - prefix)));
        }
    }
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
    IpAddress address;
    if (text.size() <= kTextMax && text.find('\0') == std::string_view::npos) {
        const std::string terminated(text);
        if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) {
            return address;
        }
        address.family = IpFamily::v6;
        if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) {
            return address;
        }
    }
    return fail(Code::invalid, "'{}' is not an IP address", bounded_utf8(text, kTextMax));
}

bool IpAddress::is_loopback() const {
    if (family == IpFamily::v4) {
        return bytes[0] == 127;
    }
    IpAddress loopback{IpFamily::v6, {}};
    loopback.bytes[15] = 1;
    return *this == loopback;
}

std::string format_as(const IpAddress& address) {
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(socket_family(address.family), address.bytes.data(), text, sizeof(text));
    return text;
}

Result<IpRange> IpRange::parse(std::string_view text) {
    const std::string shown = bounded_utf8(text, kTextMax);
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return fail(Code::invalid, "'{}' has no prefix length, as 10.1.2.0/24 has", shown);
    }
    SKIFF_TRY(IpAddress address, IpAddress::parse(text.substr(0, slash)));
    auto prefix = parse_uint(text.substr(slash + 1));
    if (!prefix || *prefix > address.bits()) {
        return fail(Code::invalid, "'{}': the prefix length is not in 0-{}", shown, address.bits());
    }
    IpRange range{address, static_cast<std::uint8_t>(*prefix)};
    clear_beyond(range.first.bytes, range.prefix);
    if (range.first != address) {
        return fail(Code::invalid, "'{}' names an address in the range {}", shown, range);
    }
    return range;
}

IpRange IpRange::around(const IpAddress& address, std::uint8_t prefix) {
    IpRange range{address, prefix};
    clear_beyond(range.first.bytes, prefix);
    return range;
}

bool IpRange::contains(const IpAddress& address) const {
    return around(address, prefix).first == first;
}

std::string format_as(const IpRange& range) {
    return fmt::format("{}/{}", range.first, range.prefix);
}

Result<std::vector<IpRange>> parse_pod_ranges(const std::vector<std::string>& texts) {
    struct Allowed {
        unsigned shortest;
        unsigned longest;
    };
    std::vector<IpRange> ranges;
    for (const std::string& text : texts) {
        SKIFF_TRY(IpRange range, IpRange::parse(text));
        const bool is_v4 = range.first.family == IpFamily::v4;
        const Allowed allowed = is_v4 ? Allowed{8, 30} : Allowed{48, 126};
        if (range.prefix < allowed.shortest || range.prefix > allowed.longest) {
            return fail(Code::invalid, "range of pods {}: the prefix length is not in {}-{}", range,
                        allowed.shortest, allowed.longest);
        }
        const bool twice = std::ranges::any_of(
            ranges, [&](const IpRange& other) { return other.first.family == range.first.family; });
        if (twice) {
            return fail(Code::invalid, "range of pods {}: a second one of IPv{}", range,
                        is_v4 ? 4 : 6);
        }
        ranges.push_back(range);
    }
    if (ranges.empty()) {
        return fail(Code::invalid, "no range of pods is given");
    }
    return ranges;
}

}  // namespace skiff::network
