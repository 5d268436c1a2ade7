#include "server/kubelet_api.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/scope.h"
#include "http/client.h"
#include "http/test_certificates.h"
#include "kube/codec.h"

namespace skiff::server {
namespace {

using async::Task;
using std::chrono::seconds;

SteadyTime soon() {
    return std::chrono::steady_clock::now() + seconds(20);
}

// The API server's answers: tokens it knows, and who may do what. Counts what it is asked.
class FakeReviews final : public Reviews {
public:
    Task<Result<kube::TokenReviewStatus>> review_token(std::string token) override {
        ++tokens_asked;
        if (down) {
            co_return fail(Code::unavailable, "connection refused");
        }
        kube::TokenReviewStatus status;
        auto found = tokens.find(token);
        if (found != tokens.end()) {
            status.authenticated = true;
            status.user.username = found->second;
            status.user.uid = "u1";
            status.user.groups = {"system:serviceaccounts"};
        }
        co_return status;
    }
    Task<Result<kube::SubjectAccessReviewStatus>> review_access(
        kube::SubjectAccessReviewSpec spec) override {
        ++access_asked;
        if (down) {
            co_return fail(Code::unavailable, "connection refused");
        }
        last = spec;
        const auto& resource = *spec.resourceAttributes;
        kube::SubjectAccessReviewStatus status;
        status.allowed =
            allowed.contains(spec.user + " " + resource.verb + " " + resource.subresource);
        co_return status;
    }

    std::map<std::string, std::string> tokens;
    std::set<std::string> allowed;  // "user verb subresource"
    kube::SubjectAccessReviewSpec last;
    int tokens_asked = 0;
    int access_asked = 0;
    bool down = false;
};

struct FakeNode final : NodeView {
    [[nodiscard]] std::vector<std::shared_ptr<const kube::Pod>> pods() const override {
        return list;
    }
    [[nodiscard]] Result<void> sync_loop_health() const override {
        if (stuck) {
            return fail(Code::timeout, "sync loop took longer than expected");
        }
        return {};
    }
    [[nodiscard]] Task<Result<NodeStats>> stats(StatsScope scope) const override {
        last_scope = scope;
        if (stuck) {
            co_return fail(Code::unavailable, "no /proc");
        }
        NodeStats stats;
        stats.name = "node-1";
        stats.at = WallTime(seconds(1'800'000'000));
        stats.cpu.total = seconds(7);
        co_return stats;
    }
    std::vector<std::shared_ptr<const kube::Pod>> list;
    mutable StatsScope last_scope = StatsScope::all;
    bool stuck = false;
};

// One pod "ns/web" with a container "main"; following never ends by itself.
class FakeLogs final : public pods::LogSource {
public:
    Task<Result<void>> read(PodName pod, std::string container, pods::LogOptions options,
                            pods::LogSink& sink) override {
        last = options;
        if (pod != PodName{"ns", "web"}) {
            co_return fail(Code::not_found, "pod \"{}\" does not exist", pod.name);
        }
        if (container != "main") {
            co_return fail(Code::invalid,
                           "container \"{}\" in pod \"web\" is waiting to start: ContainerCreating",
                           container);
        }
        if (options.previous) {
            co_return Result<void>{};
        }
        SKIFF_CO_CHECK(co_await sink.write("first\n"));
        if (options.tail_lines == 1) {
            co_return fail(Code::corrupt, "the file went away");
        }
        SKIFF_CO_CHECK(co_await sink.write("second\n"));
        if (options.follow) {
            struct OnExit {
                async::Event* event;
                ~OnExit() { event->set(); }
            } on_exit{&reader_gone};
            async::Event never;
            SKIFF_CO_CHECK(co_await never.wait());
        }
        co_return Result<void>{};
    }
    pods::LogOptions last;
    async::Event reader_gone;
};

class KubeletApiTest : public ::testing::Test {
protected:
    void SetUp() override { start(KubeletApiSettings()); }
    void start(KubeletApiSettings settings) {
        stop();
        settings.node_name = "node-1";
        api = std::make_unique<KubeletApi>(clock, node, logs, &reviews, settings);
        server =
            std::make_unique<http::Server>(reactor.executor(), clock, *api, http::ServerLimits());
        auto own = authority.issue("node-1", {}, "serverAuth");
        http::ServerTlsSettings tls{own.certificate_pem, own.key_pem, authority.pem()};
        port = *server->listen_tls("127.0.0.1", 0, *http::ServerTls::create(tls));
        plain_port = *server->listen_plain("127.0.0.1", 0);
        ASSERT_TRUE(server->listen_local(socket));
    }
    void stop() {
        if (server) {
            async::run_to_end(reactor, server->stop(seconds(0)));
            EXPECT_EQ(server->counts().connections, 0U);
            server.reset();
        }
    }
    void TearDown() override { stop(); }

    http::Request request_for(const std::string& path) {
        http::Request request;
        request.url = fmt::format("https://127.0.0.1:{}{}", port, path);
        request.tls.ca_pem = authority.pem();
        request.proxy = "";
        return request;
    }
    http::Request as(http::Request request, const http::TestCertificate& who) {
        request.tls.client_certificate_pem = who.certificate_pem;
        request.tls.client_key_pem = who.key_pem;
        return request;
    }
    static http::Request with_token(http::Request request, const std::string& token) {
        request.headers.set("Authorization", "Bearer " + token);
        return request;
    }
    http::Response send(http::Request request) {
        auto response = async::run_to_end(reactor, client.fetch(std::move(request)));
        EXPECT_TRUE(response) << (response ? "" : response.error().message);
        return response ? *response : http::Response();
    }

    async::Reactor reactor;
    ManualClock clock{SystemClock().wall_now()};
    http::TestAuthority authority{"cluster"};
    http::TestAuthority stranger{"stranger"};
    http::TestCertificate admin =
        authority.issue("kubelet-client", {"admins"}, "clientAuth", 80000);
    FakeReviews reviews;
    FakeNode node;
    FakeLogs logs;
    std::unique_ptr<KubeletApi> api;
    std::unique_ptr<http::Server> server;
    http::Client client{reactor.executor(), "test"};
    std::uint16_t port = 0;
    std::uint16_t plain_port = 0;
    std::string socket = ::testing::TempDir() + fmt::format("skiff-api-{}.sock", ::getpid());
};

TEST_F(KubeletApiTest, GivesStrangersTheSame401Everywhere) {
    reviews.allowed = {"kubelet-client get proxy"};
    std::vector<http::TestCertificate> bad = {
        stranger.issue("kubelet-client", {"admins"}, "clientAuth"),
        authority.issue("kubelet-client", {"admins"}, "clientAuth", -10),
    };
    for (const char* path : {"/healthz", "/pods", "/containerLogs/ns/web/main", "/exec/ns/web/main",
                             "/unknown", "/", "//pods", "/a/%2e%2e/pods"}) {
        for (const char* method : {"GET", "POST", "DELETE", "BREW"}) {
            http::Request request = request_for(path);
            request.method = method;
            http::Response response = send(request);
            EXPECT_EQ(response.status, 401) << method << " " << path;
            EXPECT_EQ(response.body, "Unauthorized");
        }
        EXPECT_EQ(send(with_token(request_for(path), "wrong")).status, 401) << path;
        for (const auto& certificate : bad) {
            EXPECT_EQ(send(as(request_for(path), certificate)).status, 401) << path;
        }
    }
    EXPECT_EQ(reviews.access_asked, 0);
    EXPECT_EQ(reviews.tokens_asked, 1) << "a refused token is remembered";
}

TEST_F(KubeletApiTest, ActingInAPodByGetNeedsCreateToo) {
    for (const char* path : {"/exec/ns/web/main", "/exec/ns/web/uid/main", "/attach/ns/web/main",
                             "/portForward/ns/web", "/run/ns/web/main"}) {
        for (const char* right : {"get", "create"}) {
            clock.advance(std::chrono::minutes(6));  // nothing from the cache
            reviews.allowed = {fmt::format("kubelet-client {} proxy", right)};
            EXPECT_EQ(send(as(request_for(path), admin)).status, 403) << path << " " << right;
        }
        clock.advance(std::chrono::minutes(6));
        reviews.allowed = {"kubelet-client get proxy", "kubelet-client create proxy"};
        EXPECT_EQ(send(as(request_for(path), admin)).status, 501) << path;
    }
}

TEST_F(KubeletApiTest, AsksForEachRouteWhatTheContractSays) {
    struct Case {
        const char* method;
        const char* path;
        const char* right;
        int status;  // with that right
    };
    const Case cases[] = {
        {"GET", "/healthz", "get healthz", 200},
        {"GET", "/healthz", "get proxy", 200},
        {"GET", "/healthz/ping", "get proxy", 200},
        {"GET", "/healthz/nothing", "get proxy", 404},
        {"GET", "/pods", "get pods", 200},
        {"GET", "/pods/", "get proxy", 200},
        {"POST", "/pods", "create pods", 405},
        {"GET", "/containerLogs/ns/web/main", "get proxy", 200},
        {"POST", "/containerLogs/ns/web/main", "create proxy", 405},
        {"GET", "/containerLogs/ns/web", "get proxy", 404},
        {"POST", "/exec/ns/web/main", "create proxy", 501},
        {"GET", "/configz", "get configz", 200},
        {"GET", "/configz", "get proxy", 200},
        {"POST", "/configz", "create configz", 405},
        {"GET", "/configz/x", "get configz", 404},
        {"GET", "/metrics", "get metrics", 404},
        {"GET", "/metrics/resource", "get metrics", 200},
        {"POST", "/metrics/resource", "create metrics", 405},
        {"GET", "/stats/summary", "get stats", 200},
        {"POST", "/stats/summary", "create stats", 200},
        {"PUT", "/stats/summary", "update stats", 405},
        {"GET", "/stats", "get stats", 404},
        {"GET", "/unknown", "get proxy", 404},
        {"GET", "/a/%2e%2e/pods", nullptr, 400},
        {"GET", "//pods", nullptr, 400},
    };
    for (const Case& c : cases) {
        http::Request request = as(request_for(c.path), admin);
        request.method = c.method;
        if (c.right != nullptr) {
            clock.advance(std::chrono::minutes(6));  // nothing from the cache
            reviews.allowed.clear();
            EXPECT_EQ(send(request).status, 403) << c.method << " " << c.path;
            clock.advance(std::chrono::minutes(1));
            reviews.allowed = {std::string("kubelet-client ") + c.right};
        }
        EXPECT_EQ(send(request).status, c.status) << c.method << " " << c.path;
    }
    reviews.allowed = {"kubelet-client get pods"};
    clock.advance(std::chrono::minutes(6));
    http::Response refused = send(as(request_for("/containerLogs/ns/web/main"), admin));
    EXPECT_EQ(refused.status, 403);
    EXPECT_EQ(
        refused.body,
        "Forbidden (user=kubelet-client, verb=get, resource=nodes, subresource(s)=[proxy])\n");
    EXPECT_EQ(reviews.last.resourceAttributes->name, "node-1");
    EXPECT_EQ(reviews.last.resourceAttributes->version, "v1");
    std::vector<std::string> groups = {"admins", "system:authenticated"};
    EXPECT_EQ(reviews.last.groups, groups);
}

TEST_F(KubeletApiTest, ShowsWhatIsUsedAndSaysWhenItCannot) {
    reviews.allowed = {"kubelet-client get metrics", "kubelet-client get stats"};
    http::Response page = send(as(request_for("/metrics/resource"), admin));
    EXPECT_EQ(page.headers.find("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    EXPECT_NE(page.body.find("\nnode_cpu_usage_seconds_total 7 1800000000000\n"), std::string::npos)
        << page.body;
    http::Response whole = send(as(request_for("/stats/summary"), admin));
    EXPECT_EQ(node.last_scope, StatsScope::all);
    EXPECT_NE(whole.body.find(R"("nodeName":"node-1")"), std::string::npos) << whole.body;
    (void)send(as(request_for("/stats/summary?only_cpu_and_memory=true"), admin));
    EXPECT_EQ(node.last_scope, StatsScope::cpu_and_memory);
    node.stuck = true;
    page = send(as(request_for("/metrics/resource"), admin));
    EXPECT_EQ(page.status, 200);
    EXPECT_NE(page.body.find("\nresource_scrape_error 1\n"), std::string::npos) << page.body;
    EXPECT_EQ(send(as(request_for("/stats/summary"), admin)).status, 500);
}

TEST_F(KubeletApiTest, KnowsBearersOfTokensForTwoMinutes) {
    reviews.tokens["good"] = "system:serviceaccount:kube-system:metrics";
    reviews.allowed = {"system:serviceaccount:kube-system:metrics get healthz"};
    EXPECT_EQ(send(with_token(request_for("/healthz"), "good")).status, 200);
    EXPECT_EQ(reviews.last.uid, "u1");
    reviews.tokens.clear();
    clock.advance(seconds(119));
    EXPECT_EQ(send(with_token(request_for("/healthz"), "good")).status, 200);
    EXPECT_EQ(reviews.tokens_asked, 1);
    clock.advance(seconds(2));
    EXPECT_EQ(send(with_token(request_for("/healthz"), "good")).status, 401);
    EXPECT_EQ(reviews.tokens_asked, 2);
}

TEST_F(KubeletApiTest, RemembersYesForFiveMinutesAndNoForThirtySeconds) {
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 403);
    reviews.allowed = {"kubelet-client get pods"};
    clock.advance(seconds(29));
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 403);
    clock.advance(seconds(2));
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200);
    reviews.allowed.clear();
    clock.advance(seconds(299));
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200);
    clock.advance(seconds(2));
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 403);
}

TEST_F(KubeletApiTest, LetsNobodyInWhenTheApiServerCannotBeAsked) {
    reviews.tokens["good"] = "someone";
    reviews.allowed = {"kubelet-client get pods"};
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200);
    reviews.down = true;
    EXPECT_EQ(send(with_token(request_for("/pods"), "good")).status, 401);
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200) << "what is known stays known";
    http::Response unknown = send(as(request_for("/healthz"), admin));
    EXPECT_EQ(unknown.status, 500);
    EXPECT_EQ(unknown.body,
              "Authorization error (user=kubelet-client, verb=get, resource=nodes, "
              "subresource=healthz)");
    reviews.down = false;
    reviews.allowed.insert("kubelet-client get healthz");
    EXPECT_EQ(send(as(request_for("/healthz"), admin)).status, 200);
    EXPECT_EQ(send(with_token(request_for("/pods"), "good")).status, 403) << "known again";
}

TEST_F(KubeletApiTest, AnonymousIsAUserOnlyWhereAllowed) {
    KubeletApiSettings settings;
    settings.anonymous = Anonymous::allowed;
    start(settings);
    reviews.allowed = {"system:anonymous get healthz"};
    EXPECT_EQ(send(request_for("/healthz")).status, 200);
    EXPECT_EQ(send(request_for("/pods")).status, 403);
    EXPECT_EQ(send(with_token(request_for("/healthz"), "wrong")).status, 401);
    auto bad = stranger.issue("x", {}, "clientAuth");
    EXPECT_EQ(send(as(request_for("/healthz"), bad)).status, 401);
}

TEST_F(KubeletApiTest, WithoutTokenReviewsCertificatesAreStillAuthorized) {
    KubeletApiSettings settings;
    settings.token_reviews = TokenReviews::disabled;
    start(settings);
    reviews.allowed = {"kubelet-client get pods"};
    reviews.tokens = {{"good", "kubelet-client"}};
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200);
    EXPECT_EQ(send(as(request_for("/healthz"), admin)).status, 403);
    EXPECT_EQ(send(with_token(request_for("/pods"), "good")).status, 401);
}

TEST_F(KubeletApiTest, KeepsAnswersAsLongAsItIsTold) {
    KubeletApiSettings settings;
    settings.answer_lifetimes.allowed = seconds(10);
    settings.answer_lifetimes.refused = seconds(2);
    start(settings);
    reviews.allowed = {"kubelet-client get pods"};
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200);
    EXPECT_EQ(send(as(request_for("/healthz"), admin)).status, 403);
    reviews.allowed = {"kubelet-client get healthz"};
    clock.advance(seconds(3));
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200) << "kept";
    EXPECT_EQ(send(as(request_for("/healthz"), admin)).status, 200) << "asked again";
    clock.advance(seconds(8));
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 403) << "asked again";
}

TEST_F(KubeletApiTest, ReportsHealthOnThePlainPortAndNothingElse) {
    http::Request request;
    request.proxy = "";
    request.url = fmt::format("http://127.0.0.1:{}/healthz", plain_port);
    EXPECT_EQ(send(request).body, "ok");
    node.stuck = true;
    http::Response sick = send(request);
    EXPECT_EQ(sick.status, 500);
    EXPECT_NE(sick.body.find("[-]syncloop failed: sync loop took longer"), std::string::npos);
    request.url += "/ping";
    EXPECT_EQ(send(request).status, 200);
    for (const char* path : {"/pods", "/containerLogs/ns/web/main", "/"}) {
        request.url = fmt::format("http://127.0.0.1:{}{}", plain_port, path);
        EXPECT_EQ(send(request).status, 404) << path;
    }
}

TEST_F(KubeletApiTest, HealthNamesItsChecksAndLeavesOutWhatOneLikes) {
    auto ask = [this](std::string_view what) {
        http::Request request;
        request.proxy = "";
        request.url = fmt::format("http://127.0.0.1:{}/healthz{}", plain_port, what);
        return send(request);
    };
    EXPECT_EQ(ask("?verbose").body,
              "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n");
    node.stuck = true;
    for (std::string_view name : {"/ping", "/log"}) {
        EXPECT_EQ(ask(name).status, 200) << name;
    }
    EXPECT_EQ(ask("/syncloop").status, 500);
    http::Response left_out = ask("?exclude=syncloop&verbose");
    EXPECT_EQ(left_out.status, 200);
    EXPECT_NE(left_out.body.find("[+]syncloop excluded: ok\n"), std::string::npos);
}

TEST_F(KubeletApiTest, ConfigzIsWhatTheNodeWasStartedWith) {
    KubeletApiSettings settings;
    settings.configz = R"({"kubeletconfig":{"maxPods":7}})";
    start(settings);
    reviews.allowed = {"kubelet-client get configz"};
    http::Response response = send(as(request_for("/configz"), admin));
    EXPECT_EQ(response.body, settings.configz);
    EXPECT_EQ(response.headers.find("Content-Type"), "application/json");
}

TEST_F(KubeletApiTest, ServesRootOnTheUnixSocketWithoutAsking) {
    auto pod = std::make_shared<kube::Pod>();
    pod->metadata.name = "web";
    pod->status.phase = "Running";
    node.list = {pod, pod};
    http::Request request;
    request.url = "http://skiff/pods";
    request.unix_socket = socket;
    http::Response response = send(request);
    auto list = kube::list_from_json<kube::Pod>(response.body);
    ASSERT_TRUE(list);
    ASSERT_EQ(list->items.size(), 2U);
    EXPECT_EQ(list->items[1].status.phase, "Running");
    EXPECT_EQ(response.headers.find("Content-Type"), "application/json");
    EXPECT_EQ(reviews.access_asked, 0);
}

TEST_F(KubeletApiTest, OffersRoutesOfItsOwnOnTheUnixSocketOnly) {
    struct Own final : LocalRoutes {
        async::Task<void> serve(http::Exchange& exchange, const RequestTarget& target) override {
            auto response =
                http::plain_text(200, exchange.request().method + target.segments.at(1));
            (void)co_await exchange.respond(std::move(response));
        }
    } own;
    http::Request local;
    local.url = "http://skiff/skiff/images";
    local.unix_socket = socket;
    EXPECT_EQ(send(local).status, 404) << "nothing is offered";
    api->offer("images", own);
    local.method = "DELETE";
    EXPECT_EQ(send(local).body, "DELETEimages");
    for (const char* unknown : {"/skiff", "/skiff/other", "/skiff/imagesx"}) {
        http::Request other = local;
        other.url = std::string("http://skiff") + unknown;
        EXPECT_EQ(send(other).status, 404) << unknown;
    }
    reviews.allowed = {"kubelet-client get proxy", "kubelet-client create proxy",
                       "kubelet-client delete proxy"};
    for (const char* method : {"GET", "POST", "DELETE"}) {
        http::Request far = as(request_for("/skiff/images"), admin);
        far.method = method;
        EXPECT_EQ(send(far).status, 404) << method;
        http::Request plain = local;
        plain.unix_socket = "";
        plain.proxy = "";
        plain.method = method;
        plain.url = fmt::format("http://127.0.0.1:{}/skiff/images", plain_port);
        EXPECT_EQ(send(plain).status, 404) << method;
    }
    EXPECT_EQ(send(request_for("/skiff/images")).status, 401) << "strangers learn nothing";
}

TEST_F(KubeletApiTest, AnswersLogRequestsWithTheKubeletsStatuses) {
    reviews.allowed = {"kubelet-client get proxy"};
    auto get = [this](const std::string& path) { return send(as(request_for(path), admin)); };
    http::Response good = get("/containerLogs/ns/web/main?tailLines=9&timestamps=true");
    EXPECT_EQ(good.status, 200);
    EXPECT_EQ(good.body, "first\nsecond\n");
    EXPECT_EQ(good.headers.find("Transfer-Encoding"), "chunked");
    EXPECT_TRUE(logs.last.timestamps && logs.last.tail_lines == 9);
    http::Response waiting = get("/containerLogs/ns/web/other");
    EXPECT_EQ(waiting.status, 400);
    EXPECT_EQ(waiting.body,
              "container \"other\" in pod \"web\" is waiting to start: ContainerCreating");
    http::Response absent = get("/containerLogs/ns/nobody/main");
    EXPECT_EQ(absent.status, 404);
    EXPECT_EQ(absent.body, "pod \"nobody\" does not exist");
    EXPECT_EQ(get("/containerLogs/ns/web/main?tailLines=-1").status, 422);
    EXPECT_EQ(get("/containerLogs/ns/web/main?tailLines=x").status, 400);
    http::Response empty = get("/containerLogs/ns/web/main?previous=true");
    EXPECT_EQ(empty.status, 200);
    EXPECT_EQ(empty.body, "");
}

TEST_F(KubeletApiTest, CutsALogThatCannotBeFinished) {
    reviews.allowed = {"kubelet-client get proxy"};
    auto response = async::run_to_end(
        reactor, client.fetch(as(request_for("/containerLogs/ns/web/main?tailLines=1"), admin)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, Code::unavailable);
}

TEST_F(KubeletApiTest, StreamsALogUntilTheReaderLeaves) {
    reviews.allowed = {"kubelet-client get proxy"};
    auto body = [this]() -> Task<void> {
        http::Request request = as(request_for("/containerLogs/ns/web/main?follow=true"), admin);
        auto stream = co_await client.open(std::move(request));
        EXPECT_TRUE(stream);
        std::string text;
        while (stream && text != "first\nsecond\n") {
            auto chunk = co_await (*stream)->next_chunk();
            if (!chunk || !*chunk) {
                ADD_FAILURE() << "the stream ended";
                break;
            }
            text += **chunk;
        }
        EXPECT_FALSE(logs.reader_gone.is_set());
        stream->reset();
        EXPECT_TRUE(co_await logs.reader_gone.wait(soon()));
    };
    async::run_to_end(reactor, body());
}

TEST_F(KubeletApiTest, TurnsDebugRoutesOffTogether) {
    KubeletApiSettings settings;
    settings.debug_handlers = DebugHandlers::disabled;
    start(settings);
    reviews.allowed = {"kubelet-client get proxy", "kubelet-client create proxy",
                       "kubelet-client get log", "kubelet-client get pods"};
    for (const char* path : {"/containerLogs/ns/web/main", "/exec/a/b/c", "/logs/x",
                             "/runningpods/", "/debug/pprof/"}) {
        http::Response response = send(as(request_for(path), admin));
        EXPECT_EQ(response.status, 405) << path;
        EXPECT_EQ(response.body, "Debug endpoints are disabled.");
    }
    EXPECT_EQ(send(as(request_for("/pods"), admin)).status, 200);
}

}  // namespace
}  // namespace skiff::server
