#include "app/node_stats.h"

#include <gtest/gtest.h>

#include "pods/worker_fixture.h"

namespace skiff::app {
namespace {

using namespace std::chrono_literals;
using pods::make_pod;

const ContainerId kOne("1");
const ContainerId kTwo("2");
const PodUid kPod("uid-1");

TEST(CpuMeter, NeedsTwoSamplesForARate) {
    CpuMeter meter;
    meter.begin(SteadyTime(100s));
    EXPECT_EQ(meter.container(kOne, 5s).nano_cores, std::nullopt);
    meter.begin(SteadyTime(110s));
    auto stats = meter.container(kOne, 10s);
    EXPECT_EQ(stats.total, 10s);
    EXPECT_EQ(stats.nano_cores, 500'000'000U);
    meter.begin(SteadyTime(110s + 10ms));
    EXPECT_EQ(meter.container(kOne, 10s + 10ms).nano_cores, 500'000'000U) << "too soon for another";
    meter.begin(SteadyTime(120s));
    EXPECT_EQ(meter.container(kOne, 10s).nano_cores, 0U);
}

TEST(CpuMeter, APodsTotalNeverShrinks) {
    CpuMeter meter;
    meter.begin(SteadyTime(0s));
    EXPECT_EQ(meter.pod(kPod, {{kOne, 4s}}).total, 4s);
    meter.begin(SteadyTime(10s));
    EXPECT_EQ(meter.pod(kPod, {{kTwo, 1s}}).total, 5s);
    meter.begin(SteadyTime(20s));
    EXPECT_EQ(meter.pod(kPod, {}).total, 5s);
    EXPECT_EQ(meter.pod(kPod, {}).total, 5s);
}

TEST(CpuMeter, ForgetsWhatIsNotMeasuredAnyMore) {
    CpuMeter meter;
    meter.begin(SteadyTime(0s));
    EXPECT_EQ(meter.pod(kPod, {{kOne, 4s}}).total, 4s);
    meter.begin(SteadyTime(10s));
    meter.begin(SteadyTime(20s));
    EXPECT_EQ(meter.pod(kPod, {}).total, 0s);
}

class StatsCollectorTest : public pods::PodWorker {
protected:
    StatsCollectorTest() : pool(reactor(), 1, 64) {
        collector.emplace(StatsCollector::Parts{*pods, node.guests, node.volumes, pool, clock},
                          "node-1", "/");
    }
    ~StatsCollectorTest() override { stop_agent(); }
    server::NodeStats collect(server::StatsScope scope) {
        auto stats = async::run_to_end(reactor(), collector->collect(scope));
        EXPECT_TRUE(stats) << stats.error().message;
        return stats.value_or(server::NodeStats());
    }
    async::BlockingPool pool;
    std::optional<StatsCollector> collector;
};

TEST_F(StatsCollectorTest, ShowsPodsThatRunWithWhatTheyUse) {
    run_pod(make_pod("web"));
    const pods::ContainerRecord record = node.guests.records[0];
    pods::ContainerUsage usage;
    usage.cpu = 3s;
    usage.memory_working_set = 5_MiB;
    node.guests.usages[record.id] = usage;
    pods::ContainerDiskUse disk;
    disk.name = record.name;
    disk.logs.bytes = 1_MiB;
    node.guests.disk_uses[record.pod] = {disk};
    pods::VolumeUsage scratch;
    scratch.name = "scratch";
    scratch.use.bytes = 2_MiB;
    node.volumes.usages[record.pod] = {scratch};
    auto stats = collect(server::StatsScope::all);
    EXPECT_EQ(stats.name, "node-1");
    EXPECT_GT(stats.memory_total.value, 0U);
    EXPECT_GT(stats.cpu.total, 0ns);
    EXPECT_LT(stats.booted, clock.wall_now());
    ASSERT_EQ(stats.pods.size(), 1U);
    const server::PodStats& pod = stats.pods[0];
    EXPECT_EQ(pod.cpu.total, 3s);
    EXPECT_EQ(pod.memory_working_set, 5_MiB);
    EXPECT_EQ(pod.ephemeral_storage->used, 3_MiB);
    EXPECT_EQ(pod.volumes[0].fs.used, 2_MiB);
    EXPECT_TRUE(pod.volumes[0].fs.capacity) << "that of the node's disk";
    EXPECT_EQ(pod.containers.at(0).logs->used, 1_MiB);
}

TEST_F(StatsCollectorTest, LooksAtDisksOnceInTenSeconds) {
    run_pod(make_pod("web"));
    (void)collect(server::StatsScope::all);
    pods::VolumeUsage scratch;
    scratch.name = "scratch";
    node.volumes.usages[PodUid("uid-1")] = {scratch};
    EXPECT_TRUE(collect(server::StatsScope::all).pods[0].volumes.empty());
    advance(std::chrono::seconds(11));
    EXPECT_EQ(collect(server::StatsScope::all).pods[0].volumes.size(), 1U);
}

}  // namespace
}  // namespace skiff::app
