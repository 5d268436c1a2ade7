// The node's certificates while it runs: renewed, replaced, signed by a scripted cluster.
#include <gtest/gtest.h>

#include <fstream>

#include "async/scope.h"
#include "base/random.h"
#include "http/test_certificates.h"
#include "http/test_server.h"
#include "node/bootstrap.h"
#include "node/certificate_files.h"
#include "node/serving_request.h"
#include "os/file.h"

namespace skiff::node {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;
using kube::CertificateSigningRequest;
namespace fs = std::filesystem;

constexpr long kLifeSeconds = 3600;

class Identity : public testing::Test {
protected:
    Identity() : clock_(SystemClock().wall_now()) {
        folder_ = fs::temp_directory_path() / ("skiff-identity-" + random_.hex(6));
        fs::create_directory(folder_);
        settings_.name = "n1";
        settings_.ips = {"10.0.0.1"};
        settings_.cert_dir = folder_ / "pki";
        settings_.kubeconfig = folder_ / "kubeconfig";
        settings_.bootstrap_kubeconfig = folder_ / "bootstrap-kubeconfig";
        pace_.first = std::chrono::milliseconds(1);
        pace_.longest = std::chrono::milliseconds(2);
        pace_.look_every = std::chrono::milliseconds(1);
        std::ofstream(settings_.bootstrap_kubeconfig)
            << "current-context: c\nclusters: [{name: c, cluster: {server: \"" << server_.url("")
            << "\", proxy-url: \"\"}}]\nusers: [{name: u, user: {token: "
               "abcdef.0123456789abcdef}}]\n"
            << "contexts: [{name: c, context: {cluster: c, user: u}}]\n";
        fs::permissions(settings_.bootstrap_kubeconfig, fs::perms::owner_read);
    }
    ~Identity() override { (void)os::remove_tree(folder_); }

    Result<kube::ClientConfig> ensure() {
        return async::run_to_end(reactor_, ensure_identity(settings_, clock_, pace_));
    }
    // Runs `task` until `enough` is true.
    void run_until(async::Task<void> task, std::function<bool()> enough) {
        auto body = [&](async::Task<void> inner) -> async::Task<void> {
            async::Scope scope(reactor_.executor());
            scope.spawn("task", std::move(inner));
            auto deadline = after(std::chrono::seconds(30));
            while (!enough() && std::chrono::steady_clock::now() < deadline) {
                (void)co_await async::sleep_for(std::chrono::milliseconds(1));
            }
            EXPECT_TRUE(enough());
            co_await scope.stop();
        };
        async::run_to_end(reactor_, body(std::move(task)));
    }
    // keep_identity() of a client with `config` until `enough`.
    void keep(kube::ApiClient& client, std::function<bool()> enough) {
        IdentityParts parts{client, clock_, random_, record_.client};
        run_until(keep_identity(settings_, parts, pace_), std::move(enough));
    }
    std::string current() {
        auto stored = CertificateFiles(settings_.cert_dir, kClientFiles).load();
        return stored ? stored->pem : "none: " + stored.error().message;
    }

    // Certificates begin in the machine's time and end in the test's.
    long seconds_ahead() const {
        auto ahead = clock_.wall_now() - SystemClock().wall_now();
        return static_cast<long>(std::chrono::round<std::chrono::seconds>(ahead).count());
    }
    // Signs every request, and knows the node by its not having a token.
    TestResponse answer(const TestRequest& request) {
        TestResponse response;
        bool has_token = request.headers.find("Authorization").has_value();
        if (!has_token && !knows_node_ && request.target != "/healthz") {
            response.status = 401;
        } else if (request.method == "POST") {
            CertificateSigningRequest made =
                *kube::from_json<CertificateSigningRequest>(request.body);
            posts_.push_back({has_token ? "token" : "certificate", made});
            if (squatter_) {
                requests_[made.metadata.name] = *std::exchange(squatter_, std::nullopt);
                response.status = 409;
                response.body = R"({"kind":"Status","reason":"AlreadyExists","message":"there"})";
                return response;
            }
            made.status.conditions.push_back({"Approved", "True", {}, {}, {}, {}});
            made.status.certificate.bytes =
                root_.sign(made.spec.request.bytes, seconds_ahead() + kLifeSeconds);
            requests_[made.metadata.name] = made;
            response.status = 201;
            response.body = request.body;
        } else if (auto found =
                       requests_.find(request.target.substr(request.target.rfind('/') + 1));
                   found != requests_.end()) {
            response.body = kube::to_json(found->second);
        }
        return response;
    }

    struct Post {
        std::string by;
        CertificateSigningRequest request;
    };
    SystemRandom random_;
    ManualClock clock_;
    async::Reactor reactor_;
    fs::path folder_;
    NodeSettings settings_;
    BootstrapPace pace_;
    IdentityRecord record_;
    http::TestAuthority root_{"root"};
    std::vector<Post> posts_;
    std::map<std::string, CertificateSigningRequest> requests_;
    std::optional<CertificateSigningRequest> squatter_;
    bool knows_node_ = true;
    // Last: its threads use all of the above.
    TestServer server_{[this](const TestRequest& request) { return answer(request); }};
};

TEST_F(Identity, BootstrapsAsContractRow2Says) {
    auto config = ensure();
    ASSERT_TRUE(config) << format_as(config.error());
    fs::path link = settings_.cert_dir / "kubelet-client-current.pem";
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_EQ(config->tls.client_certificate_file, link.string());
    EXPECT_EQ(config->tls.client_key_file, link.string());
    EXPECT_EQ(config->token, "");
    EXPECT_TRUE(key_fits(current(), current()));
    EXPECT_FALSE(fs::exists(settings_.cert_dir / "kubelet-client.key.tmp"));
    ASSERT_EQ(posts_.size(), 1u);
    const auto& asked = posts_[0].request;
    EXPECT_EQ(posts_[0].by, "token");
    EXPECT_EQ(asked.spec.signerName, "kubernetes.io/kube-apiserver-client-kubelet");
    EXPECT_EQ(asked.spec.usages, (std::vector<std::string>{"digital signature", "client auth"}));
    EXPECT_TRUE(asked.metadata.name.starts_with("node-csr-")) << asked.metadata.name;
    auto facts = read_certificate(current());
    EXPECT_EQ(facts->common_name, "system:node:n1");
    EXPECT_EQ(facts->organizations, std::vector<std::string>{"system:nodes"});
    EXPECT_TRUE(facts->dns_names.empty() && facts->ips.empty());
    // The next start needs nobody.
    EXPECT_TRUE(ensure());
    EXPECT_EQ(posts_.size(), 1u);
}

TEST_F(Identity, ARequestOfTheSameNameThatIsForSomethingElseIsNotTakenForOurs) {
    CertificateSigningRequest other;
    other.spec.signerName = "kubernetes.io/kube-apiserver-client";
    squatter_ = other;
    auto config = ensure();
    ASSERT_TRUE(config) << format_as(config.error());
    ASSERT_EQ(posts_.size(), 2u);
    EXPECT_NE(posts_[0].request.metadata.name, posts_[1].request.metadata.name);
}

TEST_F(Identity, ACertificateThatHasEndedByTheTimeItComesIsNotUsed) {
    CertificateWish wish{"signer", "client auth", {"cn", "o", {}, {}}};
    auto request = *make_signing_request(wish, *generate_key());
    auto config = ensure();
    ASSERT_TRUE(config);
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    CertificateSigningRequest old = request;
    old.status.certificate.bytes = root_.sign(request.spec.request.bytes, -60);
    squatter_ = old;
    auto got = async::run_to_end(reactor_, obtain_certificate(client, request, clock_, pace_));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::conflict);
    EXPECT_NE(got.error().message.find("clock"), std::string::npos) << got.error().message;
}

TEST_F(Identity, AnRsaKeyAlsoEnciphersKeys) {
    std::string key;
    {
        EVP_PKEY* made = EVP_RSA_gen(2048);
        BIO* bio = BIO_new(BIO_s_mem());
        PEM_write_bio_PrivateKey(bio, made, nullptr, nullptr, 0, nullptr, nullptr);
        char* text = nullptr;
        long size = BIO_get_mem_data(bio, &text);
        key.assign(text, static_cast<std::size_t>(size));
        BIO_free(bio);
        EVP_PKEY_free(made);
    }
    CertificateWish wish{"signer", "client auth", {"cn", "o", {}, {}}};
    auto request = make_signing_request(wish, key);
    ASSERT_TRUE(request) << format_as(request.error());
    EXPECT_EQ(request->spec.usages,
              (std::vector<std::string>{"digital signature", "key encipherment", "client auth"}));
}

TEST_F(Identity, IsRenewedByTheNodeItselfBeforeItEnds) {
    auto config = ensure();
    ASSERT_TRUE(config);
    std::string before = current();
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    clock_.advance(std::chrono::seconds(kLifeSeconds * 95 / 100));
    keep(client, [&] { return client.renewals() > 0; });
    EXPECT_NE(current(), before);
    ASSERT_EQ(posts_.size(), 2u);
    EXPECT_EQ(posts_[1].by, "certificate");
    EXPECT_EQ(record_.client.renewals, 1u);
    EXPECT_EQ(record_.client.failures, 0u);
    EXPECT_EQ(record_.client.expires, read_certificate(current())->not_after);
    EXPECT_GT(record_.client.replaced_after, std::chrono::seconds(kLifeSeconds * 9 / 10));
}

TEST_F(Identity, ThatHasEndedIsReplacedByTheBootstrapKubeconfig) {
    auto config = ensure();
    ASSERT_TRUE(config);
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    clock_.advance(std::chrono::seconds(kLifeSeconds + 1));
    keep(client, [&] { return client.renewals() > 0; });
    ASSERT_GE(posts_.size(), 2u);
    EXPECT_EQ(posts_[1].by, "token");
    // Also while the node was down.
    clock_.advance(std::chrono::seconds(2 * kLifeSeconds));
    posts_.clear();
    EXPECT_TRUE(ensure());
    ASSERT_EQ(posts_.size(), 1u);
    EXPECT_EQ(posts_[0].by, "token");
}

TEST_F(Identity, ThatTheServerDoesNotKnowIsReplacedByTheBootstrapKubeconfig) {
    auto config = ensure();
    ASSERT_TRUE(config);
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    clock_.advance(std::chrono::seconds(kLifeSeconds * 95 / 100));
    knows_node_ = false;
    keep(client, [&] { return client.renewals() > 0; });
    ASSERT_GE(posts_.size(), 2u);
    EXPECT_EQ(posts_[1].by, "token");
}

TEST_F(Identity, ThatTheServerHasForgottenIsReplacedBeforeItsTime) {
    auto config = ensure();
    ASSERT_TRUE(config);
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    knows_node_ = false;
    auto ask = [](kube::ApiClient* its) -> async::Task<Result<std::string>> {
        kube::ApiRequest request;
        request.path = "/x";
        co_return co_await its->call(std::move(request));
    };
    auto refused = async::run_to_end(reactor_, ask(&client));
    EXPECT_EQ(refused.error().code, Code::unauthenticated);
    clock_.advance(std::chrono::seconds(61));
    keep(client, [&] { return client.renewals() > 0; });
    ASSERT_GE(posts_.size(), 2u);
    EXPECT_EQ(posts_[1].by, "token");
    EXPECT_FALSE(client.refused_since());
}

TEST_F(Identity, ThatCannotBeReplacedIsToldAndTriedAgain) {
    auto config = ensure();
    ASSERT_TRUE(config);
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    clock_.advance(std::chrono::seconds(kLifeSeconds + 1));
    fs::rename(settings_.bootstrap_kubeconfig, folder_ / "away");
    keep(client, [&] { return record_.client.failures > 1; });
    EXPECT_EQ(client.renewals(), 0u);
    fs::rename(folder_ / "away", settings_.bootstrap_kubeconfig);
    keep(client, [&] { return client.renewals() > 0; });
}

TEST_F(Identity, OfSomebodyElsesFilesIsFollowed) {
    auto config = ensure();
    ASSERT_TRUE(config);
    settings_.rotate_certificates = false;
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    clock_.advance(std::chrono::seconds(kLifeSeconds * 95 / 100));
    bool replaced = false;
    keep(client, [&] {
        if (record_.client.expires && !std::exchange(replaced, true)) {
            auto key = *generate_key();
            auto request =
                *make_certificate_request(key, {"system:node:n1", "system:nodes", {}, {}});
            EXPECT_TRUE(CertificateFiles(settings_.cert_dir, kClientFiles)
                            .store(root_.sign(request, 2 * kLifeSeconds), key, clock_.wall_now()));
        }
        return client.renewals() == 1;
    });
    EXPECT_EQ(posts_.size(), 1u) << "it asks for nothing";
}

TEST_F(Identity, AKubeconfigThatOthersCanReadIsRefused) {
    fs::permissions(settings_.bootstrap_kubeconfig, fs::perms::group_read, fs::perm_options::add);
    auto refused = ensure();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied);
    EXPECT_NE(refused.error().message.find("chmod 600 " + settings_.bootstrap_kubeconfig.string()),
              std::string::npos)
        << refused.error().message;
    EXPECT_TRUE(posts_.empty());
    fs::permissions(settings_.bootstrap_kubeconfig, fs::perms::owner_read);
    ASSERT_TRUE(ensure());
    // The kubeconfig itself holds no secret, the file that it names does.
    fs::permissions(settings_.kubeconfig, fs::perms::others_read, fs::perm_options::add);
    EXPECT_TRUE(ensure());
    fs::path pem = fs::canonical(settings_.cert_dir / "kubelet-client-current.pem");
    fs::permissions(pem, fs::perms::others_read, fs::perm_options::add);
    refused = ensure();
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("has mode 0604"), std::string::npos);
}

TEST_F(Identity, TheClusterSignsTheServingCertificateForNamesAndAddresses) {
    auto config = ensure();
    ASSERT_TRUE(config);
    kube::ApiClient client(reactor_.executor(), clock_, *config);
    settings_.hostname = "n1.example";
    settings_.ips = {"10.0.0.1", "fd00::1"};
    int stored = 0;
    auto keep_serving = [&](int wanted) {
        ServingRequestParts parts{client, clock_, random_, record_.serving, [&] { ++stored; }};
        run_until(keep_serving_certificate(settings_, parts, pace_),
                  [&stored, wanted] { return stored == wanted; });
        return read_certificate(CertificateFiles(settings_.cert_dir, kServingFiles).load()->pem);
    };
    auto facts = keep_serving(1);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->common_name, "system:node:n1");
    EXPECT_EQ(facts->dns_names, (std::vector<std::string>{"n1", "n1.example"}));
    EXPECT_EQ(facts->ips, settings_.ips);
    const auto& asked = posts_.back().request;
    EXPECT_EQ(asked.spec.signerName, "kubernetes.io/kubelet-serving");
    EXPECT_EQ(asked.spec.usages, (std::vector<std::string>{"digital signature", "server auth"}));
    EXPECT_EQ(record_.serving.expires, facts->not_after);
    // Other addresses: another certificate at once. So at its time.
    settings_.ips = {"10.0.0.7"};
    EXPECT_EQ(keep_serving(2)->ips, settings_.ips);
    clock_.advance(std::chrono::seconds(kLifeSeconds * 95 / 100));
    EXPECT_TRUE(keep_serving(3));
    EXPECT_EQ(record_.serving.renewals, 3u);
}

TEST_F(Identity, OnlyTheLastPairsAreKept) {
    CertificateFiles files(settings_.cert_dir, kServingFiles);
    for (int i = 0; i < 5; ++i) {
        auto made = *make_self_signed("n1", {"n1"}, {}, clock_.wall_now());
        ASSERT_TRUE(files.store(made.certificate_pem, made.key_pem, clock_.wall_now()));
        EXPECT_EQ(files.load()->pem, made.certificate_pem + made.key_pem);
        clock_.advance(std::chrono::seconds(60));
    }
    auto names = *os::list_folder(settings_.cert_dir);
    EXPECT_EQ(names.size(), 3u) << "two pairs and the link";
    // A torn file is not taken for a certificate.
    std::ofstream(fs::canonical(files.current())) << "-----BEGIN CERTIFICATE-----\n";
    EXPECT_EQ(files.load().error().code, Code::corrupt);
}

}  // namespace
}  // namespace skiff::node
