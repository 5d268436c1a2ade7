#include "pods/oom_score.h"

#include <gtest/gtest.h>

namespace skiff::pods {
namespace {

kube::Pod pod_of(std::string_view qos, std::string_view memory_request) {
    kube::Pod pod;
    pod.status.qosClass = qos;
    pod.spec.containers.resize(1);
    if (!memory_request.empty()) {
        pod.spec.containers[0].resources.requests["memory"] =
            kube::Quantity::parse(memory_request).value();
    }
    return pod;
}

std::int32_t score(const kube::Pod& pod) {
    return oom_score_adj(pod, pod.spec.containers[0], 8_GiB);
}

TEST(OomScore, FollowsTheQualityOfService) {
    EXPECT_EQ(score(pod_of("Guaranteed", "1Gi")), -997);
    EXPECT_EQ(score(pod_of("BestEffort", "")), 1000);
    EXPECT_EQ(score(pod_of("Burstable", "2Gi")), 750);
}

TEST(OomScore, KeepsABurstablePodBetweenTheOthers) {
    EXPECT_EQ(score(pod_of("Burstable", "")), 999);
    EXPECT_EQ(score(pod_of("Burstable", "8Gi")), 3);
    EXPECT_EQ(score(pod_of("Burstable", "800Gi")), 3);
}

TEST(OomScore, HoldsANodeCriticalPodAsDearAsAGuaranteedOne) {
    kube::Pod pod = pod_of("BestEffort", "");
    pod.spec.priority = 2'000'001'000;
    EXPECT_EQ(score(pod), -997);
}

TEST(OomScore, ARequestOfAMachineOfUnknownSizeCountsForNothing) {
    kube::Pod pod = pod_of("Burstable", "1Gi");
    EXPECT_EQ(oom_score_adj(pod, pod.spec.containers[0], Bytes{}), 999);
}

}  // namespace
}  // namespace skiff::pods
