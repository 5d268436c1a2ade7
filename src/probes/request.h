// The requests that probes and hooks make, from what the API says. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/client.h"
#include "kube/types.h"

namespace skiff::probes {

// The number of a port: itself, or that of the container's port of that name. Fails with invalid.
[[nodiscard]] Result<std::uint16_t> port_of(const kube::IntOrString& port,
                                            const kube::Container& container);

// "host:port", an IPv6 address in brackets.
[[nodiscard]] std::string authority_of(std::string_view host, std::uint16_t port);

// The path of an action as it goes on the wire: with a leading slash, without a fragment, what may
// not stand in a URL percent-encoded, a query kept.
[[nodiscard]] std::string target_of(std::string_view path);

// The GET of an action at `address` (unless it names a host): no certificate is verified, the
// connection is its own, no proxy, the fields `User-Agent: user_agent` and `Accept: */*` unless the
// action has them (an empty one is left out), `Connection: close`. Fails with invalid.
struct Place {
    std::string_view address;  // numeric; empty fails unless the action names a host
    const kube::Container& container;
    std::string_view user_agent;
    Duration timeout{};
};
[[nodiscard]] Result<http::Request> http_request(const kube::HTTPGetAction& action,
                                                 const Place& place);

// The request again for where a redirect leads; a Host field goes along to the same authority only.
// Fails with invalid.
[[nodiscard]] Result<void> follow(http::Request& request, const std::string& location);

}  // namespace skiff::probes
