#include "app/node_shutdown.h"

#include <gtest/gtest.h>

#include "pods/worker_fixture.h"

namespace skiff::app {
namespace {

using pods::make_pod;
using std::chrono::seconds;

class NodeShutdownTest : public pods::PodWorker {
protected:
    kube::Pod pod_of(const std::string& name, const std::string& uid, std::int32_t priority) {
        kube::Pod pod = make_pod(name, uid);
        pod.spec.priority = priority;
        return pod;
    }
    int changes = 0;
};

TEST_F(NodeShutdownTest, EndsPodsInTheirOrderWithTheirWords) {
    apply(pod_of("critical", "uid-2", 2'000'000'000));
    run_pod(pod_of("plain", "uid-1", 0));
    NodeShutdown shutdown(*pods, clock, pods::shutdown_groups(seconds(30), seconds(10)),
                          {[this] { ++changes; }, {}});
    EXPECT_TRUE(shutdown.is_wanted());
    EXPECT_FALSE(shutdown.has_begun());
    ASSERT_TRUE(async::run_to_end(reactor(), shutdown.run()));
    EXPECT_TRUE(shutdown.has_begun());
    EXPECT_EQ(changes, 1);
    for (const char* uid : {"uid-1", "uid-2"}) {
        EXPECT_EQ(published(uid).phase, "Failed");
        EXPECT_EQ(published(uid).reason, "Terminated");
        EXPECT_EQ(published(uid).message,
                  "Pod was terminated in response to imminent node shutdown.");
    }
    ASSERT_EQ(node.guests.stops.size(), 2U);
    EXPECT_EQ(node.guests.stops[0].second, seconds(20));
    EXPECT_EQ(node.guests.stops[1].second, seconds(10));
    shutdown.cancel();
    EXPECT_FALSE(shutdown.has_begun());
    EXPECT_EQ(changes, 2);
}

}  // namespace
}  // namespace skiff::app
