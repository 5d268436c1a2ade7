// The certificates of port 10250 while they change.
#include "node/serving.h"

#include <gtest/gtest.h>

#include <fstream>

#include "async/scope.h"
#include "base/random.h"
#include "http/client.h"
#include "http/server.h"
#include "node/certificates.h"
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

    void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
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

}  // namespace
}  // namespace skiff::node
