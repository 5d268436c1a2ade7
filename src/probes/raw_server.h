// For tests: a server on a loopback port that answers bytes with bytes, one connection after
// another.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

namespace skiff::probes::testing {

class RawServer {
public:
    // Called on the server's thread with all that a connection has sent, each time there is more;
    // what it returns is sent. `closes`: the connection ends then, else when the client ends it.
    struct Reply {
        std::string bytes;
        bool closes = false;
    };
    using Script = std::function<Reply(const std::string& received)>;

    explicit RawServer(Script script) : script_(std::move(script)) {
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listener_, generic, length) != 0 || ::listen(listener_, 16) != 0 ||
            ::getsockname(listener_, generic, &length) != 0) {
            std::abort();
        }
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve_all(); });
    }
    ~RawServer() {
        ::shutdown(listener_, SHUT_RDWR);
        thread_.join();
        ::close(listener_);
    }
    RawServer(const RawServer&) = delete;
    RawServer& operator=(const RawServer&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }

private:
    void serve_all() {
        for (;;) {
            int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) {
                return;
            }
            serve(fd);
            ::close(fd);
        }
    }
    void serve(int fd) {
        std::string received;
        char bytes[4096];
        for (;;) {
            ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
            if (n <= 0) {
                return;
            }
            received.append(bytes, static_cast<std::size_t>(n));
            Reply reply = script_(received);
            (void)!::send(fd, reply.bytes.data(), reply.bytes.size(), MSG_NOSIGNAL);
            if (reply.closes) {
                return;
            }
        }
    }

    Script script_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

}  // namespace skiff::probes::testing
