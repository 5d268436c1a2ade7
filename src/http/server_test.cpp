#include <sys/stat.h>

#include "http/test_server_fixture.h"

namespace skiff::http {
namespace {

TEST_F(HttpServer, AnswersSeveralRequestsOnOneConnection) {
    with_server({}, [this](Server& server, std::uint16_t port) -> Task<void> {
        Response first = co_await get(url(port, "/a?b=%20c"));
        EXPECT_EQ(first.status, 200);
        EXPECT_EQ(first.body, "hello");
        EXPECT_TRUE(first.headers.contains("Date"));
        EXPECT_EQ(handler.last.target, "/a?b=%20c");
        EXPECT_EQ(handler.last.method, "GET");
        Response second = co_await get(url(port, "/b"));
        EXPECT_EQ(second.body, "hello");
        EXPECT_EQ(server.counts().accepted, 1U);
        EXPECT_EQ(server.counts().requests, 2U);
    });
}

TEST_F(HttpServer, AnswersPipelinedRequestsInOrder) {
    with_server({}, [](Server&, std::uint16_t port) -> Task<void> {
        RawClient raw(port);
        co_await raw.send(
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
            "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
            "chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
            "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        std::string all = co_await raw.receive_all();
        auto one = all.find("\r\n\r\none");
        auto two = all.find("\r\n\r\ntwo");
        auto hello = all.find("\r\n\r\nhello");
        EXPECT_NE(one, std::string::npos);
        EXPECT_TRUE(one < two && two < hello && hello != std::string::npos) << all;
    });
}

TEST_F(HttpServer, StopsWritingWhenTheReaderStops) {
    handler.stream_bytes = 256U << 20;
    with_server({}, [this](Server&, std::uint16_t port) -> Task<void> {
        RawClient raw(port, 16 << 10);
        co_await raw.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
        std::string head = co_await raw.receive_until("\r\n\r\n");
        EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos);
        for (int i = 0; i < 20000; ++i) {
            co_await async::yield_now();
        }
        EXPECT_GT(handler.written, 0U);
        // What the kernel's socket buffers take, and no more.
        EXPECT_LT(handler.written, 64U << 20);
    });
}

TEST_F(HttpServer, CancelsTheHandlerWhenTheClientLeaves) {
    with_server({}, [this](Server&, std::uint16_t port) -> Task<void> {
        RawClient raw(port);
        co_await raw.send("GET /forever HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_TRUE(co_await handler.waiting.wait(soon()));
        EXPECT_FALSE(handler.unwound.is_set());
        raw.close();
        EXPECT_TRUE(co_await handler.unwound.wait(soon()));
    });
}

TEST_F(HttpServer, RefusesMalformedAndOversizedRequests) {
    ServerLimits limits;
    limits.header_bytes_max = 4096;
    limits.body_bytes_max = 1000;
    struct Case {
        std::string request;
        std::string status;
    };
    std::string long_field(5000, 'a');
    std::vector<Case> cases = {
        {"NONSENSE\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
        {"GET / HTTP/9.9\r\nHost: a\r\n\r\n", "400"},
        {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n",
         "400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: " + long_field + "\r\n\r\n", "431"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "413"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
             std::string(1001, 'b') + "\r\n0\r\n\r\n",
         "413"},
    };
    with_server(limits, [&cases](Server&, std::uint16_t port) -> Task<void> {
        for (const Case& c : cases) {
            RawClient raw(port);
            co_await raw.send(c.request);
            std::string head = co_await raw.receive_until("\r\n\r\n");
            EXPECT_EQ(head.substr(0, 13), "HTTP/1.1 " + c.status + " ") << c.request;
        }
    });
}

TEST_F(HttpServer, ClosesConnectionsThatDawdle) {
    ServerLimits limits;
    limits.request_timeout = milliseconds(30);
    limits.keep_alive_timeout = milliseconds(30);
    with_server(limits, [](Server&, std::uint16_t port) -> Task<void> {
        RawClient silent(port);
        RawClient slow(port);
        co_await slow.send("GET / HT");
        RawClient kept(port);
        co_await kept.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_EQ(co_await silent.receive_all(), "");
        EXPECT_EQ(co_await slow.receive_all(), "");
        std::string answer = co_await kept.receive_all();
        EXPECT_NE(answer.find("hello"), std::string::npos);
    });
}

TEST_F(HttpServer, PushesOutTheLongestIdleConnectionWhenFull) {
    ServerLimits limits;
    limits.connections_max = 3;
    limits.idle_connections_max = 3;
    with_server(limits, [this](Server& server, std::uint16_t port) -> Task<void> {
        RawClient busy(port);
        co_await busy.send("GET /forever HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_TRUE(co_await handler.waiting.wait(soon()));
        RawClient first(port);
        RawClient second(port);
        RawClient third(port);
        EXPECT_EQ(co_await first.receive_all(), "");
        co_await third.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        std::string answer = co_await third.receive_until("hello");
        EXPECT_EQ(server.counts().pushed_out, 1U);
        EXPECT_FALSE(handler.unwound.is_set());
        EXPECT_LE(server.counts().connections, 3U);
    });
}

TEST_F(HttpServer, RefusesWhenEveryConnectionIsBusy) {
    ServerLimits limits;
    limits.connections_max = 1;
    with_server(limits, [this](Server& server, std::uint16_t port) -> Task<void> {
        RawClient busy(port);
        co_await busy.send("GET /forever HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_TRUE(co_await handler.waiting.wait(soon()));
        RawClient other(port);
        EXPECT_EQ(co_await other.receive_all(), "");
        EXPECT_EQ(server.counts().refused, 1U);
    });
}

TEST_F(HttpServer, CutsTheConnectionOfAnIncompleteResponse) {
    with_server({}, [](Server&, std::uint16_t port) -> Task<void> {
        RawClient raw(port);
        co_await raw.send("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n");
        std::string all = co_await raw.receive_all();
        EXPECT_NE(all.find("half"), std::string::npos);
        EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos);
    });
}

TEST_F(HttpServer, AnswersForAHandlerThatDidNot) {
    with_server({}, [this](Server&, std::uint16_t port) -> Task<void> {
        Response response = co_await get(url(port, "/silent"));
        EXPECT_EQ(response.status, 500);
    });
}

TEST_F(HttpServer, ServesHeadAndHttp10) {
    with_server({}, [](Server&, std::uint16_t port) -> Task<void> {
        RawClient head(port);
        co_await head.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        std::string answer = co_await head.receive_all();
        EXPECT_NE(answer.find("Content-Length: 5"), std::string::npos);
        EXPECT_EQ(answer.find("hello"), std::string::npos);
        RawClient old(port);
        co_await old.send("GET /stream HTTP/1.0\r\n\r\n");
        std::string streamed = co_await old.receive_all();
        EXPECT_EQ(streamed.find("chunked"), std::string::npos);
        EXPECT_NE(streamed.find("Connection: close"), std::string::npos);
        auto body = streamed.substr(streamed.find("\r\n\r\n") + 4);
        EXPECT_EQ(body, std::string(1U << 20, 'x'));
    });
}

TEST_F(HttpServer, AsksForTheBodyOnlyWhenTheHandlerWantsIt) {
    with_server({}, [](Server&, std::uint16_t port) -> Task<void> {
        RawClient raw(port);
        co_await raw.send(
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        std::string interim = co_await raw.receive_until("\r\n\r\n");
        EXPECT_EQ(interim, "HTTP/1.1 100 Continue\r\n\r\n");
        co_await raw.send("ok");
        std::string answer = co_await raw.receive_until("\r\n\r\nok");
        RawClient unread(port);
        co_await unread.send(
            "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        std::string refused = co_await unread.receive_until("hello");
        EXPECT_EQ(refused.find("100 Continue"), std::string::npos);
    });
}

TEST_F(HttpServer, HandsOverTheConnectionWithWhatCameEarly) {
    with_server({}, [](Server&, std::uint16_t port) -> Task<void> {
        RawClient raw(port);
        co_await raw.send("GET /upgrade HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\n\r\nearly");
        std::string first = co_await raw.receive_until("early");
        EXPECT_EQ(first.substr(0, 12), "HTTP/1.1 101");
        co_await raw.send("later");
        EXPECT_EQ(co_await raw.receive_until("later"), "later");
    });
}

TEST_F(HttpServer, ServesItsOwnerOnAPrivateUnixSocket) {
    std::string path = ::testing::TempDir() + "skiff-http-" + std::to_string(::getpid()) + ".sock";
    Server server(reactor.executor(), clock, handler, ServerLimits());
    ASSERT_TRUE(server.listen_local(path));
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    auto body = [&]() -> Task<void> {
        Request request;
        request.url = "http://skiff/pods";
        request.unix_socket = path;
        auto response = co_await client.fetch(std::move(request));
        EXPECT_TRUE(response && response->body == "hello");
        EXPECT_EQ(handler.last.peer.kind, Peer::Kind::kLocal);
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
    EXPECT_NE(::stat(path.c_str(), &status), 0);
}

TEST_F(HttpServer, StopLetsARequestFinishWithinTheGracePeriod) {
    handler.stream_bytes = 8U << 20;
    Server server(reactor.executor(), clock, handler, ServerLimits());
    auto port = server.listen_plain("127.0.0.1", 0);
    auto stopping = [](Server& s, async::Event& done) -> Task<void> {
        co_await s.stop(seconds(20));
        done.set();
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(reactor.executor());
        async::Event stopped;
        RawClient idle(*port);
        RawClient raw(*port);
        co_await raw.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
        std::string got = co_await raw.receive_until("xxxx");
        scope.spawn("stop", stopping(server, stopped));
        EXPECT_EQ(co_await idle.receive_all(), "");
        got += co_await raw.receive_all();
        EXPECT_NE(got.find("\r\n0\r\n\r\n"), std::string::npos);
        EXPECT_TRUE(co_await stopped.wait(soon()));
        co_await scope.stop();
    };
    async::run_to_end(reactor, body());
}

}  // namespace
}  // namespace skiff::http
