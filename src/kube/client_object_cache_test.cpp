// The cache of single objects, against a scripted server that counts what it is asked for.
#include "kube/client_object_cache.h"

#include <gtest/gtest.h>

#include "http/test_server.h"

namespace skiff::kube {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;

bool is_watch(const TestRequest& request) {
    return request.target.find("watch=true") != std::string::npos;
}

std::string config_map(std::string_view version, std::string_view value, std::string_view rest) {
    return fmt::format(R"({{"metadata":{{"namespace":"ns","name":"n","uid":"u",)"
                       R"("resourceVersion":"{}"}},"data":{{"key":"{}"}}{}}})",
                       version, value, rest);
}

TestResponse list_of(std::string_view version, std::string_view items) {
    TestResponse response;
    response.body =
        fmt::format(R"({{"metadata":{{"resourceVersion":"{}"}},"items":[{}]}})", version, items);
    return response;
}

// Sends `events` and then keeps the watch open.
TestResponse open_watch(std::string events) {
    TestResponse response;
    response.body = std::move(events);
    response.hang_after = response.body.size();
    response.body += " ";
    return response;
}

class ObjectCacheTest : public ::testing::Test {
protected:
    void serve(TestServer::Handler handler) {
        server = std::make_unique<TestServer>(std::move(handler));
        ClientConfig config;
        config.server = "http://" + server->authority();
        config.proxy = "";
        config.token = "secret";
        client.emplace(reactor.executor(), clock, config);
        cache.emplace(reactor.executor(), *client, clock, random);
        cache->set_observer([this](const std::string& holder) {
            told.push_back(holder);
            changed.set();
        });
    }
    void TearDown() override { async::run_to_end(reactor, cache->stop()); }
    Result<std::string> read(std::string holder) {
        auto deadline = clock.steady_now() + std::chrono::seconds(10);
        auto got = async::run_to_end(
            reactor, async::with_deadline(cache->get("ns", "n", std::move(holder)), deadline, "x"));
        if (!got) {
            return fail(std::move(got.error()));
        }
        return (*got)->data.at("key");
    }
    void wait_for_change() {
        auto wait = [](async::Event* event, SteadyTime until) -> async::Task<Result<void>> {
            co_return co_await event->wait(until);
        };
        auto until = clock.steady_now() + std::chrono::seconds(10);
        ASSERT_TRUE(async::run_to_end(reactor, wait(&changed, until)));
    }

    SystemClock clock;
    SeededRandom random{1};
    std::unique_ptr<TestServer> server;
    async::Reactor reactor;
    std::optional<ApiClient> client;
    std::optional<ObjectCache<ConfigMap>> cache;
    std::vector<std::string> told;
    async::Event changed;
};

TEST_F(ObjectCacheTest, TellsEveryHolderOfAChangeAndNobodyOfTheFirstRead) {
    std::atomic<int> watches = 0;
    serve([&](const TestRequest& request) {
        if (!is_watch(request)) {
            return list_of("5", config_map("5", "old", ""));
        }
        // The change comes with the second watch, which the end of the first one asks for.
        std::string line = R"({"type":"MODIFIED","object":)" + config_map("6", "new", "") + "}\n";
        return watches++ == 0 ? TestResponse() : open_watch(line);
    });
    EXPECT_EQ(read("a").value_or("?"), "old");
    EXPECT_EQ(read("b").value_or("?"), "old");
    wait_for_change();
    EXPECT_EQ(told, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(read("a").value_or("?"), "new");
}

TEST_F(ObjectCacheTest, TellsWhenAMissingObjectAppears) {
    std::atomic<int> watches = 0;
    serve([&](const TestRequest& request) {
        if (!is_watch(request)) {
            return list_of("5", "");
        }
        std::string line = R"({"type":"ADDED","object":)" + config_map("6", "late", "") + "}\n";
        return watches++ == 0 ? TestResponse() : open_watch(line);
    });
    auto missing = read("a");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Code::not_found);
    wait_for_change();
    EXPECT_EQ(read("a").value_or("?"), "late");
}

TEST_F(ObjectCacheTest, WatchesAnImmutableObjectNoLongerOnceItWasRead) {
    std::atomic<int> lists = 0;
    serve([&](const TestRequest& request) {
        if (is_watch(request)) {
            return open_watch("");
        }
        // Deleted and made anew between the first and the second reading.
        return list_of("5",
                       config_map("5", lists++ == 0 ? "first" : "second", R"(,"immutable":true)"));
    });
    EXPECT_EQ(read("a").value_or("?"), "first");
    EXPECT_EQ(cache->watched(), 0U);
    EXPECT_EQ(read("a").value_or("?"), "first");
    EXPECT_EQ(lists, 1);
    // A pod that comes later gets what is there then.
    EXPECT_EQ(read("b").value_or("?"), "second");
    EXPECT_EQ(read("a").value_or("?"), "second");
    EXPECT_EQ(lists, 2);
    EXPECT_EQ(cache->watched(), 0U);
    EXPECT_EQ(cache->size(), 1U);
    cache->release("a");
    cache->release("b");
    EXPECT_EQ(cache->size(), 0U);
}

}  // namespace
}  // namespace skiff::kube
