// Joining k3s: tokens and hashes, and a node against a supervisor that answers as k3s does
// (test/e2e/test_tunnel.py has one over TLS).
#include "node/k3s.h"

#include <gtest/gtest.h>

#include <fstream>

#include "async/scope.h"
#include "base/digest.h"
#include "http/test_certificates.h"
#include "http/test_server.h"
#include "node/certificates.h"
#include "node/serving.h"
#include "os/file.h"

namespace skiff::node {
namespace {

using http::TestAuthority;
using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;
namespace fs = std::filesystem;

const std::string kHash(64, 'a');

TEST(K3sToken, IsReadInItsForms) {
    EXPECT_EQ(*parse_k3s_token("K10" + kHash + "::server:se:cret"),
              (K3sToken{kHash, "se:cret", {}}));
    EXPECT_EQ(*parse_k3s_token("K10" + kHash + "::abcdef.0123456789abcdef"),
              (K3sToken{kHash, {}, "abcdef.0123456789abcdef"}));
    EXPECT_FALSE(is_k3s_token("abcdef.0123456789abcdef"));
}

TEST(K3sToken, ThatPinsNothingOrIsCutIsRefusedWithoutShowingIt) {
    for (const std::string& bad :
         {std::string("K10::server:secret"), "K10" + kHash + "::", "K10" + kHash + "::secret",
          "K10" + kHash + "::server:", "K10" + kHash.substr(1) + "::server:secret",
          "K10" + kHash + "::server:sec\nret",
          "K10" + kHash + "::server:" + std::string(5000, 's')}) {
        auto parsed = parse_k3s_token(bad);
        ASSERT_FALSE(parsed) << bad;
        EXPECT_EQ(parsed.error().code, Code::invalid);
        EXPECT_EQ(parsed.error().message.find("secret"), std::string::npos);
        EXPECT_NE(parsed.error().message.find("node-token"), std::string::npos);
    }
}

TEST(K3sCaHash, OfOneCertificateIsThatOfTheText) {
    const std::string pem = TestAuthority("k3s-server-ca").pem();
    EXPECT_EQ(*k3s_ca_hash(pem), sha256_hex(pem));
    EXPECT_FALSE(k3s_ca_hash("no certificate"));
}

TEST(K3sCaHash, OfABundleWithoutAChainIsThatOfTheText) {
    const std::string pem = TestAuthority("one").pem() + TestAuthority("two").pem();
    EXPECT_EQ(*k3s_ca_hash(pem), sha256_hex(pem));
}

TEST(K3sCluster, IsReadAsItWasWritten) {
    const K3sCluster cluster{
        "https://a:9345", "rke2", "https://a:6443", "PEM \"x\"\n", {kHash, "password", {}}};
    EXPECT_EQ(*parse_k3s_cluster(format_k3s_cluster(cluster)), cluster);
    EXPECT_EQ(cluster.url("connect"), "https://a:9345/v1-rke2/connect");
    for (const char* bad : {"", "[]", "{}", R"({"supervisor":"ftp://a","program":"k3s"})"}) {
        EXPECT_EQ(parse_k3s_cluster(bad).error().code, Code::corrupt) << bad;
    }
}

// A supervisor without TLS: what it is asked, and what comes of its answers.
class K3sNode : public testing::Test {
protected:
    K3sNode() {
        folder_ = fs::temp_directory_path() / ("skiff-k3s-" + random_.hex(6));
        fs::create_directory(folder_);
        settings_.name = "n1";
        settings_.hostname = "n1";
        settings_.ips = {"127.0.0.1"};
        settings_.cert_dir = folder_ / "pki";
        settings_.kubeconfig = folder_ / "kubeconfig";
        settings_.bootstrap_kubeconfig = folder_ / "bootstrap-kubeconfig";
        cluster_ = {server_.url(""),
                    "k3s",
                    "https://10.0.0.1:6443",
                    authority_.pem(),
                    {kHash, "secret", {}}};
        pace_.first = pace_.longest = std::chrono::milliseconds(1);
        write(format_k3s_cluster(cluster_));
    }
    ~K3sNode() override { (void)os::remove_tree(folder_); }

    void write(const std::string& text) {
        EXPECT_TRUE(os::write_file_atomic(k3s_cluster_file(settings_.bootstrap_kubeconfig), text,
                                          0600, os::Durability::process));
    }
    Result<kube::ClientConfig> identity() {
        return async::run_to_end(reactor_, ensure_identity(settings_, clock_, pace_));
    }

    TestResponse answer(const TestRequest& request) {
        TestResponse response;
        requests_.push_back(request);
        if (failures_ > 0) {
            --failures_;
            response.status = 503;
        } else if (status_ != 200) {
            response.status = status_;
        } else if (request.target == "/v1-k3s/client-ca.crt") {
            response.body = authority_.pem();
        } else {
            // An older server, which sends a key of its own along.
            const bool client = request.target == "/v1-k3s/client-kubelet.crt";
            auto made = authority_.issue(client ? "system:node:n1" : "n1", {"system:nodes"},
                                         client ? "clientAuth" : "serverAuth");
            response.body = made.certificate_pem + authority_.pem() + made.key_pem;
            response.body = fits_ ? response.body : made.certificate_pem;
        }
        return response;
    }

    SystemRandom random_;
    SystemClock clock_;
    async::Reactor reactor_;
    fs::path folder_;
    NodeSettings settings_;
    BootstrapPace pace_;
    K3sCluster cluster_;
    TestAuthority authority_{"k3s"};
    int failures_ = 0;
    int status_ = 200;
    bool fits_ = true;
    std::vector<TestRequest> requests_;
    TestServer server_{[this](const TestRequest& request) { return answer(request); }};
};

TEST_F(K3sNode, GetsItsCertificatesFromTheSupervisor) {
    failures_ = 2;
    auto config = identity();
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->server, "https://10.0.0.1:6443");
    EXPECT_EQ(config->tls.client_certificate_file, k3s_client_file(settings_));
    ASSERT_EQ(requests_.size(), 5U);
    const TestRequest& asked = requests_[2];
    EXPECT_EQ(asked.method, "POST");
    EXPECT_EQ(asked.target, "/v1-k3s/client-kubelet.crt");
    EXPECT_EQ(asked.headers.find("Authorization"), "Basic " + base64_encode("node:secret"));
    EXPECT_EQ(asked.headers.find("k3s-Node-Name"), "n1");
    EXPECT_EQ(asked.headers.find("k3s-Node-IP"), "127.0.0.1");
    EXPECT_EQ(asked.headers.find("k3s-Node-Password")->size(), 32U);
    // DER, not PEM.
    EXPECT_EQ(asked.body.front(), '\x30');
    EXPECT_EQ(requests_[3].target, "/v1-k3s/serving-kubelet.crt");
    // The same machine next time, and no further request while the certificate is good.
    EXPECT_EQ(requests_[3].headers.find("k3s-Node-Password"),
              asked.headers.find("k3s-Node-Password"));
    EXPECT_TRUE(identity());
    EXPECT_EQ(requests_.size(), 5U);
    EXPECT_EQ(fs::status(k3s_client_file(settings_)).permissions(),
              fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(K3sNode, ServesWithTheCertificateOfTheSupervisor) {
    ASSERT_TRUE(identity());
    ServingTls tls(settings_, {}, clock_);
    auto fresh = tls.refresh();
    ASSERT_TRUE(fresh) << fresh.error().message;
    EXPECT_NE(*fresh, nullptr);
    EXPECT_FALSE(fs::exists(settings_.cert_dir / "kubelet.crt"));
    EXPECT_EQ(*tls.refresh(), nullptr);
}

TEST_F(K3sNode, IsToldWhatToDoWhenItIsRefused) {
    status_ = 403;
    auto denied = identity();
    EXPECT_EQ(denied.error().code, Code::denied);
    EXPECT_NE(denied.error().message.find("n1.node-password.k3s"), std::string::npos);
    status_ = 401;
    auto expired = identity();
    EXPECT_EQ(expired.error().code, Code::unauthenticated);
    EXPECT_NE(expired.error().message.find("skiff node join"), std::string::npos);
    EXPECT_EQ(expired.error().message.find("secret"), std::string::npos);
}

TEST_F(K3sNode, TakesNoCertificateForAnotherKey) {
    fits_ = false;
    EXPECT_EQ(identity().error().code, Code::corrupt);
    EXPECT_FALSE(fs::exists(k3s_client_file(settings_)));
}

TEST_F(K3sNode, AnUnreadableClusterFileIsNamed) {
    write("{");
    auto config = identity();
    EXPECT_EQ(config.error().code, Code::corrupt);
    EXPECT_NE(config.error().message.find("bootstrap-kubeconfig.k3s"), std::string::npos);
    fs::permissions(k3s_cluster_file(settings_.bootstrap_kubeconfig), fs::perms::others_read,
                    fs::perm_options::add);
    EXPECT_EQ(identity().error().code, Code::denied);
}

}  // namespace
}  // namespace skiff::node
