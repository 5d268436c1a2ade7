#include "kube/validate.h"

#include <gtest/gtest.h>

#include "kube/defaults.h"

namespace skiff::kube {
namespace {

Pod good() {
    Pod pod;
    pod.metadata.name = "p";
    pod.metadata.namespace_ = "default";
    Container container;
    container.name = "c";
    container.image = "x/y:1";
    pod.spec.containers.push_back(container);
    apply_defaults(pod);
    return pod;
}

std::string complaint(const Pod& pod) {
    auto valid = validate(pod);
    return valid ? "" : valid.error().message;
}

TEST(Validate, TakesADefaultedPod) {
    EXPECT_EQ(complaint(good()), "");
}

TEST(Validate, NamesFieldValueAndWhatIsAllowed) {
    Pod pod = good();
    pod.spec.containers[0].name = "C_1";
    EXPECT_EQ(
        complaint(pod),
        "spec.containers[0].name: \"C_1\" is not lower-case letters, digits and '-', at most 63");
    pod = good();
    pod.spec.restartPolicy = "Sometimes";
    EXPECT_EQ(complaint(pod),
              "spec.restartPolicy: \"Sometimes\" is not one of Always, OnFailure, Never");
    pod = good();
    pod.spec.containers[0].volumeMounts.push_back({});
    pod.spec.containers[0].volumeMounts[0].name = "v";
    EXPECT_EQ(complaint(pod),
              "spec.containers[0].volumeMounts[0].name: \"v\" is not a volume of the pod");
    pod = good();
    pod.spec.containers.push_back(pod.spec.containers[0]);
    EXPECT_EQ(complaint(pod), "spec.containers[1].name: \"c\" is not unique in the pod");
    pod = good();
    pod.spec.containers.clear();
    EXPECT_EQ(complaint(pod), "spec.containers: is empty; at least one container is needed");
    pod = good();
    pod.spec.containers[0].image.clear();
    EXPECT_EQ(complaint(pod), "spec.containers[0].image: \"\" is not an image reference");
    pod = good();
    ContainerPort port;
    port.containerPort = 70000;
    pod.spec.containers[0].ports.push_back(port);
    EXPECT_EQ(complaint(pod),
              "spec.containers[0].ports[0].containerPort: \"70000\" is not in 1–65535");
}

TEST(Validate, KnowsDnsNames) {
    EXPECT_TRUE(is_dns_label("a-1"));
    EXPECT_FALSE(is_dns_label("-a"));
    EXPECT_FALSE(is_dns_label(std::string(64, 'a')));
    EXPECT_TRUE(is_dns_subdomain("a.b-c.d"));
    EXPECT_FALSE(is_dns_subdomain("a..b"));
}

}  // namespace
}  // namespace skiff::kube
