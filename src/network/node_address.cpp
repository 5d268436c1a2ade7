#include "network/node_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <optional>

#include "network/socket_address.h"
#include "os/fd.h"

namespace skiff::network {

namespace {

// Documentation addresses (RFC 5737, RFC 3849): routed like any other, owned by nobody.
constexpr const char* kSomewhere4 = "192.0.2.1";
constexpr const char* kSomewhere6 = "2001:db8::1";

std::string text_of(int family, const void* address) {
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(family, address, text, sizeof(text));
    return text;
}

std::string text_of(const sockaddr* address) {
    if (address->sa_family == AF_INET) {
        return text_of(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr);
    }
    return text_of(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

bool has_address(const ifaddrs& entry) {
    return entry.ifa_addr != nullptr &&
           (entry.ifa_addr->sa_family == AF_INET || entry.ifa_addr->sa_family == AF_INET6);
}

std::optional<std::string> usable(std::string text) {
    return check_node_address(text) ? std::optional(std::move(text)) : std::nullopt;
}

// The kernel chooses a source address when a datagram socket is connected; no packet leaves.
std::optional<std::string> source_by_route(const char* somewhere) {
    const auto there = IpAddress::parse(somewhere);
    SocketAddress to = socket_address(*there, 9);
    os::Fd socket(::socket(socket_family(there->family), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket || ::connect(socket.get(), to.get(), to.size) != 0) {
        return std::nullopt;
    }
    to.size = sizeof(to.storage);
    if (::getsockname(socket.get(), to.get(), &to.size) != 0) {
        return std::nullopt;
    }
    return usable(text_of(to.get()));
}

// The first address of the family, or the first on the interface that has the address `beside`.
std::optional<std::string> first_of_interfaces(int family, const std::string& beside) {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) {
        return std::nullopt;
    }
    std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
    std::string interface;
    for (const ifaddrs* at = list; at != nullptr && !beside.empty(); at = at->ifa_next) {
        if (has_address(*at) && text_of(at->ifa_addr) == beside) {
            interface = at->ifa_name;
        }
    }
    for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
        bool counts = at->ifa_addr != nullptr && at->ifa_addr->sa_family == family &&
                      (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) == 0 &&
                      (interface.empty() || interface == at->ifa_name);
        if (!counts) {
            continue;
        }
        if (auto address = usable(text_of(at->ifa_addr))) {
            return address;
        }
    }
    return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> detect_node_addresses() {
    auto v4 = source_by_route(kSomewhere4);
    auto v6 = source_by_route(kSomewhere6);
    // A family without a route has its address beside the other's: bridges of container networks
    // have addresses, too, which nobody else reaches.
    const std::string routed = v4.value_or(v6.value_or(""));
    if (!v4) {
        v4 = first_of_interfaces(AF_INET, routed);
    }
    if (!v6) {
        v6 = first_of_interfaces(AF_INET6, routed);
    }
    std::vector<std::string> found;
    for (const auto& address : {v4, v6}) {
        if (address) {
            found.push_back(*address);
        }
    }
    if (found.empty()) {
        return fail(Code::not_found, "no interface has an address that others could reach");
    }
    return found;
}

Result<void> check_node_address(const std::string& text) {
    in_addr v4{};
    in6_addr v6{};
    std::string_view problem;
    if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) {
        std::uint32_t host = ntohl(v4.s_addr);
        if (host >> 24 == 127) {
            problem = "a loopback address";
        } else if (host == 0) {
            problem = "the unspecified address";
        } else if (host >> 28 == 0xe) {
            problem = "a multicast address";
        } else if (host >> 16 == 0xa9fe) {
            problem = "a link-local address";
        }
    } else if (::inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
        if (IN6_IS_ADDR_LOOPBACK(&v6)) {
            problem = "a loopback address";
        } else if (IN6_IS_ADDR_UNSPECIFIED(&v6)) {
            problem = "the unspecified address";
        } else if (IN6_IS_ADDR_MULTICAST(&v6)) {
            problem = "a multicast address";
        } else if (IN6_IS_ADDR_LINKLOCAL(&v6)) {
            problem = "a link-local address";
        }
    } else {
        return fail(Code::invalid, "{} is not an IP address", text);
    }
    if (!problem.empty()) {
        return fail(Code::invalid, "{} is {}", text, problem);
    }
    return {};
}

}  // namespace skiff::network
