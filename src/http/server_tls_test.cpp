#include "http/test_certificates.h"
#include "http/test_server_fixture.h"

namespace skiff::http {
namespace {

class HttpServerTls : public HttpServer {
protected:
    std::shared_ptr<const ServerTls> make_tls(const TestAuthority& own) {
        TestCertificate server = own.issue("node", {}, "serverAuth");
        ServerTlsSettings settings;
        settings.certificate_pem = server.certificate_pem;
        settings.key_pem = server.key_pem;
        settings.client_ca_pem = authority.pem();
        auto tls = ServerTls::create(settings);
        EXPECT_TRUE(tls) << tls.error().message;
        return *tls;
    }
    static Tls client_tls(const TestAuthority& trusted,
                          const std::optional<TestCertificate>& own = std::nullopt) {
        Tls tls;
        tls.ca_pem = trusted.pem();
        if (own) {
            tls.client_certificate_pem = own->certificate_pem;
            tls.client_key_pem = own->key_pem;
        }
        return tls;
    }
    TestAuthority authority{"cluster"};
    TestAuthority stranger{"stranger"};
};

TEST_F(HttpServerTls, TellsWhoTheClientIsByItsCertificate) {
    Server server(reactor.executor(), clock, handler, ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, make_tls(authority));
    ASSERT_TRUE(port);
    auto body = [&]() -> Task<void> {
        std::string at = fmt::format("https://127.0.0.1:{}/", *port);
        Response none = co_await get(at, client_tls(authority));
        EXPECT_EQ(none.status, 200);
        EXPECT_FALSE(handler.last.peer.certificate);
        EXPECT_EQ(handler.last.peer.certificate_problem, "");

        auto good = authority.issue("kube-apiserver", {"system:masters", "more"}, "clientAuth");
        Response known = co_await get(at, client_tls(authority, good));
        EXPECT_EQ(known.body, "hello");
        const auto& identity = handler.last.peer.certificate;
        EXPECT_TRUE(identity && identity->common_name == "kube-apiserver");
        std::vector<std::string> groups = {"system:masters", "more"};
        EXPECT_TRUE(identity && identity->organizations == groups);
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST_F(HttpServerTls, GivesNoIdentityToABadCertificate) {
    Server server(reactor.executor(), clock, handler, ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, make_tls(authority));
    ASSERT_TRUE(port);
    std::vector<TestCertificate> bad = {
        stranger.issue("kube-apiserver", {"system:masters"}, "clientAuth"),
        authority.issue("kube-apiserver", {"system:masters"}, "clientAuth", -10),
        authority.issue("kube-apiserver", {"system:masters"}, "serverAuth"),
        authority.issue("", {"system:masters"}, "clientAuth"),
    };
    auto body = [&]() -> Task<void> {
        std::string at = fmt::format("https://127.0.0.1:{}/", *port);
        for (const TestCertificate& certificate : bad) {
            Response response = co_await get(at, client_tls(authority, certificate));
            EXPECT_EQ(response.status, 200);
            EXPECT_FALSE(handler.last.peer.certificate);
            EXPECT_NE(handler.last.peer.certificate_problem, "");
        }
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST_F(HttpServerTls, ForgetsACertificateThatExpiresWhileConnected) {
    ManualClock moving(clock.wall_now());
    Server server(reactor.executor(), moving, handler, ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, make_tls(authority));
    ASSERT_TRUE(port);
    auto good = authority.issue("alice", {}, "clientAuth");
    auto body = [&]() -> Task<void> {
        std::string at = fmt::format("https://127.0.0.1:{}/", *port);
        Response first = co_await get(at, client_tls(authority, good));
        EXPECT_TRUE(handler.last.peer.certificate);
        moving.advance(std::chrono::hours(2));
        Response second = co_await get(at, client_tls(authority, good));
        EXPECT_EQ(server.counts().accepted, 1U);
        EXPECT_FALSE(handler.last.peer.certificate);
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST_F(HttpServerTls, UsesANewCertificateForNewConnections) {
    Server server(reactor.executor(), clock, handler, ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, make_tls(authority));
    ASSERT_TRUE(port);
    auto body = [&]() -> Task<void> {
        std::string at = fmt::format("https://127.0.0.1:{}/", *port);
        Response old_one = co_await get(at, client_tls(authority));
        EXPECT_EQ(old_one.status, 200);
        server.replace_tls(make_tls(stranger));
        client.reset_connections();
        Response new_one = co_await get(at, client_tls(stranger));
        EXPECT_EQ(new_one.status, 200);
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST_F(HttpServerTls, CancelsTheHandlerWhenTheTlsClientLeaves) {
    Server server(reactor.executor(), clock, handler, ServerLimits());
    auto port = server.listen_tls("127.0.0.1", 0, make_tls(authority));
    ASSERT_TRUE(port);
    auto body = [&]() -> Task<void> {
        Request request;
        request.url = fmt::format("https://127.0.0.1:{}/forever", *port);
        request.tls = client_tls(authority);
        request.proxy = "";
        auto stream = co_await client.open(std::move(request));
        EXPECT_TRUE(stream && (*stream)->status() == 200);
        EXPECT_FALSE(handler.unwound.is_set());
        stream->reset();
        EXPECT_TRUE(co_await handler.unwound.wait(soon()));
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST_F(HttpServerTls, CutsAPeerThatDoesNotSpeakTls) {
    ServerLimits limits;
    limits.handshake_timeout = milliseconds(50);
    Server server(reactor.executor(), clock, handler, limits);
    auto port = server.listen_tls("127.0.0.1", 0, make_tls(authority));
    ASSERT_TRUE(port);
    auto body = [&]() -> Task<void> {
        RawClient silent(*port);
        EXPECT_EQ(co_await silent.receive_all(), "");
        RawClient plain(*port);
        co_await plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        std::string answer = co_await plain.receive_all();
        EXPECT_EQ(answer.find("HTTP"), std::string::npos);
        co_await server.stop(seconds(0));
    };
    async::run_to_end(reactor, body());
}

TEST(ServerTlsSettings, RejectsWhatIsNoCertificateOrDoesNotFit) {
    TestAuthority authority("a");
    TestCertificate one = authority.issue("one", {}, "serverAuth");
    TestCertificate two = authority.issue("two", {}, "serverAuth");
    ServerTlsSettings settings{one.certificate_pem, two.key_pem, ""};
    EXPECT_EQ(ServerTls::create(settings).error().code, Code::invalid);
    settings = {"not PEM", one.key_pem, ""};
    EXPECT_EQ(ServerTls::create(settings).error().code, Code::invalid);
    settings = {one.certificate_pem, one.key_pem, "not PEM"};
    EXPECT_EQ(ServerTls::create(settings).error().code, Code::invalid);
}

}  // namespace
}  // namespace skiff::http
