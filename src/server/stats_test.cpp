#include "server/stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace skiff::server {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

NodeStats two_pods() {
    NodeStats stats;
    stats.name = "node-1";
    stats.at = WallTime(1'800'000'000s + 250ms);
    stats.booted = WallTime(1'799'000'000s);
    stats.cpu = {1500ms, 250'000'000};
    stats.memory_total = Bytes{1000};
    stats.memory_available = Bytes{600};
    stats.fs.capacity = Bytes{5000};
    stats.cpu.stalls = Stalls{{1.5, 0.5, 0.25, 7us}, {}};
    stats.group.swap = SwapStats{std::nullopt, Bytes{}};
    stats.group.io_stalls = Stalls{{}, {0, 0, 100, 9us}};
    PodStats& web = stats.pods.emplace_back();
    web.name = {"shop", "web"};
    web.uid = PodUid("uid-1");
    web.started = WallTime(1'799'500'000s);
    web.cpu = {300ms, std::nullopt};
    web.memory_working_set = Bytes{70};
    ContainerStats& main = web.containers.emplace_back();
    main.name = "main";
    main.started = WallTime(1'799'500'001s + 500ms);
    main.cpu = {300ms, 12};
    main.memory_working_set = Bytes{70};
    main.group.memory_used = Bytes{90};
    main.group.memory_limit = Bytes{100};
    main.group.swap = SwapStats{Bytes{10}, Bytes{2}};
    main.logs.emplace().used = Bytes{4096};
    VolumeStats& scratch = web.volumes.emplace_back();
    scratch.name = "scratch";
    scratch.fs.used = Bytes{8192};
    web.links.push_back({"eth0", 11, 12, 13, 14, 15, 16, 17, 18});
    stats.links.push_back({"enp1s0", 21, 22, 23, 24, 25, 26, 27, 28});
    PodStats& waits = stats.pods.emplace_back();
    waits.name = {"shop", "waits"};
    return stats;
}

std::string resource_page(const NodeStats& stats) {
    MetricsText text;
    write_resource_metrics(stats, text);
    return std::move(text).str();
}

TEST(ResourceMetrics, IsThePageOfMetricsServer) {
    EXPECT_EQ(
        resource_page(two_pods()),
        R"(# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="shop",pod="web"} 0.3 1800000000250
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="main",namespace="shop",pod="web"} 70 1800000000250
# HELP container_start_time_seconds [STABLE] Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="main",namespace="shop",pod="web"} 1799500001.5 1800000000250
# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 1.5 1800000000250
# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 400 1800000000250
# HELP pod_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the pod in core-seconds
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="shop",pod="web"} 0.3 1800000000250
pod_cpu_usage_seconds_total{namespace="shop",pod="waits"} 0 1800000000250
# HELP pod_memory_working_set_bytes [STABLE] Current working set of the pod in bytes
# TYPE pod_memory_working_set_bytes gauge
pod_memory_working_set_bytes{namespace="shop",pod="web"} 70 1800000000250
pod_memory_working_set_bytes{namespace="shop",pod="waits"} 0 1800000000250
# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 0
# HELP scrape_error [ALPHA] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE scrape_error gauge
scrape_error 0
)");
}

TEST(ResourceMetrics, AFamilyWithoutSamplesLeavesNothing) {
    EXPECT_THAT(resource_page(NodeStats()), Not(HasSubstr("container_")));
    MetricsText failed;
    write_failed_resource_metrics(failed);
    EXPECT_THAT(std::move(failed).str(), HasSubstr("\nscrape_error 1\n"));
}

TEST(Summary, HasNodeAndPods) {
    auto document = boost::json::parse(summary_json(two_pods(), StatsScope::all)).as_object();
    auto& node = document["node"].as_object();
    EXPECT_EQ(node["cpu"].at("usageNanoCores").to_number<int>(), 250'000'000);
    EXPECT_EQ(node["memory"].at("availableBytes").to_number<int>(), 600);
    EXPECT_EQ(node["memory"].at("workingSetBytes").to_number<int>(), 400);
    EXPECT_EQ(node["fs"].at("capacityBytes").to_number<int>(), 5000);
    EXPECT_FALSE(node["swap"].as_object().contains("swapAvailableBytes"));
    EXPECT_EQ(node["cpu"].at("psi").at("some").at("avg10").to_number<double>(), 1.5);
    EXPECT_EQ(node["cpu"].at("psi").at("some").at("total").to_number<int>(), 7000) << "nanoseconds";
    EXPECT_EQ(node["io"].at("psi").at("full").at("avg300").to_number<double>(), 100);
    auto& web = document["pods"].at(0).as_object();
    EXPECT_EQ(web["podRef"].at("namespace").as_string(), "shop");
    EXPECT_EQ(web["startTime"].as_string(), "2027-01-09T13:06:40Z");
    EXPECT_FALSE(web["cpu"].as_object().contains("usageNanoCores")) << "one sample is no rate";
    auto& main = web["containers"].at(0).as_object();
    EXPECT_EQ(main["cpu"].at("usageCoreNanoSeconds").to_number<int>(), 300'000'000);
    EXPECT_EQ(main["logs"].at("usedBytes").to_number<int>(), 4096);
    EXPECT_EQ(main["memory"].at("usageBytes").to_number<int>(), 90);
    EXPECT_EQ(main["memory"].at("availableBytes").to_number<int>(), 30) << "of the limit";
    EXPECT_EQ(main["swap"].at("swapAvailableBytes").to_number<int>(), 10);
    EXPECT_EQ(main["swap"].at("swapUsageBytes").to_number<int>(), 2);
    EXPECT_FALSE(main["cpu"].as_object().contains("psi")) << "the kernel does not count it";
    EXPECT_EQ(web["volume"].at(0).at("name").as_string(), "scratch");
    EXPECT_TRUE(document["pods"].at(1).at("startTime").is_null());
    auto network = web["network"].as_object();
    EXPECT_EQ(network["time"].as_string(), "2027-01-15T08:00:00Z");
    EXPECT_EQ(network["name"].as_string(), "eth0");
    EXPECT_EQ(network["rxBytes"].to_number<int>(), 11);
    EXPECT_EQ(network["rxErrors"].to_number<int>(), 13);
    EXPECT_EQ(network["txBytes"].to_number<int>(), 15);
    EXPECT_EQ(network["txErrors"].to_number<int>(), 17);
    EXPECT_EQ(network["interfaces"].as_array().size(), 1U);
    EXPECT_FALSE(document["pods"].at(1).as_object().contains("network"));
    network = node["network"].as_object();
    EXPECT_EQ(network["name"].as_string(), "") << "none has the name of a default one";
    EXPECT_FALSE(network.contains("rxBytes"));
    EXPECT_EQ(network["interfaces"].at(0).at("txBytes").to_number<int>(), 25);
}

TEST(Summary, LeavesDisksOutWhereOnlyCpuAndMemoryAreAskedFor) {
    std::string text = summary_json(two_pods(), StatsScope::cpu_and_memory);
    EXPECT_THAT(text, Not(HasSubstr("\"volume\"")));
    EXPECT_THAT(text, Not(HasSubstr("\"fs\"")));
    EXPECT_THAT(text, Not(HasSubstr("\"network\"")));
    EXPECT_THAT(text, HasSubstr("workingSetBytes"));
}

}  // namespace
}  // namespace skiff::server
