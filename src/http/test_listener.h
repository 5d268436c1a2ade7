// A listening socket on the loopback with a port of the kernel's choice, for servers in tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace skiff::http::testing {

// The owner closes the descriptor.
struct TestListener {
    int fd = -1;
    std::uint16_t port = 0;
};

// Aborts where the machine gives no socket.
inline TestListener listen_on_loopback(int backlog) {
    TestListener made;
    made.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(made.fd, generic, length) != 0 || ::listen(made.fd, backlog) != 0 ||
        ::getsockname(made.fd, generic, &length) != 0) {
        std::abort();
    }
    made.port = ntohs(address.sin_port);
    return made;
}

}  // namespace skiff::http::testing
