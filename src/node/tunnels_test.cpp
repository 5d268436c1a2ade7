// Which servers get a tunnel, and how often one that offers none is asked. Tunnels over TLS with
// the real library at the other end: test/e2e/test_tunnel.py.
#include "node/tunnels.h"

#include <gtest/gtest.h>

#include <atomic>

#include "http/test_server.h"

namespace skiff::node {
namespace {

using async::Task;
using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;
using namespace std::chrono_literals;

TEST(TunnelServers, AreReadWithoutRepetition) {
    EXPECT_EQ(*parse_server_list(R"(["10.0.0.2:6443","10.0.0.1:6443","10.0.0.2:6443"])"),
              (std::vector<std::string>{"10.0.0.1:6443", "10.0.0.2:6443"}));
    std::string many = "[";
    for (int i = 0; i < 100; ++i) {
        many += fmt::format("{}\"10.0.0.{}:6443\"", i == 0 ? "" : ",", i);
    }
    EXPECT_EQ(parse_server_list(many + "]")->size(), kTunnelServersMax);
    for (const char* bad : {"", "{}", "[1]", "[\"a\"", "null"}) {
        EXPECT_EQ(parse_server_list(bad).error().code, Code::corrupt) << bad;
    }
}

TEST(TunnelServers, AreReachedAtThePortOfTheOneThatIsKnown) {
    const std::string known = "https://rke2.example:9345/v1-rke2/connect";
    EXPECT_EQ(*endpoint_at(known, "10.0.0.1:6443"), "https://10.0.0.1:9345/v1-rke2/connect");
    EXPECT_EQ(*endpoint_at(known, "[fd00::1]:6443"), "https://[fd00::1]:9345/v1-rke2/connect");
    EXPECT_FALSE(endpoint_at(known, "a b"));
}

class TunnelsTest : public ::testing::Test {
protected:
    // Until the server was asked `times` times.
    void run_until_asked(int times) {
        async::Event enough;
        asked_enough_ = [&, times] {
            if (asked_ >= times) {
                reactor_.post([&enough] { enough.set(); });
            }
        };
        Tunnels tunnels(reactor_.executor(), [this] { return identity_; }, random_, settings_);
        auto body = [&]() -> Task<void> {
            tunnels.start();
            EXPECT_TRUE(co_await enough.wait(after(20s)));
            // Whoever would ask again at once has done so by then.
            for (int i = 0; i < 100; ++i) {
                co_await async::yield_now();
            }
            EXPECT_TRUE(tunnels.open().empty());
            co_await tunnels.stop();
        };
        async::run_to_end(reactor_, body());
    }

    async::Reactor reactor_;
    SeededRandom random_{5};
    TunnelSettings settings_;
    kube::ClientConfig identity_;
    std::atomic<int> status_ = 404;
    std::atomic<int> asked_ = 0;
    std::function<void()> asked_enough_;
    std::string target_;
    TestServer server_{[this](const TestRequest& request) {
        target_ = request.target;
        ++asked_;
        asked_enough_();
        TestResponse response;
        response.status = status_;
        return response;
    }};
};

TEST_F(TunnelsTest, AServerThatOffersNoneIsAskedOnce) {
    identity_.server = server_.url("");
    identity_.proxy = "";
    settings_.pace.retry_first = 0ms;
    for (int status : {404, 403, 401, 200, 400}) {
        status_ = status;
        asked_ = 0;
        run_until_asked(1);
        EXPECT_EQ(asked_, 1) << status;
        EXPECT_EQ(target_, "/v1-k3s/connect");
    }
}

TEST_F(TunnelsTest, AServerThatCannotNowIsAskedAgain) {
    identity_.server = server_.url("");
    identity_.proxy = "";
    settings_.pace.retry_first = 0ms;
    status_ = 503;
    run_until_asked(3);
}

TEST_F(TunnelsTest, OneThatMustHaveItIsAskedAgainWhateverItSays) {
    settings_.endpoint = server_.url("/v1-rke2/connect");
    settings_.expected = TunnelSettings::Expected::surely;
    settings_.pace.retry_first = 0ms;
    identity_.proxy = "";
    run_until_asked(3);
    EXPECT_EQ(target_, "/v1-rke2/connect");
}

TEST_F(TunnelsTest, NobodyIsAskedWhenItIsOff) {
    identity_.server = server_.url("");
    settings_.expected = TunnelSettings::Expected::never;
    Tunnels tunnels(reactor_.executor(), [this] { return identity_; }, random_, settings_);
    auto body = [&]() -> Task<void> {
        tunnels.start();
        for (int i = 0; i < 100; ++i) {
            co_await async::yield_now();
        }
        co_await tunnels.stop();
    };
    async::run_to_end(reactor_, body());
    EXPECT_EQ(server_.connections(), 0);
}

}  // namespace
}  // namespace skiff::node
