// NodeAgent against a scripted server: what it asks and tells when things do not go as usual. The
// regular way is tested against a real one (cluster_live_test.cpp).
#include "node/agent.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "http/test_server.h"

namespace skiff::node {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;

class NodeAgentTest : public testing::Test {
public:
    NodeAgentTest()
        : server([this](const TestRequest& request) { return answer(request); }),
          client(reactor.executor(), clock, config()),
          events(client, clock, random, "n1") {
        settings.name = "n1";
        settings.ips = {"10.0.0.1"};
        settings.root_dir = "/";
    }
    kube::ClientConfig config() {
        kube::ClientConfig config;
        config.server = "http://" + server.authority();
        config.proxy = "";
        return config;
    }
    static std::string node_json(std::string_view version, bool unschedulable) {
        return fmt::format(R"({{"metadata":{{"name":"n1","uid":"u","resourceVersion":"{}"}},)"
                           R"("spec":{{"unschedulable":{}}}}})",
                           version, unschedulable);
    }

    // On the server's threads, one request at a time.
    TestResponse answer(const TestRequest& request) {
        TestResponse response;
        std::lock_guard lock(mutex);
        std::string target = request.target.substr(0, request.target.find('?'));
        log.push_back(request.method + " " + target);
        response.body = request.body;
        if (request.target.find("watch=true") != std::string::npos) {
            response.body = R"({"type":"MODIFIED","object":)" + node_json("2", true) + "}\n" +
                            R"({"type":"MODIFIED","object":)" + node_json("3", false) + "}\n";
            response.hang_after = response.body.size();
            response.body += " ";
        } else if (target == "/version") {
            response.body = R"({"gitVersion":"v1.37.2"})";
        } else if (request.method == "GET" && target == "/api/v1/nodes") {
            response.body = R"({"metadata":{"resourceVersion":"1"},"items":[)" +
                            node_json("1", first_unschedulable) + "]}";
        } else if (request.method == "GET") {
            response.body = node_json("3", false);
            response.body.insert(response.body.size() - 1, known_status);
        } else if (request.method == "PATCH" && status_failures > 0) {
            --status_failures;
            response.status = 409;
            response.body = R"({"kind":"Status","reason":"Conflict","code":409})";
        } else if (target == "/api/v1/nodes" && !known_status.empty()) {
            response.status = 409;
            response.body =
                R"({"kind":"Status","reason":"AlreadyExists","message":"there","code":409})";
        } else if (target == "/api/v1/nodes") {
            response.body = node_json("1", false);
        } else if (target.ends_with("/events")) {
            reasons += field(request.body, "reason") + " ";
        }
        return response;
    }
    static std::string field(const std::string& json, const std::string& name) {
        std::string key = "\"" + name + "\":\"";
        std::size_t at = json.find(key);
        return at == std::string::npos
                   ? ""
                   : json.substr(at + key.size(),
                                 json.find('"', at + key.size()) - at - key.size());
    }

    // Runs the agent until `done` holds.
    void run_until(std::function<bool()> done) {
        auto body = [](NodeAgentTest* self,
                       std::function<bool()> enough) -> async::Task<Result<void>> {
            auto executor = co_await async::current_executor();
            NodeAgent agent(executor, self->client, self->clock, self->random, self->events,
                            self->settings, StatusSources());
            async::Scope scope(executor);
            scope.spawn("events", self->events.run());
            agent.start();
            Result<void> waited;
            while (waited && !enough()) {
                waited = co_await async::sleep_for(std::chrono::milliseconds(2));
            }
            co_await agent.stop();
            co_await scope.stop();
            co_return waited;
        };
        auto deadline = clock.steady_now() + std::chrono::seconds(20);
        auto ran = async::run_to_end(
            reactor, async::with_deadline(body(this, std::move(done)), deadline, "agent"));
        EXPECT_TRUE(ran) << (ran ? "" : format_as(ran.error()));
    }
    bool told(const std::string& reason) {
        std::lock_guard lock(mutex);
        return (" " + reasons).find(" " + reason + " ") != std::string::npos;
    }
    std::vector<std::string> seen(std::string_view what) {
        std::lock_guard lock(mutex);
        std::vector<std::string> found;
        for (const std::string& line : log) {
            if (line.find(what) != std::string::npos) {
                found.push_back(line);
            }
        }
        return found;
    }

    SystemClock clock;
    SeededRandom random{7};
    std::mutex mutex;
    std::vector<std::string> log;
    std::string reasons;
    int status_failures = 0;
    bool first_unschedulable = false;
    std::string known_status;  // of a node that is there already: what follows in its object
    TestServer server;
    async::Reactor reactor;
    kube::ApiClient client;
    EventRecorder events;
    NodeSettings settings;
};

TEST_F(NodeAgentTest, TellsOfCordonAndUncordonAndItsStart) {
    run_until([this] { return told("NodeSchedulable") && told("NodeReady"); });
    for (const char* reason : {"Starting", "NodeAllocatableEnforced", "NodeNotSchedulable"}) {
        EXPECT_TRUE(told(reason)) << reason << " not in " << reasons;
    }
    EXPECT_LT(reasons.find("NodeNotSchedulable"), reasons.find(" NodeSchedulable"));
}

TEST_F(NodeAgentTest, AStatusThatWasRefusedIsBuiltOnWhatTheServerHas) {
    status_failures = 2;
    run_until([this] { return seen("PATCH /api/v1/nodes/n1/status").size() >= 3; });
    auto lines = seen("/api/v1/nodes/n1");
    std::erase_if(lines,
                  [](const auto& line) { return line.find("kube-node-lease") != line.npos; });
    ASSERT_GE(lines.size(), 5u);
    // The first try may come before the watch has seen the node.
    auto first = std::find(lines.begin(), lines.end(), "PATCH /api/v1/nodes/n1/status");
    std::vector<std::string> rest(first, lines.end());
    ASSERT_GE(rest.size(), 5u);
    EXPECT_EQ(rest[1], "GET /api/v1/nodes/n1");
    EXPECT_EQ(rest[2], "PATCH /api/v1/nodes/n1/status");
    EXPECT_EQ(rest[3], "GET /api/v1/nodes/n1");
}

TEST_F(NodeAgentTest, TellsThatTheMachineWasRebooted) {
    known_status = R"(,"status":{"nodeInfo":{"bootID":"of-the-last-boot"}})";
    run_until([this] { return told("Rebooted") && told("Starting"); });
}

TEST_F(NodeAgentTest, ADiskWithoutAnySpaceIsToldAndNoReadyNodeHasIt) {
    settings.root_dir = "/proc";
    run_until([this] { return told("InvalidDiskCapacity") && told("NodeNotReady"); });
    EXPECT_FALSE(told("NodeReady"));
}

}  // namespace
}  // namespace skiff::node
