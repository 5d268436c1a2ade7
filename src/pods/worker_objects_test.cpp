// What a pod's worker does when the objects change that its volumes and variables are read from.
#include "pods/worker_fixture.h"

namespace skiff::pods {
namespace {

const PodUid kUid("uid-1");

TEST_F(PodWorker, AChangedObjectRefreshesTheVolumesAtOnce) {
    run_pod(make_pod("web"));
    ASSERT_EQ(node.volumes.set_ups, 1);
    node.objects.changed(kUid);
    settle();
    EXPECT_EQ(node.volumes.set_ups, 2);
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(PodWorker, AnObjectThatChangesOftenIsReadOnceInASecond) {
    run_pod(make_pod("web"));
    for (int i = 0; i < 5; ++i) {
        node.objects.changed(kUid);
        settle();
    }
    EXPECT_EQ(node.volumes.set_ups, 2);
    advance(kRefreshPause);
    EXPECT_EQ(node.volumes.set_ups, 3);
    advance(kRefreshPause * 5);
    EXPECT_EQ(node.volumes.set_ups, 3);
}

TEST_F(PodWorker, ChangedLabelsRefreshTheVolumes) {
    kube::Pod pod = make_pod("web");
    run_pod(pod);
    pod.metadata.labels["crew"] = "two";
    apply(pod);
    settle();
    EXPECT_EQ(node.volumes.set_ups, 2);
}

TEST_F(PodWorker, AMissingObjectThatAppearsMountsTheVolumesAtOnce) {
    node.volumes.faults.fail_next("set_up", make_error(Code::not_found, "FailedMount", "no map"));
    run_pod(make_pod("web"));
    ASSERT_TRUE(node.guests.started.empty());
    node.objects.changed(kUid);
    settle();
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(PodWorker, AContainerThatLackedAnObjectStartsAtOnceWhenItAppears) {
    kube::Pod pod = make_pod("web");
    kube::EnvVar variable;
    variable.name = "COLOUR";
    kube::ConfigMapKeySelector key;
    key.name = "config";
    key.key = "colour";
    variable.valueFrom.emplace().configMapKeyRef = key;
    pod.spec.containers[0].env.push_back(variable);
    run_pod(pod);
    ASSERT_EQ(published().containerStatuses[0].state.waiting->reason, "CreateContainerConfigError");
    kube::ConfigMap map;
    map.data["colour"] = "blue";
    node.objects.config_maps["config"] = std::make_shared<const kube::ConfigMap>(map);
    node.objects.changed(kUid);
    settle();
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(PodWorker, AChangeForAPodThatIsGoneIsOfNoEffect) {
    run_pod(make_pod("web"));
    pods->remove(kUid);
    node.objects.changed(PodUid("uid-9"));
    node.objects.changed(kUid);
    settle();
    EXPECT_EQ(node.volumes.set_ups, 1);
}

}  // namespace
}  // namespace skiff::pods
