// The client's end of WebSocket: the handshake, messages, and the connection below.
#include "http/websocket_client.h"

#include <gtest/gtest.h>

#include "async/scope.h"
#include "http/test_certificates.h"
#include "http/test_server_fixture.h"
#include "http/test_stream.h"

namespace skiff::http {
namespace {

using async::Task;

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";

std::string answer(std::string_view changes = {}) {
    return fmt::format(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, "
        "upgrade\r\nSec-WebSocket-Accept: {}\r\n{}\r\n",
        websocket_accept(kKey), changes);
}

TEST(WebSocketAnswer, IsTakenWhenItIsThatOfOurKey) {
    EXPECT_TRUE(check_websocket_answer(answer(), kKey));
    EXPECT_EQ(check_websocket_answer(answer(), "another").error().code, Code::invalid);
}

TEST(WebSocketAnswer, SaysWhyTheServerDoesNotWant) {
    auto code = [](int status) {
        return check_websocket_answer(fmt::format("HTTP/1.1 {} Words\r\n\r\n", status), kKey)
            .error()
            .code;
    };
    EXPECT_EQ(code(401), Code::unauthenticated);
    EXPECT_EQ(code(403), Code::denied);
    EXPECT_EQ(code(404), Code::not_found);
    EXPECT_EQ(code(503), Code::unavailable);
    EXPECT_EQ(code(429), Code::unavailable);
    EXPECT_EQ(code(200), Code::unsupported);
    EXPECT_EQ(check_websocket_answer("SSH-2.0-x\r\n\r\n", kKey).error().code, Code::invalid);
    EXPECT_EQ(check_websocket_answer("HTTP/1.1\r\n\r\n", kKey).error().code, Code::invalid);
}

TEST(WebSocketAnswer, RefusesWhatNobodyOffered) {
    for (const char* extra : {"Sec-WebSocket-Extensions: permessage-deflate\r\n",
                              "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"}) {
        EXPECT_EQ(check_websocket_answer(answer(extra), kKey).error().code, Code::invalid) << extra;
    }
    EXPECT_EQ(check_websocket_answer("HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n", kKey).error().code,
              Code::invalid);
}

class WebSocketClientTest : public ::testing::Test {
protected:
    async::Reactor reactor_;
    SeededRandom random_{7};
};

TEST_F(WebSocketClientTest, JoinsThePartsOfAMessageAroundAPing) {
    auto ends = testing::join_streams();
    WebSocketEncoder server(WebSocketRole::server);
    std::string bytes;
    WebSocketPiece part{WebSocketKind::binary, "half ", true, false, 0};
    server.append_part(bytes, part);
    server.append(bytes, WebSocketKind::ping, "p");
    part = {WebSocketKind::binary, "whole", false, true, 0};
    server.append_part(bytes, part);
    server.append_close(bytes, kWebSocketGoingAway, "bye");
    // The first bytes came with the handshake.
    WebSocketClient client(std::move(ends.near), bytes.substr(0, 3), random_, 1024);
    auto body = [&]() -> Task<Result<void>> {
        SKIFF_CO_CHECK(co_await ends.far->write_all(bytes.substr(3), async::kNoDeadline));
        SKIFF_CO_TRY(auto ping, co_await client.receive(async::kNoDeadline));
        EXPECT_EQ(ping.kind, WebSocketKind::ping);
        EXPECT_EQ(ping.payload, "p");
        SKIFF_CO_TRY(auto message, co_await client.receive(async::kNoDeadline));
        EXPECT_EQ(message.payload, "half whole");
        SKIFF_CO_TRY(auto close, co_await client.receive(async::kNoDeadline));
        EXPECT_EQ(close.kind, WebSocketKind::close);
        EXPECT_EQ(close.close_code, kWebSocketGoingAway);
        ends.far.reset();
        auto after = co_await client.receive(async::kNoDeadline);
        EXPECT_EQ(after.error().code, Code::unavailable);
        co_return Result<void>{};
    };
    EXPECT_TRUE(async::run_to_end(reactor_, body()));
}

TEST_F(WebSocketClientTest, AMessageBeyondTheBoundBreaksTheConnection) {
    auto ends = testing::join_streams();
    WebSocketEncoder server(WebSocketRole::server);
    std::string bytes;
    server.append(bytes, WebSocketKind::binary, std::string(1025, 'x'));
    WebSocketClient client(std::move(ends.near), bytes, random_, 1024);
    auto got = async::run_to_end(reactor_, client.receive(async::kNoDeadline));
    EXPECT_EQ(got.error().code, Code::exhausted);
}

// Sends every message back.
class EchoHandler final : public Handler {
public:
    Task<void> handle(Exchange& exchange) override {
        last = exchange.request();
        auto key = websocket_key(last.headers);
        if (!is_websocket_upgrade(last.headers) || !key) {
            ServerResponse refusal = plain_text(404, "no such path");
            [[maybe_unused]] auto sent = co_await exchange.respond(std::move(refusal));
            co_return;
        }
        Headers answer = websocket_answer(*key, std::string_view());
        auto stream = co_await exchange.take_over(101, std::move(answer));
        if (stream) {
            co_await echo(**stream);
        }
    }

    ServerRequest last;

private:
    static Task<void> echo(ByteStream& stream) {
        WebSocketDecoder decoder(WebSocketRole::server, 4U << 20);
        WebSocketEncoder encoder(WebSocketRole::server);
        WebSocketAssembler assembler;
        std::string buffer(64U << 10, '\0');
        while (true) {
            auto count = co_await stream.read_some(buffer, soon());
            if (!count || *count == 0) {
                co_return;
            }
            auto bytes = std::span(buffer).first(*count);
            std::string out;
            while (true) {
                auto piece = decoder.next(bytes);
                if (!piece || !*piece) {
                    break;
                }
                if (auto message = assembler.add(**piece)) {
                    encoder.append(out, WebSocketKind::binary, *message);
                }
            }
            auto sent = co_await stream.write_all(out, soon());
            if (!sent) {
                co_return;
            }
        }
    }
};

class WebSocketOverTls : public HttpServer {
protected:
    Request request(std::uint16_t port) {
        Request its;
        its.url = fmt::format("https://127.0.0.1:{}/v1-k3s/connect", port);
        its.proxy = "";
        its.tls.ca_pem = authority.pem();
        its.tls.client_certificate_pem = own.certificate_pem;
        its.tls.client_key_pem = own.key_pem;
        return its;
    }
    ServerTlsSettings server_tls() {
        TestCertificate node = authority.issue("node", {}, "serverAuth");
        ServerTlsSettings settings;
        settings.certificate_pem = node.certificate_pem;
        settings.key_pem = node.key_pem;
        settings.client_ca_pem = authority.pem();
        return settings;
    }
    TestAuthority authority{"cluster"};
    TestCertificate own = authority.issue("system:node:n1", {"system:nodes"}, "clientAuth");
    EchoHandler echo;
    SeededRandom random{1};
};

TEST_F(WebSocketOverTls, ShowsTheClientsCertificateAndCarriesMessagesOfAnySize) {
    Server server(reactor.executor(), clock, echo, ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, *ServerTls::create(server_tls()));
    ASSERT_TRUE(port);
    auto body = [&]() -> Task<void> {
        auto opened = co_await WebSocketClient::open(request(*port), random, 4U << 20);
        EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
        if (!opened) {
            co_return;
        }
        EXPECT_EQ(echo.last.target, "/v1-k3s/connect");
        const auto& peer = echo.last.peer.certificate;
        EXPECT_TRUE(peer && peer->common_name == "system:node:n1");
        for (std::size_t size : {0UL, 1UL, 125UL, 126UL, 65536UL, 3UL << 20}) {
            const std::string sent(size, 'm');
            std::string bytes;
            (*opened)->encode(bytes, WebSocketKind::binary, sent);
            EXPECT_TRUE(co_await (*opened)->write_all(bytes, soon()));
            auto message = co_await (*opened)->receive(soon());
            EXPECT_TRUE(message && message->payload == sent) << size;
        }
        opened->reset();
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST_F(WebSocketOverTls, AServerWithAnotherAuthorityIsNotTrusted) {
    Server server(reactor.executor(), clock, echo, ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, *ServerTls::create(server_tls()));
    ASSERT_TRUE(port);
    auto body = [&]() -> Task<void> {
        Request stranger = request(*port);
        stranger.tls.ca_pem = TestAuthority("stranger").pem();
        auto opened = co_await WebSocketClient::open(stranger, random, 1024);
        EXPECT_FALSE(opened);
        EXPECT_EQ(echo.last.target, "");
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST_F(HttpServer, AServerThatIsNoWebSocketServerIsTold) {
    auto body = [&](Server&, std::uint16_t port) -> Task<void> {
        SeededRandom random{1};
        Request request;
        request.url = url(port, "/hello");
        request.proxy = "";
        auto opened = co_await WebSocketClient::open(request, random, 1024);
        EXPECT_EQ(opened.error().code, Code::unsupported);
    };
    with_server(ServerLimits(), body);
}

}  // namespace
}  // namespace skiff::http
