#include "app/node_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "app/metered_ports.h"
#include "app/metered_runtime.h"
#include "app/pod_starts.h"
#include "pods/worker_fixture.h"

namespace skiff::app {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

pods::PodSnapshot pod_in(std::string phase) {
    auto pod = std::make_shared<kube::Pod>();
    pod->status.phase = std::move(phase);
    pods::PodSnapshot snapshot;
    snapshot.pod = std::move(pod);
    snapshot.containers.emplace_back().exit.emplace();
    return snapshot;
}

TEST(PodCounts, AreOfWhatRunsAndOfWhatIsWanted) {
    std::vector<pods::PodSnapshot> snapshots = {pod_in("Running"), pod_in("Succeeded")};
    snapshots[0].containers.emplace_back();
    snapshots[0].containers.emplace_back().phase = pods::ContainerRecord::Phase::starting;
    server::MetricsText text;
    write_pod_counts(snapshots, text);
    std::string page = std::move(text).str();
    EXPECT_THAT(page, HasSubstr("\nkubelet_running_pods 1\n"));
    EXPECT_THAT(page, HasSubstr("{container_state=\"running\"} 1\n"));
    EXPECT_THAT(page, HasSubstr("{container_state=\"created\"} 1\n"));
    EXPECT_THAT(page, HasSubstr("{container_state=\"exited\"} 2\n"));
    EXPECT_THAT(page, HasSubstr("\nkubelet_desired_pods{static=\"\"} 2\n"));
    EXPECT_THAT(page, HasSubstr("\nkubelet_active_pods{static=\"\"} 1\n"));
}

TEST(ProbeMetrics, HaveTheKubeletsNamesAndLabels) {
    probes::ProbeSample sample{"shop", "web", "u1", "main", pods::ProbeKind::readiness, {}};
    sample.count.successful = 3;
    sample.count.failed = 1;
    sample.count.add_duration(20ms);
    server::MetricsText text;
    write_probe_metrics({sample}, text);
    std::string page = std::move(text).str();
    EXPECT_THAT(page, HasSubstr("\nprober_probe_total{container=\"main\",namespace=\"shop\",pod="
                                "\"web\",pod_uid=\"u1\",probe_type=\"Readiness\",result="
                                "\"failed\"} 1\n"));
    EXPECT_THAT(page, HasSubstr("probe_type=\"Readiness\",le=\"0.025\"} 1\n"));
    EXPECT_THAT(page, HasSubstr("probe_type=\"Readiness\",le=\"0.01\"} 0\n"));
}

TEST(Meters, SizeClassesAreTheKubelets) {
    EXPECT_EQ(size_class(Bytes{0}), "N/A");
    EXPECT_EQ(size_class(Bytes{1}), "0-10MB");
    EXPECT_EQ(size_class(10_MiB), "0-10MB");
    EXPECT_EQ(size_class(Bytes{(10 << 20) + 1}), "10MB-100MB");
    EXPECT_EQ(size_class(200_GiB), "GT100GB");
}

// Pods over fakes, with all that lies between counted.
class MeteredPods : public pods::PodWorker {
protected:
    MeteredPods() {
        stop_agent();
        pods::Ports inner = node.ports();
        starts.emplace(meters, clock);
        runtime.emplace(inner.runtime, MeteredRuntime::Parts{meters, *starts, clock});
        images.emplace(inner.images, MeteredImages::Parts{meters, *starts, clock});
        volumes.emplace(inner.volumes, meters, clock);
        status.emplace(inner.status, *starts);
        metered.emplace(pods::Ports{inner.events, inner.objects, *images, *volumes, inner.network,
                                    *runtime, *status, inner.commands, inner.probes});
        begin_agent();
    }
    ~MeteredPods() override { stop_agent(); }
    void begin_agent() {
        stop_agent();
        pods =
            std::make_unique<pods::Pods>(reactor().executor(), clock, random, *metered, settings);
    }
    double count(const metrics::Counters& counters, metrics::LabelValues values) {
        auto found = counters.series().find(values);
        return found == counters.series().end() ? -1 : found->second;
    }

    Meters meters;
    std::optional<PodStarts> starts;
    std::optional<MeteredRuntime> runtime;
    std::optional<MeteredImages> images;
    std::optional<MeteredVolumes> volumes;
    std::optional<MeteredStatus> status;
    std::optional<pods::Ports> metered;
};

TEST_F(MeteredPods, AStartIsCountedInItsParts) {
    kube::Pod pod = pods::make_pod("web");
    pod.metadata.creationTimestamp = kube::Time(clock.wall_now() - 3s);
    run_pod(pod);
    ASSERT_EQ(published().phase, "Running");
    EXPECT_EQ(count(meters.started_pods, {}), 1);
    EXPECT_EQ(count(meters.started_pods_errors, {}), 0);
    EXPECT_EQ(count(meters.started_containers, {"container"}), 1);
    EXPECT_EQ(count(meters.operations, {"start_container"}), 1);
    EXPECT_EQ(count(meters.operation_errors, {"start_container"}), 0);
    for (const char* phase : {"sandbox", "volumes", "image", "compile", "run"}) {
        const auto& counts = meters.start_phase.series().at({phase}).counts();
        EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0U), 1U) << phase;
    }
    EXPECT_EQ(meters.pod_start.series().at({}).sum(), 0);
    EXPECT_EQ(meters.pod_start_total.series().at({}).sum(), 3);
    EXPECT_EQ(meters.pod_worker.series().at({"create"}).counts().front(), 1U);
    EXPECT_NE(volumes->mounted(PodUid("uid-1")), nullptr);
}

TEST_F(MeteredPods, NothingIsKeptOfAPodThatHasGone) {
    kube::Pod pod = pods::make_pod("web");
    run_pod(pod);
    EXPECT_EQ(starts->size(), 1U);
    delete_pod(pod, 1);
    pods->remove(PodUid("uid-1"));
    settle();
    EXPECT_EQ(starts->size(), 0U);
    EXPECT_EQ(volumes->mounted(PodUid("uid-1")), nullptr);
    EXPECT_EQ(count(meters.operations, {"remove_podsandbox"}), 1);
}

TEST_F(MeteredPods, APodThatRanBeforeTheAgentIsNoStart) {
    run_pod(pods::make_pod("web"));
    begin_agent();
    run_pod(pods::make_pod("web"));
    advance(61s);
    EXPECT_EQ(count(meters.started_pods, {}), 1);
    EXPECT_EQ(meters.pod_worker.series().at({"create"}).counts().front(), 1U);
}

TEST(PodStarts, TimeForImagesAndInitContainersIsNotTheNodes) {
    ManualClock clock(WallTime(1'800'000'000s));
    Meters meters;
    PodStarts starts(meters, clock);
    kube::Pod pod;
    pod.metadata.uid = "u1";
    pod.metadata.creationTimestamp = kube::Time(clock.wall_now());
    pod.spec.containers.resize(1);
    starts.began(PodUid("u1"));
    SteadyTime from = clock.steady_now();
    clock.advance(20s);
    starts.pulled(PodUid("u1"), from, clock.steady_now());
    kube::PodStatus status;
    auto& init = status.initContainerStatuses.emplace_back().state.terminated.emplace();
    init.startedAt = kube::Time(clock.wall_now());
    clock.advance(5s);
    init.finishedAt = kube::Time(clock.wall_now());
    clock.advance(2s);
    status.containerStatuses.emplace_back();
    starts.status(pod, status);
    EXPECT_EQ(meters.pod_start.series().at({}).sum(), 0) << "it does not run yet";
    status.containerStatuses[0].state.running.emplace();
    starts.status(pod, status);
    starts.status(pod, status);
    EXPECT_EQ(meters.pod_start.series().at({}).sum(), 27);
    EXPECT_EQ(meters.pod_start_total.series().at({}).sum(), 27);
    EXPECT_EQ(meters.pod_start_sli.series().at({}).sum(), 2);
}

}  // namespace
}  // namespace skiff::app
