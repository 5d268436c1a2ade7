#include "app/container_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skiff::app {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

ContainersSample one_server() {
    ContainersSample sample;
    sample.at = WallTime(1'800'000'000s);
    sample.machine.cores = 2;
    sample.machine.cpu = 99s;
    sample.machine.boot_id = "boot";
    sample.pods.push_back({{"shop", "web"}, PodUid("u1"), 9s, {{"eth0", 1, 2, 3, 4, 5, 6, 7, 8}}});
    sample.machine.links = {{"enp1s0", 100, 0, 0, 0, 500, 0, 0, 0}};
    ContainerSample& main = sample.containers.emplace_back();
    main.id = "c1";
    main.name = "main";
    main.image = "example/web:1";
    main.pod = {"shop", "web"};
    main.started = WallTime(1'799'999'000s);
    main.look.group_name = "podu1/c1";
    main.look.group.cpu = 7s;
    main.look.group.memory = 70_MiB;
    main.look.group.cpu_period_us = 100'000;
    main.look.group.periods = 5;
    main.look.group.cpu_stalls = Stalls{{0, 0, 0, 1500us}, {}};
    wire::PageView& page = main.look.page.emplace();
    page.lines = 12;
    page.counters.instances = 3;
    page.counters.responses = {0, 40, 0, 2, 1};
    page.counters.latency[0] = 41;
    page.counters.latency[17] = 2;
    page.counters.latency_us_sum = 2'500'000;
    return sample;
}

std::string page_of(const ContainersSample& sample) {
    server::MetricsText text;
    write_container_metrics(sample, text);
    return std::move(text).str();
}

constexpr std::string_view kMain =
    R"({container="main",id="/podu1/c1",image="example/web:1",name="c1",namespace="shop",pod="web")";

TEST(ContainerMetrics, HaveCadvisorsNamesAndLabels) {
    std::string page = page_of(one_server());
    EXPECT_THAT(page, HasSubstr(fmt::format(
                          "\ncontainer_cpu_usage_seconds_total{},cpu=\"total\"}} 7\n", kMain)));
    EXPECT_THAT(page,
                HasSubstr(fmt::format("\ncontainer_memory_usage_bytes{}}} 73400320\n", kMain)));
    EXPECT_THAT(page,
                HasSubstr(fmt::format("\ncontainer_start_time_seconds{}}} 1799999000\n", kMain)));
    EXPECT_THAT(page, HasSubstr(fmt::format(
                          "\ncontainer_pressure_cpu_waiting_seconds_total{}}} 0.0015\n", kMain)));
    EXPECT_THAT(page, HasSubstr("\nmachine_cpu_cores{boot_id=\"boot\",machine_id=\"\","
                                "system_uuid=\"\"} 2\n"));
}

// What has ended of a pod counts on in its own row, which has no container.
TEST(ContainerMetrics, PodsAndTheMachineAreRows) {
    std::string page = page_of(one_server());
    constexpr std::string_view kPod =
        R"({container="",id="/podu1",image="",name="",namespace="shop",pod="web")";
    EXPECT_THAT(page, HasSubstr(fmt::format(
                          "\ncontainer_cpu_usage_seconds_total{},cpu=\"total\"}} 9\n", kPod)));
    EXPECT_THAT(page,
                HasSubstr(fmt::format("\ncontainer_memory_usage_bytes{}}} 73400320\n", kPod)));
    EXPECT_THAT(page, HasSubstr("\ncontainer_cpu_usage_seconds_total{container=\"\",id=\"/\","));
}

TEST(ContainerMetrics, NetworksAreOfPodsAndTheMachine) {
    std::string page = page_of(one_server());
    constexpr std::string_view kPod =
        R"({container="",id="/podu1",image="",name="",namespace="shop",pod="web",interface="eth0"})";
    for (const auto& [name, value] :
         std::initializer_list<std::pair<std::string_view, int>>{{"receive_bytes", 1},
                                                                 {"receive_packets", 2},
                                                                 {"receive_errors", 3},
                                                                 {"receive_packets_dropped", 4},
                                                                 {"transmit_bytes", 5},
                                                                 {"transmit_packets", 6},
                                                                 {"transmit_errors", 7},
                                                                 {"transmit_packets_dropped", 8}}) {
        EXPECT_THAT(
            page, HasSubstr(fmt::format("\ncontainer_network_{}_total{} {}\n", name, kPod, value)));
    }
    EXPECT_THAT(page, HasSubstr("\ncontainer_network_transmit_bytes_total{container=\"\",id=\"/\","
                                "image=\"\",name=\"\",namespace=\"\",pod=\"\","
                                "interface=\"enp1s0\"} 500\n"));
}

TEST(ContainerMetrics, WithoutACpuLimitThereAreNoPeriods) {
    ContainersSample sample = one_server();
    EXPECT_THAT(page_of(sample), Not(HasSubstr("container_cpu_cfs_periods_total")));
    EXPECT_THAT(page_of(sample), Not(HasSubstr("container_spec_cpu_quota")));
    sample.containers[0].look.group.cpu_quota_us = 50'000;
    EXPECT_THAT(page_of(sample),
                HasSubstr(fmt::format("\ncontainer_cpu_cfs_periods_total{}}} 5\n", kMain)));
}

TEST(ContainerMetrics, WhatTheKernelDoesNotTellIsLeftOut) {
    EXPECT_THAT(page_of(one_server()), Not(HasSubstr("container_pressure_io")));
    EXPECT_THAT(page_of(one_server()), Not(HasSubstr("container_fs_usage_bytes")));
}

TEST(ContainerMetrics, ServersShowTheirRequests) {
    ContainersSample sample = one_server();
    std::string page = page_of(sample);
    constexpr std::string_view kShort = R"({container="main",namespace="shop",pod="web")";
    EXPECT_THAT(page, HasSubstr(fmt::format(
                          "\nskiff_http_server_requests_total{},code=\"2xx\"}} 40\n", kShort)));
    constexpr std::string_view kSeconds = "skiff_http_server_request_duration_seconds";
    EXPECT_THAT(page,
                HasSubstr(fmt::format("\n{}_bucket{},le=\"0.00025\"}} 41\n", kSeconds, kShort)));
    EXPECT_THAT(page,
                HasSubstr(fmt::format("\n{}_bucket{},le=\"16.384\"}} 41\n", kSeconds, kShort)));
    EXPECT_THAT(page, HasSubstr(fmt::format("\n{}_bucket{},le=\"+Inf\"}} 43\n", kSeconds, kShort)));
    EXPECT_THAT(page, HasSubstr(fmt::format("\n{}_sum{}}} 2.5\n", kSeconds, kShort)));
    EXPECT_THAT(page, HasSubstr(fmt::format("\nskiff_log_lines_total{}}} 12\n", kShort)));
    sample.containers[0].look.page->counters = {};
    EXPECT_THAT(page_of(sample), Not(HasSubstr("skiff_http_server"))) << "it serves nothing";
    EXPECT_THAT(page_of(sample), HasSubstr("skiff_engine_denied_total"));
}

}  // namespace
}  // namespace skiff::app
