// EventRecorder against a scripted server that only remembers what it was sent.
#include "node/events.h"

#include <gtest/gtest.h>

#include <atomic>

#include "async/scope.h"
#include "http/test_server.h"

namespace skiff::node {
namespace {

using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;

class EventsTest : public testing::Test {
public:
    EventsTest()
        : server([this](const TestRequest& request) { return answer(request); }),
          client(reactor.executor(), clock, config()),
          events(client, clock, random, "node-1") {
        pod.metadata.name = "web";
        pod.metadata.namespace_ = "ns";
        pod.metadata.uid = "u-1";
        pod.spec.initContainers.emplace_back().name = "init";
        pod.spec.containers.emplace_back().name = "main";
    }
    kube::ClientConfig config() {
        kube::ClientConfig config;
        config.server = "http://" + server.authority();
        config.proxy = "";
        return config;
    }
    // Called on the server's thread, one request at a time.
    TestResponse answer(const TestRequest& request) {
        TestResponse response;
        requests.push_back(request);
        arrived = requests.size();
        response.body =
            request.method == "PATCH" ? R"({"metadata":{"name":"kept"},"count":2})" : request.body;
        if (request.method == "PATCH" && patch_status != 200) {
            response.status = patch_status;
            response.body = "{}";
        }
        return response;
    }
    // Sends until `count` requests have arrived.
    void send(std::size_t count) {
        auto body = [](EventsTest* self, std::size_t wanted) -> async::Task<Result<void>> {
            auto executor = co_await async::current_executor();
            async::Scope scope(executor);
            scope.spawn("events", self->events.run());
            while (self->arrived < wanted || self->events.waiting() > 0) {
                SKIFF_CO_CHECK(co_await async::sleep_for(std::chrono::milliseconds(1)));
            }
            // The last answer has still to be read.
            SKIFF_CO_CHECK(co_await async::sleep_for(std::chrono::milliseconds(20)));
            co_await scope.stop();
            co_return Result<void>();
        };
        auto deadline = clock.steady_now() + std::chrono::seconds(10);
        auto sent =
            async::run_to_end(reactor, async::with_deadline(body(this, count), deadline, "events"));
        EXPECT_TRUE(sent) << (sent ? "" : sent.error().message);
    }

    SystemClock clock;
    SeededRandom random{7};
    std::vector<TestRequest> requests;  // of the server's thread until send() has returned
    std::atomic<std::size_t> arrived = 0;
    int patch_status = 200;
    TestServer server;
    async::Reactor reactor;
    kube::ApiClient client;
    EventRecorder events;
    kube::Pod pod;
};

TEST_F(EventsTest, NamesTheContainerAndTheNode) {
    events.emit(pod, "init", pods::EventType::warning, "Failed", "it \"broke\"");
    send(1);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].target, "/api/v1/namespaces/ns/events");
    auto event = kube::from_json<kube::Event>(requests[0].body);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->involvedObject.fieldPath, "spec.initContainers{init}");
    EXPECT_EQ(event->involvedObject.uid, "u-1");
    EXPECT_EQ(event->type, "Warning");
    EXPECT_EQ(event->reason, "Failed");
    EXPECT_EQ(event->message, "it \"broke\"");
    EXPECT_EQ(event->source.host, "node-1");
    EXPECT_EQ(event->count, 1);
}

TEST_F(EventsTest, CountsARepeatedEventInsteadOfRepeatingIt) {
    events.emit(pod, "main", pods::EventType::normal, "BackOff", "again");
    events.emit(pod, "main", pods::EventType::normal, "BackOff", "again");
    send(2);
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_EQ(requests[0].method, "POST");
    EXPECT_EQ(requests[1].method, "PATCH");
    EXPECT_TRUE(requests[1].body.starts_with(R"({"count":2,"lastTimestamp":")"))
        << requests[1].body;
}

TEST_F(EventsTest, MakesANewEventWhenTheServerForgotTheOldOne) {
    patch_status = 404;
    events.emit(pod, "", pods::EventType::normal, "R", "m");
    events.emit(pod, "", pods::EventType::normal, "R", "m");
    send(3);
    ASSERT_EQ(requests.size(), 3u);
    EXPECT_EQ(requests[2].method, "POST");
}

TEST_F(EventsTest, DropsAFloodAboutOnePodAndCombinesSimilarMessages) {
    for (int i = 0; i < 40; ++i) {
        events.emit(pod, "", pods::EventType::warning, "Flood", fmt::format("message {}", i));
    }
    EXPECT_EQ(events.dropped(), 15u);
    EXPECT_EQ(events.waiting(), 25u);
    kube::Pod other = pod;
    other.metadata.uid = "u-2";
    events.emit(other, "", pods::EventType::normal, "Fine", "still heard");
    EXPECT_EQ(events.waiting(), 26u);
    send(26);
    auto eleventh = kube::from_json<kube::Event>(requests[10].body);
    ASSERT_TRUE(eleventh);
    EXPECT_EQ(eleventh->message, "(combined from similar events): message 10");
    EXPECT_EQ(requests[11].method, "PATCH");
}

TEST_F(EventsTest, KeepsABoundedQueueAndNeverWaits) {
    for (std::size_t i = 0; i < kEventQueueMax + 10; ++i) {
        kube::Pod each = pod;
        each.metadata.uid = fmt::format("u-{}", i);
        events.emit(each, "", pods::EventType::normal, "R", "m");
    }
    EXPECT_EQ(events.waiting(), kEventQueueMax);
    EXPECT_EQ(events.dropped(), 10u);
}

}  // namespace
}  // namespace skiff::node
