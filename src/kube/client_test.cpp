// ApiClient and Reflector against a scripted server: the faults that a real API server does not
// make on demand. The regular ways are tested against a real one (test/e2e).
#include <gtest/gtest.h>

#include "http/test_server.h"
#include "kube/client_api.h"
#include "kube/client_reflector.h"

namespace skiff::kube {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;

TestResponse answer(int status, std::string body) {
    TestResponse response;
    response.status = status;
    response.body = std::move(body);
    return response;
}

TestResponse refusal(int code, std::string_view reason, std::string_view message) {
    return answer(code, fmt::format(R"({{"kind":"Status","status":"Failure","reason":"{}",)"
                                    R"("message":"{}","code":{}}})",
                                    reason, message, code));
}

// Sends `events` and then keeps the watch open.
TestResponse open_watch(std::string events) {
    TestResponse response = answer(200, std::move(events));
    response.hang_after = response.body.size();
    response.body += " ";
    return response;
}

std::string config_map(std::string_view name, std::string_view version, std::string_view uid) {
    return fmt::format(R"({{"metadata":{{"namespace":"ns","name":"{}","uid":"{}",)"
                       R"("resourceVersion":"{}"}}}})",
                       name, uid, version);
}

std::string list_of(std::string_view version, std::initializer_list<std::string> items,
                    std::string_view token = {}) {
    std::string joined;
    for (const std::string& item : items) {
        joined += (joined.empty() ? "" : ",") + item;
    }
    return fmt::format(R"({{"metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[{}]}})",
                       version, token, joined);
}

std::string event(std::string_view type, std::string_view object) {
    return fmt::format(R"({{"type":"{}","object":{}}})", type, object) + "\n";
}

bool is_watch(const TestRequest& request) {
    return request.target.find("watch=true") != std::string::npos;
}

class Fixture {
public:
    explicit Fixture(TestServer::Handler handler) : server(std::move(handler)) {
        ClientConfig config;
        config.server = "http://" + server.authority();
        config.proxy = "";
        config.token = "secret";
        client.emplace(reactor.executor(), clock, config);
    }

    // Runs the task to its end, at most ten seconds.
    template <typename T>
    Result<T> run(async::Task<Result<T>> task) {
        auto deadline = clock.steady_now() + std::chrono::seconds(10);
        return async::run_to_end(reactor, async::with_deadline(std::move(task), deadline, "test"));
    }

    SystemClock clock;
    SeededRandom random{1};
    TestServer server;
    async::Reactor reactor;
    std::optional<ApiClient> client;
};

using ConfigMaps = Reflector<ConfigMap>;

// Runs a reflector of ConfigMaps until `changes_wanted` changes were delivered; `look` is called
// after each.
std::vector<std::string> reflect(Fixture& fixture, std::size_t changes_wanted,
                                 std::function<void(const ConfigMaps&)> look = {},
                                 ConfigMaps::UndecodedCallback undecoded = {},
                                 ConfigMaps::Transform transform = {}) {
    std::vector<std::string> changes;
    const ConfigMaps* running = nullptr;
    async::Event enough;
    auto note = [&](const Change<ConfigMap>& change) {
        static constexpr std::array<std::string_view, 3> kNames = {"+", "~", "-"};
        changes.push_back(fmt::format("{}{}/{}", kNames[static_cast<std::size_t>(change.kind)],
                                      change.object->metadata.name, change.object->metadata.uid));
        if (look) {
            look(*running);
        }
        if (changes.size() >= changes_wanted) {
            enough.set();
        }
    };
    ReflectorPace pace;
    pace.back_off_min = std::chrono::milliseconds(1);
    pace.back_off_max = std::chrono::milliseconds(2);
    pace.confirm_delay = std::chrono::milliseconds(1);
    ConfigMaps reflector(*fixture.client, fixture.clock, fixture.random, Selection{"ns", {}, {}},
                         note, pace);
    reflector.set_undecoded_callback(std::move(undecoded));
    reflector.set_transform(std::move(transform));
    running = &reflector;
    auto body = [](ConfigMaps* subject, async::Event* event) -> async::Task<Result<void>> {
        auto executor = co_await async::current_executor();
        async::Scope scope(executor);
        scope.spawn("reflector", subject->run());
        auto waited = co_await event->wait();
        co_await scope.stop();
        co_return waited;
    };
    auto result = fixture.run(body(&reflector, &enough));
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return changes;
}

TEST(ApiErrors, MapStatusToCodeReasonAndMessage) {
    auto map = [](int http, std::string_view reason) {
        return error_from_status(http, refusal(http, reason, "m").body).code;
    };
    EXPECT_EQ(map(404, "NotFound"), Code::not_found);
    EXPECT_EQ(map(409, "AlreadyExists"), Code::exists);
    EXPECT_EQ(map(409, "Conflict"), Code::conflict);
    EXPECT_EQ(map(410, "Expired"), Code::conflict);
    EXPECT_EQ(map(403, "Forbidden"), Code::denied);
    EXPECT_EQ(map(401, "Unauthorized"), Code::unauthenticated);
    EXPECT_EQ(map(422, "Invalid"), Code::invalid);
    EXPECT_EQ(map(429, "TooManyRequests"), Code::unavailable);
    EXPECT_EQ(map(500, "InternalError"), Code::unavailable);
    EXPECT_EQ(map(504, "Timeout"), Code::timeout);
    Error error = error_from_status(404, refusal(404, "NotFound", "pods x not found").body);
    EXPECT_EQ(error.reason, "NotFound");
    EXPECT_EQ(error.message, "pods x not found");
    EXPECT_EQ(error_from_status(502, "<html>bad").message, "HTTP 502 <html>bad");
}

TEST(ApiPaths, FollowGroupScopeAndSubresource) {
    EXPECT_EQ(resource_path(kResource<Pod>, "ns", "p", "status"),
              "/api/v1/namespaces/ns/pods/p/status");
    EXPECT_EQ(resource_path(kResource<Pod>, ""), "/api/v1/pods");
    EXPECT_EQ(resource_path(kResource<Node>, "", "n"), "/api/v1/nodes/n");
    EXPECT_EQ(resource_path(kResource<Lease>, "kube-node-lease", "n"),
              "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n");
}

TEST(ApiClient, SendsWhoItIsAndRetriesWhenToldTo) {
    int calls = 0;
    TestRequest seen;
    Fixture fixture([&](const TestRequest& request) {
        seen = request;
        if (++calls < 3) {
            TestResponse response = refusal(429, "TooManyRequests", "slow down");
            response.headers.set("Retry-After", "0");
            return response;
        }
        return answer(200, R"({"metadata":{"name":"p","resourceVersion":"5"}})");
    });
    auto pod = fixture.run(fixture.client->get<Pod>("ns", "p"));
    ASSERT_TRUE(pod) << pod.error().message;
    EXPECT_EQ(pod->metadata.resourceVersion, "5");
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(seen.target, "/api/v1/namespaces/ns/pods/p");
    EXPECT_EQ(seen.headers.find("Authorization"), "Bearer secret");
    EXPECT_EQ(seen.headers.find("User-Agent"), "skiff/" SKIFF_VERSION);
}

TEST(ApiClient, DeletesWithTheUidAsPrecondition) {
    TestRequest seen;
    Fixture fixture([&](const TestRequest& request) {
        seen = request;
        return refusal(409, "Conflict", "uid differs");
    });
    auto removed = fixture.run(fixture.client->remove<Pod>("ns", "p", "u-1", 0));
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, Code::conflict);
    EXPECT_EQ(seen.method, "DELETE");
    EXPECT_EQ(seen.body, R"({"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,)"
                         R"("preconditions":{"uid":"u-1"}})");
}

TEST(Reflector, ListsInPagesThenFollowsTheWatch) {
    std::string watch_target;
    Fixture fixture([&](const TestRequest& request) {
        if (is_watch(request)) {
            watch_target = request.target;
            return open_watch(event("BOOKMARK", config_map("", "8", "")) +
                              event("ADDED", config_map("c", "9", "3")) +
                              event("MODIFIED", config_map("a", "10", "1")) +
                              event("DELETED", config_map("b", "11", "2")));
        }
        bool second = request.target.find("continue=t") != std::string::npos;
        return answer(200, second ? list_of("7", {config_map("b", "2", "2")})
                                  : list_of("7", {config_map("a", "1", "1")}, "t"));
    });
    EXPECT_EQ(reflect(fixture, 5),
              (std::vector<std::string>{"+a/1", "+b/2", "+c/3", "~a/1", "-b/2"}));
    EXPECT_NE(watch_target.find("resourceVersion=7"), std::string::npos);
    EXPECT_NE(watch_target.find("allowWatchBookmarks=true"), std::string::npos);
}

TEST(Reflector, KeepsOnlyWhatItsTransformLeaves) {
    Fixture fixture([&](const TestRequest& request) {
        if (is_watch(request)) {
            return open_watch(event("ADDED", config_map("b", "9", "2")) +
                              event("DELETED", config_map("a", "10", "1")));
        }
        return answer(200, list_of("7", {config_map("a", "1", "1")}));
    });
    std::size_t seen = 0;
    auto look = [&](const ConfigMaps& reflector) {
        for (const auto& [name, object] : reflector.store()) {
            EXPECT_EQ(object->metadata.labels.count("trimmed"), 1U) << name;
            ++seen;
        }
    };
    auto trim = [](ConfigMap& object) { object.metadata.labels = {{"trimmed", ""}}; };
    EXPECT_EQ(reflect(fixture, 3, look, {}, trim),
              (std::vector<std::string>{"+a/1", "+b/2", "-a/1"}));
    EXPECT_EQ(seen, 4U);
}

TEST(Reflector, ListsAgainAfter410AndDeliversOnlyTheDifference) {
    int lists = 0;
    int watches = 0;
    Fixture fixture([&](const TestRequest& request) {
        if (!is_watch(request)) {
            return answer(
                200, ++lists == 1
                         ? list_of("1", {config_map("a", "1", "1"), config_map("b", "1", "2")})
                         : list_of("9", {config_map("a", "1", "1"), config_map("b", "8", "5")}));
        }
        ++watches;
        if (watches == 1) {
            return answer(200, event("ERROR", refusal(410, "Expired", "too old").body));
        }
        return open_watch("");
    });
    // b came back under another uid: the old one is removed first.
    EXPECT_EQ(reflect(fixture, 4), (std::vector<std::string>{"+a/1", "+b/2", "-b/2", "+b/5"}));
}

TEST(Reflector, GoesOnFromTheLastVersionWhenAWatchBreaks) {
    std::vector<std::string> targets;
    Fixture fixture([&](const TestRequest& request) {
        if (!is_watch(request)) {
            return answer(200, list_of("1", {}));
        }
        targets.push_back(request.target);
        if (targets.size() == 1) {
            TestResponse cut = answer(200, event("ADDED", config_map("a", "4", "1")) + "{\"type");
            cut.cut_after = cut.body.size();
            cut.body += "more";
            return cut;
        }
        if (targets.size() == 2) {
            return refusal(500, "InternalError", "hiccup");
        }
        return open_watch(event("ADDED", config_map("a", "4", "1")) +
                          event("ADDED", config_map("b", "5", "2")));
    });
    EXPECT_EQ(reflect(fixture, 2), (std::vector<std::string>{"+a/1", "+b/2"}));
    ASSERT_EQ(targets.size(), 3u);
    EXPECT_NE(targets[1].find("resourceVersion=4"), std::string::npos);
}

// A field of a type that this version does not expect.
std::string undecodable(std::string_view name, std::string_view version, std::string_view uid) {
    return fmt::format(R"({{"metadata":{{"namespace":"ns","name":"{}","uid":"{}",)"
                       R"("resourceVersion":"{}"}},"data":7}})",
                       name, uid, version);
}

TEST(Reflector, SkipsWhatCannotBeDecodedAndGoesOn) {
    std::vector<std::string> targets;
    Fixture fixture([&](const TestRequest& request) {
        if (!is_watch(request)) {
            return answer(200, list_of("1", {undecodable("x", "1", "9"), config_map("a", "1", "1"),
                                             config_map("b", "1", "2")}));
        }
        targets.push_back(request.target);
        if (targets.size() == 1) {
            return answer(200, event("MODIFIED", undecodable("a", "4", "1")) +
                                   event("DELETED", undecodable("b", "5", "2")));
        }
        return open_watch(event("ADDED", config_map("c", "6", "3")) +
                          event("MODIFIED", config_map("a", "7", "1")));
    });
    EXPECT_EQ(reflect(fixture, 5),
              (std::vector<std::string>{"+a/1", "+b/2", "-b/2", "+c/3", "~a/1"}));
    ASSERT_EQ(targets.size(), 2u);
    EXPECT_NE(targets[1].find("resourceVersion=5"), std::string::npos);
}

TEST(Reflector, KeepsWhatItKnewWhenAListCannotBeDecoded) {
    int lists = 0;
    Fixture fixture([&](const TestRequest& request) {
        if (is_watch(request)) {
            return lists == 1 ? refusal(410, "Expired", "too old")
                              : open_watch(event("DELETED", config_map("a", "9", "1")));
        }
        return answer(
            200, ++lists == 1 ? list_of("1", {config_map("a", "1", "1"), config_map("b", "1", "2")})
                              : list_of("8", {undecodable("a", "8", "1")}));
    });
    EXPECT_EQ(reflect(fixture, 4), (std::vector<std::string>{"+a/1", "+b/2", "-b/2", "-a/1"}));
}

TEST(Reflector, KnowsWhatIsThereThoughItCannotBeDecodedFromWhatIsGone) {
    int lists = 0;
    int watches = 0;
    Fixture fixture([&](const TestRequest& request) {
        if (!is_watch(request)) {
            return answer(
                200, ++lists == 1
                         ? list_of("1", {undecodable("x", "1", "9"), undecodable("z", "1", "7"),
                                         config_map("a", "1", "1")})
                         : list_of("9", {config_map("a", "1", "1"), config_map("x", "5", "9"),
                                         config_map("c", "7", "3"), config_map("d", "9", "4")}));
        }
        return ++watches == 1 ? answer(200, event("ADDED", undecodable("y", "4", "8")) +
                                                event("MODIFIED", config_map("x", "5", "9")) +
                                                event("DELETED", undecodable("y", "6", "8")) +
                                                event("ADDED", config_map("c", "7", "3")))
                              : refusal(410, "Expired", "too old");
    });
    std::vector<std::string> undecoded;
    auto look = [&](const ConfigMaps& reflector) {
        std::string text;
        for (const char* uid : {"1", "7", "8", "9"}) {
            text += reflector.has_undecoded(uid) ? uid : "";
        }
        undecoded.push_back(text);
    };
    std::vector<std::string> told;
    auto tell = [&](const ConfigMaps::Undecoded& object, const Error& error) {
        told.push_back(object.ns + "/" + object.name + "/" + object.uid);
        EXPECT_NE(error.message.find("data"), std::string::npos) << error.message;
    };
    EXPECT_EQ(reflect(fixture, 4, look, tell),
              (std::vector<std::string>{"+a/1", "+x/9", "+c/3", "+d/4"}));
    EXPECT_EQ(undecoded, (std::vector<std::string>{"79", "78", "7", ""}));
    EXPECT_EQ(told, (std::vector<std::string>{"ns/x/9", "ns/z/7", "ns/y/8"}));
}

TEST(ApiClient, WaitsWhenTheBurstIsSpent) {
    Fixture fixture([&](const TestRequest&) { return answer(200, R"({"metadata":{}})"); });
    ClientConfig config = fixture.client->config();
    ApiClient slow(fixture.reactor.executor(), fixture.clock, config, RequestRate{50, 1});
    auto began = fixture.clock.steady_now();
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(fixture.run(slow.get<Pod>("ns", "p")));
    }
    // One at once, two more after a fiftieth of a second each.
    EXPECT_GE(fixture.clock.steady_now() - began, std::chrono::milliseconds(38));
}

TEST(Reflector, DoubtsAListThatLostMostOfWhatWasThere) {
    int lists = 0;
    Fixture fixture([&](const TestRequest& request) {
        if (is_watch(request)) {
            return lists == 1 ? refusal(410, "Expired", "too old")
                              : open_watch(event("DELETED", config_map("a", "9", "1")));
        }
        std::string full = list_of("1", {config_map("a", "1", "1"), config_map("b", "1", "2"),
                                         config_map("c", "1", "3"), config_map("d", "1", "4")});
        return answer(200, ++lists == 2 ? list_of("2", {}) : full);
    });
    EXPECT_EQ(reflect(fixture, 5),
              (std::vector<std::string>{"+a/1", "+b/2", "+c/3", "+d/4", "-a/1"}));
    EXPECT_EQ(lists, 3);
}

TEST(Reflector, IgnoresAReplayedDeletionOfAnOlderUid) {
    Fixture fixture([&](const TestRequest& request) {
        if (!is_watch(request)) {
            return answer(200, list_of("1", {config_map("a", "1", "new")}));
        }
        return open_watch(event("DELETED", config_map("a", "2", "old")) +
                          event("MODIFIED", config_map("a", "3", "new")));
    });
    EXPECT_EQ(reflect(fixture, 2), (std::vector<std::string>{"+a/new", "~a/new"}));
}

}  // namespace
}  // namespace skiff::kube
