// What a CNI plugin says: the result of ADD, or an error (CNI specification 1.1, section 5, and
// those of 0.3.1 and 0.4.0). Pure; any thread. A plugin's output is untrusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/cni_config.h"
#include "network/dns.h"

namespace skiff::network {

// A list in a result: interfaces, addresses, routes, name servers.
inline constexpr std::size_t kCniResultItemsMax = 1024;
inline constexpr std::size_t kCniResultTextBytesMax = 4096;

struct CniInterface {
    std::string name;
    std::string mac;      // empty where there is none
    std::string sandbox;  // the path of its network namespace; empty for one of the node
    std::optional<std::int64_t> mtu;
    friend bool operator==(const CniInterface&, const CniInterface&) = default;
};

struct CniAddress {
    std::string ip;  // in the usual spelling: "10.1.0.5", "fd00::5"
    unsigned prefix_length = 0;
    std::string gateway;                   // empty where there is none
    std::optional<std::size_t> interface;  // into CniResult::interfaces
    friend bool operator==(const CniAddress&, const CniAddress&) = default;
};

struct CniRoute {
    std::string destination;  // "0.0.0.0/0"
    std::string gateway;      // empty: the one of the address
    friend bool operator==(const CniRoute&, const CniRoute&) = default;
};

struct CniResult {
    std::vector<CniInterface> interfaces;
    std::vector<CniAddress> ips;
    std::vector<CniRoute> routes;
    DnsConfig dns;
    std::string dns_domain;
    // The whole of it as the plugin printed it, cniVersion added where it was left out:
    // `prevResult` of the commands to come.
    std::string json;

    // The addresses of the container's interface `name`, in their order: those that belong to it
    // by index, and those that belong to no interface at all (Calico names none).
    [[nodiscard]] std::vector<std::string> addresses_of(std::string_view name) const;

    friend bool operator==(const CniResult&, const CniResult&) = default;
};

// The output of a successful ADD. `version` is what the plugin was asked to speak; another one is
// refused, none is taken for it, as libcni does. Fails with Code::corrupt, the message naming
// field, value and what is allowed.
[[nodiscard]] Result<CniResult> parse_cni_result(std::string_view text, CniVersion version);

// Codes of the specification that mean something to a runtime.
inline constexpr std::int64_t kCniIncompatibleVersion = 1;
inline constexpr std::int64_t kCniUnknownContainer = 3;
inline constexpr std::int64_t kCniTryAgainLater = 11;
inline constexpr std::int64_t kCniNotAvailable = 50;
inline constexpr std::int64_t kCniLimitedConnectivity = 51;

// An error as a plugin tells it; 0 where it gives no code.
struct CniError {
    std::int64_t code = 0;
    std::string message;  // msg and details, bounded, for people; never empty
};
// nullopt when `text` is no error of CNI: an object with a code other than 0, or with a `msg`.
[[nodiscard]] std::optional<CniError> parse_cni_error(std::string_view text);
// What a caller may do about it: 11, 50, 51 and a plugin's own codes are unavailable (try again), 1
// and 2 unsupported, 3 not_found, what is wrong with configuration or parameters invalid.
[[nodiscard]] Code code_of_cni_error(std::int64_t code);

// The answer to VERSION; versions that Skiff does not speak are left out. nullopt when it is none.
[[nodiscard]] std::optional<std::vector<CniVersion>> parse_cni_versions(std::string_view text);

}  // namespace skiff::network
