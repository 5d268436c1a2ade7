#include "app/event_ring.h"

#include <gtest/gtest.h>

#include "app/events_command.h"
#include "async/scope.h"
#include "kube/codec.h"

namespace skiff::app {
namespace {

kube::Event about(std::string pod, std::string message, std::string ns = "ns") {
    kube::Event event;
    event.type = "Normal";
    event.reason = "Pulled";
    event.message = std::move(message);
    event.involvedObject.kind = "Pod";
    event.involvedObject.uid = "uid-" + pod;
    event.involvedObject.name = std::move(pod);
    event.involvedObject.namespace_ = std::move(ns);
    event.count = 1;
    return event;
}

std::vector<std::string> messages(const std::vector<kube::Event>& events) {
    std::vector<std::string> all;
    for (const kube::Event& event : events) {
        all.push_back(fmt::format("{} x{}", event.message, event.count));
    }
    return all;
}

using Messages = std::vector<std::string>;

TEST(EventRing, KeepsTheLatestInTheirOrder) {
    EventRing ring(3);
    for (std::string text : {"a", "b", "c", "d"}) {
        ring.add(about("p", text));
    }
    EXPECT_EQ(messages(ring.after(0, {})), (Messages{"b x1", "c x1", "d x1"}));
    EXPECT_EQ(ring.place(), 4U);
    EXPECT_EQ(messages(ring.after(3, {})), Messages{"d x1"});
}

TEST(EventRing, CountsWhatIsSaidAgain) {
    EventRing ring;
    kube::Event first = about("p", "a");
    first.firstTimestamp = kube::Time(WallTime(std::chrono::seconds(1)));
    ring.add(first);
    ring.add(about("p", "b"));
    std::uint64_t place = ring.place();
    ring.add(about("p", "a"));
    ring.add(about("q", "a"));
    EXPECT_EQ(messages(ring.after(0, {})), (Messages{"b x1", "a x2", "a x1"}));
    EXPECT_EQ(messages(ring.after(place, {})), (Messages{"a x2", "a x1"})) << "it is news again";
    EXPECT_EQ(ring.after(0, {})[1].firstTimestamp, first.firstTimestamp);
}

TEST(EventRing, DoesNotCountWhatIsForgotten) {
    EventRing ring(2);
    for (std::string text : {"a", "b", "c", "a", "c"}) {
        ring.add(about("p", text));
    }
    EXPECT_EQ(messages(ring.after(0, {})), (Messages{"a x1", "c x2"}));
}

TEST(EventRing, FiltersByNamespaceAndPod) {
    EventRing ring;
    ring.add(about("web", "1", "a"));
    ring.add(about("web", "2", "b"));
    ring.add(about("db", "3", "b"));
    kube::Event node = about("web", "4", "");
    node.involvedObject.kind = "Node";
    ring.add(node);
    EXPECT_EQ(ring.after(0, {}).size(), 4U);
    EXPECT_EQ(messages(ring.after(0, {"b", ""})), (Messages{"2 x1", "3 x1"}));
    EXPECT_EQ(messages(ring.after(0, {"", "web"})), (Messages{"1 x1", "2 x1"}));
    EXPECT_EQ(messages(ring.after(0, {"b", "web"})), Messages{"2 x1"});
}

TEST(EventRing, WakesWhoeverWaits) {
    EventRing ring;
    async::Reactor reactor;
    auto body = [](EventRing* its) -> async::Task<bool> {
        auto executor = co_await async::current_executor();
        async::Scope scope(executor);
        bool woken = false;
        auto wait = [](EventRing* ring, bool* done) -> async::Task<void> {
            auto waited = co_await ring->wait_after(0, async::kNoDeadline);
            *done = waited.has_value();
        };
        scope.spawn("wait", wait(its, &woken));
        for (int i = 0; i < 10; ++i) {
            co_await async::yield_now();
        }
        EXPECT_FALSE(woken);
        its->add(about("p", "a"));
        (void)co_await scope.join();
        co_return woken;
    };
    EXPECT_TRUE(async::run_to_end(reactor, body(&ring)));
}

TEST(EventsTable, ShowsAnEventOnOneLineThatNoTerminalObeys) {
    kube::Event event = about("web", "one\n\x1b[2Jtwo");
    event.count = 3;
    WallTime now(std::chrono::seconds(1000));
    event.lastTimestamp = kube::Time(now - std::chrono::seconds(60));
    auto row = format_event(kube::to_json(event), now);
    ASSERT_TRUE(row) << row.error().message;
    EXPECT_EQ(*row, fmt::format("{:<16}  {:<7}  {:<20}  {:<40}  {}\n", "60s (x3)", "Normal",
                                "Pulled", "ns/pod/web", "one  [2Jtwo"));
    EXPECT_FALSE(format_event("no JSON", now));
}

}  // namespace
}  // namespace skiff::app
