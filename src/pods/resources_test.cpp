#include "pods/resources.h"

#include <gtest/gtest.h>

#include "pods/fakes.h"
#include "pods/oom_score.h"

namespace skiff::pods {
namespace {

using fakes::make_pod;

kube::Quantity bytes(std::uint64_t value) {
    return kube::Quantity::of_bytes(value);
}
kube::Quantity milli(std::int64_t value) {
    return kube::Quantity::of_milli(value);
}

TEST(PodRequests, SumsContainersAndTakesTheLargestInit) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].resources.requests["cpu"] = milli(300);
    kube::Container init;
    init.name = "init";
    init.resources.requests["cpu"] = milli(900);
    kube::Container sidecar;
    sidecar.name = "side";
    sidecar.restartPolicy = "Always";
    sidecar.resources.requests["cpu"] = milli(200);
    pod.spec.initContainers = {sidecar, init};
    pod.spec.overhead["cpu"] = milli(10);
    EXPECT_EQ(pod_requests(pod.spec)["cpu"].milli_value(), 1110);
}

TEST(PodRequests, AreThoseOfThePodWhereItHasSome) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].resources.requests = {{"cpu", milli(300)},
                                                 {"ephemeral-storage", bytes(7)}};
    pod.spec.resources.emplace().requests = {{"cpu", milli(500)}, {"memory", bytes(100)}};
    pod.spec.overhead = {{"cpu", milli(10)}, {"memory", bytes(1)}};
    auto requests = pod_requests(pod.spec);
    EXPECT_EQ(requests["cpu"].milli_value(), 510);
    EXPECT_EQ(requests["memory"].value(), 101);
    EXPECT_EQ(requests["ephemeral-storage"].value(), 7);
}

TEST(SandboxOf, HasALimitOnlyWhenAllContainersHave) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].resources.limits["memory"] = bytes(100);
    pod.spec.overhead["memory"] = bytes(10);
    EXPECT_EQ(sandbox_of(pod).memory_limit->value, 110U);
    pod.spec.containers.push_back(pod.spec.containers[0]);
    EXPECT_EQ(sandbox_of(pod).memory_limit->value, 210U);
    pod.spec.containers[1].resources.limits.clear();
    EXPECT_FALSE(sandbox_of(pod).memory_limit);
}

TEST(SandboxOf, HasTheLimitsOfThePodItself) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers.push_back(pod.spec.containers[0]);
    pod.spec.containers[1].name = "other";
    pod.spec.containers[1].resources.limits["memory"] = bytes(60);
    pod.spec.resources.emplace().limits = {{"cpu", milli(500)}, {"memory", bytes(100)}};
    PodSandbox sandbox = sandbox_of(pod);
    EXPECT_EQ(sandbox.memory_limit->value, 100U);
    EXPECT_EQ(sandbox.cpu_limit_millis, 500);
    // A container without its own may use all of the pod's.
    EXPECT_EQ(container_limits(pod.spec, pod.spec.containers[0]).memory->value, 100U);
    EXPECT_EQ(container_limits(pod.spec, pod.spec.containers[1]).memory->value, 60U);
    EXPECT_EQ(container_limits(pod.spec, pod.spec.containers[1]).cpu_limit_millis, 500);
}

TEST(ActualResources, AreWhatTheCgroupHolds) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers[0].resources.requests = {{"cpu", milli(300)}};
    pod.spec.containers[0].resources.limits = {{"memory", bytes(1 << 20)}};
    auto actual = actual_resources(pod.spec, sandbox_of(pod));
    EXPECT_EQ(actual.requests.at("cpu").milli_value(), 300);
    EXPECT_EQ(actual.limits.at("memory").value(), 1 << 20);
    EXPECT_FALSE(actual.limits.contains("cpu"));
}

TEST(OomScore, SharesWhatThePodAsksForBeyondItsContainers) {
    kube::Pod pod = make_pod("web");
    pod.status.qosClass = "Burstable";
    pod.spec.containers[0].resources.requests["memory"] = bytes(1ULL << 30);
    pod.spec.containers.push_back(pod.spec.containers[0]);
    pod.spec.containers[1].name = "other";
    pod.spec.resources.emplace().requests["memory"] = bytes(4ULL << 30);
    EXPECT_EQ(oom_score_adj(pod, pod.spec.containers[0], 8_GiB), 750);
}

}  // namespace
}  // namespace skiff::pods
