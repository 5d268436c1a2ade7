"""Rows 62 to 64 of the contract: what happens when the node runs short, or goes down."""

import pytest

from kube import Kube, condition_of, find_condition, pod, terminated_of, wait_until

# More than the machine can ever have free.
NEVER_ENOUGH = "pid.available=1Ti"
SHUTDOWN_CONFIG = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
shutdownGracePeriod: 7s
shutdownGracePeriodCriticalPods: 3s
---
apiVersion: skiff.dev/v1alpha1
kind: SkiffConfiguration
shutdownOnTerm: true
registries:
- {host: "${REGISTRY}", scheme: http}
"""
QUICK = "--eviction-pressure-transition-period=1s"


def node_condition(kube, node, kind):
    return condition_of(kube.get("node", node), kind)


@pytest.fixture
def short_node(cluster):
    """A node of its own, to be made short of something."""
    cluster.node("up", "skiff-short", "--", QUICK)
    yield "skiff-short"
    cluster.node("down", "skiff-short")


def test_row_62_an_empty_dir_is_held_to_its_size(kube, cluster):
    """Row 62: emptyDir.sizeLimit on the disk ends the pod as Evicted."""
    kube.apply(pod("fills", cluster.push("actor"), "loop", "0.01", "append", "/data/x", "x" * 50_000,
                   restartPolicy="Always", volumeMounts=[{"name": "data", "mountPath": "/data"}],
                   volumes=[{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}]))
    its = kube.wait_phase("fills", "Failed", seconds=40)
    assert its["status"]["reason"] == "Evicted"
    assert its["status"]["message"] == 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". '
    assert kube.wait_event("fills", "Evicted")["type"] == "Warning"
    kube("delete", "pod", "fills", "--timeout=20s")


def test_row_62_local_storage_of_a_pod_is_held_to_its_limits(kube, cluster):
    """Row 62: limits.ephemeral-storage counts what a container logs."""
    kube.apply(pod("talks", cluster.push("actor"), "flood", "30000", "100", ";", "hold",
                   resources={"limits": {"ephemeral-storage": "1Mi"}}),
               pod("quiet", cluster.push("actor"), "hold",
                   resources={"limits": {"ephemeral-storage": "1Mi"}}))
    its = kube.wait_phase("talks", "Failed", seconds=40)
    assert its["status"]["reason"] == "Evicted"
    assert its["status"]["message"] == ("Pod ephemeral local storage usage exceeds the total limit of "
                                        "containers 1Mi. ")
    assert condition_of(kube.wait_ready("quiet"), "Ready") == "True"
    kube("delete", "pods", "--all", "--timeout=20s")


def test_row_62_a_node_that_is_short_ends_a_pod_and_takes_no_other(kube, cluster, short_node):
    """Row 62: condition, taint, the victim's words; a pod that comes meanwhile is rejected."""
    kube.apply(pod("victim", cluster.push("actor"), "hold", nodeName=short_node))
    kube.wait_ready("victim")
    cluster.node("stop", short_node)
    cluster.node("start", short_node, "--wait", "0", "--", QUICK, f"--eviction-hard={NEVER_ENOUGH}")
    its = kube.wait_phase("victim", "Failed", seconds=40)
    assert its["status"]["reason"] == "Evicted"
    assert its["status"]["message"].startswith("The node was low on resource: pids. Threshold quantity: ")
    told = find_condition(its, "DisruptionTarget")
    assert (told["status"], told["reason"], told["message"]) == (
        "True", "TerminationByKubelet", its["status"]["message"])
    assert kube.wait_event("victim", "Evicted")
    wait_until(lambda: node_condition(kube, short_node, "PIDPressure") == "True", 20, "PIDPressure")
    wait_until(lambda: any(t["key"] == "node.kubernetes.io/pid-pressure"
                           for t in kube.get("node", short_node)["spec"].get("taints", [])),
               20, "the taint for it")
    kube.apply(pod("late", cluster.push("actor"), "hold", nodeName=short_node))
    its = kube.wait_phase("late", "Failed")
    assert its["status"]["reason"] == "Evicted"
    assert its["status"]["message"] == "Pod was rejected: The node had condition: [PIDPressure]. "
    kube("delete", "pods", "--all", "--timeout=20s")
    cluster.node("stop", short_node)
    cluster.node("start", short_node, "--", QUICK)
    wait_until(lambda: node_condition(kube, short_node, "PIDPressure") == "False", 30, "no PIDPressure")
    default = Kube(cluster.env, "default")
    assert any(e["reason"] == "EvictionThresholdMet" for e in default.get("events")["items"]
               if e["involvedObject"]["name"] == short_node)


def test_row_62_a_soft_threshold_waits_for_its_grace(kube, cluster, short_node):
    """Row 62: evictionSoft reports pressure at once and ends pods only when it lasts."""
    cluster.node("stop", short_node)
    cluster.node("start", short_node, "--wait", "0", "--", f"--eviction-soft={NEVER_ENOUGH}",
                 "--eviction-soft-grace-period=pid.available=1h")
    wait_until(lambda: node_condition(kube, short_node, "PIDPressure") == "True", 30, "PIDPressure")
    # A critical pod is taken under pressure, and no grace is over.
    kube.apply(pod("critical", cluster.push("actor"), "hold", nodeName=short_node,
                   priorityClassName="system-node-critical"))
    kube.wait_ready("critical")
    kube("delete", "pods", "--all", "--timeout=20s")


def test_row_63_a_node_short_of_disk_gives_up_images_that_no_pod_needs(kube, cluster, short_node):
    """Row 63: unused images go before pods do; what a pod needs stays."""
    unused, used = cluster.push("hello"), cluster.push("actor")

    def images():
        return {n for i in kube.get("node", short_node)["status"].get("images", []) for n in i["names"]}

    kube.apply(pod("once", unused, nodeName=short_node),
               pod("critical", used, "hold", nodeName=short_node, priorityClassName="system-node-critical"))
    kube.wait_phase("once", "Succeeded")
    kube.wait_ready("critical")
    kube("delete", "pod", "once", "--timeout=20s")
    wait_until(lambda: {unused, used} <= images(), 30, lambda: f"both images in {images()}")
    cluster.node("stop", short_node)
    cluster.node("start", short_node, "--wait", "0", "--", QUICK, "--eviction-hard=imagefs.available=1000Ti")
    wait_until(lambda: unused not in images(), 40, lambda: f"{unused} gone of {images()}")
    assert used in images()
    assert node_condition(kube, short_node, "DiskPressure") == "True"
    assert condition_of(kube.pod("critical"), "Ready") == "True"
    kube("delete", "pods", "--all", "--timeout=20s")


def test_row_64_a_shutdown_ends_pods_by_their_priority(kube, cluster, tmp_path):
    """Row 64: SIGTERM of a node that has shutdownOnTerm; order, words, and what comes meanwhile."""
    config = tmp_path / "config.yaml"
    config.write_text(SHUTDOWN_CONFIG)
    cluster.node("up", "skiff-ends", "--config", config)
    try:
        image = cluster.push("actor")
        slow = {"metadata": {"annotations": {"skiff/stop": "file"}}, "terminationGracePeriodSeconds": 60}
        kube.apply(pod("plain", image, "hold", nodeName="skiff-ends", **slow),
                   pod("critical", image, "hold", nodeName="skiff-ends",
                       priorityClassName="system-node-critical", **slow))
        for name in ("plain", "critical"):
            kube.wait_ready(name)
        cluster.node("stop", "skiff-ends")
        ended = {name: kube.wait_phase(name, "Failed") for name in ("plain", "critical")}
        for its in ended.values():
            assert its["status"]["reason"] == "Terminated"
            assert its["status"]["message"] == "Pod was terminated in response to imminent node shutdown."
            assert find_condition(its, "DisruptionTarget")["reason"] == "TerminationByKubelet"
        times = {name: terminated_of(its)["finishedAt"] for name, its in ended.items()}
        assert times["plain"] < times["critical"], times
        ready = find_condition(kube.get("node", "skiff-ends"), "Ready")
        assert (ready["status"], ready["message"]) == ("False", "node is shutting down")
        kube("delete", "pods", "--all", "--force", "--timeout=20s")
    finally:
        cluster.node("down", "skiff-ends")
