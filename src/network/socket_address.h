// Addresses as the socket calls take them.
#pragma once

#include <sys/socket.h>

#include <cstdint>

#include "network/ip.h"

namespace skiff::network {

// AF_INET or AF_INET6.
[[nodiscard]] constexpr std::uint8_t socket_family(IpFamily family) {
    return family == IpFamily::v4 ? AF_INET : AF_INET6;
}

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = sizeof(storage);
    [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};
[[nodiscard]] SocketAddress socket_address(const IpAddress& address, std::uint16_t port);

}  // namespace skiff::network
