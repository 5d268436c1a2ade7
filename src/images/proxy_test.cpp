// Pulls through a proxy, as `skiff node` finds it in its environment.
#include <gtest/gtest.h>

#include <cstdlib>

#include "images/test_registry.h"

namespace skiff::images {
namespace {

using namespace testing;

class Proxy : public ::testing::Test {
protected:
    Proxy() {
        for (const char* name : kVariables) {
            ::unsetenv(name);
        }
        node_.push_artifact(fake_.authority(), "app", "v1", module_);
        fake_.forget_log();
    }
    ~Proxy() override {
        for (const char* name : kVariables) {
            ::unsetenv(name);
        }
    }
    Result<PullOutcome> pull(const std::string& host, RegistryHost::Scheme scheme) {
        RegistrySettings settings;
        RegistryHost one;
        one.host = host;
        one.scheme = scheme;
        settings.hosts.push_back(one);
        Node node(std::move(settings), Node::Proxies::of_environment);
        return node.pull(host + "/app:v1");
    }

    static constexpr std::array kVariables = {"http_proxy", "https_proxy", "HTTPS_PROXY",
                                              "all_proxy",  "ALL_PROXY",   "no_proxy",
                                              "NO_PROXY"};
    // A registry that answers as a proxy too.
    FakeRegistry fake_;
    Node node_;
    std::string module_ = module_bytes(100'000);
};

TEST_F(Proxy, APlainRegistryIsReachedThroughTheProxyOfTheEnvironment) {
    ::setenv("http_proxy", ("http://" + fake_.authority()).c_str(), 1);
    // A name that only the proxy knows.
    auto outcome = pull("upstream.invalid:5000", RegistryHost::Scheme::http);
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    for (const TestRequest& request : fake_.log()) {
        EXPECT_TRUE(request.target.starts_with("http://upstream.invalid:5000/v2/app/"))
            << request.target;
    }
    EXPECT_GE(fake_.log().size(), 3U);
}

TEST_F(Proxy, ARegistryWithTlsIsReachedByATunnel) {
    std::vector<std::string> asked;
    http::testing::TestServer tunnel([&](const TestRequest& request) {
        asked.push_back(request.method + " " + request.target);
        TestResponse response;
        response.status = 403;
        return response;
    });
    ::setenv("https_proxy", ("http://" + tunnel.authority()).c_str(), 1);
    auto outcome = pull("upstream.invalid", RegistryHost::Scheme::https);
    ASSERT_FALSE(outcome);
    EXPECT_NE(outcome.error().message.find("403"), std::string::npos) << outcome.error().message;
    ASSERT_FALSE(asked.empty());
    EXPECT_EQ(asked.front(), "CONNECT upstream.invalid:443");
}

TEST_F(Proxy, HostsInNoProxyAreReachedDirectly) {
    ::setenv("http_proxy", "http://127.0.0.1:1", 1);
    EXPECT_FALSE(pull(fake_.authority(), RegistryHost::Scheme::http));
    ::setenv("no_proxy", "example.com,127.0.0.1", 1);
    auto outcome = pull(fake_.authority(), RegistryHost::Scheme::http);
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_TRUE(fake_.log().front().target.starts_with("/v2/app/"));
}

}  // namespace
}  // namespace skiff::images
