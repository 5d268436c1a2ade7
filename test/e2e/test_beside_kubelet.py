"""Skiff beside upstream's kubelet and containerd 2 on one machine: ports, cgroups, addresses, logs do not clash.

Both have their defaults, but what docs/join-kubeadm.md ("Beside a kubelet") tells Skiff to have of its own.
"""

import http.client
import ipaddress
import os
import pathlib
import signal
import sys
import uuid

import pytest

import beside
from beside import Daemon, Machine
from conftest import ROOT
from kube import Kube, condition_of, container_of, pod, run, wait_until
from machine import processes_of
from test_engine import answers, ask
from testcluster import binaries

NODE_PORT = 18090
# Those of the pods that live through all tests.
PORTS = {"linux": 18091, "wasm": 18092}
STRAY = f"/var/log/pods/nobody_stray_{uuid.uuid4()}"


@pytest.fixture(scope="module")
def image(cluster):
    """A Linux image of one static program, which is the sandbox's as well."""
    reference = f"{cluster.registry}/linux-pod:1"
    run([sys.executable, ROOT / "tools/push", "--format", "linux", binaries.build_tool("linux-pod"), reference])
    return reference


@pytest.fixture(scope="module")
def machine(cluster, image, tmp_path_factory):
    kube = Kube(cluster.env, f"t-{uuid.uuid4().hex[:8]}")
    kube.create_namespace()
    its = Machine(kube, cluster, "harbour", tmp_path_factory.mktemp("harbour"))
    try:
        its.start_kubelet(image)
        its.put(f"{STRAY}/main/0.log", "a log of a pod that the kubelet does not know\n")
        its.start_skiff()
        yield its
        kube.delete_namespace()
    finally:
        its.close()
        kube("delete", "node", its.name, its.skiff_name, "--ignore-not-found")


def linux(name, image, **spec):
    """For the scheduler to place: no other node takes a pod without a word about Wasm."""
    its = pod(name, image, "serve", ":8080", **spec)
    del its["spec"]["runtimeClassName"]
    return its


def wasm(machine, name, **spec):
    return pod(name, machine.cluster.push("http-hello"), nodeSelector={"kubernetes.io/hostname": machine.skiff_name},
               terminationGracePeriodSeconds=1, **spec)


class Pair:
    """A Linux pod and a Wasm pod, which live as long as the machine."""

    def __init__(self, machine, image):
        self.machine, self.kube = machine, machine.kube
        forever = {name: {"restartPolicy": "Always", "ports": [{"containerPort": 8080, "hostPort": port}]}
                   for name, port in PORTS.items()}
        self.kube.apply(linux("linux", image, **forever["linux"]), wasm(machine, "wasm", **forever["wasm"]))
        self.linux, self.wasm = (self.kube.wait_ready(name, 60) for name in PORTS)
        for name, port in PORTS.items():
            wait_until(lambda: ask_port(machine, port), 20, f"{name} answers")

    def both(self):
        return self.linux, self.wasm

    def assert_unharmed(self, *names):
        """The same containers in the same place, and they answer, also at the machine's ports."""
        for name in names or PORTS:
            before, now = getattr(self, name), self.kube.pod(name)
            assert now["status"]["podIPs"] == before["status"]["podIPs"]
            assert container_of(now)["containerID"] == container_of(before)["containerID"]
            assert container_of(now)["restartCount"] == 0
            assert processes_of(identity_of(now)), "it has processes"
            assert ask(now, "/")[0] == 200 and ask_port(self.machine, PORTS[name])


def ask_port(machine, port=NODE_PORT):
    """What the machine's port says first; None when nobody is there."""
    connection = http.client.HTTPConnection(machine.address, port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().split()[0]
    except OSError:
        return None
    finally:
        connection.close()


def identity_of(its):
    """What its cgroups are called by: containerd's id whole, of Skiff's as much as a name has."""
    kind, identity = container_of(its)["containerID"].split("://")
    return identity[:16] if kind == "skiff" else identity


@pytest.fixture(scope="module")
def pair(machine, image):
    return Pair(machine, image)


def leases(machine):
    """Address → the first line of what the plugin keeps about it: whose it is."""
    folder = machine.path("/var/lib/cni/networks/harbour")
    return {its.name: its.read_text().splitlines()[0] for its in folder.iterdir() if its.name[0].isdigit()}


def group_of(pid):
    """The cgroup of a process that counts its memory, as seen from outside the machine."""
    lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line for line in lines if ":memory:" in line or len(lines) == 1)


def test_one_machine_is_two_nodes(machine):
    kubelet, skiff = (machine.kube.get("node", name) for name in (machine.name, machine.skiff_name))
    for its, runtime, port in ((kubelet, "containerd://", 10250), (skiff, "skiff://", beside.PORT)):
        assert condition_of(its, "Ready") == "True"
        assert its["status"]["nodeInfo"]["containerRuntimeVersion"].startswith(runtime)
        assert its["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.37.")
        assert its["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == port
        assert {"type": "InternalIP", "address": machine.address} in its["status"]["addresses"]
    assert kubelet["status"]["nodeInfo"]["bootID"] == skiff["status"]["nodeInfo"]["bootID"]
    assert kubelet["metadata"]["labels"]["kubernetes.io/os"] == "linux"


def test_a_port_that_the_kubelet_has_is_told(machine):
    flags = ["--root-dir=/var/lib/skiff-2", "--run-dir=/run/skiff-2", "--healthz-port=0", "--port=10250"]
    second = Daemon(machine, "second", os.environ["SKIFF_BIN"], "node", "--standalone", "--pod-manifest-path=/etc/skiff", *flags)
    second.start()
    wait_until(lambda: not second.lives(), 30, second.said)
    assert second.said().splitlines()[-1] == "skiff: port 10250: 0.0.0.0 port 10250 is in use"
    machine.run(os.environ["SKIFF_BIN"], "node", "reset", "--all", *flags)
    checked = machine.run(os.environ["SKIFF_BIN"], "check", "--port=10250", check=False).stdout
    assert "10250 is taken by kubelet (pid " in checked and "set port to another port" in checked, checked


def test_pods_of_both_have_addresses_of_one_network_and_talk(machine, pair):
    kube = machine.kube
    subnet = ipaddress.ip_network(kube.get("node", machine.name)["spec"]["podCIDR"])
    addresses = [its["status"]["podIP"] for its in pair.both()]
    assert len(set(addresses)) == 2 and all(ipaddress.ip_address(its) in subnet for its in addresses), addresses
    kept = leases(machine)
    assert set(addresses) <= set(kept) and len(set(kept.values())) == len(kept), kept
    hello = ask(pair.wasm, "/")[2].decode()
    assert ask(pair.linux, "/")[2] == b"linux linux\n"
    to_wasm, to_linux = (f"http://{its['status']['podIP']}:8080/" for its in (pair.wasm, pair.linux))
    assert kube("exec", "linux", "--", "/bin/app", "fetch", to_wasm).stdout == hello
    assert kube("exec", "wasm", "--", "wget", "-q", "-O", "-", to_linux).stdout == "linux linux\n"
    for name, said in (("linux", "linux linux\n"), ("wasm", hello)):
        assert kube("get", "--raw", f"/api/v1/namespaces/{kube.namespace}/pods/{name}:8080/proxy/").stdout == said


def test_each_counts_and_holds_only_its_own(machine, pair):
    for its, place in ((pair.linux, "/kubepods/"), (pair.wasm, "/skiff/")):
        for pid in processes_of(identity_of(its)):
            memory = group_of(pid)
            assert f"/{machine.netns}{place}" in memory, memory
    assert wait_until(lambda: set(machine.kube.summary(machine.name)[1]), 30, "the kubelet counts") == {"linux"}
    assert set(machine.kube.summary(machine.skiff_name)[1]) == {"wasm"}
    for node, name in ((machine.name, "linux"), (machine.skiff_name, "wasm")):
        listed = machine.kube.node_json(node, "pods")["items"]
        assert {p["metadata"]["name"] for p in listed if p["metadata"]["namespace"] == machine.kube.namespace} == {name}


def log_link(its):
    name, identity = its["metadata"]["name"], container_of(its)["containerID"].split("://")[1]
    return f"/var/log/containers/{name}_{its['metadata']['namespace']}_main-{identity}.log"


def test_logs_of_both_are_found_by_one_collector(machine, pair):
    for its, folder in ((pair.linux, "/var/log/pods"), (pair.wasm, beside.POD_LOG_DIR)):
        place = f"{its['metadata']['namespace']}_{its['metadata']['name']}_{its['metadata']['uid']}"
        link = log_link(its)
        assert machine.run("readlink", "-f", link).stdout.strip() == f"{folder}/{place}/main/0.log"
        assert machine.path(f"{folder}/{place}/main/0.log").is_file()
    said = machine.kube.logs("linux")
    assert said == "serving at :8080\n"
    assert f"stdout F {said}" in machine.run("cat", log_link(pair.linux)).stdout


@pytest.mark.long
def test_the_kubelet_sweeps_its_folder_of_logs_and_not_skiffs(machine, pair):
    """Why Skiff has one of its own: what the kubelet knows no pod of goes within a minute."""
    wait_until(lambda: not machine.path(STRAY).exists(), 150, "the kubelet collects garbage")
    for its in pair.both():
        machine.run("test", "-e", log_link(its))


def test_one_port_of_the_machine_for_both_leads_to_the_first_pod(machine, pair, image):
    """Neither node knows of the other's ports; the later pod runs, and has the port when the first is gone."""
    kube = machine.kube
    ports = {"ports": [{"containerPort": 8080, "hostPort": NODE_PORT}]}
    wasm_says = ask(pair.wasm, "/")[2].split()[0]
    kinds = {"port-linux": (linux("port-linux", image, **ports), b"linux"),
             "port-wasm": (wasm(machine, "port-wasm", **ports), wasm_says)}
    for first, then in (list(kinds), list(reversed(kinds))):
        kube.apply(kinds[first][0])
        kube.wait_ready(first, 60)
        wait_until(lambda: ask_port(machine) == kinds[first][1], 20, f"the port leads to {first}")
        kube.apply(kinds[then][0])
        its = kube.wait_ready(then, 60)
        wait_until(lambda: answers(its, 8080), 20, f"{then} answers")
        assert ask(its, "/")[2].split()[0] == kinds[then][1], "at its own address"
        assert ask_port(machine) == kinds[first][1], "the first has the port"
        kube("delete", "pod", first, "--timeout=30s")
        wait_until(lambda: ask_port(machine) == kinds[then][1], 20, f"the port leads to {then}")
        kube("delete", "pod", then, "--timeout=30s")
        wait_until(lambda: ask_port(machine) is None, 20, "nobody has the port")
    pair.assert_unharmed()


def test_a_port_that_the_kubelet_listens_on_is_refused_to_a_pod(machine):
    machine.kube.apply(wasm(machine, "greedy", ports=[{"containerPort": 8080, "hostPort": 10250}]))
    waiting = machine.kube.wait_waiting("greedy", "CreateContainerError")
    assert "port 10250/TCP of the node is taken by kubelet (pid " in waiting["message"], waiting
    machine.kube("delete", "pod", "greedy", "--timeout=30s")


def test_the_death_of_one_harms_no_pod_of_the_other(machine, pair, image):
    """Both are killed in turn; meanwhile the other starts and ends pods, and afterwards everything is as it was."""
    kube = machine.kube
    machine.kubelet.end()
    machine.containerd.end()
    pair.assert_unharmed()
    kube.apply(wasm(machine, "meanwhile-wasm"))
    kube.wait_ready("meanwhile-wasm", 60)
    kube("delete", "pod", "meanwhile-wasm", "--timeout=30s")
    machine.start_both()
    machine.skiff.end()
    pair.assert_unharmed()
    kube.apply(linux("meanwhile-linux", image))
    kube.wait_ready("meanwhile-linux", 60)
    kube("delete", "pod", "meanwhile-linux", "--timeout=30s")
    machine.skiff.start()
    machine.wait_serving()
    for daemon in (machine.kubelet, machine.containerd, machine.skiff):
        daemon.end(signal.SIGTERM)
    pair.assert_unharmed()
    machine.start_both()
    machine.skiff.start()
    machine.wait_serving()
    pair.assert_unharmed()
    assert set(leases(machine)) == {its["status"]["podIP"] for its in pair.both()}


def test_reset_removes_only_what_is_skiffs(machine, pair):
    """Also with the state; then Skiff joins again, and its pod has a container again."""
    kube, mounts = machine.kube, machine.run("cat", "/proc/mounts").stdout
    assert "/run/skiff/netns/" in mounts and "/var/lib/skiff/pods/" in mounts and "/var/lib/kubelet/pods/" in mounts
    machine.skiff.end(signal.SIGTERM)
    machine.run(os.environ["SKIFF_BIN"], "node", "reset", "--all", "--cgroup-root", "/skiff")
    mounts = machine.run("cat", "/proc/mounts").stdout
    assert "/run/skiff/" not in mounts and "/var/lib/skiff/" not in mounts and "/var/lib/kubelet/pods/" in mounts
    assert not processes_of(identity_of(pair.wasm)) and ask_port(machine, PORTS["wasm"]) is None
    assert set(leases(machine)) == {pair.linux["status"]["podIP"]}
    assert not [its for top in machine.cgroups for its in pathlib.Path(top, "skiff").glob("skiff-*")]
    assert machine.run("test", "-L", log_link(pair.wasm), check=False).returncode != 0
    machine.run("test", "-e", log_link(pair.linux))
    pair.assert_unharmed("linux")
    machine.start_skiff()
    kube.wait_pod("wasm", lambda its: container_of(its).get("containerID") != container_of(pair.wasm)["containerID"]
                  and condition_of(its, "Ready") == "True", 60)
    wait_until(lambda: ask_port(machine, PORTS["wasm"]), 20, "its port leads to it again")
    pair.assert_unharmed("linux")
    for name in (machine.name, machine.skiff_name):
        assert condition_of(kube.get("node", name), "Ready") == "True"
