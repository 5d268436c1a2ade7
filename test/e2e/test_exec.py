"""`skiff exec`: commands in containers of a node without a cluster."""

import hashlib
import io
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import tarfile

import pytest

from kube import run, wait_until
from machine import runners_of
from standalone import Standalone
from test_run import ACTOR

GUESTS = pathlib.Path(ACTOR).parent


class Node(Standalone):
    """A node with pods to run commands in."""

    def act_as_toolbox(self, skiff, tmp_path):
        """The toolbox is the actor: what it does is what its arguments say."""
        libexec = tmp_path / "libexec"
        libexec.mkdir()
        # Beside the engine as it is named.
        (libexec / "skiff-engine").symlink_to(pathlib.Path(skiff).with_name("skiff-engine"))
        for name in ("toolbox.wasm", "toolbox-component.wasm"):
            shutil.copy(ACTOR, libexec / name)
        self.flags += ["--engine-path", libexec / "skiff-engine"]

    def put_pod(self, name, *containers, **spec):
        (self.manifests / f"{name}.yaml").write_text(json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
             "spec": {"restartPolicy": "Never", "containers": list(containers), **spec}}))

    def boat(self):
        """A pod that has written a note into its volume and waits; its full name."""
        self.put_pod("boat", {
            "name": "main", "image": str(ACTOR), "env": [{"name": "COLOR", "value": "blue"}],
            "args": ["write", "/data/note", "hello", ";", "print", "ready", ";", "hold"],
            "securityContext": {"runAsUser": 7},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            volumes=[{"name": "data", "emptyDir": {}}])
        return self.ready("boat")

    def ready(self, name, line="ready"):
        def look():
            full = next((n for n in self.pods() if n.startswith(name)), None)
            return full if full and line in self.call("logs", full, "-c", "main").stdout else None

        return wait_until(look, 30, lambda: f"{self.call('ps').stdout} {self.log.read_text()[-2000:]}")

    def command(self, *words):
        return [str(w) for w in (self.skiff, "exec", "--run-dir", self.run_dir, *words)]

    def exec(self, *words, **options):
        return run(self.command(*words), check=False, **options)

    def begin(self, *words):
        """A command that says `here` and goes on."""
        its = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               # Whoever runs the tests in the background may have it ignored, and that is inherited.
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        assert its.stdout.readline() == "here\n"
        return its

    def processes(self, pod):
        """Those in the group of the pod's container."""
        return runners_of(self.pods()[pod])


@pytest.fixture
def node(skiff, tmp_path):
    its = Node(skiff, tmp_path)
    its.act_as_toolbox(skiff, tmp_path)
    its.start()
    yield its
    its.close()


@pytest.fixture
def node_with_toolbox(skiff, tmp_path):
    if not (GUESTS / "toolbox.wasm").exists():
        pytest.skip("guests/build has not made the toolbox")
    its = Node(skiff, tmp_path)
    its.start()
    yield its
    its.close()


def test_a_command_has_what_its_container_has(node):
    pod = node.boat()
    done = node.exec(pod, "--", "actor", "read", "/data/note", ";", "env", "COLOR", ";", "eprint",
                     "oops", ";", "stat", "/data/note", ";", "exit", "42")
    assert done.returncode == 42, done.stderr
    assert done.stdout.startswith("hello\nCOLOR=blue\n")
    assert done.stderr == "oops\n"
    # What it writes is there for the container, and for the next command.
    assert node.exec(pod, "--", "actor", "write", "/data/answer", "1").returncode == 0
    assert node.exec(pod, "-c", "main", "--", "actor", "read", "/data/answer").stdout == "1\n"
    # It is in nobody's log.
    assert node.call("logs", pod).stdout == "ready\n"


def test_standard_input_is_passed_when_it_is_asked_for(node):
    pod = node.boat()
    assert node.exec("-i", pod, "--", "actor", "stdin", input="ahoy\n").stdout == "ahoy\n"
    assert node.exec(pod, "--", "actor", "stdin", input="ahoy\n").stdout == ""


def test_a_terminal_is_the_commands_own(node):
    pod = node.boat()
    outer, inner = pty.openpty()
    its = subprocess.Popen(node.command("-it", pod, "--", "actor", "terminal"), stdin=inner,
                           stdout=inner, stderr=inner)
    assert its.wait(30) == 0
    told = os.read(outer, 4096).decode().split("\r\n")
    assert told[:3] == ["0 terminal", "1 terminal", "2 terminal"]
    refused = node.exec("-t", pod, "--", "actor", "terminal", stdin=subprocess.DEVNULL)
    assert refused.returncode == 2 and "no terminal" in refused.stderr


def test_a_command_ends_with_its_client(node):
    pod = node.boat()
    its = node.begin(pod, "--", "actor", "print", "here", ";", "hold")
    assert len(node.processes(pod)) == 2
    its.send_signal(signal.SIGINT)
    its.wait(20)
    wait_until(lambda: len(node.processes(pod)) == 1, 20, "the command has ended")
    assert node.phase("boat") == "Running"


def test_a_command_whose_output_nobody_reads_ends(node):
    pod = node.boat()
    its = node.begin(pod, "--", "actor", "print", "here", ";", "flood", 1_000_000_000, 20, ";", "hold")
    its.stdout.close()
    assert its.wait(20) == 141
    wait_until(lambda: len(node.processes(pod)) == 1, 20, "the command has ended")
    assert node.phase("boat") == "Running"


def test_a_command_ends_with_its_container(node):
    pod = node.boat()
    its = node.begin(pod, "--", "actor", "print", "here", ";", "hold")
    (node.manifests / "boat.yaml").unlink()
    assert its.wait(30) == 137
    wait_until(lambda: node.phase("boat") is None, 30, lambda: node.call("ps").stdout)


def test_commands_end_with_the_agent_and_new_ones_come_after_it(node):
    pod = node.boat()
    its = node.begin(pod, "--", "actor", "print", "here", ";", "hold")
    before = node.processes(pod)
    assert len(before) == 2
    node.process.kill()
    node.process.wait()
    assert its.wait(20) == 125
    # The command has the stream, too, until the next agent ends it.
    assert "the node has ended" in its.stderr.readline()
    node.start()
    wait_until(lambda: node.phase("boat") == "Running", 30, lambda: node.log.read_text()[-2000:])
    wait_until(lambda: len(node.processes(pod)) == 1, 20, "the command has ended")
    assert set(node.processes(pod)) < set(before)
    done = node.exec(pod, "--", "actor", "read", "/data/note")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert node.pods()[pod]["status"]["containerStatuses"][0]["restartCount"] == 0


def test_what_cannot_run_is_told(node, tmp_path):
    pod = node.boat()
    node.put_pod("pair", {"name": "main", "image": str(ACTOR),
                          "args": ["print", "ready", ";", "exit", "0"]},
                 {"name": "second", "image": str(ACTOR), "args": ["hold"]})
    pair = node.ready("pair")
    wait_until(lambda: "terminated" in node.pods()[pair]["status"]["containerStatuses"][0]["state"],
               20, "the first container's end")
    for words, message in (
            ((pod, "-c", "other", "--", "ls"), f"container other is not valid for pod {pod}"),
            (("none", "--", "ls"), 'no pod "none" in namespace "default" on this node'),
            ((pod, "-n", "elsewhere", "--", "ls"), 'in namespace "elsewhere"'),
            ((pair, "--", "ls"), 'container "main" is not running')):
        done = node.exec(*words)
        assert done.returncode == 125, words
        assert message in done.stderr, done.stderr
    assert node.exec(pair, "-c", "second", "--", "actor", "exit", "9").returncode == 9
    assert node.exec(pod).returncode == 2
    trapped = node.exec(pod, "--", "actor", "trap")
    assert trapped.returncode == 134 and "unreachable" in trapped.stderr
    nowhere = run([node.skiff, "exec", "--run-dir", tmp_path, "x", "--", "ls"], check=False)
    assert nowhere.returncode == 125 and "is `skiff node` running" in nowhere.stderr


def layout_of(folder, files):
    """An OCI layout of an image with these files (name in the image → path here)."""
    def blob(content):
        name = hashlib.sha256(content).hexdigest()
        (folder / "blobs/sha256" / name).write_bytes(content)
        return {"digest": f"sha256:{name}", "size": len(content)}

    (folder / "blobs/sha256").mkdir(parents=True)
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, path in files.items():
            tar.add(path, name)
    content = layer.getvalue()
    config = {"architecture": "wasm", "os": "wasip1", "config": {"Entrypoint": ["/main.wasm"]},
              "rootfs": {"type": "layers",
                         "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]}}
    kind = "application/vnd.oci.image"
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
                "config": {"mediaType": f"{kind}.config.v1+json",
                           **blob(json.dumps(config).encode())},
                "layers": [{"mediaType": f"{kind}.layer.v1.tar", **blob(content)}]}
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": f"{kind}.manifest.v1+json", **blob(json.dumps(manifest).encode())}]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


def test_a_command_may_be_a_module_of_the_image(node, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    image = layout_of(tmp_path / "layout", {
        "main.wasm": ACTOR, "bin/hello.wasm": GUESTS / "hello.wasm", "bin/script": script})
    node.put_pod("layers", {"name": "main", "image": str(image),
                            "env": [{"name": "PATH", "value": "/bin"}],
                            "args": ["print", "ready", ";", "write", "/made", "up", ";", "hold"]})
    pod = node.ready("layers")
    # By its path, on PATH, and from the layer that the container has written to.
    for word in ("/bin/hello.wasm", "hello.wasm"):
        done = node.exec(pod, "--", word)
        assert done.returncode == 0 and "ello" in done.stdout, (word, done)
    assert node.exec(pod, "--", "/main.wasm", "read", "/made").stdout == "up\n"
    # What is no module, and what is not there, is the toolbox's.
    for word in ("script", "ls"):
        assert node.exec(pod, "--", word, "exit", "6").returncode == 6


def test_the_toolbox_has_what_the_image_has_not(node_with_toolbox):
    node = node_with_toolbox
    pod = node.boat()
    assert node.exec(pod, "--", "cat", "/data/note").stdout == "hello\n"
    assert node.exec(pod, "--", "ls", "/data").stdout == "note\n"
    done = node.exec(pod, "--", "sh", "-c", "echo $COLOR; exit 3")
    assert (done.returncode, done.stdout) == (3, "blue\n"), done.stderr
    assert node.exec("-i", pod, "--", "cat", input="ahoy\n").stdout == "ahoy\n"
    assert node.exec(pod, "--", "no-such-command").returncode == 127
