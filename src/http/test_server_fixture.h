// For tests of the server side: a client that can misbehave, a handler that does as its path says,
// and a server that runs beside the test's own coroutine.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "async/scope.h"
#include "http/client.h"
#include "http/server.h"

namespace skiff::http {

using async::Task;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline SteadyTime soon() {
    return std::chrono::steady_clock::now() + seconds(20);
}

// A client that can misbehave: a plain socket on the test's own reactor.
class RawClient {
public:
    explicit RawClient(std::uint16_t port, int receive_bytes = 0)
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        if (receive_bytes > 0) {
            ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
        }
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to));
    }
    ~RawClient() { close(); }
    RawClient(const RawClient&) = delete;
    RawClient& operator=(const RawClient&) = delete;

    void close() {
        if (fd_ >= 0) {
            ::close(fd_);
            fd_ = -1;
        }
    }
    Task<void> send(std::string text) {
        while (!text.empty()) {
            EXPECT_TRUE(co_await async::wait_writable(fd_, soon()));
            ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
            if (sent < 0) {
                co_return;
            }
            text.erase(0, static_cast<std::size_t>(sent));
        }
    }
    // The next bytes; empty at the end.
    Task<std::string> receive() {
        EXPECT_TRUE(co_await async::wait_readable(fd_, soon()));
        char buffer[65536];
        ssize_t count = ::recv(fd_, buffer, sizeof(buffer), 0);
        co_return count > 0 ? std::string(buffer, static_cast<std::size_t>(count)) : std::string();
    }
    Task<std::string> receive_all() {
        std::string all;
        while (true) {
            std::string part = co_await receive();
            if (part.empty()) {
                co_return all;
            }
            all += part;
        }
    }
    // Until the text so far contains `mark`.
    Task<std::string> receive_until(std::string mark) {
        std::string all;
        while (all.find(mark) == std::string::npos) {
            std::string part = co_await receive();
            if (part.empty()) {
                ADD_FAILURE() << "connection ended before " << mark << ": " << all;
                co_return all;
            }
            all += part;
        }
        co_return all;
    }

private:
    int fd_;
};

// Behaves as its path says.
class TestHandler final : public Handler {
public:
    Task<void> handle(Exchange& exchange) override {
        const std::string& target = exchange.request().target;
        last = exchange.request();
        if (target == "/echo") {
            auto body = co_await exchange.read_body();
            std::string text = body ? *body : body.error().message;
            int status = body ? 200 : 413;
            co_await answer(exchange, status, std::move(text));
        } else if (target == "/stream") {
            co_await stream(exchange);
        } else if (target == "/forever") {
            co_await wait_forever(exchange);
        } else if (target == "/upgrade") {
            co_await upgrade(exchange);
        } else if (target == "/cut") {
            auto begun = co_await exchange.begin(200, Headers());
            auto sent = co_await exchange.write("half");
        } else if (target == "/silent") {
        } else {
            co_await answer(exchange, 200, "hello");
        }
    }

    ServerRequest last;
    std::uint64_t stream_bytes = 1U << 20;
    std::uint64_t written = 0;
    async::Event waiting;
    async::Event unwound;

private:
    static Task<void> answer(Exchange& exchange, int status, std::string body) {
        ServerResponse response = plain_text(status, std::move(body));
        auto sent = co_await exchange.respond(std::move(response));
    }
    Task<void> stream(Exchange& exchange) {
        if (!co_await exchange.begin(200, Headers())) {
            co_return;
        }
        std::string chunk(64U << 10, 'x');
        while (written < stream_bytes) {
            if (!co_await exchange.write(chunk)) {
                co_return;
            }
            written += chunk.size();
        }
        auto ended = co_await exchange.end();
    }
    Task<void> wait_forever(Exchange& exchange) {
        struct OnExit {
            async::Event* event;
            ~OnExit() { event->set(); }
        } on_exit{&unwound};
        auto begun = co_await exchange.begin(200, Headers());
        waiting.set();
        async::Event never;
        auto ended = co_await never.wait();
    }
    Task<void> upgrade(Exchange& exchange) {
        Headers headers;
        headers.set("Connection", "Upgrade");
        headers.set("Upgrade", "echo");
        auto stream = co_await exchange.take_over(101, headers);
        if (!stream) {
            co_return;
        }
        char buffer[256];
        std::span<char> into(buffer);
        while (true) {
            auto count = co_await (*stream)->read_some(into, soon());
            if (!count || *count == 0) {
                co_return;
            }
            std::string_view bytes(buffer, *count);
            if (!co_await (*stream)->write_all(bytes, soon())) {
                co_return;
            }
        }
    }
};

// A server on a free loopback port, and the reactor that runs it and the test's own coroutine.
class HttpServer : public ::testing::Test {
protected:
    // Runs `body(port)` beside a plain server with `limits`, then stops the server.
    template <typename F>
    void with_server(ServerLimits limits, F body) {
        Server server(reactor.executor(), clock, handler, limits);
        auto port = server.listen_plain("127.0.0.1", 0);
        ASSERT_TRUE(port) << port.error().message;
        async::run_to_end(reactor, run(server, *port, body));
    }
    template <typename F>
    static Task<void> run(Server& server, std::uint16_t port, F& body) {
        co_await body(server, port);
        co_await server.stop(seconds(0));
        EXPECT_EQ(server.counts().connections, 0U);
    }
    Task<Response> get(std::string url, Tls tls = Tls()) {
        Request request;
        request.url = std::move(url);
        request.tls = std::move(tls);
        request.proxy = "";
        auto response = co_await client.fetch(std::move(request));
        EXPECT_TRUE(response) << (response ? "" : response.error().message);
        co_return response ? *response : Response();
    }

    async::Reactor reactor;
    SystemClock clock;
    TestHandler handler;
    Client client{reactor.executor(), "test"};
};

inline std::string url(std::uint16_t port, std::string_view path) {
    return fmt::format("http://127.0.0.1:{}{}", port, path);
}

}  // namespace skiff::http
