"""Bad input: one clear message in the right place, nothing else harmed."""

import json
import os
import re
import socket
import subprocess
import sys
import uuid

import pytest

from conftest import ROOT
from fault_registry import Registry
from kube import Kube, container_of, find_condition, pod, run, wait_until, waiting_of
from machine import runner_of
from testcluster.nodes import config_text

NODE = "skiff-bad"
HELD = {"nodeSelector": {"kubernetes.io/hostname": NODE}}


@pytest.fixture(scope="module")
def faulty(cluster, node, tmp_path_factory):
    """A registry of faults, one that is down, and a node that talks plain HTTP to both."""
    registry = Registry(cluster.machine, (ROOT / "build/guests/actor.wasm").read_bytes())
    with socket.socket() as taken:
        taken.bind((cluster.machine, 0))
        registry.dead = "{}:{}".format(*taken.getsockname())
    config = tmp_path_factory.mktemp("node") / "config.yaml"
    config.write_text(config_text(registry.name, registry.dead))
    cluster.node("up", NODE, "--config", str(config))
    yield registry
    cluster.node("down", NODE)
    registry.close()


@pytest.fixture(scope="module", autouse=True)
def bystanders(cluster, node, faulty):
    """Pods on both nodes that nothing in this file may touch: same process, no restart, no flap."""
    kube = Kube(cluster.env, f"bystander-{uuid.uuid4().hex[:8]}")
    kube.create_namespace()
    for name in (node, NODE):
        kube.apply(pod(f"by-{name}", cluster.push("actor"), "loop", "0.5", "clock",
                       restartPolicy="Always",
                       nodeSelector={"kubernetes.io/hostname": name}))

    def state_of(name):
        its = kube.pod(f"by-{name}")
        return runner_of(its), container_of(its)["restartCount"], find_condition(its, "Ready")

    for name in (node, NODE):
        kube.wait_ready(f"by-{name}")
    before = {name: state_of(name) for name in (node, NODE)}
    yield
    for name in (node, NODE):
        assert state_of(name) == before[name]
        ticks = [int(line) for line in kube.logs(f"by-{name}").split()]
        assert max(after - first for first, after in zip(ticks, ticks[1:])) < 10_000_000_000
        assert before[name][1] == 0
    kube.delete_namespace()


def push_bytes(cluster, tmp_path, content, name, *flags):
    file = tmp_path / "module.wasm"
    file.write_bytes(content)
    run([sys.executable, ROOT / "tools/push", *flags, file, f"{cluster.registry}/{name}"])
    return f"{cluster.registry}/{name}"


def refused(kube, name, image, *reasons, **spec):
    """The message with which the pod's container waits; it can be deleted."""
    kube.apply(pod(name, image, **spec))
    message = kube.wait_waiting(name, *reasons, seconds=60)["message"]
    assert kube.wait_event(name, None), "somebody is told"
    kube("delete", "pod", name, "--timeout=20s")
    return message


@pytest.mark.parametrize("fault,words", [
    ("status-401", "401|credentials"), ("status-403", "403|denied|may not|refuse"),
    ("status-404", "not found"), ("status-429", "429|too many"), ("status-500", "500"),
    ("wrong-digest", "digest"), ("truncated", "(?i)bytes|size|truncated|closed|ended|transfer")])
def test_what_a_registry_does_wrong_is_told(kube, faulty, fault, words):
    message = refused(kube, fault, f"{faulty.name}/{fault}/x:1", "ErrImagePull",
                      "ImagePullBackOff", **HELD)
    assert re.search(words, message), message


def test_a_registry_that_is_down_is_told(kube, faulty):
    message = refused(kube, "down", f"{faulty.dead}/x/y:1", "ErrImagePull", "ImagePullBackOff",
                      **HELD)
    assert faulty.dead in message, message


def test_a_registry_that_recovers_is_asked_again(kube, faulty):
    kube.apply(pod("flaky", f"{faulty.name}/flaky/x:1", "print", "well", **HELD))
    kube.wait_phase("flaky", "Succeeded", seconds=90)
    assert faulty.requests["flaky manifests"] >= 3


def test_no_file_of_a_broken_pull_stays(kube, cluster, faulty):
    message = refused(kube, "broken", f"{faulty.name}/wrong-digest/y:1", "ErrImagePull",
                      "ImagePullBackOff", **HELD)
    assert "digest" in message
    kube.apply(pod("sound", f"{faulty.name}/good/y:1", "print", "sound", **HELD))
    kube.wait_phase("sound", "Succeeded")
    assert kube.logs("sound") == "sound\n"


def test_a_linux_image_is_refused_before_its_layers(kube, cluster):
    image = cluster.push("hello", "linux:1", "--format", "linux")
    message = refused(kube, "linux", image, "ErrImagePull", "ImagePullBackOff")
    assert "Linux image" in message, message


def test_text_is_not_a_module(kube, cluster, tmp_path):
    image = push_bytes(cluster, tmp_path, b"#!/bin/sh\necho no module\n", "text:1")
    message = refused(kube, "text", image, "CreateContainerError", "ErrImagePull",
                      "ImagePullBackOff", "RunContainerError")
    assert "not a Wasm module" in message, message


def test_a_broken_module_is_told_by_the_compiler(kube, cluster, tmp_path):
    whole = (ROOT / "build/guests/actor.wasm").read_bytes()
    image = push_bytes(cluster, tmp_path, whole[:len(whole) // 2], "half:1")
    message = refused(kube, "half", image, "CreateContainerError", "RunContainerError",
                      "CreateContainerConfigError")
    assert re.search("(?i)unexpected end|truncated|out of bounds|compil|invalid", message), message


def import_of(module, name):
    """A core module that imports MODULE.NAME () -> () and exports an empty _start and a memory."""
    def text(word):
        return bytes([len(word)]) + word.encode()

    def section(number, content):
        return bytes([number, len(content)]) + content

    return (b"\0asm\1\0\0\0" + section(1, b"\x01\x60\0\0")
            + section(2, b"\x01" + text(module) + text(name) + b"\0\0") + section(3, b"\x01\0")
            + section(5, b"\x01\0\1")
            + section(7, b"\x02" + text("_start") + b"\0\1" + text("memory") + b"\2\0")
            + section(10, b"\x01\x02\0\x0b"))


def test_an_import_nobody_offers_is_named(kube, cluster, tmp_path):
    image = push_bytes(cluster, tmp_path, import_of("moon", "cheese"), "moon:1")
    message = refused(kube, "moon", image, "CreateContainerError", "RunContainerError",
                      "CreateContainerConfigError")
    assert "moon" in message and "cheese" in message, message


def test_an_interface_nobody_offers_is_named(kube, cluster, tmp_path):
    whole = (ROOT / "build/guests/actor-component.wasm").read_bytes()
    assert whole.count(b"wasi:clocks/wall-clock@")
    image = push_bytes(cluster, tmp_path, whole.replace(b"wasi:clocks/wall-clock@",
                                                        b"moon:clocks/wall-clock@"), "tide:1")
    message = refused(kube, "tide", image, "CreateContainerError", "RunContainerError",
                      "CreateContainerConfigError")
    assert re.search(r"imports that nobody provides: moon:clocks/wall-clock@0\.2\.\d+$",
                     message), message


def with_volume(**source):
    return {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "volumes": [{"name": "v", **source}]}


CLAIM = {"name": "gpu", "resourceClaimName": "gpu"}
BLOCK = {"volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}]}

# The container keeps waiting: the spec, and what its message says of field, value and remedy.
REFUSED = {
    "volume-devices": ({**BLOCK, "volumeDevices": [{"name": "disk", "devicePath": "/dev/d"}]},
                       "spec.containers{main}.volumeDevices [disk] is not supported by this node: mount the volume"),
    "container-claims": ({"resourceClaims": [CLAIM], "resources": {"claims": [{"name": "gpu"}]}},
                         "spec.containers{main}.resources.claims [gpu] is not supported by this node: remove it"),
    "pod-claims": ({"resourceClaims": [CLAIM]},
                   "spec.resourceClaims [gpu] is not supported by this node: remove it"),
    "bidirectional": ({"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}],
                       "volumes": [{"name": "v", "emptyDir": {}}], "securityContext": {"privileged": True}},
                      "volumeMounts[].mountPropagation [Bidirectional] is not supported by this node: None and Host"),
    "shared-processes": ({"shareProcessNamespace": True},
                         "spec.shareProcessNamespace [true] is not supported by this node: remove it"),
    "nfs": (with_volume(nfs={"server": "192.0.2.1", "path": "/"}),
            ".nfs is not supported by this node: mount it on the machine"),
    "huge-pages": (with_volume(emptyDir={"medium": "HugePages"}),
                   ".emptyDir.medium HugePages is not supported by this node: \"\" and Memory are"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_field_that_is_refused_is_told_with_value_and_remedy(kube, cluster, node, name):
    spec, words = REFUSED[name]
    # Past the scheduler, which would wait for claims.
    kube.apply(pod(name, cluster.push("sleeper"), nodeName=node, **spec))
    assert kube.wait_event(name, None, words)["type"] == "Warning"
    wait_until(lambda: waiting_of(kube.pod(name)), 10, lambda: kube.describe(name))
    kube("delete", "pod", name, "--timeout=20s")


def test_a_sysctl_is_refused_with_value_and_remedy(kube, cluster, node):
    its = pod("sysctl", cluster.push("sleeper"), nodeName=node)
    its["spec"]["securityContext"] = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    kube.apply(its)
    message = kube.wait_waiting("sysctl", "CreateContainerConfigError")["message"]
    assert message == ("spec.securityContext.sysctls [kernel.shm_rmid_forced] is not supported by this node: "
                       "remove them: a Wasm container has no kernel settings")
    assert kube.wait_event("sysctl", "Failed", message)
    assert len(kube.events("sysctl", "Failed")) == 1
    kube("delete", "pod", "sysctl", "--timeout=20s")


# The pod runs without it, and one event says so.
POWERS = {
    "privileged": ({"securityContext": {"privileged": True}}, "securityContext.privileged is not granted"),
    "capabilities": ({"securityContext": {"capabilities": {"add": ["NET_ADMIN", "SYS_TIME"]}}},
                     "securityContext.capabilities.add [NET_ADMIN SYS_TIME] is not granted"),
    "host-pid": ({"hostPID": True}, "spec.hostPID is not granted"),
    "host-ipc": ({"hostIPC": True}, "spec.hostIPC is not granted"),
}


@pytest.mark.parametrize("name", POWERS)
def test_a_power_that_is_not_granted_is_told_once(kube, cluster, name):
    spec, words = POWERS[name]
    kube.apply(pod(name, cluster.push("hello"), **spec))
    kube.wait_phase(name, "Succeeded")
    assert kube.wait_event(name, "NotGranted", words)
    assert len(kube.events(name, "NotGranted")) == 1


def test_an_invalid_image_name_is_told(kube):
    message = refused(kube, "name", "UPPER//case", "InvalidImageName")
    assert "UPPER//case" in message


def test_never_pulling_is_told(kube, cluster):
    message = refused(kube, "never", f"{cluster.registry}/nobody/has:this", "ErrImageNeverPull",
                      imagePullPolicy="Never")
    assert "nobody/has:this" in message


@pytest.fixture
def console(cluster, node, skiff):
    """Runs `skiff` in the node's network with files of its own."""
    def call(*words, timeout=60):
        return run(cluster.inside(skiff, *words, node_number=1), check=False, timeout=timeout)
    return call


def folders(tmp_path):
    run_dir = f"/run/skiff-e2e-{os.getpid()}"
    return ["--root-dir", tmp_path / "root", "--run-dir", run_dir, "--pod-log-dir",
            tmp_path / "pods", "--port", "10350", "--healthz-port", "0"]


def test_an_unknown_field_names_file_line_and_field(console, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("apiVersion: skiff.dev/v1alpha1\nkind: SkiffConfiguration\nnodeNmae: x\n")
    done = console("node", "--config", file, *folders(tmp_path))
    assert done.returncode == 2
    assert re.search(r"config\.yaml:3: .*nodeNmae", done.stderr), done.stderr


def test_an_unreadable_kubeconfig_ends_the_agent_with_its_name(console, tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text("clusters: [")
    done = console("node", "--kubeconfig", file, *folders(tmp_path))
    assert done.returncode != 0 and str(file) in done.stderr, done.stderr
    done = console("node", "--kubeconfig", tmp_path / "absent", "--bootstrap-kubeconfig",
                   tmp_path / "absent-too", *folders(tmp_path))
    assert done.returncode != 0 and "absent" in done.stderr, done.stderr


EXPIRED = {"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
           "metadata": {"name": "bootstrap-token-oldold", "namespace": "kube-system"},
           "stringData": {"token-id": "oldold", "token-secret": "0123456789abcdef",
                          "expiration": "2020-01-01T00:00:00Z", "usage-bootstrap-signing": "true",
                          "usage-bootstrap-authentication": "true"}}


def test_a_join_with_a_wrong_hash_or_token_writes_nothing(console, kube, cluster, tmp_path):
    target = tmp_path / "bootstrap.kubeconfig"
    good = cluster.env
    kube("create", "-n", "kube-system", "-f", "-", stdin=json.dumps(EXPIRED))
    for token, hash_of, words in (
            ("oldold.0123456789abcdef", good["CA_CERT_HASH"], "(?i)token|expired"),
            (good["BOOTSTRAP_TOKEN"], "sha256:" + "0" * 64, "sha256"),
            ("abcdef.0123456789abcdef", good["CA_CERT_HASH"], "(?i)token|sign|expired"),
            ("nonsense", good["CA_CERT_HASH"], "(?i)token")):
        done = console("node", "join", good["SERVER"], "--token", token, "--ca-cert-hash", hash_of,
                       "--bootstrap-kubeconfig", target)
        assert done.returncode != 0 and re.search(words, done.stderr), done.stderr
        assert not target.exists()


def test_a_second_agent_on_the_same_root_names_the_first(console, cluster, node):
    root = cluster.node_folder(node) / "root"
    done = console("node", "--standalone", "--pod-manifest-path", "/tmp", "--root-dir", root, "--run-dir", "/run/skiff-e2e-second",
                   "--port", "10351", "--healthz-port", "0")
    assert done.returncode != 0, done.stdout
    assert re.search(rf"{root} is in use by process \d+", done.stderr), done.stderr


def test_a_taken_port_is_told_with_its_holder(kube, cluster, node):
    kube.apply(pod("first", cluster.push("sleeper"), nodeName=node,
                   ports=[{"containerPort": 8080, "hostPort": 18080}]))
    kube.wait_ready("first")
    kube.apply(pod("second", cluster.push("sleeper"), nodeName=node,
                   ports=[{"containerPort": 8080, "hostPort": 18080}]))
    its = kube.wait_phase("second", "Failed")
    assert its["status"]["reason"] == "NodePorts", its["status"]


def test_a_port_that_a_process_of_the_machine_holds_is_told_with_its_name(kube, cluster, node):
    # It sleeps until it is killed below, and not for ever should this test be killed before.
    script = "import socket, time; s = socket.create_server(('', 18081)); print('up', flush=True); time.sleep(600)"
    holder = subprocess.Popen(cluster.inside(sys.executable, "-c", script, node_number=1), stdout=subprocess.PIPE,
                              text=True)
    try:
        assert holder.stdout.readline() == "up\n"
        kube.apply(pod("late", cluster.push("sleeper"), nodeName=node, hostNetwork=True,
                       ports=[{"containerPort": 18081, "hostPort": 18081}]))
        message = kube.wait_waiting("late", "CreateContainerError")["message"]
        # `ip netns exec` becomes the program that it runs.
        assert re.search(rf"port 18081/TCP .* taken by python\S* \(pid {holder.pid}\)", message)
        assert "18081" in kube.wait_event("late", "Failed")["message"]
    finally:
        holder.kill()
        holder.communicate()
    # Nobody holds it any more: the pod starts by itself.
    kube.wait_ready("late", 60)


def test_a_full_disk_fails_the_pull_and_recovers(kube, cluster, node, tmp_path):
    small = tmp_path / "disk"
    small.mkdir()
    name = "skiff-full"
    root = cluster.node_folder(name) / "root"
    cluster.node("up", name)
    try:
        cluster.node("stop", name)
        run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", root / "images"])
        cluster.node("start", name)
        (root / "images" / "ballast").write_bytes(b"x" * (3 << 20))
        kube.apply(pod("big", cluster.push("hello-go"), nodeSelector={
            "kubernetes.io/hostname": name}))
        waiting = kube.wait_waiting("big", "ErrImagePull", "ImagePullBackOff", seconds=60)
        assert "No space left" in waiting["message"] or "full" in waiting["message"], waiting
        (root / "images" / "ballast").unlink()
        run(["mount", "-o", "remount,size=200m", root / "images"])
        kube.wait_phase("big", "Succeeded", seconds=120)
    finally:
        cluster.node("stop", name, check=False)
        subprocess.run(["umount", root / "images"], check=False)
        cluster.node("down", name)
