#include "kube/codec.h"

#include <gtest/gtest.h>

namespace skiff::kube {
namespace {

constexpr std::string_view kPod =
    R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web",)"
    R"("namespace":"default","uid":"u-1","resourceVersion":"42","generation":3,)"
    R"("creationTimestamp":"2026-11-23T22:14:05Z","labels":{"a/b":"c"}},"spec":{"volumes":[)"
    R"({"name":"tmp","emptyDir":{}},{"name":"old","rbd":{"image":"x","monitors":["a"]}},)"
    R"({"name":"all","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,)"
    R"("path":"token"}}],"defaultMode":420}}],"containers":[{"name":"c","image":"img:1",)"
    R"("ports":[{"containerPort":80}],"env":[{"name":"E","valueFrom":{"fieldRef":)"
    R"({"fieldPath":"metadata.name"}}}],"resources":{"limits":{"cpu":"500m","memory":"64Mi"}},)"
    R"("livenessProbe":{"httpGet":{"path":"/","port":"http"},"periodSeconds":5},)"
    R"("securityContext":{"runAsNonRoot":false}}],"restartPolicy":"Never",)"
    R"("tolerations":[{"key":"k","operator":"Exists"}],"enableServiceLinks":false},)"
    R"("status":{"phase":"Running","conditions":[{"type":"Ready","status":"True",)"
    R"("lastTransitionTime":"2026-11-23T22:14:06Z"}],"containerStatuses":[{"name":"c",)"
    R"("state":{"terminated":{"exitCode":0,"reason":"Completed"}},"ready":false,)"
    R"("restartCount":0,"image":"img:1","imageID":"","started":false}]}})";

TEST(Codec, WritesBackExactlyWhatItReadInTheApisOrder) {
    auto pod = from_json<Pod>(kPod);
    ASSERT_TRUE(pod) << format_as(pod.error());
    EXPECT_EQ(to_json(*pod), kPod);
    EXPECT_EQ(*from_json<Pod>(to_json(*pod)), *pod);
}

TEST(Codec, TellsAbsentFromFalseAndZero) {
    auto pod = *from_json<Pod>(kPod);
    EXPECT_EQ(pod.spec.enableServiceLinks, false);
    EXPECT_EQ(pod.spec.hostUsers, std::nullopt);
    EXPECT_EQ(pod.spec.containers[0].securityContext->runAsNonRoot, false);
    EXPECT_TRUE(pod.spec.volumes[0].emptyDir.has_value());
    EXPECT_TRUE(pod.spec.volumes[1].rbd.has_value());
    EXPECT_EQ(*pod.spec.containers[0].livenessProbe->httpGet->port.name(), "http");
    EXPECT_EQ(pod.spec.containers[0].resources.limits.at("memory").value(), 64 << 20);
}

TEST(Codec, IgnoresUnknownFieldsOnTheWire) {
    auto pod = from_json<Pod>(R"({"spec":{"tomorrow":[1,{"x":2}]},"metadata":{"name":"a",)"
                              R"("managedFields":[{"manager":"m"}]},"extra":null})");
    ASSERT_TRUE(pod);
    EXPECT_EQ(pod->metadata.name, "a");
    EXPECT_EQ(to_json(*pod), R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}})");
}

TEST(Codec, RefusesUnknownFieldsOfAUserWithTheirFullPath) {
    auto pod = from_json_strict<Pod>(
        R"({"spec":{"containers":[{"name":"a"},{"name":"b","imagee":"x"}]}})");
    ASSERT_FALSE(pod);
    EXPECT_EQ(pod.error().code, Code::invalid);
    EXPECT_EQ(pod.error().message, R"(unknown field "spec.containers[1].imagee")");
    EXPECT_TRUE(from_json_strict<Pod>(R"({"metadata":{"managedFields":[]},"status":{}})"));
}

TEST(Codec, NamesThePathAndTheFoundValueOfAWrongType) {
    auto message = [](std::string_view text) {
        auto pod = from_json_strict<Pod>(text);
        return pod ? std::string("accepted") : pod.error().message;
    };
    EXPECT_EQ(message(R"({"spec":{"containers":[{"env":[{"name":"A","value":1}]}]}})"),
              "spec.containers[0].env[0].value: expected a string, found the number 1 (quote it)");
    EXPECT_EQ(message(R"({"metadata":{"labels":{"a.b/c":true}}})"),
              "metadata.labels[\"a.b/c\"]: expected a string, found the boolean true (quote it)");
    EXPECT_EQ(message(R"({"spec":{"containers":{}}})"),
              "spec.containers: expected a list, found a map");
    EXPECT_EQ(message(R"({"spec":{"priority":4294967296}})"),
              "spec.priority: the number is out of range");
    EXPECT_EQ(message(R"({"spec":{"priority":1.5}})"),
              "spec.priority: expected a whole number, found the number 1.5E0");
    EXPECT_EQ(message(R"({"spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}})"),
              "spec.containers[0].resources.limits.cpu: \"lots\" is not a quantity (like 500m, "
              "1.5 or 64Mi)");
    EXPECT_EQ(message("[]"), "expected a map, found a list");
}

TEST(Codec, DecodesBase64AndNeverShowsASecret) {
    auto secret = from_json<Secret>(R"({"data":{"a":"aGVsbG8=","e":""},"immutable":true})");
    ASSERT_TRUE(secret);
    EXPECT_EQ(secret->data.at("a").bytes, "hello");
    EXPECT_EQ(secret->data.at("e").bytes, "");
    auto broken = from_json_strict<Secret>(R"({"data":{"a":"hunter2!"}})");
    ASSERT_FALSE(broken);
    EXPECT_EQ(broken.error().message, "data.a: the string is not base64");
}

TEST(Codec, BoundsDepthAndRefusesBrokenText) {
    std::string deep = std::string(100, '[') + std::string(100, ']');
    EXPECT_EQ(from_json<Pod>(R"({"x":)" + deep + "}").error().code, Code::corrupt);
    EXPECT_EQ(from_json<Pod>(R"({"a":)").error().code, Code::corrupt);
    EXPECT_EQ(from_json<Pod>(std::string(kWireBytesMax + 1, ' ')).error().code, Code::corrupt);
    EXPECT_EQ(from_json<Pod>("").error().code, Code::corrupt);
}

TEST(Codec, ReadsListsWithTheirVersion) {
    auto list = list_from_json<ConfigMap>(
        R"({"kind":"ConfigMapList","metadata":{"resourceVersion":"7","continue":"t"},)"
        R"("items":[{"metadata":{"name":"a"},"data":{"k":"v"}},{"metadata":{"name":"b"}}]})");
    ASSERT_TRUE(list) << format_as(list.error());
    EXPECT_EQ(list->metadata.resourceVersion, "7");
    EXPECT_EQ(list->metadata.continue_, "t");
    ASSERT_EQ(list->items.size(), 2u);
    EXPECT_EQ(list->items[0].data.at("k"), "v");
    EXPECT_TRUE(list_from_json<ConfigMap>(R"({"items":null})")->items.empty());
    EXPECT_EQ(list_from_json<ConfigMap>(R"({"items":[{"data":[]}]})").error().message,
              "items[0].data: expected a map, found a list");
}

TEST(Codec, WritesWhatGoWritesEvenWhenEmpty) {
    ContainerStatus status;
    status.name = "c";
    EXPECT_EQ(to_json(status),
              R"({"name":"c","ready":false,"restartCount":0,"image":"","imageID":""})");
    Lease lease;
    lease.metadata.name = "n";
    lease.spec.renewTime = MicroTime(*parse_rfc3339("2026-11-23T22:14:05.123456789Z"));
    EXPECT_EQ(to_json(lease),
              R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"n"},)"
              R"("spec":{"renewTime":"2026-11-23T22:14:05.123456Z"}})");
}

TEST(Codec, TreatsAnEphemeralContainerAsAContainerWithATarget) {
    auto container = from_json_strict<EphemeralContainer>(
        R"({"name":"dbg","image":"i","targetContainerName":"c"})");
    ASSERT_TRUE(container) << format_as(container.error());
    EXPECT_EQ(container->image, "i");
    EXPECT_EQ(container->targetContainerName, "c");
}

}  // namespace
}  // namespace skiff::kube
