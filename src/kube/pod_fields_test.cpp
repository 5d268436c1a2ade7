#include <gtest/gtest.h>

#include "kube/pod_fields.h"

namespace skiff::kube {
namespace {

TEST(PodFields, KnowMetadataAndItsMapsByKey) {
    Pod pod;
    pod.metadata.name = "boat";
    pod.metadata.namespace_ = "sea";
    pod.metadata.uid = "uid-1";
    pod.metadata.labels["app"] = "shop";
    pod.metadata.annotations["note"] = "";
    EXPECT_EQ(metadata_field(pod, "metadata.name"), "boat");
    EXPECT_EQ(metadata_field(pod, "metadata.namespace"), "sea");
    EXPECT_EQ(metadata_field(pod, "metadata.uid"), "uid-1");
    EXPECT_EQ(metadata_field(pod, "metadata.labels['app']"), "shop");
    EXPECT_EQ(metadata_field(pod, "metadata.labels['none']"), "");
    EXPECT_EQ(metadata_field(pod, "metadata.annotations['note']"), "");
    for (const char* path : {"", "metadata", "metadata.labels", "metadata.labels['",
                             "spec.nodeName", "metadata.labels[app]", "metadata.labels']"}) {
        EXPECT_EQ(metadata_field(pod, path), std::nullopt) << path;
    }
}

TEST(PodFields, FindAContainerOfEitherList) {
    Pod pod;
    pod.spec.initContainers.emplace_back().name = "before";
    pod.spec.containers.emplace_back().name = "main";
    EXPECT_EQ(find_container(pod, "before"), &pod.spec.initContainers[0]);
    EXPECT_EQ(find_container(pod, "main"), &pod.spec.containers[0]);
    EXPECT_EQ(find_container(pod, "other"), nullptr);
}

TEST(PodFields, DivideResourcesAndRoundUp) {
    ResourceList allocatable;
    allocatable["cpu"] = Quantity::of_units(2);
    Container main;
    main.resources.limits["memory"] = *Quantity::parse("1500Ki");
    ResourceFieldSelector selector;
    auto text = [&](const char* resource, const char* divisor) {
        selector.resource = resource;
        selector.divisor = *Quantity::parse(divisor);
        return resource_field(main, allocatable, selector).value_or("refused");
    };
    EXPECT_EQ(text("limits.memory", "1Mi"), "2");
    EXPECT_EQ(text("limits.memory", "0"), "1536000");
    EXPECT_EQ(text("limits.cpu", "0"), "2") << "not set: what the node can give";
    EXPECT_EQ(text("limits.cpu", "1m"), "2000");
    EXPECT_EQ(text("requests.cpu", "0"), "0");
    main.resources.limits["cpu"] = Quantity();
    EXPECT_EQ(text("limits.cpu", "1"), "2") << "zero is no limit";
    for (const char* unknown : {"limits.gpu", "limits", "cpu", "used.cpu", ""}) {
        EXPECT_EQ(text(unknown, "1"), "refused") << unknown;
    }
}

}  // namespace
}  // namespace skiff::kube
