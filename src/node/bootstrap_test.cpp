// Getting an identity from an API server that is away, refuses, or does not know the token.
#include "node/bootstrap.h"

#include <gtest/gtest.h>

#include <fstream>

#include "async/scope.h"
#include "base/random.h"
#include "http/test_server.h"
#include "os/file.h"

namespace skiff::node {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;
namespace fs = std::filesystem;

class Bootstrap : public testing::Test {
protected:
    Bootstrap() {
        folder_ = fs::temp_directory_path() / ("skiff-bootstrap-" + random_.hex(6));
        fs::create_directory(folder_);
        settings_.name = "n1";
        settings_.ips = {"10.0.0.1"};
        settings_.cert_dir = folder_ / "pki";
        settings_.kubeconfig = folder_ / "kubeconfig";
        settings_.bootstrap_kubeconfig = folder_ / "bootstrap-kubeconfig";
        pace_.first = std::chrono::milliseconds(1);
        pace_.longest = std::chrono::milliseconds(2);
    }
    ~Bootstrap() override { (void)os::remove_tree(folder_); }

    void write_bootstrap() {
        std::ofstream(settings_.bootstrap_kubeconfig)
            << "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: "
               "{server: \""
            << server_.url("") << "\", proxy-url: \"\"}\nusers:\n- name: u\n  user: {token: "
            << "abcdef.0123456789abcdef}\ncontexts:\n- name: c\n  context: {cluster: c, user: u}\n";
        fs::permissions(settings_.bootstrap_kubeconfig, fs::perms::owner_read);
    }
    Result<kube::ClientConfig> identity() {
        return async::run_to_end(reactor_, ensure_identity(settings_, clock_, pace_));
    }

    // Refuses every certificate request: the end that a test can see.
    TestResponse answer(const TestRequest& request) {
        TestResponse response;
        bool asks = request.method == "POST";
        requests_ += asks ? 1 : 0;
        int& failures = asks ? request_failures_ : health_failures_;
        if (failures > 0) {
            --failures;
            response.status = 503;
        } else if (!allows_token_ && request.target != "/healthz") {
            response.status = 401;
        } else if (asks) {
            response.status = 201;
            response.body = request.body;
            request_ = *kube::from_json<kube::CertificateSigningRequest>(request.body);
        } else if (request.target != "/healthz") {
            kube::CertificateSigningRequest denied = request_;
            denied.status.conditions.push_back({"Denied", "True", "No", {}, {}, {}});
            response.body = kube::to_json(denied);
        }
        return response;
    }

    SystemRandom random_;
    SystemClock clock_;
    async::Reactor reactor_;
    fs::path folder_;
    NodeSettings settings_;
    BootstrapPace pace_;
    int requests_ = 0;
    kube::CertificateSigningRequest request_;
    int request_failures_ = 0;
    int health_failures_ = 0;
    bool allows_token_ = true;
    // Last: its threads use all of the above.
    TestServer server_{[this](const TestRequest& request) { return answer(request); }};
};

TEST_F(Bootstrap, WaitsForAServerThatIsAway) {
    write_bootstrap();
    health_failures_ = 3;
    request_failures_ = 5;
    auto got = identity();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::denied) << format_as(got.error());
    EXPECT_EQ(requests_, 6);
    // The key of the request stays for the next life of the agent.
    EXPECT_TRUE(fs::exists(settings_.cert_dir / "kubelet-client.key.tmp"));
}

TEST_F(Bootstrap, AsksAfterAWhileEvenIfTheServerIsNeverHealthy) {
    write_bootstrap();
    health_failures_ = 1'000'000;
    pace_.healthz_max = std::chrono::milliseconds(20);
    allows_token_ = false;
    EXPECT_EQ(identity().error().code, Code::unauthenticated);
    EXPECT_EQ(requests_, 1);
}

TEST_F(Bootstrap, SaysWhereTheExpiredTokenIsAndHowToGetAnother) {
    write_bootstrap();
    allows_token_ = false;
    auto got = identity();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::unauthenticated);
    const std::string& text = got.error().message;
    EXPECT_NE(text.find(settings_.bootstrap_kubeconfig.string()), std::string::npos) << text;
    EXPECT_NE(text.find("kubeadm token create"), std::string::npos) << text;
    EXPECT_EQ(text.find("0123456789abcdef"), std::string::npos) << text;
}

TEST_F(Bootstrap, TakesTheBootstrapKubeconfigWhenTheOtherCannotBeUsed) {
    for (const char* broken : {"{ not a kubeconfig", "", "apiVersion: v1\nkind: Config\n"}) {
        std::ofstream(settings_.kubeconfig) << broken;
        fs::remove(settings_.bootstrap_kubeconfig);
        requests_ = 0;
        auto alone = identity();
        ASSERT_FALSE(alone);
        EXPECT_EQ(alone.error().code, Code::invalid) << format_as(alone.error());
        EXPECT_NE(alone.error().message.find(settings_.kubeconfig.string()), std::string::npos);
        EXPECT_EQ(requests_, 0);
        write_bootstrap();
        EXPECT_EQ(identity().error().code, Code::denied);
        EXPECT_EQ(requests_, 1);
    }
}

}  // namespace
}  // namespace skiff::node
