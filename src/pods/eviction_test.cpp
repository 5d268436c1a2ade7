#include "pods/eviction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pods/fakes.h"

namespace skiff::pods {
namespace {

using ::testing::ElementsAre;

kube::Quantity mebi(std::uint64_t value) {
    return kube::Quantity::of_bytes(value << 20);
}

PodUse use_of(const std::string& name, std::uint64_t mebibytes, std::uint64_t asked,
              std::int32_t priority = 0) {
    auto pod = std::make_shared<kube::Pod>(fakes::make_pod(name, "uid-" + name));
    pod->spec.priority = priority;
    if (asked > 0) {
        pod->spec.containers[0].resources.requests["memory"] = mebi(asked);
    }
    PodUse use;
    use.pod = std::move(pod);
    use.containers["main"].memory_bytes = mebibytes << 20;
    return use;
}

std::vector<std::string> order(const std::vector<PodUse>& pods, std::string_view resource) {
    std::vector<std::string> names;
    for (const PodUse* use : rank_for_eviction(pods, resource)) {
        names.push_back(use->pod->metadata.name);
    }
    return names;
}

TEST(RankForEviction, TakesWhoUsesMoreThanItAskedForFirst) {
    std::vector<PodUse> pods;
    pods.push_back(use_of("modest", 50, 100));
    pods.push_back(use_of("greedy", 200, 100));
    pods.push_back(use_of("greedier", 300, 100));
    pods.push_back(use_of("dear", 900, 100, 10));
    pods.push_back(use_of("critical", 900, 0, 2'000'000'000));
    EXPECT_THAT(order(pods, "memory"), ElementsAre("greedier", "greedy", "dear", "modest"));
}

TEST(RankForEviction, ByNumberWhereNobodyCanAsk) {
    std::vector<PodUse> pods;
    pods.push_back(use_of("few", 900, 0));
    pods.push_back(use_of("many", 1, 0));
    pods[0].processes = 2;
    pods[1].processes = 90;
    EXPECT_THAT(order(pods, "pids"), ElementsAre("many", "few"));
    pods[0].inodes = 1000;
    EXPECT_THAT(order(pods, "inodes"), ElementsAre("few", "many"));
}

TEST(EvictionFor, SaysWhatWasShortAndWhoUsedIt) {
    Shortage shortage;
    shortage.resource = "memory";
    shortage.quantity = 100 << 20;
    shortage.available = 90 << 20;
    Eviction eviction = eviction_for(shortage, use_of("greedy", 200, 100));
    EXPECT_EQ(eviction.reason, "Evicted");
    EXPECT_EQ(eviction.message,
              "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. "
              "Container main was using 200Mi, request is 100Mi, has larger consumption of "
              "memory. ");
    EXPECT_EQ(eviction.condition_message, eviction.message);
    EXPECT_EQ(eviction.grace, std::chrono::seconds(1));
    shortage.grace = std::chrono::seconds(20);
    EXPECT_EQ(eviction_for(shortage, use_of("a", 1, 0)).grace, std::chrono::seconds(20));
}

class StorageEviction : public ::testing::Test {
protected:
    std::string message(const PodUse& use) {
        auto eviction = storage_eviction(use);
        return eviction ? eviction->message : "";
    }
    PodUse use() {
        PodUse made;
        made.pod = std::make_shared<kube::Pod>(pod);
        made.containers = containers;
        made.empty_dirs = empty_dirs;
        return made;
    }
    kube::Pod pod = fakes::make_pod("web");
    std::map<std::string, ContainerUse> containers;
    std::map<std::string, std::uint64_t> empty_dirs;
};

TEST_F(StorageEviction, HoldsAnEmptyDirToItsSize) {
    EXPECT_FALSE(has_storage_limits(pod.spec));
    kube::Volume volume;
    volume.name = "scratch";
    volume.emptyDir.emplace().sizeLimit = mebi(10);
    pod.spec.volumes.push_back(volume);
    EXPECT_TRUE(has_storage_limits(pod.spec));
    empty_dirs["scratch"] = 10 << 20;
    EXPECT_EQ(message(use()), "");
    empty_dirs["scratch"] += 1;
    EXPECT_EQ(message(use()), "Usage of EmptyDir volume \"scratch\" exceeds the limit \"10Mi\". ");
}

TEST_F(StorageEviction, HoldsThePodAndEachContainerToTheirLimits) {
    pod.spec.containers[0].resources.limits["ephemeral-storage"] = mebi(10);
    pod.spec.containers.push_back(pod.spec.containers[0]);
    pod.spec.containers[1].name = "other";
    EXPECT_TRUE(has_storage_limits(pod.spec));
    containers["main"].disk_bytes = 11 << 20;
    EXPECT_EQ(message(use()),
              "Container main exceeded its local ephemeral storage limit \"10Mi\". ");
    PodUse more = use();
    more.volume_bytes = 10 << 20;
    EXPECT_EQ(message(more),
              "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ");
}

}  // namespace
}  // namespace skiff::pods
