#include "base/egress.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "base/text.h"

namespace skiff {

namespace {

constexpr std::size_t kNameMax = 253;  // of a host name (RFC 1035)
constexpr std::size_t kShownMax = 100;
constexpr std::string_view kAllowed =
    "allowed are \"none\" alone, or HOST, *.DOMAIN, ADDRESS, CIDR, each with an optional :PORT";

Result<EgressRule> refuse(std::string_view entry) {
    return fail(Code::invalid, "\"{}\" is no destination; {}", bounded_utf8(entry, kShownMax),
                kAllowed);
}

bool is_name(std::string_view text) {
    if (text.empty() || text.size() > kNameMax || text.starts_with('.') || text.starts_with('-')) {
        return false;
    }
    const bool plain = std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    });
    // "10.0.0" or "300.1.1.1" is a mistyped address and no name.
    const bool has_letter = std::ranges::any_of(text, [](char c) { return c >= 'a' && c <= 'z'; });
    return plain && has_letter && text.find("..") == std::string_view::npos;
}

// An address or CIDR; false when it is neither.
bool set_network(EgressRule& rule, std::string_view text) {
    constexpr std::uint8_t kMapped = 96;  // bits before an IPv4 address
    const std::size_t slash = text.find('/');
    const std::string address(text.substr(0, slash));
    in_addr v4{};
    in6_addr v6{};
    std::uint8_t before = 0;
    if (::inet_pton(AF_INET, address.c_str(), &v4) == 1) {
        rule.address[10] = 0xff;
        rule.address[11] = 0xff;
        std::copy_n(reinterpret_cast<const std::uint8_t*>(&v4), 4, rule.address.begin() + 12);
        before = kMapped;
    } else if (::inet_pton(AF_INET6, address.c_str(), &v6) == 1) {
        std::copy_n(v6.s6_addr, 16, rule.address.begin());
    } else {
        return false;
    }
    rule.prefix_bits = 128;
    if (slash != std::string_view::npos) {
        const auto bits = parse_uint(text.substr(slash + 1));
        if (!bits || *bits > 128U - before) {
            return false;
        }
        rule.prefix_bits = static_cast<std::uint8_t>(*bits + before);
    }
    return true;
}

}  // namespace

Result<EgressRule> parse_egress_rule(std::string_view entry) {
    // The readers of addresses below would stop at a NUL and not see what comes after it.
    if (entry.find('\0') != std::string_view::npos) {
        return refuse(entry);
    }
    EgressRule rule;
    std::string_view host = entry;
    std::string_view port;
    if (entry.starts_with('[')) {
        const std::size_t end = entry.find(']');
        if (end == std::string_view::npos || (end + 1 < entry.size() && entry[end + 1] != ':')) {
            return refuse(entry);
        }
        host = entry.substr(1, end - 1);
        port = end + 1 < entry.size() ? entry.substr(end + 2) : std::string_view{};
        if (host.find(':') == std::string_view::npos || entry.ends_with(':')) {
            return refuse(entry);
        }
    } else if (std::ranges::count(entry, ':') == 1) {
        host = entry.substr(0, entry.find(':'));
        port = entry.substr(host.size() + 1);
        if (port.empty()) {
            return refuse(entry);
        }
    }
    if (!port.empty()) {
        const auto number = parse_port(port);
        if (!number) {
            return refuse(entry);
        }
        rule.port = *number;
    }
    if (set_network(rule, host)) {
        return rule;
    }
    std::string name(host);
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!is_name(name.starts_with("*.") ? std::string_view(name).substr(2) : name)) {
        return refuse(entry);
    }
    rule = EgressRule{.name = std::move(name), .address = {}, .prefix_bits = 0, .port = rule.port};
    return rule;
}

Result<Egress> parse_egress(std::span<const std::string> entries) {
    if (entries.empty()) {
        return fail(Code::invalid, "the list is empty; {}", kAllowed);
    }
    if (entries.size() > kEgressRulesMax) {
        return fail(Code::invalid, "{} destinations, at most {}", entries.size(), kEgressRulesMax);
    }
    Egress egress;
    if (entries.size() == 1 && entries.front() == "none") {
        egress.reach = Reach::nothing;
        return egress;
    }
    egress.reach = Reach::listed;
    for (const std::string& entry : entries) {
        if (entry == "none") {
            return fail(Code::invalid, "\"none\" stands beside other destinations; {}", kAllowed);
        }
        SKIFF_TRY(egress.rules.emplace_back(), parse_egress_rule(entry));
    }
    return egress;
}

Result<Egress> parse_egress(std::string_view text) {
    std::vector<std::string> entries;
    std::string word;
    for (const char c : text) {
        const bool parts = c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (!parts) {
            word.push_back(c);
        } else if (!word.empty()) {
            entries.push_back(std::exchange(word, {}));
        }
        if (entries.size() > kEgressRulesMax) {
            break;
        }
    }
    if (!word.empty()) {
        entries.push_back(std::move(word));
    }
    return parse_egress(std::span<const std::string>(entries));
}

}  // namespace skiff
