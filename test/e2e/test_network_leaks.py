"""Pods come and go while the agent is killed again and again: in the end nothing of them is left."""

import json
import pathlib
import random
import time

import pytest

from cni import PluginNode, netns_of
from kube import pod, run, wait_until
from machine import LAID_AHEAD_MAX

BATCH = 10


def name_of(pid):
    """A process's name, None when it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


class Place:
    """A node, and what pods may leave there."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.netns = netns_of(cluster, name)
        self.run_folder = pathlib.Path("/run", self.netns)
        self.root = cluster.node_folder(name) / "root"

    def inside(self, *command):
        return run(["ip", "netns", "exec", self.netns, *command]).stdout

    def log_of(self, uids):
        """What the agent said of these pods, and what is in their folders."""
        folders = [str(path) for uid in uids for path in (self.root / "pods" / uid).rglob("*")]
        lines = self.cluster.log_of(self.name).splitlines()
        return folders + [line for line in lines if any(uid in line for uid in uids)]

    def state(self):
        """Everything that a pod brings, by kind. Wires laid ahead are no pod's: those without an address."""
        links = json.loads(self.inside("ip", "-j", "link"))
        ahead = {its["ifname"] for its in links if its["ifname"].startswith("sk") and not its.get("ifalias")}
        members = run(["ip", "netns", "pids", self.netns]).stdout.split()
        names = sorted(filter(None, map(name_of, members)))
        mounts = [line.split()[1] for line in open("/proc/mounts")]
        pods = [p.name for p in (self.root / "pods").glob("*")]
        return {
            "interfaces": sorted(its["ifname"] for its in links if its["ifname"] not in ahead),
            "too many wires ahead": len(ahead) > LAID_AHEAD_MAX,
            "routes": sorted(line.split()[0] for line in self.inside("ip", "route").splitlines() if " dev sk" in line),
            "addresses": sorted(entry["local"] for its in json.loads(self.inside("ip", "-j", "address"))
                                for entry in its["addr_info"] if entry["scope"] != "link"),
            "rules": [line.strip() for line in self.inside("nft", "list", "ruleset").splitlines()
                      if "dnat" in line or "CNI-DN-" in line],
            "namespaces": max(0, len(list((self.run_folder / "netns").glob("*"))) - len(ahead)),
            "records": sorted(p.name for folder in (self.run_folder / "network", self.root / "cni",
                                                    self.run_folder / "containers") for p in folder.glob("*")),
            "mounts": [m for m in mounts if "/pods/" in m and m.startswith((str(self.root), str(self.run_folder)))],
            "processes": [name for name in names if name not in ("skiff", "skiff-engine")],
            "pods": pods}


def churn(kube, cluster, place, cycles, extra=lambda: {}):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    looks = [place.state() | extra()]

    def settled():
        looks.append(place.state() | extra())
        return not looks[-1]["pods"] and looks[-1] == looks[-2]

    # A pod's object goes before its folders, and what is laid ahead for pods to come may be in the making.
    wait_until(settled, 30, lambda: looks[-2:])
    before = looks[-1]
    kills = 0
    for batch in range(cycles // BATCH):
        names = [f"p{batch}-{number}" for number in range(BATCH)]
        ports = [[{"containerPort": 8080, "hostPort": 20000 + number}] if number % 3 == 0 else []
                 for number in range(BATCH)]
        kube.apply(*[pod(name, cluster.push("actor"), "hold", nodeName=place.name, restartPolicy="Always",
                         ports=its) for name, its in zip(names, ports)])
        time.sleep(chance.uniform(0, 1.5))  # the kill comes at any moment of the pods' starts
        early = chance.random() < 0.5
        cluster.node("kill", place.name)
        kills += 1
        if early:  # some end while nobody looks after them
            kube("delete", "pod", *names[: BATCH // 2], "--wait=false")
        cluster.node("start", place.name)
        if chance.random() < 0.5:
            kube.wait_ready(names[-1], 60)
        kube("delete", "pod", *(names[BATCH // 2:] if early else names), "--wait=false")
        time.sleep(chance.uniform(0, 0.6))  # and at any of their ends
        if chance.random() < 0.5:
            cluster.node("kill", place.name)
            kills += 1
            cluster.node("start", place.name)
        kube("delete", "pods", "--all", "--timeout=120s", timeout=130)
    print(f"{cycles} pods, {kills} kills")
    state = {}

    def clean():
        state.update(place.state() | extra())
        return state == before
    wait_until(clean, 60, lambda: {key: value for key, value in state.items() if value != before[key]}
               | {"log": place.log_of(state["pods"])})


@pytest.fixture
def place(cluster, node):
    cluster.node("up", "skiff-churn")
    yield Place(cluster, "skiff-churn")
    cluster.node("down", "skiff-churn")


@pytest.fixture
def plugged(cluster, node, tmp_path):
    its = PluginNode(cluster, "skiff-churn", tmp_path, "today")
    yield its
    its.close()


def warm_up(kube, cluster, place):
    """One pod first: what the first one brings for good (a bridge, a table, the keeper) is no leak."""
    kube.apply(pod("first", cluster.push("actor"), "hold", nodeName=place.name, restartPolicy="Always",
                   ports=[{"containerPort": 8080, "hostPort": 20000}]))
    kube.wait_ready("first", 90)
    kube("delete", "pod", "first", "--timeout=60s", timeout=70)


@pytest.mark.parametrize("cycles", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_the_built_in_network_keeps_nothing_of_pods_that_ended(kube, cluster, place, cycles):
    warm_up(kube, cluster, place)
    churn(kube, cluster, place, cycles)


@pytest.mark.parametrize("cycles", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_a_plugin_keeps_nothing_of_pods_that_ended(kube, cluster, plugged, cycles):
    place = Place(cluster, plugged.name)
    warm_up(kube, cluster, place)
    churn(kube, cluster, place, cycles, extra=lambda: {"leases": plugged.leavings()["leases"]})
