#include "app/image_service.h"

#include <gtest/gtest.h>

#include "pods/fakes.h"

namespace skiff::app {
namespace {

constexpr const char* kReference = "registry.test/crew:1";

images::StoredImage stored() {
    auto reference = images::parse_reference(kReference);
    images::Digest digest = images::digest_of("manifest");
    images::Descriptor manifest{{}, digest, 0, {}, {}, {}};
    return {reference->str(), reference->name(), digest, manifest, {}};
}

TEST(NamesImage, OfContainersAndOfImageVolumes) {
    kube::PodSpec spec = pods::fakes::make_pod("web", "uid-1").spec;
    EXPECT_FALSE(names_image(spec, stored()));
    kube::PodSpec with_init = spec;
    with_init.initContainers.emplace_back().image = kReference;
    EXPECT_TRUE(names_image(with_init, stored()));
    kube::PodSpec with_volume = spec;
    with_volume.volumes.emplace_back().image.emplace().reference = kReference;
    EXPECT_TRUE(names_image(with_volume, stored()))
        << "its files are mounted as long as the pod runs";
}

}  // namespace
}  // namespace skiff::app
