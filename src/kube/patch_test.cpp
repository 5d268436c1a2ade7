#include "kube/patch.h"

#include <gtest/gtest.h>

#include "kube/codec.h"

namespace skiff::kube {
namespace {

Pod pod_with_status(std::string_view status) {
    return *from_json<Pod>(fmt::format(R"({{"metadata":{{"uid":"u"}},"status":{}}})", status));
}

std::string pod_patch(std::string_view known, std::string_view wanted) {
    auto patch = pod_status_patch(pod_with_status(known), pod_with_status(wanted).status);
    return patch.value_or("nothing");
}

TEST(Patch, IsEmptyWhenNothingDiffers) {
    EXPECT_EQ(pod_patch(R"({"phase":"Running","unknown":1})", R"({"phase":"Running"})"), "nothing");
}

TEST(Patch, NamesTheUidAndOnlyWhatChanged) {
    EXPECT_EQ(pod_patch(R"({"phase":"Pending","message":"x","hostIP":"1.1.1.1"})",
                        R"({"phase":"Running","hostIP":"1.1.1.1"})"),
              R"({"metadata":{"uid":"u"},"status":{"phase":"Running","message":null}})");
}

TEST(Patch, MergesConditionsByTypeAndKeepsTheirOrder) {
    EXPECT_EQ(
        pod_patch(
            R"({"conditions":[{"type":"A","status":"True"},{"type":"B","status":"True","reason":"r"},)"
            R"({"type":"C","status":"True"}]})",
            R"({"conditions":[{"type":"A","status":"True"},{"type":"D","status":"True"},)"
            R"({"type":"B","status":"False"}]})"),
        R"({"metadata":{"uid":"u"},"status":{"$setElementOrder/conditions":[{"type":"A"},)"
        R"({"type":"D"},{"type":"B"}],"conditions":[{"type":"D","status":"True"},)"
        R"({"status":"False","reason":null,"type":"B"},{"type":"C","$patch":"delete"}]}})");
}

TEST(Patch, ReplacesContainerStatusesAsAList) {
    EXPECT_EQ(
        pod_patch(R"({"containerStatuses":[{"name":"c","state":{"waiting":{"reason":"R"}}}]})",
                  R"({"containerStatuses":[{"name":"c","ready":true,"state":{"running":{}}}]})"),
        R"({"metadata":{"uid":"u"},"status":{"containerStatuses":[{"name":"c","state":)"
        R"({"running":{}},"ready":true,"restartCount":0,"image":"","imageID":""}]}})");
}

TEST(Patch, NeverTouchesClaimStatuses) {
    EXPECT_EQ(pod_patch(R"({"resourceClaimStatuses":[{"name":"x"}]})", R"({})"), "nothing");
}

TEST(Patch, ReplacesNodeAddressesAsAWhole) {
    auto known = *from_json<Node>(
        R"({"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}})");
    NodeStatus wanted = known.status;
    EXPECT_EQ(node_status_patch(known, wanted), std::nullopt);
    wanted.addresses.push_back(NodeAddress{"InternalIP", "fd00::1"});
    EXPECT_EQ(node_status_patch(known, wanted),
              R"({"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},)"
              R"({"type":"InternalIP","address":"fd00::1"},{"$patch":"replace"}]}})");
}

TEST(Patch, AddsMissingLabelsAndNothingElse) {
    Node known;
    known.metadata.labels = {{"mine", "old"}, {"other", "stays"}};
    Node wanted;
    wanted.metadata.labels = {{"mine", "new"}};
    wanted.spec.providerID = "p";
    EXPECT_EQ(node_metadata_patch(known, wanted),
              R"({"metadata":{"labels":{"mine":"new"}},"spec":{"providerID":"p"}})");
    known.metadata.labels["mine"] = "new";
    known.spec.providerID = "q";
    EXPECT_EQ(node_metadata_patch(known, wanted), std::nullopt);
}

}  // namespace
}  // namespace skiff::kube
