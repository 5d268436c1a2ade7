#include "http/client.h"

#include <gtest/gtest.h>

#include "async/scope.h"
#include "http/test_server.h"

namespace skiff::http {
namespace {

using async::Task;
using testing::TestRequest;
using testing::TestResponse;
using testing::TestServer;

class ClientTest : public ::testing::Test {
protected:
    Result<Response> fetch(Request request) {
        return async::run_to_end(reactor_, client_.fetch(std::move(request)));
    }
    static Request get(std::string url) {
        Request request;
        request.url = std::move(url);
        request.proxy = "";
        return request;
    }

    async::Reactor reactor_;
    Client client_{reactor_.executor(), "skiff-test"};
};

TEST(Headers, CompareNamesWithoutCase) {
    Headers headers;
    headers.add("Content-Type", "a");
    headers.add("content-type", "b");
    EXPECT_EQ(headers.find("CONTENT-TYPE"), "a");
    EXPECT_EQ(headers.find_all("Content-type").size(), 2U);
    headers.set("CONTENT-type", "c");
    EXPECT_EQ(headers.size(), 1U);
    EXPECT_EQ(headers.find("x"), std::nullopt);
}

TEST(Url, ParsesAndFormats) {
    auto url = parse_url("https://Example.org/v2/a%20b?x=1#frag");
    ASSERT_TRUE(url);
    EXPECT_EQ(url->origin(), "https://example.org:443");
    EXPECT_EQ(url->str(), "https://example.org/v2/a%20b?x=1");
    EXPECT_EQ(parse_url("http://[::1]:5000/")->authority(), "[::1]:5000");
    url->add_query("scope", "repository:a/b:pull");
    EXPECT_EQ(url->query, "x=1&scope=repository%3Aa%2Fb%3Apull");
}

TEST(Url, RefusesWhatCouldMislead) {
    for (const char* text : {"ftp://a/", "http://u:p@a/", "http://", "//a/b", "http://a/\r\nX: y",
                             "file:///etc/passwd", "http://a:99999/", ""}) {
        EXPECT_FALSE(parse_url(text)) << text;
    }
}

TEST(Url, ResolvesRedirects) {
    auto base = *parse_url("https://a.example/v2/x/blobs/1?q");
    EXPECT_EQ(resolve_url(base, "/y?z")->str(), "https://a.example/y?z");
    EXPECT_EQ(resolve_url(base, "2")->str(), "https://a.example/v2/x/blobs/2");
    EXPECT_EQ(resolve_url(base, "http://b/c")->str(), "http://b/c");
    EXPECT_FALSE(resolve_url(base, "gopher://b/"));
}

TEST_F(ClientTest, SendsMethodHeadersAndBodyAndReturnsTheResponse) {
    TestRequest seen;
    TestServer server([&](const TestRequest& request) {
        seen = request;
        TestResponse response;
        response.status = 201;
        response.headers.add("X-Answer", "yes");
        response.body = "made";
        return response;
    });
    Request request = get(server.url("/things?dry=1"));
    request.method = "PATCH";
    request.headers.add("Content-Type", "application/json");
    request.body = "{}";
    auto response = fetch(std::move(request));
    ASSERT_TRUE(response) << format_as(response.error());
    EXPECT_EQ(response->status, 201);
    EXPECT_EQ(response->body, "made");
    EXPECT_EQ(response->headers.find("x-answer"), "yes");
    EXPECT_EQ(seen.method, "PATCH");
    EXPECT_EQ(seen.target, "/things?dry=1");
    EXPECT_EQ(seen.body, "{}");
    EXPECT_EQ(seen.headers.find("user-agent"), "skiff-test");
    EXPECT_EQ(seen.headers.find("expect"), std::nullopt);
}

TEST_F(ClientTest, ReusesConnectionsUntilReset) {
    TestServer server([](const TestRequest&) { return TestResponse{}; });
    ASSERT_TRUE(fetch(get(server.url("/"))));
    ASSERT_TRUE(fetch(get(server.url("/"))));
    EXPECT_EQ(server.connections(), 1);
    client_.reset_connections();
    ASSERT_TRUE(fetch(get(server.url("/"))));
    EXPECT_EQ(server.connections(), 2);
}

TEST_F(ClientTest, AConnectionOfItsOwnIsNeitherTakenNorLeft) {
    TestServer server([](const TestRequest&) { return TestResponse{}; });
    ASSERT_TRUE(fetch(get(server.url("/"))));
    Request request = get(server.url("/"));
    request.connection = Connection::kOwn;
    ASSERT_TRUE(fetch(request));
    ASSERT_TRUE(fetch(std::move(request)));
    EXPECT_EQ(server.connections(), 3);
    ASSERT_TRUE(fetch(get(server.url("/"))));
    EXPECT_EQ(server.connections(), 3) << "the first one is still there";
}

TEST_F(ClientTest, FieldsThatAreNotWantedAreNotSent) {
    TestRequest seen;
    TestServer server([&](const TestRequest& request) {
        seen = request;
        return TestResponse{};
    });
    Request request = get(server.url("/"));
    request.omitted = {"Accept", "User-Agent"};
    ASSERT_TRUE(fetch(std::move(request)));
    EXPECT_EQ(seen.headers.find("Accept"), std::nullopt);
    EXPECT_EQ(seen.headers.find("User-Agent"), std::nullopt);
}

TEST_F(ClientTest, ConnectsWithoutSendingAnything) {
    bool asked = false;
    std::string url;
    {
        TestServer server([&](const TestRequest&) {
            asked = true;
            return TestResponse{};
        });
        url = server.url("");
        auto connected =
            async::run_to_end(reactor_, client_.connect(url, std::chrono::seconds(10)));
        EXPECT_TRUE(connected) << format_as(connected.error());
    }
    EXPECT_FALSE(asked);
    auto refused = async::run_to_end(reactor_, client_.connect(url, std::chrono::seconds(10)));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::unavailable);
    EXPECT_TRUE(refused.error().message.ends_with("Connection refused")) << refused.error().message;
}

TEST_F(ClientTest, StreamsALongBodyThroughASmallWindow) {
    std::string body;
    for (int i = 0; body.size() < 8U << 20; ++i) {
        body += std::to_string(i) + ",";
    }
    TestServer server([&](const TestRequest&) {
        TestResponse response;
        response.body = body;
        return response;
    });
    auto read = [&]() -> Task<Result<std::string>> {
        Request request = get(server.url("/"));
        request.window_bytes = 100'000;
        SKIFF_CO_TRY(auto stream, co_await client_.open(std::move(request)));
        EXPECT_EQ(stream->content_length(), body.size());
        std::string whole;
        while (true) {
            co_await async::yield_now();
            SKIFF_CO_TRY(auto chunk, co_await stream->next_chunk());
            if (!chunk) {
                co_return whole;
            }
            // One piece of curl's may be longer than the window when nothing is buffered.
            EXPECT_LE(chunk->size(), 600'000U);
            whole += *chunk;
        }
    };
    auto whole = async::run_to_end(reactor_, read());
    ASSERT_TRUE(whole) << format_as(whole.error());
    EXPECT_TRUE(*whole == body);
}

TEST_F(ClientTest, BoundsTheBody) {
    TestServer server([](const TestRequest&) {
        TestResponse response;
        response.body = std::string(2000, 'x');
        return response;
    });
    Request request = get(server.url("/"));
    request.body_bytes_max = 1999;
    EXPECT_EQ(fetch(std::move(request)).error().code, Code::exhausted);
}

TEST_F(ClientTest, ReportsABodyThatEndsEarly) {
    TestServer server([](const TestRequest&) {
        TestResponse response;
        response.body = std::string(2000, 'x');
        response.cut_after = 500;
        return response;
    });
    EXPECT_EQ(fetch(get(server.url("/"))).error().code, Code::unavailable);
}

TEST_F(ClientTest, GivesUpOnASilentServer) {
    TestServer server([](const TestRequest&) {
        TestResponse response;
        response.body = std::string(2000, 'x');
        response.hang_after = 500;
        return response;
    });
    Request request = get(server.url("/"));
    request.timeouts.idle = std::chrono::milliseconds(50);
    EXPECT_EQ(fetch(std::move(request)).error().code, Code::timeout);
    Request total = get(server.url("/"));
    total.timeouts.total = std::chrono::milliseconds(50);
    EXPECT_EQ(fetch(std::move(total)).error().code, Code::timeout);
}

TEST_F(ClientTest, SaysWhenNobodyListens) {
    std::string url;
    {
        TestServer server([](const TestRequest&) { return TestResponse{}; });
        url = server.url("/");
    }
    EXPECT_EQ(fetch(get(url)).error().code, Code::unavailable);
}

TEST_F(ClientTest, FollowsRedirectsWithoutLeakingCredentials) {
    TestRequest seen;
    TestServer other([&](const TestRequest& request) {
        seen = request;
        TestResponse response;
        response.body = "here";
        return response;
    });
    TestServer first([&](const TestRequest&) {
        TestResponse response;
        response.status = 307;
        response.headers.add("Location", other.url("/blob"));
        return response;
    });
    Request request = get(first.url("/"));
    request.headers.add("Authorization", "Bearer secret");
    request.headers.add("Accept", "a/b");
    Request plain = request;
    EXPECT_EQ(fetch(std::move(plain))->status, 307);
    request.redirects_max = 1;
    auto response = fetch(std::move(request));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, "here");
    EXPECT_EQ(response->url, other.url("/blob"));
    EXPECT_EQ(seen.headers.find("Authorization"), std::nullopt);
    EXPECT_EQ(seen.headers.find("Accept"), "a/b");
}

TEST_F(ClientTest, StopsARedirectLoop) {
    TestServer server([](const TestRequest&) {
        TestResponse response;
        response.status = 302;
        response.headers.add("Location", "/again");
        return response;
    });
    Request request = get(server.url("/"));
    request.redirects_max = 5;
    EXPECT_EQ(fetch(std::move(request)).error().code, Code::denied);
}

TEST_F(ClientTest, RefusesLineBreaksInHeaders) {
    Request request = get("http://127.0.0.1:1/");
    request.headers.add("X", "a\r\nY: b");
    EXPECT_EQ(fetch(std::move(request)).error().code, Code::invalid);
}

TEST_F(ClientTest, AbortsWhenItsScopeStops) {
    TestServer server([](const TestRequest&) {
        TestResponse response;
        response.body = "x";
        response.hang_after = 0;
        return response;
    });
    async::Event head;
    std::optional<Code> ended;
    auto reader = [&]() -> Task<void> {
        auto stream = co_await client_.open(get(server.url("/")));
        EXPECT_TRUE(stream);
        head.set();
        auto chunk = co_await (*stream)->next_chunk();
        ended = chunk.error().code;
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(co_await async::current_executor());
        scope.spawn("reader", reader());
        EXPECT_TRUE(co_await head.wait());
        co_await scope.stop();
    };
    async::run_to_end(reactor_, body());
    EXPECT_EQ(ended, Code::cancelled);
}

TEST_F(ClientTest, RunsTransfersSideBySide) {
    TestServer server([](const TestRequest& request) {
        TestResponse response;
        response.body = request.target;
        return response;
    });
    int done = 0;
    auto one = [&](std::string target) -> Task<void> {
        auto response = co_await client_.fetch(get(server.url(target)));
        EXPECT_TRUE(response && response->body == target);
        ++done;
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(co_await async::current_executor());
        for (int i = 0; i < 50; ++i) {
            scope.spawn("one", one("/" + std::to_string(i)));
        }
        EXPECT_TRUE(co_await scope.join());
    };
    async::run_to_end(reactor_, body());
    EXPECT_EQ(done, 50);
}

}  // namespace
}  // namespace skiff::http
