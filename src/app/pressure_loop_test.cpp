#include "app/pressure_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pods/worker_fixture.h"

namespace skiff::app {
namespace {

using pods::make_pod;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Pods over fakes, on a machine whose facts the test sets.
class PressureLoopTest : public pods::PodWorker {
protected:
    PressureLoopTest() : pool(reactor(), 1, 64) {
        facts.memory_total = 1000_MiB;
        facts.memory_available = 900_MiB;
        facts.disk_total = 1000_MiB;
        facts.disk_available = 900_MiB;
        limits.thresholds = *node::thresholds_of(
            {{{"memory.available", "100Mi"}, {"nodefs.available", "10%"}}, {}, {}, {}});
        PressureLoop::Parts parts{pool,
                                  clock,
                                  *pods,
                                  node.events,
                                  usage,
                                  [this]() -> Result<node::MachineFacts> { return facts; },
                                  [this](std::string_view reason, std::string message) {
                                      told.push_back(std::string(reason) + ": " + message);
                                  },
                                  [this] { ++changes; },
                                  [this](std::string_view signal) { signals.emplace_back(signal); },
                                  [this]() -> async::Task<void> {
                                      ++drops;
                                      facts.disk_available.value += freed.value;
                                      co_return;
                                  }};
        loop.emplace(std::move(parts), limits);
    }
    ~PressureLoopTest() override {
        loop.reset();
        stop_agent();
    }
    void look() {
        auto looked = async::run_to_end(reactor(), loop->look());
        EXPECT_TRUE(looked) << looked.error().message;
        settle();
    }
    void uses(const std::string& name, std::uint64_t mebibytes) {
        pods::ContainerUsage use;
        use.memory_working_set = Bytes{mebibytes << 20};
        for (const pods::ContainerRecord& record : node.guests.records) {
            if (record.pod_name.name == name) {
                node.guests.usages[record.id] = use;
            }
        }
    }

    async::BlockingPool pool;
    PodUsage usage{node.guests, node.volumes};
    node::MachineFacts facts;
    node::PressureSettings limits;
    Bytes freed;
    std::vector<std::string> told;
    std::vector<std::string> signals;
    int changes = 0;
    int drops = 0;
    std::optional<PressureLoop> loop;
};

TEST_F(PressureLoopTest, EndsOnePodAtATimeForItsMemory) {
    apply(make_pod("small", "uid-2"));
    run_pod(make_pod("large"));
    uses("small", 10);
    uses("large", 500);
    look();
    EXPECT_THAT(loop->conditions(), IsEmpty());
    facts.memory_available = 50_MiB;
    look();
    EXPECT_THAT(loop->conditions(), ElementsAre("MemoryPressure"));
    EXPECT_EQ(changes, 1);
    EXPECT_THAT(told, ElementsAre("EvictionThresholdMet: Attempting to reclaim memory"));
    EXPECT_EQ(published().phase, "Failed");
    EXPECT_EQ(published().reason, "Evicted");
    EXPECT_THAT(published().message, HasSubstr("The node was low on resource: memory. "));
    EXPECT_EQ(node.events.count("Evicted"), 1U);
    EXPECT_EQ(published("uid-2").phase, "Running");
    look();
    EXPECT_EQ(published("uid-2").reason, "Evicted");
    EXPECT_EQ(told.size(), 1U) << "once for each shortage";
    EXPECT_THAT(signals, ElementsAre("memory.available", "memory.available"));
}

TEST_F(PressureLoopTest, WaitsForTheEndOfItsVictim) {
    node.guests.obedience = pods::fakes::Guests::Obedience::never;
    apply(make_pod("other", "uid-2"));
    run_pod(make_pod("large"));
    uses("large", 500);
    facts.memory_available = 50_MiB;
    look();
    EXPECT_EQ(published().reason, "Evicted");
    look();
    EXPECT_EQ(published("uid-2").reason, "");
    advance(std::chrono::seconds(31));
    look();
    EXPECT_EQ(published("uid-2").reason, "Evicted");
}

TEST_F(PressureLoopTest, GivesUpImagesBeforePods) {
    run_pod(make_pod("web"));
    facts.disk_available = 50_MiB;
    freed = 500_MiB;
    look();
    EXPECT_EQ(drops, 1);
    EXPECT_EQ(published().phase, "Running");
    facts.disk_available = 50_MiB;
    freed = Bytes{};
    look();
    EXPECT_EQ(published().reason, "Evicted");
}

TEST_F(PressureLoopTest, HoldsPodsToTheirOwnDiskLimits) {
    kube::Pod pod = make_pod("web");
    kube::Volume volume;
    volume.name = "scratch";
    volume.emptyDir.emplace().sizeLimit = kube::Quantity::of_bytes(1 << 20);
    pod.spec.volumes.push_back(volume);
    run_pod(pod);
    pods::VolumeUsage scratch;
    scratch.name = "scratch";
    scratch.use.bytes = 1_MiB;
    node.volumes.usages[PodUid("uid-1")] = {scratch};
    look();
    EXPECT_EQ(published().phase, "Running");
    node.volumes.usages[PodUid("uid-1")][0].use.bytes = 2_MiB;
    look();
    EXPECT_EQ(published().message,
              "Usage of EmptyDir volume \"scratch\" exceeds the limit "
              "\"1Mi\". ");
    EXPECT_EQ(published().reason, "Evicted");
}

TEST_F(PressureLoopTest, HoldsContainersToTheirOwnDiskLimits) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].resources.limits["ephemeral-storage"] =
        kube::Quantity::of_bytes(2 << 20);
    run_pod(pod);
    pods::ContainerDiskUse use;
    use.name = pod.spec.containers[0].name;
    use.writable.bytes = 1_MiB;
    use.logs.bytes = 1_MiB;
    node.guests.disk_uses[PodUid("uid-1")] = {use};
    look();
    EXPECT_EQ(published().phase, "Running");
    node.guests.disk_uses[PodUid("uid-1")][0].logs.bytes = 2_MiB;
    look();
    EXPECT_EQ(published().reason, "Evicted");
}

}  // namespace
}  // namespace skiff::app
