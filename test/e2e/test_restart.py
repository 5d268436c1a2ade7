"""The agent may die at any instruction, the machine too; and what is reset leaves no trace."""

import contextlib
import pathlib
import time

import pytest

from conftest import OWN_NODE
from kube import condition_of, container_of, find_condition, lines_of, pod, run, terminated_of, wait_until
from machine import Snapshot, runner_of, runners_of
from testcluster import net

NODE = OWN_NODE


def here(name, image, *args, **spec):
    return pod(name, image, *args, nodeSelector={"kubernetes.io/hostname": NODE}, **spec)


def ready_since(kube, node):
    ready = find_condition(kube.get("node", node), "Ready")
    return ready["status"], ready["lastTransitionTime"]


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
        ends = kube.pod(f"ends-{i}")
        kube("delete", "pod", f"goes-{i}", "--wait=false")
        kube.apply(here(f"comes-{i}", actor, "exit", 50 + i))
        # It ends while there is no agent to see it.
        wait_until(lambda: not runners_of(ends), 20, "the guest ends without the agent")
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


def test_a_flood_while_the_agent_is_down_neither_blocks_nor_loses(kube_on, cluster, files):
    kube, files = kube_on, pathlib.Path(files)
    kube.apply(here("flood", cluster.push("actor"), "print", "up", ";", "wait-file", "/f/go", ";",
                    "flood", "250000", "100", ";", "write", "/f/done", "yes", ";", "print", "last",
                    volumeMounts=[{"name": "f", "mountPath": "/f"}],
                    volumes=[{"name": "f", "hostPath": {"path": str(files)}}]))
    kube.wait_ready("flood")
    cluster.node("kill", NODE)
    (files / "go").touch()
    wait_until((files / "done").exists, 60, "the guest writes 36 MB without an agent")
    folder = next((cluster.node_folder(NODE) / "pods").glob("*_flood_*/main"))
    cluster.node("start", NODE)
    kube.wait_phase("flood", "Succeeded")
    # First, for no file may be renamed while all are read.
    wait_until(lambda: len([f for f in folder.iterdir() if ".log.2" in f.name]) == 3, 30,
               lambda: f"rotated files: {[f.name for f in folder.iterdir()]}")
    lines = sum(lines_of(folder), [])
    assert (lines[0], lines[-1]) == ("up", "last")
    assert [int(line[:9]) for line in lines[1:-1]] == list(range(250000))
    assert kube.logs("flood", "--tail=1") == "last\n"


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


@contextlib.contextmanager
def no_way_to_the_api_server(kube, cluster):
    """As when a switch dies: packets of the node to the server's address go nowhere."""
    address = kube.address_of(NODE).split(".")
    netns = net.node_netns(int(address[2]), int(address[3]) - 10)
    server = cluster.env["SERVER"].split("//")[1].split(":")[0]
    run(["ip", "-n", netns, "route", "add", "blackhole", f"{server}/32"])
    try:
        yield
    finally:
        run(["ip", "-n", netns, "route", "del", "blackhole", f"{server}/32"])


def test_what_finished_unheard_before_a_power_cut_does_not_run_again(kube_on, cluster, files):
    kube, files = kube_on, pathlib.Path(files)
    actor = cluster.push("actor")
    kube.apply(*[here(policy.lower(), actor, "print", "once", ";", "wait-file", "/f/go",
                      restartPolicy=policy, volumeMounts=[{"name": "f", "mountPath": "/f"}],
                      volumes=[{"name": "f", "hostPath": {"path": str(files)}}])
                 for policy in ("Never", "OnFailure")])
    names = ("never", "onfailure")
    for name in names:
        kube.wait_ready(name)
    before = {name: container_of(kube.pod(name))["containerID"] for name in names}
    ended = [cluster.node_folder(NODE) / "root/ended" / its.split("//")[1] for its in before.values()]
    with no_way_to_the_api_server(kube, cluster):
        (files / "go").touch()
        wait_until(lambda: all(file.exists() for file in ended), 20, "the ends are on the disk")
        assert all(kube.pod(name)["status"]["phase"] == "Running" for name in names)
        cluster.node("kill", NODE)
    cluster.node("reboot", NODE)
    for name in names:
        its = kube.wait_phase(name, "Succeeded", "Failed", seconds=60)
        assert its["status"]["phase"] == "Succeeded", terminated_of(its)
        assert terminated_of(its)["containerID"] == before[name]
        assert container_of(its)["restartCount"] == 0
        assert kube.logs(name) == "once\n"


def whole_life(kube, cluster):
    """Joins a node, runs pods with all that leaves traces, kills the agent under them, removes it."""
    actor = cluster.push("actor")
    layered = cluster.push("actor", "actor:layered", "--format", "compat")
    cluster.node("up", NODE)
    try:
        kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"},
                    "stringData": {"word": "sesame"}},
                   here("plain", cluster.push("sleeper"), restartPolicy="Always"),
                   here("layers", layered, "write", "/here", "1", ";", "hold"),
                   here("mounts", actor, "read", "/s/word", ";", "hold", volumeMounts=[
                       {"name": "s", "mountPath": "/s"}, {"name": "m", "mountPath": "/m"}],
                       resources={"limits": {"memory": "32Mi", "cpu": "500m"}},
                       volumes=[{"name": "s", "secret": {"secretName": "word"}},
                                {"name": "m", "emptyDir": {"medium": "Memory"}}]),
                   here("host", actor, "hold", hostNetwork=True))
        for name in ("plain", "layers", "mounts", "host"):
            kube.wait_ready(name)
        running = Snapshot(cluster)
        # Keeper and runners live on: reset must find them without their agent's help.
        cluster.node("kill", NODE)
    finally:
        # Fails and names what `skiff node reset --all` did not remove.
        cluster.node("down", NODE)
    return running


@pytest.fixture
def forgotten(kube):
    """kubectl whose pods may be on a node that is no more: nobody would ever confirm their end."""
    yield kube
    kube("delete", "pods", "--all", "--force", "--grace-period=0")


def test_reset_leaves_the_machine_as_before(forgotten, cluster, node):
    before = Snapshot(cluster)
    running = whole_life(forgotten, cluster)
    traces = running.new_since(before)
    for kind in ("mount", "namespace", "cgroup", "process"):
        assert any(trace.startswith(kind) for trace in traces), (kind, traces)

    def left():
        return Snapshot(cluster).new_since(before)

    # The kernel takes namespaces and cgroups apart a moment after their last process.
    wait_until(lambda: not left(), 10, lambda: f"left on the machine: {sorted(left())}")
    assert not cluster.node_folder(NODE).exists()
