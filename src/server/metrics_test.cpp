#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "kube/types.h"
#include "server/http_meter.h"
#include "server/kubelet_api.h"
#include "server/metrics_routes.h"
#include "server/running_pods.h"

namespace skiff::server {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Type = MetricsText::Type;

TEST(MetricsText, EscapesLabelsAndWritesLargeNumbersExactly) {
    MetricsText text;
    text.begin("x_total", Type::counter, "X");
    text.sample({{"a", "q\"b\\c\nd"}}, 9'007'199'254'740'991.0);
    EXPECT_EQ(std::move(text).str(),
              "# HELP x_total X\n# TYPE x_total counter\n"
              "x_total{a=\"q\\\"b\\\\c\\nd\"} 9007199254740991\n");
}

std::string page_in(MetricsFormat format) {
    MetricsText text(format);
    text.begin("x_total", Type::counter, "X");
    text.sample({{"a", "b"}}, 1.5, WallTime(1'800'000'000s + 50ms));
    text.begin("evictions", Type::counter, "No suffix");
    text.sample({}, 2);
    text.begin("nothing", Type::gauge, "Leaves nothing");
    static constexpr double kBounds[] = {0.5, 1};
    metrics::Histograms seconds({"took_seconds", "Took", {"op"}}, kBounds);
    seconds.observe({"go"}, 500ms);
    seconds.observe({"go"}, 2s);
    text.add(seconds);
    return std::move(text).str();
}

TEST(MetricsText, IsPrometheusText) {
    EXPECT_EQ(page_in(MetricsFormat::plain), R"(# HELP x_total X
# TYPE x_total counter
x_total{a="b"} 1.5 1800000000050
# HELP evictions No suffix
# TYPE evictions counter
evictions 2
# HELP took_seconds Took
# TYPE took_seconds histogram
took_seconds_bucket{op="go",le="0.5"} 1
took_seconds_bucket{op="go",le="1"} 1
took_seconds_bucket{op="go",le="+Inf"} 2
took_seconds_sum{op="go"} 2.5
took_seconds_count{op="go"} 2
)");
}

// A counter without the suffix that OpenMetrics demands keeps the name that dashboards know.
TEST(MetricsText, IsOpenMetrics) {
    EXPECT_EQ(page_in(MetricsFormat::open_metrics), R"(# HELP x X
# TYPE x counter
x_total{a="b"} 1.5 1800000000.050
# HELP evictions No suffix
# TYPE evictions unknown
evictions 2
# HELP took_seconds Took
# TYPE took_seconds histogram
took_seconds_bucket{op="go",le="0.5"} 1
took_seconds_bucket{op="go",le="1.0"} 1
took_seconds_bucket{op="go",le="+Inf"} 2
took_seconds_sum{op="go"} 2.5
took_seconds_count{op="go"} 2
# EOF
)");
}

TEST(MetricsText, TheReaderChoosesTheFormat) {
    constexpr auto kOpen = MetricsFormat::open_metrics;
    constexpr auto kPlain = MetricsFormat::plain;
    EXPECT_EQ(metrics_format(""), kPlain);
    EXPECT_EQ(metrics_format("*/*"), kPlain);
    EXPECT_EQ(metrics_format("application/json"), kPlain);
    EXPECT_EQ(metrics_format("application/openmetrics-text"), kOpen);
    EXPECT_EQ(metrics_format("application/openmetrics-text; version=1.0.0; charset=utf-8"), kOpen);
    EXPECT_EQ(metrics_format("application/openmetrics-text;version=2.0.0"), kPlain);
    EXPECT_EQ(metrics_format("application/openmetrics-text;q=0"), kPlain);
    EXPECT_EQ(metrics_format("application/openmetrics-text;q=banana,text/plain;q=0.1"), kPlain);
    EXPECT_EQ(metrics_format("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.8"),
              kPlain);
    // Prometheus 3, and 2.
    EXPECT_EQ(metrics_format("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6"
                             ",application/openmetrics-text;version=0.0.1;q=0.5,text/plain;"
                             "version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;"
                             "q=0.3,*/*;q=0.2"),
              kOpen);
    EXPECT_EQ(metrics_format("application/openmetrics-text;version=1.0.0,application/"
                             "openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
                             "*/*;q=0.1"),
              kOpen);
}

TEST(HttpMeter, KnowsTheRoutesAndNothingElse) {
    EXPECT_EQ(metered_path("/metrics"), "metrics");
    EXPECT_EQ(metered_path("/metrics/cadvisor?x=1"), "metrics/cadvisor");
    EXPECT_EQ(metered_path("/metrics/none"), "other");
    EXPECT_EQ(metered_path("/containerLogs/ns/pod/c?follow=true"), "containerLogs");
    EXPECT_EQ(metered_path("/runningpods/"), "runningpods");
    for (auto target : {"", "/", "pods", "/podsx", "/%70ods", "//pods"}) {
        EXPECT_EQ(metered_path(target), "other") << target;
    }
}

TEST(RunningPods, AreThoseWithARunningContainer) {
    auto runs = std::make_shared<kube::Pod>();
    runs->metadata.namespace_ = "ns";
    runs->metadata.name = "web";
    runs->metadata.uid = "u1";
    for (const char* name : {"main", "ended"}) {
        kube::ContainerStatus status;
        status.name = name;
        status.image = "example/web:1";
        if (status.name == "main") {
            status.state.running.emplace();
        } else {
            status.state.terminated.emplace();
        }
        runs->status.containerStatuses.push_back(status);
    }
    auto list = boost::json::parse(running_pods_json({runs, std::make_shared<kube::Pod>()}));
    EXPECT_EQ(list.at("kind").as_string(), "PodList");
    ASSERT_EQ(list.at("items").as_array().size(), 1U);
    auto& pod = list.at("items").at(0);
    EXPECT_EQ(pod.at("metadata"),
              (boost::json::value{{"name", "web"}, {"namespace", "ns"}, {"uid", "u1"}}));
    auto& containers = pod.at("spec").at("containers").as_array();
    ASSERT_EQ(containers.size(), 1U);
    EXPECT_EQ(containers[0].at("name").as_string(), "main");
    EXPECT_EQ(containers[0].at("image").as_string(), "example/web:1");
}

struct Health final : NodeView {
    [[nodiscard]] std::vector<std::shared_ptr<const kube::Pod>> pods() const override { return {}; }
    [[nodiscard]] Result<void> sync_loop_health() const override {
        return stuck ? fail(Code::timeout, "it stands still") : Result<void>();
    }
    [[nodiscard]] async::Task<Result<NodeStats>> stats(StatsScope) const override {
        co_return NodeStats();
    }
    bool stuck = false;
};

TEST(HealthMetrics, CountWhatWasFound) {
    Health node;
    HealthMetrics health;
    MetricsText first;
    health.write(node, first);
    EXPECT_THAT(std::move(first).str(),
                HasSubstr("\nkubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 1\n"));
    node.stuck = true;
    MetricsText second;
    health.write(node, second);
    std::string page = std::move(second).str();
    EXPECT_THAT(page,
                HasSubstr("\nkubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 0\n"));
    constexpr auto kCount =
        "\nkubernetes_healthchecks_total{{name=\"syncloop\",status=\"{}\",type=\"healthz\"}} {}\n";
    EXPECT_THAT(page, HasSubstr(fmt::format(kCount, "error", 1)));
    EXPECT_THAT(page, HasSubstr(fmt::format(kCount, "success", 1)));
}

}  // namespace
}  // namespace skiff::server
