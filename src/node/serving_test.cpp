// The certificates of port 10250 while they change.
#include "node/serving.h"

#include <gtest/gtest.h>

#include <fstream>

#include "async/scope.h"
#include "base/random.h"
#include "http/client.h"
#include "http/server.h"
#include "http/test_certificates.h"
#include "node/certificate_files.h"
#include "os/file.h"

namespace skiff::node {
namespace {

namespace fs = std::filesystem;
using async::Task;

class Serving : public testing::Test {
protected:
    Serving() {
        folder_ = fs::temp_directory_path() / ("skiff-serving-" + random_.hex(6));
        fs::create_directory(folder_);
        settings_.name = "n1";
        settings_.hostname = "n1";
        settings_.ips = {"10.0.0.1", "FD00::01"};
        settings_.cert_dir = folder_ / "pki";
    }
    ~Serving() override { (void)os::remove_tree(folder_); }

    void write(const fs::path& path, const std::string& text) {
        std::ofstream(path) << text;
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    }
    std::string own() { return ensure_serving_certificate(settings_, clock_)->certificate_pem; }

    SystemRandom random_;
    SystemClock clock_;
    async::Reactor reactor_;
    fs::path folder_;
    NodeSettings settings_;
};

TEST_F(Serving, TheOwnCertificateIsKeptUntilTheNodesAddressesChange) {
    std::string first = own();
    auto facts = read_certificate(first);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->dns_names, std::vector<std::string>{"n1"});
    EXPECT_EQ(facts->ips, (std::vector<std::string>{"10.0.0.1", "fd00::1"}));
    EXPECT_EQ(own(), first);
    std::swap(settings_.ips[0], settings_.ips[1]);
    EXPECT_EQ(own(), first);
    settings_.ips = {"10.0.0.2"};
    std::string second = own();
    EXPECT_NE(second, first);
    EXPECT_EQ(read_certificate(second)->ips, settings_.ips);
    settings_.hostname = "n1.example";
    EXPECT_NE(own(), second);
}

TEST_F(Serving, IsNewOnlyWhenAFileSaysSomethingElse) {
    ServingFiles files{folder_ / "tls.crt", folder_ / "tls.key", folder_ / "ca.crt"};
    ServingTls tls(settings_, files, clock_);
    EXPECT_FALSE(tls.refresh());
    auto a = *make_self_signed("a", {"a"}, {}, clock_.wall_now());
    auto b = *make_self_signed("b", {"b"}, {}, clock_.wall_now());
    write(files.certificate, a.certificate_pem);
    write(files.key, a.key_pem);
    write(files.client_ca, a.certificate_pem);
    auto first = tls.refresh();
    ASSERT_TRUE(first) << format_as(first.error());
    EXPECT_NE(*first, nullptr);
    EXPECT_EQ(*tls.refresh(), nullptr);
    // In the midst of a rotation: the pair does not fit, and what is in use stays.
    write(files.certificate, b.certificate_pem);
    EXPECT_FALSE(tls.refresh());
    write(files.key, b.key_pem);
    EXPECT_NE(*tls.refresh(), nullptr);
    write(files.client_ca, a.certificate_pem + b.certificate_pem);
    EXPECT_NE(*tls.refresh(), nullptr);
    EXPECT_EQ(*tls.refresh(), nullptr);
    fs::remove(files.client_ca);
    EXPECT_FALSE(tls.refresh());
}

TEST_F(Serving, AKeyThatOthersCanReadIsRefused) {
    ServingFiles files{folder_ / "tls.crt", folder_ / "tls.key", {}};
    auto a = *make_self_signed("a", {"a"}, {}, clock_.wall_now());
    write(files.certificate, a.certificate_pem);
    write(files.key, a.key_pem);
    fs::permissions(files.key, fs::perms::group_read, fs::perm_options::add);
    ServingTls tls(settings_, files, clock_);
    auto refused = tls.refresh();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied);
    EXPECT_EQ(refused.error().message,
              fmt::format("tlsPrivateKeyFile: {0} has mode 0640: it holds a secret, and group or "
                          "others may read or change it. Run `chmod 600 {0}`",
                          files.key.string()));
    fs::permissions(files.key, fs::perms::owner_read);
    EXPECT_TRUE(tls.refresh());
    // The node's own as well.
    ServingTls own_tls(settings_, {}, clock_);
    EXPECT_TRUE(own_tls.refresh());
    fs::permissions(settings_.cert_dir / "kubelet.key", fs::perms::others_read,
                    fs::perm_options::add);
    EXPECT_FALSE(own_tls.refresh());
}

class Hello final : public http::Handler {
public:
    Task<void> handle(http::Exchange& exchange) override {
        http::ServerResponse response = http::plain_text(200, "hello");
        auto sent = co_await exchange.respond(std::move(response));
        EXPECT_TRUE(sent);
    }
};

TEST_F(Serving, AConnectionOutlivesTheCertificateItBeganWith) {
    ServingFiles files{folder_ / "tls.crt", folder_ / "tls.key", {}};
    auto a = *make_self_signed("a", {}, {"127.0.0.1"}, clock_.wall_now());
    auto b = *make_self_signed("b", {}, {"127.0.0.1"}, clock_.wall_now());
    write(files.certificate, a.certificate_pem);
    write(files.key, a.key_pem);
    ServingTls tls(settings_, files, clock_);
    Hello handler;
    http::Server server(reactor_.executor(), clock_, handler, http::ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, *tls.refresh());
    ASSERT_TRUE(port);
    http::Client client(reactor_.executor(), "test");
    async::Event changed;
    auto ask = [&](const std::string& ca) -> Task<Result<http::Response>> {
        http::Request request;
        request.url = fmt::format("https://127.0.0.1:{}/", *port);
        request.proxy = "";
        request.tls.ca_pem = ca;
        co_return co_await client.fetch(std::move(request));
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(reactor_.executor());
        std::function<void(std::shared_ptr<const http::ServerTls>)> use =
            [&](std::shared_ptr<const http::ServerTls> fresh) {
                server.replace_tls(std::move(fresh));
                changed.set();
            };
        scope.spawn("keep", keep_serving(tls, std::move(use), std::chrono::milliseconds(1)));
        auto before = co_await ask(a.certificate_pem);
        EXPECT_TRUE(before);
        write(files.key, b.key_pem);
        write(files.certificate, b.certificate_pem);
        EXPECT_TRUE(co_await changed.wait(clock_.steady_now() + std::chrono::seconds(30)));
        // The old connection goes on; whoever comes anew sees the new certificate.
        auto same = co_await ask(a.certificate_pem);
        EXPECT_TRUE(same);
        auto fresh = co_await ask(b.certificate_pem);
        EXPECT_TRUE(fresh);
        EXPECT_EQ(server.counts().accepted, 2u);
        co_await scope.stop();
        co_await server.stop(Duration::zero());
    };
    async::run_to_end(reactor_, body());
}

// What a client of port 10250 sees: the certificate's common name, or the failure of its handshake.
class ServingPort : public Serving {
protected:
    // Asks with nothing verified; 0 when there was no TLS.
    Task<int> ask(std::uint16_t port, http::Tls tls = {}) {
        http::Request request;
        request.url = fmt::format("https://127.0.0.1:{}/", port);
        request.proxy = "";
        request.connection = http::Connection::kOwn;
        request.tls = std::move(tls);
        request.tls.verify = http::Verify::kNothing;
        auto answer = co_await client_.fetch(std::move(request));
        co_return answer ? answer->status : 0;
    }
    // Keeps `tls` in `server` while `body` runs.
    void keep(http::Server& server, ServingTls& tls, Task<void> body) {
        auto all = [&](Task<void> inner) -> Task<void> {
            async::Scope scope(reactor_.executor());
            std::function<void(std::shared_ptr<const http::ServerTls>)> use =
                [&](std::shared_ptr<const http::ServerTls> fresh) {
                    server.replace_tls(std::move(fresh));
                    changed_.set();
                };
            scope.spawn("keep", keep_serving(tls, std::move(use), std::chrono::hours(1)));
            co_await std::move(inner);
            co_await scope.stop();
            co_await server.stop(Duration::zero());
        };
        async::run_to_end(reactor_, all(std::move(body)));
    }
    // Tells keep_serving() that a file has changed and waits until it is in use.
    Task<void> renew(ServingTls& tls) {
        changed_.reset();
        tls.poke();
        EXPECT_TRUE(co_await changed_.wait(after(std::chrono::seconds(30))));
    }

    http::Client client_{reactor_.executor(), "test"};
    async::Event changed_;
};

TEST_F(ServingPort, RefusesTlsUntilTheClusterHasSignedItsCertificate) {
    ServingFiles files;
    files.source = ServingSource::cluster;
    ServingTls tls(settings_, files, clock_);
    Hello handler;
    http::Server server(reactor_.executor(), clock_, handler, http::ServerLimits());
    auto first = tls.refresh();
    ASSERT_TRUE(first) << format_as(first.error());
    auto port = server.listen_tls("127.0.0.1", 0, *first);
    ASSERT_TRUE(port);
    auto body = [&]() -> Task<void> {
        int refused = co_await ask(*port);
        EXPECT_EQ(refused, 0);
        auto made = *make_self_signed("n1", {"n1"}, {"10.0.0.1"}, clock_.wall_now());
        CertificateFiles store(settings_.cert_dir, kServingFiles);
        EXPECT_TRUE(store.store(made.certificate_pem, made.key_pem, clock_.wall_now()));
        co_await renew(tls);
        int answered = co_await ask(*port);
        EXPECT_EQ(answered, 200);
    };
    keep(server, tls, body());
}

// 200 for whoever showed a certificate of the authorities, else 401.
class WhoAreYou final : public http::Handler {
public:
    Task<void> handle(http::Exchange& exchange) override {
        int status = exchange.request().peer.certificate ? 200 : 401;
        http::ServerResponse response = http::plain_text(status, "");
        auto sent = co_await exchange.respond(std::move(response));
        EXPECT_TRUE(sent);
    }
};

TEST_F(ServingPort, FollowsTheAuthoritiesOfItsCallersWhileItRuns) {
    http::TestAuthority old_root("old");
    http::TestAuthority new_root("new");
    ServingFiles files;
    files.client_ca = folder_ / "ca.crt";
    write(files.client_ca, old_root.pem());
    ServingTls tls(settings_, files, clock_);
    WhoAreYou handler;
    http::Server server(reactor_.executor(), clock_, handler, http::ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, *tls.refresh());
    ASSERT_TRUE(port);
    auto caller = [](const http::TestAuthority& root) {
        auto issued = root.issue("caller", {}, "clientAuth");
        http::Tls its;
        its.client_certificate_pem = issued.certificate_pem;
        its.client_key_pem = issued.key_pem;
        return its;
    };
    auto body = [&]() -> Task<void> {
        http::Tls of_old = caller(old_root);
        http::Tls of_new = caller(new_root);
        EXPECT_EQ(co_await ask(*port, of_old), 200);
        EXPECT_EQ(co_await ask(*port, of_new), 401);
        write(files.client_ca, old_root.pem() + new_root.pem());
        co_await renew(tls);
        EXPECT_EQ(co_await ask(*port, of_new), 200);
        write(files.client_ca, new_root.pem());
        co_await renew(tls);
        EXPECT_EQ(co_await ask(*port, of_old), 401);
    };
    keep(server, tls, body());
}

}  // namespace
}  // namespace skiff::node
