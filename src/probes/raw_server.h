// For tests: a server on a loopback port that answers bytes with bytes, one connection after
// another.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

#include "http/test_listener.h"

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
        const http::testing::TestListener made = http::testing::listen_on_loopback(16);
        listener_ = made.fd;
        port_ = made.port;
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
