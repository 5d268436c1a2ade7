#include "network/socket_address.h"

#include <netinet/in.h>

#include <cstring>

namespace skiff::network {

SocketAddress socket_address(const IpAddress& address, std::uint16_t port) {
    SocketAddress result;
    if (address.family == IpFamily::v4) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        std::memcpy(&v4.sin_addr, address.bytes.data(), sizeof(v4.sin_addr));
        result.size = sizeof(v4);
    } else {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        std::memcpy(&v6.sin6_addr, address.bytes.data(), sizeof(v6.sin6_addr));
        result.size = sizeof(v6);
    }
    return result;
}

}  // namespace skiff::network
