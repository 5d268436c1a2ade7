#include "pods/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pods/fakes.h"
#include "pods/preemption.h"
#include "pods/taints.h"

namespace skiff::pods {
namespace {

using fakes::make_pod;
using ::testing::ElementsAre;
using Taken = std::vector<const kube::Pod*>;

kube::Pod pod_with(const std::string& name, std::int64_t millis, std::int64_t bytes) {
    kube::Pod pod = make_pod(name, "uid-" + name);
    auto& requests = pod.spec.containers[0].resources.requests;
    if (millis > 0) {
        requests["cpu"] = kube::Quantity::of_milli(millis);
    }
    if (bytes > 0) {
        requests["memory"] = kube::Quantity::of_bytes(static_cast<std::uint64_t>(bytes));
    }
    return pod;
}

NodeState node_of(std::int64_t millis, std::uint64_t bytes) {
    NodeState node;
    node.allocatable["cpu"] = kube::Quantity::of_milli(millis);
    node.allocatable["memory"] = kube::Quantity::of_bytes(bytes);
    return node;
}

std::vector<std::string> reasons(const kube::Pod& pod, const Taken& taken, const NodeState& node) {
    std::vector<std::string> list;
    for (const AdmissionFailure& failure : admission_failures(pod, taken, node)) {
        list.push_back(failure.reason);
    }
    return list;
}

TEST(Admission, NamesEveryResourceThatIsLacking) {
    kube::Pod pod = pod_with("new", 600, 600);
    kube::Pod other = pod;
    NodeState node = node_of(1000, 1000);
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre());
    auto failures = admission_failures(pod, {&other}, node);
    ASSERT_EQ(failures.size(), 2U);
    EXPECT_EQ(failures[0].message,
              "Node didn't have enough resource: cpu, requested: 600, used: 600, capacity: 1000");
    EXPECT_EQ(failures[0].missing->amount, 200);
    EXPECT_EQ(failures[1].reason, "OutOfmemory");
    node.pods_max = 1;
    EXPECT_EQ(reasons(make_pod("small"), {&other}, node).front(), "OutOfpods");
    pod.spec.containers[0].resources.requests["ephemeral-storage"] = kube::Quantity::of_units(1);
    EXPECT_THAT(reasons(pod, {}, node_of(1000, 1000)), ElementsAre("OutOfephemeral-storage"));
}

TEST(Admission, LeavesDevicesThatTheNodeDoesNotHaveToOthers) {
    kube::Pod pod = make_pod("new");
    pod.spec.containers[0].resources.requests["example.com/gpu"] = kube::Quantity::of_units(1);
    NodeState node;
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre());
    node.allocatable["example.com/gpu"] = kube::Quantity();
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre("OutOfexample.com/gpu"));
}

TEST(Admission, RefusesWindowsAndTakenPorts) {
    kube::Pod pod = make_pod("web");
    NodeState node;
    pod.spec.os = kube::PodOS{"windows"};
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre("PodOSNotSupported"));
    pod.spec.os->name = "linux";
    kube::ContainerPort port;
    port.containerPort = 80;
    port.hostPort = 8080;
    pod.spec.containers[0].ports.push_back(port);
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre());
    kube::Pod other = pod;
    EXPECT_THAT(reasons(pod, {&other}, node), ElementsAre("NodePorts"));
    other.spec.containers[0].ports[0].protocol = "UDP";
    EXPECT_THAT(reasons(pod, {&other}, node), ElementsAre());
    other.spec.containers[0].ports[0].protocol = "TCP";
    other.spec.containers[0].ports[0].hostIP = "10.0.0.1";
    pod.spec.containers[0].ports[0].hostIP = "10.0.0.2";
    EXPECT_THAT(reasons(pod, {&other}, node), ElementsAre());
}

TEST(Admission, RefusesWhatDoesNotTolerateATaintThatEvicts) {
    NodeState node;
    kube::Taint taint;
    taint.key = "kubernetes.io/arch";
    taint.value = "wasm32-wasi";
    taint.effect = "NoSchedule";  // the scheduler's business
    node.taints = {taint};
    kube::Pod pod = make_pod("web");
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre());
    node.taints[0].effect = "NoExecute";
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre("TaintToleration"));
    kube::Pod from_file = pod;
    from_file.metadata.annotations["kubernetes.io/config.source"] = "file";
    EXPECT_THAT(reasons(from_file, {}, node), ElementsAre());
    kube::Toleration toleration;
    toleration.key = "kubernetes.io/arch";
    toleration.value = "amd64";
    pod.spec.tolerations = {toleration};
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre("TaintToleration"));
    pod.spec.tolerations[0].operator_ = "Exists";
    EXPECT_THAT(reasons(pod, {}, node), ElementsAre());
}

TEST(Tolerates, ComparesNumbers) {
    kube::Taint taint;
    taint.key = "level";
    taint.value = "5";
    taint.effect = "NoExecute";
    kube::Toleration toleration;
    toleration.key = "level";
    toleration.operator_ = "Gt";
    toleration.value = "4";
    EXPECT_TRUE(tolerates(toleration, taint));
    toleration.operator_ = "Lt";
    EXPECT_FALSE(tolerates(toleration, taint));
    toleration.value = "many";
    EXPECT_FALSE(tolerates(toleration, taint));
}

TEST(Admission, KeepsOutWhoWouldBeEvictedUnderPressure) {
    NodeState node = node_of(1000, 1000);
    node.pressures = {"MemoryPressure"};
    kube::Pod best_effort = make_pod("small");
    auto failures = admission_failures(best_effort, {}, node);
    ASSERT_EQ(failures.size(), 1U);
    EXPECT_EQ(failures[0].reason, "Evicted");
    EXPECT_EQ(failures[0].message, "The node had condition: [MemoryPressure]. ");
    EXPECT_THAT(reasons(pod_with("sized", 100, 100), {}, node), ElementsAre());
    kube::Toleration toleration;
    toleration.key = "node.kubernetes.io/memory-pressure";
    toleration.operator_ = "Exists";
    best_effort.spec.tolerations = {toleration};
    EXPECT_THAT(reasons(best_effort, {}, node), ElementsAre());
    node.pressures = {"MemoryPressure", "DiskPressure"};
    EXPECT_THAT(reasons(pod_with("sized", 100, 100), {}, node), ElementsAre("Evicted"));
    best_effort.spec.priority = 2'000'000'000;
    EXPECT_THAT(reasons(best_effort, {}, node), ElementsAre());
    node.shutdown = NodeState::Shutdown::begun;
    EXPECT_THAT(reasons(best_effort, {}, node), ElementsAre("NodeShutdown"));
}

TEST(ExceedsNode, TellsWhatNoEndOfAnotherPodWouldGive) {
    EXPECT_FALSE(exceeds_node(pod_with("a", 1000, 0).spec, node_of(1000, 1000)));
    auto failure = exceeds_node(pod_with("a", 1001, 0).spec, node_of(1000, 1000));
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->message,
              "Node didn't have enough capacity: cpu, requested: 1001, capacity: 1000");
}

// --- preemption ----------------------------------------------------------------------------------

class Victims : public ::testing::Test {
protected:
    Victims() { critical.spec.priority = 2'000'000'000; }
    // Names of the victims, "none" when there are not enough.
    std::vector<std::string> choose(std::int64_t millis, std::int64_t bytes) {
        std::vector<AdmissionFailure::Missing> missing;
        if (millis > 0) {
            missing.push_back({"cpu", millis});
        }
        if (bytes > 0) {
            missing.push_back({"memory", bytes});
        }
        Taken running;
        for (const kube::Pod& pod : pods) {
            running.push_back(&pod);
        }
        auto victims = choose_victims(critical, running, missing);
        if (!victims) {
            return {"none"};
        }
        std::vector<std::string> names;
        for (const kube::Pod* victim : *victims) {
            names.push_back(victim->metadata.name);
        }
        return names;
    }
    kube::Pod& guaranteed(const std::string& name, std::int64_t millis, std::int64_t bytes) {
        pods.push_back(pod_with(name, millis, bytes));
        auto& resources = pods.back().spec.containers[0].resources;
        resources.limits = resources.requests;
        return pods.back();
    }

    kube::Pod critical = pod_with("critical", 100, 100);
    std::vector<kube::Pod> pods;
};

TEST_F(Victims, AreFewAndSmall) {
    pods = {pod_with("tiny", 50, 50), pod_with("fits", 200, 50), pod_with("huge", 900, 900)};
    EXPECT_THAT(choose(200, 0), ElementsAre("fits"));
    EXPECT_THAT(choose(800, 0), ElementsAre("huge"));
    EXPECT_THAT(choose(1000, 0), ElementsAre("huge", "fits"));
    EXPECT_THAT(choose(2000, 0), ElementsAre("none"));
}

TEST_F(Victims, AreOfTheWorstClassThatSuffices) {
    guaranteed("dear", 500, 500);
    pods.push_back(pod_with("cheap", 500, 500));
    EXPECT_THAT(choose(400, 0), ElementsAre("cheap"));
    EXPECT_THAT(choose(900, 0), ElementsAre("cheap", "dear"));
}

TEST_F(Victims, AreNeverAsImportantAsThePod) {
    pods = {pod_with("equal", 500, 500)};
    pods[0].spec.priority = 2'000'000'000;
    EXPECT_THAT(choose(100, 0), ElementsAre("none"));
    critical.spec.priority = 2'000'001'000;
    EXPECT_THAT(choose(100, 0), ElementsAre("equal"));
}

TEST_F(Victims, MakeRoomByTheirNumber) {
    pods = {make_pod("some")};
    EXPECT_EQ(choose_victims(critical, {&pods[0]}, {{"pods", 1}})->size(), 1U);
    EXPECT_EQ(describe({{"pods", 1}, {"cpu", 20}}), "[(res: pods, q: 1), (res: cpu, q: 20), ]");
}

}  // namespace
}  // namespace skiff::pods
