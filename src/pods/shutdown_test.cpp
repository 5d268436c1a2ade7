#include "pods/shutdown.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pods/fakes.h"

namespace skiff::pods {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<const kube::Pod> pod_of(const std::string& name, std::int32_t priority) {
    kube::Pod pod = fakes::make_pod(name, "uid-" + name);
    pod.spec.priority = priority;
    return std::make_shared<const kube::Pod>(std::move(pod));
}

std::vector<std::string> names(const ShutdownStep& step) {
    std::vector<std::string> list;
    for (const auto& pod : step.pods) {
        list.push_back(pod->metadata.name);
    }
    return list;
}

TEST(Shutdown, EndsCriticalPodsLast) {
    auto groups = shutdown_groups(seconds(30), seconds(10));
    EXPECT_EQ(whole_of(groups), seconds(30));
    auto steps = shutdown_steps(
        groups, {pod_of("critical", 2'000'001'000), pod_of("plain", 0), pod_of("low", -5)});
    ASSERT_EQ(steps.size(), 2U);
    EXPECT_THAT(names(steps[0]), ElementsAre("plain", "low"));
    EXPECT_EQ(steps[0].grace, seconds(20));
    EXPECT_THAT(names(steps[1]), ElementsAre("critical"));
    EXPECT_EQ(steps[1].grace, seconds(10));
}

TEST(Shutdown, GoesByPriorityWhateverTheOrderOfTheGroups) {
    std::vector<ShutdownGroup> groups = {{1000, seconds(5)}, {0, seconds(60)}, {100, seconds(20)}};
    auto steps = shutdown_steps(
        groups, {pod_of("a", 999), pod_of("b", 1000), pod_of("c", 99), pod_of("d", 5000)});
    ASSERT_EQ(steps.size(), 3U);
    EXPECT_THAT(names(steps[0]), ElementsAre("c"));
    EXPECT_THAT(names(steps[1]), ElementsAre("a"));
    EXPECT_THAT(names(steps[2]), ElementsAre("b", "d"));
    EXPECT_EQ(steps[2].grace, seconds(5));
}

TEST(Shutdown, IsOffWithoutTime) {
    EXPECT_THAT(shutdown_groups(Duration::zero(), seconds(5)), IsEmpty());
    EXPECT_THAT(shutdown_steps({}, {pod_of("a", 0)}), IsEmpty());
}

}  // namespace
}  // namespace skiff::pods
