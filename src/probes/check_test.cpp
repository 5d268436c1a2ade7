#include "probes/check.h"

#include <gtest/gtest.h>

#include <array>

#include "http/test_server.h"
#include "probes/fixture.h"
#include "probes/raw_server.h"

namespace skiff::probes {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::int32_t port_in(const TestServer& server) {
    std::string authority = server.authority();
    return static_cast<std::int32_t>(*parse_int(authority.substr(authority.find(':') + 1)));
}

TestResponse answer(int status, std::string body = {}) {
    TestResponse response;
    response.status = status;
    response.body = std::move(body);
    return response;
}

TestResponse redirect(std::string location) {
    TestResponse response = answer(302, "moved");
    response.headers.add("Location", std::move(location));
    return response;
}

class ProbeCheck : public ::testing::Test {
protected:
    Result<Outcome> ask(const kube::Probe& probe, Duration timeout = seconds(10)) {
        kube::Container container = container_named("web");
        Subject subject{probe, container, ContainerId("c1"), "127.0.0.1", timeout};
        return async::run_to_end(reactor, check(tools, subject));
    }
    std::string told(const kube::Probe& probe, Duration timeout = seconds(10)) {
        auto outcome = ask(probe, timeout);
        if (!outcome) {
            return "error: " + outcome.error().message;
        }
        constexpr std::array kNames = {"success", "warning", "failure"};
        return fmt::format("{}: {}", kNames[static_cast<std::size_t>(outcome->kind)],
                           outcome->text);
    }
    static kube::Probe http_probe(const TestServer& server, std::string path = "/") {
        kube::Probe probe;
        probe.httpGet.emplace();
        probe.httpGet->path = std::move(path);
        probe.httpGet->port = port_number(port_in(server));
        return probe;
    }
    static kube::Probe tcp_probe(std::int32_t port) {
        kube::Probe probe;
        probe.tcpSocket.emplace();
        probe.tcpSocket->port = port_number(port);
        return probe;
    }
    // A port on which nobody listens.
    static std::int32_t free_port() {
        TestServer server([](const TestRequest&) { return TestResponse{}; });
        return port_in(server);
    }

    async::Reactor reactor;
    http::Client client{reactor.executor(), "test"};
    SaidCommands commands;
    Tools tools{client, commands, "kube-probe/1.37", "kube-lifecycle/1.37"};
};

TEST_F(ProbeCheck, AnHttpStatusFrom200To399IsASuccess) {
    int status = 200;
    TestServer server([&](const TestRequest&) { return answer(status, "body"); });
    EXPECT_EQ(told(http_probe(server)), "success: body");
    status = 399;
    EXPECT_EQ(told(http_probe(server)), "warning: Probe terminated redirects, Response body: body");
    for (int bad : {400, 404, 500}) {
        status = bad;
        EXPECT_EQ(told(http_probe(server)),
                  fmt::format("failure: HTTP probe failed with statuscode: {}", bad));
    }
    EXPECT_EQ(server.connections(), 5) << "each probe has a connection of its own";
}

TEST_F(ProbeCheck, AnHttpProbeSaysWhoItIs) {
    TestRequest seen;
    TestServer server([&](const TestRequest& request) {
        seen = request;
        return answer(200);
    });
    auto probe = http_probe(server, "/healthz?x=1");
    probe.httpGet->httpHeaders = {{"Host", "shop.example"}, {"X-Token", "t"}};
    EXPECT_EQ(told(probe), "success: ");
    EXPECT_EQ(seen.method, "GET");
    EXPECT_EQ(seen.target, "/healthz?x=1");
    EXPECT_EQ(seen.headers.find("User-Agent"), "kube-probe/1.37");
    EXPECT_EQ(seen.headers.find("Host"), "shop.example");
    EXPECT_EQ(seen.headers.find("X-Token"), "t");
    EXPECT_EQ(seen.headers.find("Connection"), "close");
    probe.httpGet->httpHeaders = {{"User-Agent", ""}, {"Accept", ""}};
    EXPECT_EQ(told(probe), "success: ");
    EXPECT_EQ(seen.headers.find("User-Agent"), std::nullopt);
    EXPECT_EQ(seen.headers.find("Accept"), std::nullopt);
}

TEST_F(ProbeCheck, RedirectsOnTheSameHostAreFollowedAndOthersAreAWarning) {
    std::string place = "/second";
    TestServer server([&](const TestRequest& request) {
        return request.target == "/second" ? answer(500) : redirect(place);
    });
    EXPECT_EQ(told(http_probe(server)), "failure: HTTP probe failed with statuscode: 500");
    place = "http://elsewhere.example/";
    EXPECT_EQ(told(http_probe(server)),
              "warning: Probe terminated redirects, Response body: moved");
    place = "/again";
    EXPECT_EQ(told(http_probe(server)),
              fmt::format("failure: Get \"{}\": stopped after 10 redirects", server.url("/again")));
}

TEST_F(ProbeCheck, OfALongBodyOnlyTheBeginningIsRead) {
    TestServer server([](const TestRequest&) {
        TestResponse response = answer(200, std::string(1 << 20, 'x'));
        response.hang_after = kBodyBytesMax + 4096;
        return response;
    });
    auto outcome = ask(http_probe(server));
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_EQ(outcome->kind, Outcome::Kind::success);
    EXPECT_EQ(outcome->text, std::string(kBodyBytesMax, 'x'));
}

TEST_F(ProbeCheck, AServerThatDoesNotAnswerInTimeFails) {
    TestServer server([](const TestRequest&) {
        TestResponse response = answer(200, "never");
        response.hang_after = 0;
        return response;
    });
    EXPECT_EQ(told(http_probe(server), milliseconds(50)),
              fmt::format("failure: Get \"{}\": context deadline exceeded (Client.Timeout exceeded "
                          "while awaiting headers)",
                          server.url("/")));
}

TEST_F(ProbeCheck, AServerThatIsNotThereFails) {
    std::int32_t port = free_port();
    kube::Probe probe;
    probe.httpGet.emplace();
    probe.httpGet->port = port_number(port);
    std::string text = told(probe);
    EXPECT_TRUE(text.starts_with(fmt::format("failure: Get \"http://127.0.0.1:{}/\": ", port)))
        << text;
    EXPECT_TRUE(text.ends_with("Connection refused")) << text;
}

TEST_F(ProbeCheck, AProbeWithoutAPortToAskIsNoFailure) {
    kube::Probe probe;
    probe.httpGet.emplace();
    probe.httpGet->port = port_name("admin");
    EXPECT_EQ(told(probe), "error: container web has no port named \"admin\"");
    EXPECT_EQ(told(kube::Probe{}), "error: the probe has none of exec, httpGet, tcpSocket, grpc");
}

TEST_F(ProbeCheck, ATcpProbeOnlyConnects) {
    {
        TestServer server([](const TestRequest&) { return TestResponse{}; });
        EXPECT_EQ(told(tcp_probe(port_in(server))), "success: ");
    }  // it ends only when the connection has
    std::int32_t port = free_port();
    std::string text = told(tcp_probe(port));
    EXPECT_TRUE(text.starts_with(fmt::format("failure: dial tcp 127.0.0.1:{}: ", port))) << text;
    EXPECT_TRUE(text.ends_with("Connection refused")) << text;
}

TEST_F(ProbeCheck, ACommandSaysItByItsExitCode) {
    kube::Probe probe;
    probe.exec.emplace();
    probe.exec->command = {"cat", "/tmp/health"};
    commands.end = {0, "ok\n"};
    EXPECT_EQ(told(probe), "success: ok\n");
    EXPECT_EQ(commands.runs.back().command, probe.exec->command);
    EXPECT_EQ(commands.runs.back().container, ContainerId("c1"));
    EXPECT_EQ(commands.runs.back().timeout, seconds(10));
    commands.end = {1, "cat: no such file\n"};
    EXPECT_EQ(told(probe), "failure: cat: no such file\n");
    commands.failure = fail(Code::timeout, "late").value();
    EXPECT_EQ(told(probe), "failure: command \"cat /tmp/health\" timed out after 10s");
    commands.failure = fail(Code::conflict, "container \"web\" is not running").value();
    EXPECT_EQ(told(probe), "error: container \"web\" is not running");
}

TEST_F(ProbeCheck, AHookTakesAnyAnswer) {
    TestRequest seen;
    TestServer server([&](const TestRequest& request) {
        seen = request;
        return answer(500);
    });
    pods::HookRequest hook;
    hook.action = *http_probe(server, "/bye").httpGet;
    hook.address = "127.0.0.1";
    hook.timeout = seconds(10);
    auto given = async::run_to_end(reactor, call_hook(tools, hook));
    ASSERT_TRUE(given) << format_as(given.error());
    EXPECT_EQ(*given, pods::Probes::HookAnswer::given);
    EXPECT_EQ(seen.target, "/bye");
    EXPECT_EQ(seen.headers.find("User-Agent"), "kube-lifecycle/1.37");
}

TEST_F(ProbeCheck, AHookAsksAPlainServerAgainWithoutTlsAndSecrets) {
    std::string seen;
    // As servers of plain HTTP answer what is none.
    testing::RawServer server([&](const std::string& received) {
        if (!received.starts_with("GET ")) {
            return testing::RawServer::Reply{"HTTP/1.1 400 Bad Request\r\n\r\n", true};
        }
        seen = received;
        return testing::RawServer::Reply{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false};
    });
    pods::HookRequest hook;
    hook.action.path = "/bye";
    hook.action.port = port_number(server.port());
    hook.action.scheme = "HTTPS";
    hook.action.httpHeaders = {{"Authorization", "secret"}, {"X-A", "1"}};
    hook.address = "127.0.0.1";
    hook.timeout = seconds(10);
    auto given = async::run_to_end(reactor, call_hook(tools, hook));
    ASSERT_TRUE(given) << format_as(given.error());
    EXPECT_EQ(*given, pods::Probes::HookAnswer::given_without_tls);
    EXPECT_NE(seen.find("GET /bye HTTP/1.1"), std::string::npos) << seen;
    EXPECT_NE(seen.find("X-A: 1"), std::string::npos) << seen;
    EXPECT_EQ(seen.find("secret"), std::string::npos) << seen;
}

}  // namespace
}  // namespace skiff::probes
