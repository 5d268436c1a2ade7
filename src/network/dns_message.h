// Questions to a name server and what it answers (RFC 1035): A and AAAA only. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "network/ip.h"

namespace skiff::network {

// The longest answer that is asked for over UDP (RFC 6891); longer ones come over TCP.
inline constexpr std::size_t kDnsUdpBytesMax = 1232;
inline constexpr std::size_t kDnsTcpBytesMax = 65535;
// Addresses of one answer; what is beyond is left out.
inline constexpr std::size_t kDnsAddressesMax = 64;

struct DnsQuestion {
    std::uint16_t id = 0;
    std::string name;
    IpFamily family = IpFamily::v4;  // A or AAAA
};

// Fails with Code::invalid for a name that DNS cannot have.
[[nodiscard]] Result<std::string> format_dns_question(const DnsQuestion& question);

struct DnsAnswer {
    std::vector<IpAddress> addresses;  // none: there is no such name, or it has none of the family
    std::chrono::seconds ttl{0};       // of the record that ends first; 0 without addresses
    enum class Extent { whole, truncated } extent = Extent::whole;
};

// What `message` answers to the question; aliases (CNAME) are followed within it. Fails with
// not_found for a message that is no answer to it (somebody else's, an old one: wait on), corrupt
// for one that is none at all, unavailable when the server says that it cannot answer.
[[nodiscard]] Result<DnsAnswer> parse_dns_answer(std::string_view message,
                                                 const DnsQuestion& question);

}  // namespace skiff::network
