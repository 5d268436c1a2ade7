#include "network/bandwidth.h"

#include <gtest/gtest.h>

namespace skiff::network {
namespace {

Result<PodBandwidth> of(const std::string& ingress, const std::string& egress = "") {
    kube::Pod pod;
    if (!ingress.empty()) {
        pod.metadata.annotations["kubernetes.io/ingress-bandwidth"] = ingress;
    }
    if (!egress.empty()) {
        pod.metadata.annotations["kubernetes.io/egress-bandwidth"] = egress;
    }
    return parse_bandwidth(pod);
}

TEST(PodBandwidth, TakesWhatAKubeletTakes) {
    EXPECT_EQ(*of(""), (PodBandwidth{0, 0}));
    EXPECT_EQ(*of("10M", "1Gi"), (PodBandwidth{10'000'000, 1'073'741'824}));
    EXPECT_EQ(*of("1k"), (PodBandwidth{1000, 0}));
    EXPECT_EQ(*of("", "1P"), (PodBandwidth{0, 1'000'000'000'000'000}));
    for (const char* wrong :
         {"999", "0", "-10M", "1001T", "2P", "fast", " 10M", "10Mbit", "99999999999999999999"}) {
        const auto failed = of("10M", wrong);
        ASSERT_FALSE(failed) << wrong;
        EXPECT_EQ(failed.error().code, Code::invalid);
        EXPECT_EQ(failed.error().message.find("annotation kubernetes.io/egress-bandwidth is \""),
                  0U)
            << failed.error().message;
    }
}

}  // namespace
}  // namespace skiff::network
