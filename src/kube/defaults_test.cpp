#include "kube/defaults.h"

#include <gtest/gtest.h>

#include "kube/codec.h"

namespace skiff::kube {
namespace {

Pod defaulted(std::string_view json) {
    auto pod = from_json_strict<Pod>(json);
    EXPECT_TRUE(pod) << (pod ? "" : pod.error().message);
    apply_defaults(*pod);
    return *pod;
}

TEST(Defaults, FillInWhatTheApiServerStores) {
    Pod pod = defaulted(
        R"({"spec":{"containers":[{"name":"a","image":"x","ports":[{"containerPort":80}],)"
        R"("livenessProbe":{"httpGet":{"port":80}},"env":[{"name":"N","valueFrom":)"
        R"({"fieldRef":{"fieldPath":"metadata.name"}}}],"resources":{"limits":{"cpu":"1"}}}],)"
        R"("volumes":[{"name":"e"},{"name":"c","configMap":{"name":"m"}},)"
        R"({"name":"p","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}},)"
        R"({"name":"h","hostPath":{"path":"/x"}}]}})");
    EXPECT_EQ(
        to_json(pod.spec),
        R"({"volumes":[{"name":"e","emptyDir":{}},{"name":"c","configMap":{"name":"m",)"
        R"("defaultMode":420}},{"name":"p","projected":{"sources":[{"serviceAccountToken":)"
        R"({"expirationSeconds":3600,"path":"t"}}],"defaultMode":420}},{"name":"h","hostPath":)"
        R"({"path":"/x","type":""}}],"containers":[{"name":"a","image":"x","ports":[)"
        R"({"containerPort":80,"protocol":"TCP"}],"env":[{"name":"N","valueFrom":{"fieldRef":)"
        R"({"apiVersion":"v1","fieldPath":"metadata.name"}}}],"resources":{"limits":{"cpu":"1"},)"
        R"("requests":{"cpu":"1"}},"livenessProbe":{"httpGet":{"path":"/","port":80,)"
        R"("scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,)"
        R"("failureThreshold":3},"terminationMessagePath":"/dev/termination-log",)"
        R"("terminationMessagePolicy":"File","imagePullPolicy":"Always"}],)"
        R"("restartPolicy":"Always","terminationGracePeriodSeconds":30,)"
        R"("dnsPolicy":"ClusterFirst","securityContext":{},)"
        R"("schedulerName":"default-scheduler","enableServiceLinks":true})");
    EXPECT_EQ(pod.status.phase, "Pending");
    EXPECT_EQ(pod.status.qosClass, "Burstable");
}

TEST(Defaults, AreIdempotentAndKeepWhatIsSet) {
    Pod pod = defaulted(
        R"({"spec":{"restartPolicy":"Never","enableServiceLinks":false,"hostNetwork":true,)"
        R"("terminationGracePeriodSeconds":-5,"serviceAccount":"sa",)"
        R"("containers":[{"name":"a","image":"x:1","ports":[{"containerPort":80}]}]}})");
    EXPECT_EQ(pod.spec.restartPolicy, "Never");
    EXPECT_EQ(pod.spec.enableServiceLinks, false);
    EXPECT_EQ(pod.spec.terminationGracePeriodSeconds, 1);
    EXPECT_EQ(pod.spec.serviceAccountName, "sa");
    EXPECT_EQ(pod.spec.containers[0].ports[0].hostPort, 80);
    Pod again = pod;
    apply_defaults(again);
    EXPECT_EQ(again, pod);
}

TEST(Defaults, LeaveRequestsOfATemplateAlone) {
    auto pod_template = from_json_strict<PodTemplateSpec>(
        R"({"spec":{"containers":[{"name":"a","image":"x","resources":{"limits":{"cpu":"1"}}}]}})");
    apply_defaults(*pod_template);
    EXPECT_TRUE(pod_template->spec.containers[0].resources.requests.empty());
    EXPECT_EQ(pod_template->spec.enableServiceLinks, std::nullopt);
    EXPECT_EQ(pod_template->spec.restartPolicy, "Always");
}

TEST(Defaults, PullAlwaysOnlyForLatest) {
    EXPECT_EQ(default_pull_policy("x"), "Always");
    EXPECT_EQ(default_pull_policy("host:5000/x"), "Always");
    EXPECT_EQ(default_pull_policy("host:5000/x:latest"), "Always");
    EXPECT_EQ(default_pull_policy("host:5000/x:1"), "IfNotPresent");
    EXPECT_EQ(default_pull_policy("x@sha256:abc"), "IfNotPresent");
    EXPECT_EQ(default_pull_policy("x:latest@sha256:abc"), "Always");
}

TEST(Defaults, JudgeTheQosClass) {
    auto qos = [](std::string_view resources) {
        return defaulted(
                   fmt::format(R"({{"spec":{{"containers":[{{"name":"a","resources":{}}}]}}}})",
                               resources))
            .status.qosClass;
    };
    EXPECT_EQ(qos("{}"), "BestEffort");
    EXPECT_EQ(qos(R"({"limits":{"cpu":"1","memory":"1Gi"}})"), "Guaranteed");
    EXPECT_EQ(qos(R"({"limits":{"cpu":"1"}})"), "Burstable");
    EXPECT_EQ(qos(R"({"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}})"),
              "Burstable");
    EXPECT_EQ(qos(R"({"limits":{"ephemeral-storage":"1Gi"}})"), "BestEffort");
    EXPECT_EQ(qos(R"({"requests":{"memory":"1"}})"), "Burstable");
}

}  // namespace
}  // namespace skiff::kube
