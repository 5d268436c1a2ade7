// Who a request says it is, and which of several servers it goes to.
#include "kube/client_credentials.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "async/both.h"
#include "async/scope.h"
#include "base/random.h"
#include "http/test_server.h"
#include "kube/client_api.h"
#include "kube/client_reflector.h"

namespace skiff::kube {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;

TestResponse answer(int status, std::string body = "{}") {
    TestResponse response;
    response.status = status;
    response.body = std::move(body);
    return response;
}

std::string token_of(const TestRequest& request) {
    auto field = request.headers.find("Authorization");
    return field ? std::string(*field) : std::string();
}

ClientConfig config_of(const TestServer& server) {
    ClientConfig config;
    config.server = "http://" + server.authority();
    config.proxy = "";
    return config;
}

class Credentials : public testing::Test {
protected:
    // Runs the task to its end, at most ten seconds.
    template <typename T>
    Result<T> run(async::Task<Result<T>> task) {
        SystemClock system;
        auto deadline = system.steady_now() + std::chrono::seconds(10);
        return async::run_to_end(reactor_, async::with_deadline(std::move(task), deadline, "test"));
    }
    // "" or what is wrong.
    std::string ask(ApiClient& client) {
        ApiRequest request;
        request.path = "/x";
        auto body = run(client.call(std::move(request)));
        return body ? std::string() : body.error().message;
    }
    // A plugin that answers `status` with the number of its run in place of #.
    PluginRunner plugin(std::string status) {
        return [this, status](ExecPlugin its,
                              std::string info) -> async::Task<Result<std::string>> {
            EXPECT_NE(info.find("ExecCredential"), std::string::npos);
            std::string text = status;
            text.replace(text.find('#'), 1, fmt::format("{}", ++runs_));
            if (fails_) {
                co_return fail(Code::internal, "exit code 1: no network");
            }
            co_return fmt::format(R"({{"kind":"ExecCredential","apiVersion":"{}","status":{}}})",
                                  its.api_version, text);
        };
    }
    ClientConfig with_plugin(const TestServer& server, std::string status) {
        ClientConfig config = config_of(server);
        ExecPlugin its;
        its.api_version = kExecApiVersions[0];
        its.command = "get-token";
        config.exec = its;
        config.run_plugin = plugin(std::move(status));
        return config;
    }

    async::Reactor reactor_;
    ManualClock clock_{*parse_rfc3339("2026-01-01T00:00:00Z")};
    int runs_ = 0;
    bool fails_ = false;
};

TEST_F(Credentials, APluginRunsOnceUntilItsTokenExpires) {
    std::vector<std::string> seen;
    TestServer server([&](const TestRequest& request) {
        seen.push_back(token_of(request));
        return answer(200);
    });
    ApiClient client(
        reactor_.executor(), clock_,
        with_plugin(server, R"({"token":"t#","expirationTimestamp":"2026-01-01T01:00:00Z"})"));
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(ask(client), "");
    clock_.advance(std::chrono::hours(1));
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(seen, (std::vector<std::string>{"Bearer t1", "Bearer t1", "Bearer t2"}));
}

TEST_F(Credentials, ARefusedTokenIsRenewedAndTheRequestMadeAgain) {
    TestServer server([&](const TestRequest& request) {
        return answer(token_of(request) == "Bearer t2" ? 200 : 401);
    });
    ApiClient client(reactor_.executor(), clock_, with_plugin(server, R"({"token":"t#"})"));
    clock_.advance(std::chrono::hours(1));
    EXPECT_NE(ask(client), "") << "the plugin has only just given it";
    EXPECT_EQ(runs_, 1);
    clock_.advance(std::chrono::seconds(6));
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(runs_, 2);
}

TEST_F(Credentials, APluginThatFailsIsNotRunForEveryRequest) {
    TestServer server([](const TestRequest&) { return answer(200); });
    ApiClient client(reactor_.executor(), clock_, with_plugin(server, R"({"token":"t#"})"));
    fails_ = true;
    std::string problem = ask(client);
    EXPECT_NE(problem.find("credential plugin get-token"), std::string::npos) << problem;
    EXPECT_NE(problem.find("no network"), std::string::npos) << problem;
    EXPECT_EQ(ask(client), problem);
    EXPECT_EQ(runs_, 1);
    fails_ = false;
    clock_.advance(std::chrono::seconds(6));
    EXPECT_EQ(ask(client), "");
}

TEST_F(Credentials, AnotherCertificateOfAPluginTakesNewConnections) {
    TestServer server([](const TestRequest&) { return answer(200); });
    ApiClient client(reactor_.executor(), clock_,
                     with_plugin(server, R"({"clientCertificateData":"c#","clientKeyData":"k",)"
                                         R"("expirationTimestamp":"2026-01-01T01:00:00Z"})"));
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(client.renewals(), 0u);
    clock_.advance(std::chrono::hours(1));
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(client.renewals(), 1u);
}

TEST_F(Credentials, ATokenFileIsReadAgainAfterAMinuteAndAfterA401) {
    SystemRandom random;
    auto file = std::filesystem::temp_directory_path() / ("skiff-token-" + random.hex(6));
    auto write = [&](const char* token) { std::ofstream(file) << token << "\n"; };
    std::string good = "Bearer a";
    std::string last;
    TestServer server([&](const TestRequest& request) {
        last = token_of(request);
        return answer(last == good ? 200 : 401);
    });
    write("a");
    ClientConfig config = config_of(server);
    config.token_file = file;
    ApiClient client(reactor_.executor(), clock_, config);
    EXPECT_EQ(ask(client), "");
    write("b");
    EXPECT_EQ(ask(client), "") << "it need not be read yet";
    good = "Bearer b";
    EXPECT_EQ(ask(client), "") << "read after the 401, and asked again";
    write("c");
    clock_.advance(std::chrono::seconds(61));
    good = "Bearer c";
    EXPECT_EQ(ask(client), "");
    std::filesystem::remove(file);
    clock_.advance(std::chrono::seconds(61));
    EXPECT_EQ(ask(client), "") << "the last one is kept";
    EXPECT_EQ(last, "Bearer c");
}

TEST_F(Credentials, AnotherServerTakesOverWhenTheFirstIsGone) {
    int second_asked = 0;
    TestServer second([&](const TestRequest& request) {
        second_asked += request.target == "/x" ? 1 : 0;
        return answer(200, "ok");
    });
    TestServer unready([](const TestRequest&) { return answer(500); });
    auto first = std::make_unique<TestServer>([](const TestRequest&) { return answer(200); });
    ClientConfig config = config_of(*first);
    config.other_servers = {"http://" + unready.authority(), "http://" + second.authority()};
    ApiClient client(reactor_.executor(), clock_, config);
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(second_asked, 0);
    first.reset();
    EXPECT_EQ(ask(client), "") << "the same request, at the other server";
    EXPECT_EQ(client.config().server, "http://" + second.authority());
    EXPECT_EQ(client.config().other_servers.back(), config.server);
    EXPECT_EQ(second_asked, 1);
}

TEST_F(Credentials, AServerThatSaysUnavailableIsLeftOnlyIfItIsNotReady) {
    bool ready = true;
    TestServer first([&](const TestRequest& request) {
        return answer(request.target == "/readyz" && ready ? 200 : 503);
    });
    TestServer second([](const TestRequest&) { return answer(200); });
    ClientConfig config = config_of(first);
    config.other_servers = {"http://" + second.authority()};
    ApiClient client(reactor_.executor(), clock_, config);
    EXPECT_NE(ask(client), "") << "one API of it is down, it is not";
    EXPECT_EQ(client.config().server, config.server);
    ready = false;
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(client.config().server, "http://" + second.authority());
}

TEST_F(Credentials, WithEveryServerDownTheyAreNotAskedAllTheTime) {
    int asked = 0;
    TestServer first([&](const TestRequest& request) {
        asked += request.target == "/readyz" ? 1 : 0;
        return answer(503);
    });
    ClientConfig config = config_of(first);
    config.other_servers = {config.server + "/other"};
    ApiClient client(reactor_.executor(), clock_, config);
    EXPECT_NE(ask(client), "");
    EXPECT_NE(ask(client), "");
    EXPECT_EQ(asked, 1);
    clock_.advance(kFailOverPause);
    EXPECT_NE(ask(client), "");
    EXPECT_EQ(asked, 2);
}

TEST_F(Credentials, AServerThatNeverKnowsUsIsNoticed) {
    int status = 401;
    TestServer server([&](const TestRequest&) { return answer(status); });
    ApiClient client(reactor_.executor(), clock_, config_of(server));
    EXPECT_FALSE(client.refused_since());
    auto begun = clock_.steady_now();
    EXPECT_NE(ask(client), "");
    clock_.advance(std::chrono::seconds(9));
    EXPECT_NE(ask(client), "");
    EXPECT_EQ(client.refused_since(), begun);
    status = 403;
    EXPECT_NE(ask(client), "");
    EXPECT_FALSE(client.refused_since()) << "it knows us, and refuses this";
}

TEST_F(Credentials, ARequestInProgressEndsOnItsOldConnection) {
    std::mutex mutex;
    std::condition_variable wake;
    bool asked = false;
    bool renewed = false;
    TestServer server([&](const TestRequest& request) {
        std::unique_lock lock(mutex);
        if (request.target == "/slow") {
            asked = true;
            wake.notify_all();
            wake.wait_for(lock, std::chrono::seconds(10), [&] { return renewed; });
        }
        return answer(200);
    });
    ApiClient client(reactor_.executor(), clock_, config_of(server));
    auto slow = [&]() -> async::Task<Result<std::string>> {
        ApiRequest request;
        request.path = "/slow";
        co_return co_await client.call(std::move(request));
    };
    auto renew = [&]() -> async::Task<Result<void>> {
        for (bool seen = false; !seen;) {
            co_await async::yield_now();
            std::lock_guard lock(mutex);
            seen = asked;
        }
        client.set_config(config_of(server));
        std::lock_guard lock(mutex);
        renewed = true;
        wake.notify_all();
        co_return Result<void>();
    };
    auto body = [&]() -> async::Task<Result<std::string>> {
        auto both = async::both(slow(), renew());
        auto [answered, done] = co_await std::move(both);
        EXPECT_TRUE(done);
        co_return std::move(answered);
    };
    EXPECT_TRUE(run(body()));
    EXPECT_EQ(server.connections(), 1);
    EXPECT_EQ(ask(client), "");
    EXPECT_EQ(server.connections(), 2);
}

TEST_F(Credentials, ANewIdentityReopensWatchesWithoutALoss) {
    std::atomic<int> lists = 0;
    std::vector<std::string> watches;
    TestServer server([&](const TestRequest& request) {
        if (request.target.find("watch=true") == std::string::npos) {
            ++lists;
            return answer(200, R"({"metadata":{"resourceVersion":"7"},"items":[]})");
        }
        watches.push_back(token_of(request));
        std::string name = watches.size() == 1 ? "a" : "b";
        TestResponse response =
            answer(200, fmt::format(R"({{"type":"ADDED","object":{{"metadata":{{"namespace":"ns",)"
                                    R"("name":"{}","uid":"{}","resourceVersion":"8"}}}}}})"
                                    "\n",
                                    name, name));
        response.hang_after = response.body.size();
        response.body += " ";
        return response;
    });
    ClientConfig config = config_of(server);
    config.token = "old";
    SystemClock system;
    ApiClient client(reactor_.executor(), system, config);
    config.token = "new";
    SeededRandom random(1);
    async::Event enough;
    std::vector<std::string> names;
    const ReflectorBase* running = nullptr;
    Reflector<ConfigMap> reflector(client, system, random, Selection{"ns", {}, {}},
                                   [&](const Change<ConfigMap>& change) {
                                       names.push_back(change.object->metadata.name);
                                       EXPECT_FALSE(running->last_error());
                                       if (names.size() == 1) {
                                           client.set_config(config);
                                       } else {
                                           enough.set();
                                       }
                                   });
    running = &reflector;
    auto body = [](Reflector<ConfigMap>* subject, async::Event* end) -> async::Task<Result<void>> {
        auto executor = co_await async::current_executor();
        async::Scope scope(executor);
        scope.spawn("reflector", subject->run());
        auto waited = co_await end->wait();
        co_await scope.stop();
        co_return waited;
    };
    ASSERT_TRUE(run(body(&reflector, &enough)));
    EXPECT_EQ(lists, 1);
    EXPECT_EQ(watches, (std::vector<std::string>{"Bearer old", "Bearer new"}));
    EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace skiff::kube
