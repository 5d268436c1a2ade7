#include "app/top.h"

#include <gtest/gtest.h>

#include "server/stats.h"

namespace skiff::app {
namespace {

using namespace std::chrono_literals;

server::NodeStats busy_node() {
    server::NodeStats stats;
    stats.name = "node-1";
    stats.cpu.nano_cores = 350'000'000;
    stats.memory_total = 1000_MiB;
    stats.memory_available = 600_MiB;
    for (const char* name : {"idle", "busy", "new"}) {
        server::PodStats& pod = stats.pods.emplace_back();
        pod.name = {"shop", name};
        server::ContainerStats& main = pod.containers.emplace_back();
        main.name = "main";
        main.memory_working_set = 5_MiB;
    }
    stats.pods[0].containers[0].cpu.nano_cores = 1'600'000;
    stats.pods[1].containers[0].cpu.nano_cores = 340'000'000;
    return stats;
}

TopView view_of(const server::NodeStats& stats) {
    auto view = parse_top(server::summary_json(stats, server::StatsScope::cpu_and_memory));
    EXPECT_TRUE(view);
    return view.value_or(TopView());
}

TEST(Top, ShowsWhoUsesMostFirst) {
    EXPECT_EQ(render_top(view_of(busy_node()), 20),
              "node node-1: CPU 350m, memory 400Mi used, 600Mi available; 3 pods, 3 containers\n"
              "\n"
              "NAMESPACE  POD   CONTAINER  CPU(cores)  MEMORY(bytes)\n"
              "shop       busy  main             340m            5Mi\n"
              "shop       idle  main               2m            5Mi\n"
              "shop       new   main                -            5Mi\n");
}

TEST(Top, CountsWhatHasNoRoom) {
    std::string text = render_top(view_of(busy_node()), 5);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5);
    EXPECT_TRUE(text.ends_with("… and 2 more\n")) << text;
}

TEST(Top, RefusesWhatIsNoSummary) {
    for (const char* text : {"", "{", "[]", "{}", "null"}) {
        EXPECT_FALSE(parse_top(text)) << text;
    }
    auto odd = parse_top(R"({"node":7,"pods":[1,{"containers":[null,{"cpu":"x"}]}]})");
    ASSERT_TRUE(odd);
    EXPECT_EQ(odd->pods, 2U);
    EXPECT_EQ(odd->rows.size(), 2U);
}

}  // namespace
}  // namespace skiff::app
