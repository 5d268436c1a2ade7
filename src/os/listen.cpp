#include "os/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

namespace skiff::os {

namespace {

// The kernel cuts it to net.core.somaxconn.
constexpr int kBacklog = 4096;

union Address {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
};

Result<Address> parse(const std::string& text, std::uint16_t port) {
    Address address{};
    if (::inet_pton(AF_INET, text.c_str(), &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        return address;
    }
    if (text.empty() || ::inet_pton(AF_INET6, text.c_str(), &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        return address;
    }
    return fail(Code::invalid, "'{}' is no IP address", text);
}

Result<Fd> listen_at(const Address& address, std::uint16_t port) {
    Fd socket(
        ::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!socket) {
        return fail_errno(errno, "make a TCP socket");
    }
    const int on = 1;
    const int off = 0;
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.any.sa_family == AF_INET6) {
        (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    const socklen_t size =
        address.any.sa_family == AF_INET6 ? sizeof address.v6 : sizeof address.v4;
    if (::bind(socket.get(), &address.any, size) != 0) {
        if (errno == EADDRINUSE) {
            return fail(Code::exists, "port {} is in use by another process", port);
        }
        return fail_errno(errno, fmt::format("bind TCP port {}", port));
    }
    if (::listen(socket.get(), kBacklog) != 0) {
        return fail_errno(errno, fmt::format("listen on TCP port {}", port));
    }
    return socket;
}

}  // namespace

Result<Fd> listen_tcp(const std::string& address, std::uint16_t port) {
    SKIFF_TRY(const Address where, parse(address, port));
    auto socket = listen_at(where, port);
    if (!socket && address.empty() && socket.error().code != Code::exists) {
        // A kernel without IPv6.
        SKIFF_TRY(const Address v4, parse("0.0.0.0", port));
        return listen_at(v4, port);
    }
    return socket;
}

}  // namespace skiff::os
