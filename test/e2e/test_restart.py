"""The agent may die at any instruction, the machine too; and what is reset leaves no trace."""

import os
import pathlib
import time

import pytest

from kube import condition_of, container_of, pod, terminated_of, wait_until

NODE = "skiff-restart"


@pytest.fixture
def own_node(cluster, node):
    """A node whose agent may be killed without harm to other tests."""
    cluster.node("up", NODE)
    yield NODE
    cluster.node("down", NODE)


@pytest.fixture
def kube_on(kube, own_node):
    """kubectl, emptied of pods before the node goes."""
    yield kube
    kube("delete", "pods,jobs,deployments", "--all", "--timeout=60s", timeout=70)


def here(name, image, *args, **spec):
    return pod(name, image, *args, nodeSelector={"kubernetes.io/hostname": NODE}, **spec)


def processes_of(word):
    """pid → (start time, command line) of the processes in cgroups whose path holds `word`."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if word not in (folder / "cgroup").read_text():
                continue
            stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, IndexError):
            continue
        if stat[0] != "Z":
            found[int(folder.name)] = (int(stat[19]), command)
    return found


def runner_of(its, name="main"):
    """(pid, start time) of the one process that runs this container."""
    identity = container_of(its, name)["containerID"].split("//")[1]
    found = processes_of(identity[:16])
    assert len(found) == 1, f"{its['metadata']['name']}: {found}"
    return [(pid, start) for pid, (start, _) in found.items()][0]


def ready_since(kube, node):
    for condition in kube.get("node", node)["status"]["conditions"]:
        if condition["type"] == "Ready":
            return condition["status"], condition["lastTransitionTime"]
    return None


def survive(kube, cluster, kills, pods):
    """Kills the agent `kills` times under `pods` that run and others that come, end and go."""
    sleeper, actor = cluster.push("sleeper"), cluster.push("actor")
    names = [f"stay-{i}" for i in range(pods)]
    kube.apply(*[here(name, sleeper, restartPolicy="Always") for name in names])
    for name in names:
        kube.wait_ready(name, 120)
    before = {name: runner_of(kube.pod(name)) for name in names}
    ready = ready_since(kube, NODE)
    assert ready[0] == "True"
    for i in range(kills):
        # One that ends while the agent is down, one that starts then, one that is deleted.
        kube.apply(here(f"ends-{i}", actor, "print", "up", ";", "sleep", "3", ";", "exit", 10 + i),
                   here(f"goes-{i}", sleeper, restartPolicy="Always"))
        kube.wait_pod(f"ends-{i}", lambda p: container_of(p) and (
            "running" in container_of(p)["state"] or "terminated" in container_of(p)["state"]), 60)
        cluster.node("kill", NODE)
        identity = container_of(kube.pod(f"ends-{i}"))["containerID"].split("//")[1]
        kube("delete", "pod", f"goes-{i}", "--wait=false")
        kube.apply(here(f"comes-{i}", actor, "exit", 50 + i))
        # It ends while there is no agent to see it.
        wait_until(lambda: not processes_of(identity[:16]), 20, "the guest ends without the agent")
        cluster.node("start", NODE)
    for i in range(kills):
        for name, code in ((f"ends-{i}", 10 + i), (f"comes-{i}", 50 + i)):
            its = kube.wait_phase(name, "Failed", seconds=60)
            assert terminated_of(its)["exitCode"] == code, (name, terminated_of(its))
            assert container_of(its)["restartCount"] == 0
        kube.wait_gone(f"goes-{i}", 60)
    for name in names:
        its = kube.pod(name)
        assert runner_of(its) == before[name], name
        assert container_of(its)["restartCount"] == 0
        assert condition_of(its, "Ready") == "True"
    assert ready_since(kube, NODE) == ready, "the node was NotReady for a moment"


def test_pods_survive_sigkill_of_the_agent(kube_on, cluster):
    survive(kube_on, cluster, kills=3, pods=8)


@pytest.mark.long
def test_fifty_pods_survive_twenty_sigkills(kube_on, cluster):
    survive(kube_on, cluster, kills=20, pods=50)


def test_logs_go_on_while_the_agent_is_down(kube_on, cluster):
    kube = kube_on
    kube.apply(here("ticks", cluster.push("actor"), "loop", "0.2", "clock"))
    kube.wait_ready("ticks")
    cluster.node("kill", NODE)
    down = time.time_ns()
    log = next((cluster.node_folder(NODE) / "pods").glob("*_ticks_*/main/0.log"))
    size = log.stat().st_size
    wait_until(lambda: log.stat().st_size > size + 200, 20, "lines while the agent is down")
    up = time.time_ns()
    cluster.node("start", NODE)
    ticks = [int(line) for line in kube.logs("ticks").split()]
    assert sum(down < tick < up for tick in ticks) >= 2
    gaps = [after - before for before, after in zip(ticks, ticks[1:])]
    assert max(gaps) < 3_000_000_000, "the guest was paused"


def test_after_a_reboot_always_pods_run_and_finished_ones_do_not(kube_on, cluster):
    kube = kube_on
    sleeper, actor = cluster.push("sleeper"), cluster.push("actor")
    kube.apply(here("always", sleeper, restartPolicy="Always"), here("never", sleeper),
               here("finished", actor, "print", "once"),
               here("failed", actor, "exit", 4))
    job = here("x", actor, "print", "once")
    kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"},
                "spec": {"template": {"spec": job["spec"]}}})
    for name in ("always", "never"):
        kube.wait_ready(name)
    kube.wait_phase("finished", "Succeeded")
    kube.wait_phase("failed", "Failed")
    kube("wait", "job/job", "--for=condition=Complete", "--timeout=30s")
    before = {name: container_of(kube.pod(name))["containerID"]
              for name in ("always", "finished", "failed")}
    cluster.node("reboot", NODE)
    its = kube.wait_pod("always", lambda p: condition_of(p, "Ready") == "True" and
                        container_of(p)["containerID"] != before["always"], 60)
    assert container_of(its)["restartCount"] >= 1
    runner_of(its)
    lost = kube.wait_phase("never", "Failed", seconds=60)
    assert terminated_of(lost)["exitCode"] == 137, terminated_of(lost)
    for name, phase in (("finished", "Succeeded"), ("failed", "Failed")):
        its = kube.pod(name)
        assert its["status"]["phase"] == phase
        assert container_of(its)["containerID"] == before[name]
    jobs = [p for p in kube.pods() if p["metadata"]["name"].startswith("job-")]
    assert len(jobs) == 1 and jobs[0]["status"]["phase"] == "Succeeded"


def traces_of(netns):
    """What of a node is on the machine: mounts, namespaces, cgroups, processes."""
    mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text()
              .splitlines() if netns in line]
    names = [name for name in os.listdir("/run/netns") if name.startswith(netns)]
    groups = [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if f"/{netns}" in folder]
    return mounts + names + groups + [command for _, command in processes_of(netns).values()]


def test_a_node_that_is_down_left_nothing(kube, cluster, node):
    cluster.node("up", NODE)
    try:
        state = kube.get("node", NODE)["status"]["addresses"]
        address = next(a["address"] for a in state if a["type"] == "InternalIP")
        netns = f"{cluster.env['CLUSTER_NETNS']}n{int(address.rsplit('.', 1)[1]) - 10}"
        kube.apply(*[here(f"left-{i}", cluster.push("sleeper"), restartPolicy="Always")
                     for i in range(4)])
        for i in range(4):
            kube.wait_ready(f"left-{i}")
        assert traces_of(netns), "the node is somewhere"
    finally:
        # Fails and names what `skiff node reset --all` did not remove.
        cluster.node("down", NODE)
    assert traces_of(netns) == []
    assert not cluster.node_folder(NODE).exists()
    kube("delete", "pods", "--all", "--force", "--grace-period=0")
