"""A user's walk: what people do with kubectl all day, one after another, and at the end nothing is left."""

import uuid

import pytest

from kube import Kube, container_of, pod, terminated_of, wait_until
from machine import Snapshot

STATES = ("never-started", "pulling", "crash-looping", "running", "done", "terminating")


def deployment(image, replicas, *args):
    template = pod("x", image, *args, restartPolicy="Always")
    template["metadata"] = {"labels": {"app": "walk"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "walk"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "walk"}},
                     "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                     "template": {k: template[k] for k in ("metadata", "spec")}}}


def available(kube, count):
    return kube.get("deployment", "walk")["status"].get("availableReplicas", 0) == count


def test_apply_rollout_scale_set_image_and_undo(kube, cluster):
    """Rows 15-22: a Deployment is applied, changed, scaled, given a bad image, and brought back."""
    first, second = cluster.push("actor"), cluster.push("actor", "actor:walk")
    kube.apply(deployment(first, 3, "hold"))
    kube("rollout", "status", "deployment/walk", "--timeout=60s", timeout=70)
    kube("set", "image", "deployment/walk", f"main={second}")
    kube("rollout", "status", "deployment/walk", "--timeout=60s", timeout=70)
    wait_until(lambda: len(kube.pods("app=walk")) == 3, 30, "the old pods are gone")
    assert {container_of(p)["image"] for p in kube.pods("app=walk")} == {second}
    kube("scale", "deployment/walk", "--replicas=5")
    wait_until(lambda: available(kube, 5), 30, "five are available")
    kube("set", "image", "deployment/walk", f"main={cluster.registry}/none:1")
    bad = wait_until(lambda: [p for p in kube.pods("app=walk") if container_of(p)
                              and "waiting" in container_of(p)["state"]], 30, "a pod that waits")
    assert available(kube, 5), bad
    kube("rollout", "undo", "deployment/walk")
    kube("rollout", "status", "deployment/walk", "--timeout=60s", timeout=70)
    wait_until(lambda: {container_of(p)["image"] for p in kube.pods("app=walk")} == {second}, 30,
               "only pods of the good image")
    kube("delete", "deployment", "walk")
    wait_until(lambda: not kube.pods("app=walk"), 60, "no pod is left")


def test_restart_by_rollout_replaces_every_pod(kube, cluster):
    """Rows 15-22: `kubectl rollout restart` replaces all, never fewer than wanted."""
    kube.apply(deployment(cluster.push("actor"), 2, "hold"))
    kube("rollout", "status", "deployment/walk", "--timeout=60s", timeout=70)
    before = {p["metadata"]["uid"] for p in kube.pods("app=walk")}
    kube("rollout", "restart", "deployment/walk")
    kube("rollout", "status", "deployment/walk", "--timeout=60s", timeout=70)
    wait_until(lambda: len(kube.pods("app=walk")) == 2, 30, "the old ones are gone")
    assert not before & {p["metadata"]["uid"] for p in kube.pods("app=walk")}


def test_set_image_of_a_running_pod_restarts_its_container_in_place(kube, cluster):
    """Row 18: the same pod, a new container, one restart more."""
    kube.apply(pod("walker", cluster.push("actor"), "print", "hello", ";", "hold",
                   restartPolicy="Always"))
    before = kube.wait_ready("walker")
    other = cluster.push("actor", "actor:walk")
    kube("set", "image", "pod/walker", f"main={other}")
    after = kube.wait_pod("walker", lambda p: container_of(p)["image"] == other
                          and container_of(p)["ready"])
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert container_of(after)["restartCount"] == 1
    assert container_of(after)["containerID"] != container_of(before)["containerID"]


@pytest.mark.parametrize("flags", [["--grace-period=1"], ["--now"], [],
                                   ["--grace-period=0", "--force"]], ids=" ".join)
def test_deletions_end_whatever_their_grace(kube, cluster, flags):
    """Rows 22, 38: with its own grace period, with another, at once, and without waiting for the node."""
    kube.apply(pod("walker", cluster.push("actor"), "hold", restartPolicy="Always",
                   terminationGracePeriodSeconds=3, metadata={"annotations": {"skiff/stop": "file"}}))
    kube.wait_ready("walker")
    kube("delete", "pod", "walker", *flags, timeout=40)
    kube.wait_gone("walker", 5)


def in_every_state(kube, cluster):
    image = cluster.push("actor")
    kube.apply(
        pod("never-started", image, "hold",
            volumeMounts=[{"name": "c", "mountPath": "/c"}],
            volumes=[{"name": "c", "configMap": {"name": "nobody-made-it"}}]),
        pod("pulling", f"{cluster.registry}/none:1"),
        pod("crash-looping", image, "exit", 3, restartPolicy="Always"),
        pod("running", image, "hold", restartPolicy="Always"),
        pod("done", image, "print", "done"),
        # It handles stopping and does not hurry.
        pod("terminating", image, "hold", terminationGracePeriodSeconds=6,
            metadata={"annotations": {"skiff/stop": "file"}}))
    kube.wait_waiting("never-started", "ContainerCreating")
    kube.wait_waiting("pulling", "ErrImagePull", "ImagePullBackOff")
    kube.wait_waiting("crash-looping", "CrashLoopBackOff")
    kube.wait_ready("running")
    kube.wait_phase("done", "Succeeded")
    kube.wait_ready("terminating")
    kube("delete", "pod", "terminating", "--wait=false")
    assert kube.pod("terminating")["metadata"]["deletionTimestamp"]
    assert {p["metadata"]["name"] for p in kube.pods()} == set(STATES)


def test_a_namespace_goes_with_pods_in_every_state_and_nothing_is_left(cluster, node):
    """Row 22: `kubectl delete namespace` always ends, and the node has nothing of its pods."""
    kube = Kube(cluster.env, f"walk-{uuid.uuid4().hex[:8]}")
    kube.create_namespace()
    # What the first pod of a node brings for all stays.
    kube.apply(pod("first", cluster.push("actor"), "print", "first"))
    kube.wait_phase("first", "Succeeded")
    kube("delete", "pod", "first")
    before = Snapshot(cluster)
    in_every_state(kube, cluster)
    assert Snapshot(cluster).new_since(before)
    kube("delete", "namespace", kube.namespace, "--timeout=90s", timeout=100)

    def left():
        return Snapshot(cluster).new_since(before)

    wait_until(lambda: not left(), 10, lambda: f"left on the machine: {sorted(left())}")

    def named():
        return [str(path) for path in cluster.node_folder(node).rglob(f"*{kube.namespace}*")]

    # Logs are the last to go.
    wait_until(lambda: not named(), 10, lambda: f"left in the node's folder: {named()}")


def test_a_pod_that_ended_keeps_its_logs_until_it_is_deleted(kube, cluster):
    """Rows 22, 34: logs of a finished pod can be read; deleting it takes them along."""
    kube.apply(pod("done", cluster.push("actor"), "print", "last words", ";", "exit", 4))
    done = kube.wait_phase("done", "Failed")
    assert terminated_of(done)["exitCode"] == 4
    assert kube.logs("done") == "last words\n"
    kube("delete", "pod", "done", timeout=30)
    kube.wait_gone("done", 5)
