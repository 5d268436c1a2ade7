"""Rows 13, 14, 18, 52, 56, 65 and 66 of the contract: what pods ask of the node, and what they get."""

import json
import re

import pytest

from kube import condition_of, container_of, find_condition, pod, terminated_of, wait_until
from machine import cgroup_of, runner_of
from test_walk import deployment


def memory_limit_of(folder):
    v1 = folder / "memory.limit_in_bytes"
    text = (v1 if v1.exists() else folder / "memory.max").read_text().strip()
    return None if text == "max" else int(text)


def cpu_millis_of(folder):
    v1 = folder / "cpu.cfs_quota_us"
    quota = v1.read_text().strip() if v1.exists() else (folder / "cpu.max").read_text().split()[0]
    return None if quota in ("-1", "max") else int(quota) // 100


TOLERATE = [{"operator": "Exists"}]


def placed(name, image, *args, node, tolerations=TOLERATE, **spec):
    """A pod that no scheduler saw."""
    its = pod(name, image, *args, nodeName=node, tolerations=tolerations, **spec)
    del its["spec"]["runtimeClassName"]
    return its


def sized(cpu, memory):
    amounts = {"cpu": cpu, "memory": memory}
    return {"requests": amounts, "limits": amounts}


def resize(kube, name, check=True, **resources):
    """`kubectl patch --subresource resize` of the container main; whether it was taken."""
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    return kube("patch", "pod", name, "--subresource", "resize", "--patch", json.dumps(patch), check=check)


def resized(cpu):
    """Whether the resize to `cpu` is done: allocated, and what the container has."""

    def look(its):
        status = container_of(its)
        return (status["allocatedResources"]["cpu"] == cpu and status["resources"]["limits"]["cpu"] == cpu
                and not find_condition(its, "PodResizeInProgress"))

    return look


# --- row 18 --------------------------------------------------------------------------------------

def test_row_18_a_status_says_what_the_container_has(kube, cluster):
    """Row 18: resources, allocatedResources, volumeMounts and user of a container; those of the pod."""
    kube.apply(pod("whole", cluster.push("actor"), "hold", resources=sized("100m", "32Mi"),
                   volumes=[{"name": "data", "emptyDir": {}}],
                   volumeMounts=[{"name": "data", "mountPath": "/data", "readOnly": True}],
                   securityContext={"runAsUser": 1000, "runAsGroup": 2000}))
    its = kube.wait_ready("whole")
    status = container_of(its)
    assert status["resources"] == sized("100m", "32Mi")
    assert status["allocatedResources"] == {"cpu": "100m", "memory": "32Mi"}
    data = next(m for m in status["volumeMounts"] if m["name"] == "data")
    assert (data["mountPath"], data["readOnly"], data["recursiveReadOnly"]) == ("/data", True, "Disabled")
    assert (status["user"]["linux"]["uid"], status["user"]["linux"]["gid"]) == (1000, 2000)
    assert its["status"]["qosClass"] == "Guaranteed"
    # The RuntimeClass's overhead belongs to the pod: row 56.
    overhead = int(its["spec"]["overhead"]["memory"].removesuffix("Mi"))
    assert its["status"]["allocatedResources"]["memory"] == f"{32 + overhead}Mi"
    assert its["status"]["resources"]["limits"]["memory"] == f"{32 + overhead}Mi"
    folder = cgroup_of(runner_of(its)[0], "memory")
    assert (memory_limit_of(folder), memory_limit_of(folder.parent)) == (32 << 20, (32 + overhead) << 20)
    kube("delete", "pod", "whole", "--timeout=20s")


# --- rows 52, 56, 66 -----------------------------------------------------------------------------

def test_row_66_limits_of_the_pod_hold_for_containers_without_their_own(kube, cluster, node):
    """Rows 52, 66: spec.resources is the pod's cgroup, and the cap of a guest without limits."""
    level = {"requests": {"cpu": "100m", "memory": "24Mi"}, "limits": {"cpu": "200m", "memory": "24Mi"}}
    pods = [placed("level", cluster.push("actor"), "hold", node=node),
            placed("beyond", cluster.push("actor"), "grow", "64", node=node)]
    for its in pods:
        its["spec"]["resources"] = level
    kube.apply(*pods)
    its = kube.wait_ready("level")
    assert its["status"]["qosClass"] == "Burstable"
    assert its["status"]["resources"]["limits"]["memory"] == "24Mi"
    pid = runner_of(its)[0]
    assert cpu_millis_of(cgroup_of(pid, "cpu")) == 200
    assert memory_limit_of(cgroup_of(pid, "memory")) == 24 << 20
    assert memory_limit_of(cgroup_of(pid, "memory").parent) == 24 << 20
    ended = terminated_of(kube.wait_phase("beyond", "Failed"))
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled"), ended
    kube("delete", "pods", "--all", "--timeout=20s")


# --- row 13 --------------------------------------------------------------------------------------

def test_row_13_what_does_not_fit_is_rejected_with_its_reason(kube, cluster, node):
    """Row 13: OutOfcpu, OutOfmemory, OutOfephemeral-storage, NodePorts, TaintToleration, PodOSNotSupported."""
    image = cluster.push("actor")

    def asks(name, **requests):
        return placed(name, image, "hold", node=node, resources={"requests": requests})

    port = {"ports": [{"containerPort": 80, "hostPort": 18080}]}
    kube.apply(placed("holds-port", image, "hold", node=node, **port))
    kube.wait_ready("holds-port")
    kube.apply(asks("cpu", cpu="1000"), asks("memory", memory="1000Ti"),
               asks("disk", **{"ephemeral-storage": "1000Ti"}),
               placed("port", image, "hold", node=node, **port),
               placed("taint", image, "hold", node=node, tolerations=[]),
               placed("system", image, "hold", node=node, os={"name": "windows"}))
    reasons = {"cpu": "OutOfcpu", "memory": "OutOfmemory", "disk": "OutOfephemeral-storage",
               "port": "NodePorts", "system": "PodOSNotSupported"}
    for name, reason in reasons.items():
        status = kube.wait_phase(name, "Failed")["status"]
        assert status["reason"] == reason, status
        assert status["message"].startswith("Pod was rejected: "), status
        assert kube.wait_event(name, reason)["type"] == "Warning"
    assert re.search(r"Node didn't have enough resource: cpu, requested: 1000000, used: \d+, capacity: \d+",
                     kube.pod("cpu")["status"]["message"])
    # The taint manager would end it as well, but the node is first or the object is gone.
    wait_until(lambda: (kube.get("pod", "taint", check=False) or {"status": {"reason": "TaintToleration"}})
               ["status"].get("reason") == "TaintToleration", 20, lambda: kube.describe("taint"))
    kube("delete", "pods", "--all", "--timeout=20s")


# --- row 14 --------------------------------------------------------------------------------------

def allocatable_millis(kube, node):
    text = kube.get("node", node)["status"]["allocatable"]["cpu"]
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def test_row_14_a_critical_pod_takes_the_room_of_others(kube, cluster, node):
    """Row 14: the victim fails as Preempting with its condition; the critical pod runs."""
    image = cluster.push("actor")
    most = allocatable_millis(kube, node) * 3 // 4
    kube.apply(placed("victim", image, "hold", node=node, resources={"requests": {"cpu": f"{most}m"}}),
               placed("bystander", image, "hold", node=node))
    kube.wait_ready("victim")
    kube.wait_ready("bystander")
    kube.apply(placed("critical", image, "hold", node=node, priorityClassName="system-cluster-critical",
                      resources={"requests": {"cpu": f"{most}m"}}))
    kube.wait_ready("critical")
    victim = kube.wait_phase("victim", "Failed")
    assert victim["status"]["reason"] == "Preempting"
    assert victim["status"]["message"] == "Preempted in order to admit critical pod"
    told = find_condition(victim, "DisruptionTarget")
    assert (told["status"], told["reason"]) == ("True", "TerminationByKubelet")
    assert kube.wait_event("victim", "Preempting")
    assert condition_of(kube.pod("bystander"), "Ready") == "True"
    kube("delete", "pods", "--all", "--timeout=20s")


# --- row 65 --------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def linux_node(cluster):
    """A node that is labelled linux: on others the API server since 1.37 takes no resize."""
    cluster.node("up", "skiff-linux", "--", "--node-labels=kubernetes.io/os=linux")
    yield "skiff-linux"
    cluster.node("down", "skiff-linux")


@pytest.fixture
def door(tmp_path_factory):
    """A folder of the machine in which the test opens doors for guests."""
    folder = tmp_path_factory.mktemp("door")
    folder.chmod(0o777)
    return folder


def behind(door):
    return {"volumes": [{"name": "door", "hostPath": {"path": str(door), "type": "Directory"}}],
            "volumeMounts": [{"name": "door", "mountPath": "/door"}]}


def test_row_65_a_resize_changes_cgroup_and_guest_while_it_runs(kube, cluster, linux_node, door):
    """Row 65: the same run gets more memory and CPU, loses CPU again, and keeps the memory that it uses."""
    kube.apply(placed("grows", cluster.push("actor"), "try-grow", "64", ";", "print", "asked", ";",
                   "wait-file", "/door/open", ";", "grow", "64", ";", "print", "grown", ";", "hold",
                   node=linux_node, resources=sized("100m", "32Mi"), **behind(door)))
    pid = runner_of(kube.wait_ready("grows"))[0]
    wait_until(lambda: "asked" in kube.logs("grows"), 20, lambda: kube.logs("grows"))
    resize(kube, "grows", **sized("200m", "128Mi"))
    its = kube.wait_pod("grows", resized("200m"))
    assert container_of(its)["restartCount"] == 0
    assert memory_limit_of(cgroup_of(pid, "memory")) == 128 << 20
    assert memory_limit_of(cgroup_of(pid, "memory").parent) >= 128 << 20
    assert cpu_millis_of(cgroup_of(pid, "cpu")) == 200
    for reason in ("ResizeStarted", "ResizeCompleted"):
        assert '"generation":2' in kube.wait_event("grows", reason)["message"]
    (door / "open").touch()
    wait_until(lambda: "grown" in kube.logs("grows"), 20, lambda: kube.describe("grows"))

    resize(kube, "grows", **sized("150m", "48Mi"))
    its = kube.wait_pod("grows", lambda p: (find_condition(p, "PodResizeInProgress") or {}).get("reason") == "Error")
    told = find_condition(its, "PodResizeInProgress")["message"]
    assert re.search(r'cannot decrease memory limits: .* below current usage \(\d+\)', told), told
    assert kube.wait_event("grows", "ResizeError")["type"] == "Warning"
    assert container_of(its)["resources"]["limits"]["memory"] == "128Mi"
    resize(kube, "grows", **sized("150m", "128Mi"))
    kube.wait_pod("grows", resized("150m"))
    assert runner_of(kube.pod("grows"))[0] == pid
    kube("delete", "pod", "grows", "--timeout=20s")


def test_row_65_a_policy_may_want_a_restart(kube, cluster, linux_node):
    """Row 65: resizePolicy RestartContainer."""
    spec = placed("restarts", cluster.push("actor"), "hold", node=linux_node, restartPolicy="Always",
                  resources=sized("100m", "32Mi"))
    spec["spec"]["containers"][0]["resizePolicy"] = [
        {"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    kube.apply(spec)
    kube.wait_ready("restarts")
    resize(kube, "restarts", **sized("100m", "64Mi"))
    its = kube.wait_pod("restarts", lambda p: container_of(p)["restartCount"] == 1
                        and condition_of(p, "Ready") == "True"
                        and not find_condition(p, "PodResizeInProgress"))
    assert container_of(its)["resources"]["limits"]["memory"] == "64Mi"
    assert memory_limit_of(cgroup_of(runner_of(its)[0], "memory")) == 64 << 20
    assert kube.wait_event("restarts", "Killing", "resize requires restart")
    kube("delete", "pod", "restarts", "--timeout=20s")


def test_row_65_what_does_not_fit_waits_for_room_even_over_a_restart_of_the_agent(kube, cluster, linux_node):
    """Row 65: Deferred, its condition and event, the checkpoint of the allocation, and the retry."""
    image = cluster.push("actor")
    half = allocatable_millis(kube, linux_node) // 2 - 100
    kube.apply(placed("holds", image, "hold", node=linux_node, resources={"requests": {"cpu": f"{half}m"}}),
               placed("wants", image, "hold", node=linux_node, resources={"requests": {"cpu": "100m"}}))
    kube.wait_ready("holds")
    pid = runner_of(kube.wait_ready("wants"))[0]
    resize(kube, "wants", requests={"cpu": f"{half + 300}m"})
    its = kube.wait_pod("wants", lambda p: find_condition(p, "PodResizePending"))
    told = find_condition(its, "PodResizePending")
    assert told["reason"] == "Deferred", told
    assert "Node didn't have enough resource: cpu" in told["message"]
    assert kube.wait_event("wants", "ResizeDeferred")["message"].startswith("Pod resize OutOfcpu: {")
    assert container_of(its)["allocatedResources"]["cpu"] == "100m"
    cluster.node("kill", linux_node)
    cluster.node("start", linux_node)
    its = kube.wait_pod("wants", lambda p: condition_of(p, "Ready") == "True")
    assert find_condition(its, "PodResizePending")["reason"] == "Deferred"
    assert container_of(its)["allocatedResources"]["cpu"] == "100m"
    kube("delete", "pod", "holds", "--timeout=20s")
    its = kube.wait_pod("wants", lambda p: not find_condition(p, "PodResizePending")
                        and container_of(p)["allocatedResources"]["cpu"] == f"{half + 300}m")
    assert runner_of(its)[0] == pid
    kube("delete", "pods", "--all", "--timeout=20s")


def test_resize_of_a_deployments_pod_is_done_in_place(kube, cluster, linux_node):
    """Row 65: kubectl gives a running pod more; the same container goes on with it."""
    its = deployment(cluster.push("actor"), 1, "hold")
    spec = its["spec"]["template"]["spec"]
    spec["nodeSelector"] = {"kubernetes.io/hostname": linux_node}
    spec["containers"][0]["resources"] = sized("100m", "32Mi")
    kube.apply(its)
    kube("rollout", "status", "deployment/walk", "--timeout=60s", timeout=70)
    before = kube.pods("app=walk")[0]
    more = sized("200m", "64Mi")
    name = before["metadata"]["name"]
    resize(kube, name, **more)
    after = kube.wait_pod(name, lambda p: container_of(p).get("resources", {}).get("limits") == more["limits"])
    assert container_of(after)["allocatedResources"] == more["requests"]
    assert container_of(after)["containerID"] == container_of(before)["containerID"]
    assert container_of(after)["restartCount"] == 0
    kube("delete", "deployment", "walk")
    wait_until(lambda: not kube.pods("app=walk"), 30, "no pod is left")
