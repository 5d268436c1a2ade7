"""`skiff run`, `ps`, `logs` and `skiff node --standalone`: no cluster."""

import json
import os
import signal
import subprocess
import time

import pytest

from conftest import ROOT
from kube import run, wait_until

GUESTS = ROOT / "build/guests"
ACTOR = GUESTS / "actor.wasm"


@pytest.fixture(scope="module")
def root_dir(tmp_path_factory):
    """Compiled modules are shared by the tests of this file."""
    return tmp_path_factory.mktemp("run-root")


@pytest.fixture
def go(skiff, root_dir):
    def call(*words, stdin=None, flags=("-q",), cwd=None):
        return run([skiff, "run", *flags, "--root-dir", root_dir, *words], check=False, timeout=60,
                   input=stdin, cwd=cwd)
    return call


def engines():
    """Processes of `skiff run` instances."""
    done = subprocess.run(["pgrep", "-f", "skiff-engine keep"], capture_output=True, text=True)
    return set(done.stdout.split())


def test_a_wasm_file_prints_and_its_exit_code_is_ours(go):
    assert go(ACTOR, "print", "hello", "you").stdout == "hello you\n"
    for code in (0, 1, 77, 130):
        assert go(ACTOR, "exit", code).returncode == code
    assert go(ACTOR, "trap").returncode == 134


def test_streams_stay_apart(go):
    done = go(ACTOR, "print", "out", ";", "eprint", "err")
    assert done.stdout == "out\n" and done.stderr == "err\n"


def test_environment_volume_and_stdin(go, tmp_path):
    (tmp_path / "in").write_text("from the machine")
    done = go("-e", "A=one", "--env", "B=two words", "-v", f"{tmp_path}:/d", "-i", ACTOR, "env", "A",
              "B", ";", "stdin", ";", "read", "/d/in", ";", "write", "/d/out", "back",
              stdin="through the pipe\n")
    assert done.returncode == 0, done.stderr
    for part in ("one", "two words", "through the pipe", "from the machine"):
        assert part in done.stdout, done.stdout
    assert (tmp_path / "out").read_text() == "back\n"
    refused = go("-v", f"{tmp_path}:/d:ro", ACTOR, "write", "/d/out", "again")
    assert refused.returncode == 1
    assert (tmp_path / "out").read_text() == "back\n"


def test_guests_options_are_not_ours(go):
    assert go(ACTOR, "print", "--env", "-q", "--help").stdout == "--env -q --help\n"


def test_a_memory_limit_holds(go):
    assert go("--memory", "16m", ACTOR, "grow", "64").returncode == 137


def test_a_component_runs_like_a_module(go):
    assert go(GUESTS / "actor-component.wasm", "print", "part").stdout == "part\n"


def test_the_example_manifest_sails(go):
    done = go("examples/run/boat.yaml", cwd=ROOT, flags=())
    assert done.returncode == 0, done.stderr
    for part in ("hiring the crew", "west by north", "half way across"):
        assert part in done.stdout, done.stdout


def test_a_manifest_with_a_job_and_its_configmap(go, tmp_path):
    manifest = tmp_path / "job.yaml"
    manifest.write_text(f"""\
apiVersion: v1
kind: ConfigMap
metadata: {{name: words}}
data: {{note: from the map}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: job}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: {ACTOR}
        args: [read, /c/note, ;, exit, "5"]
        volumeMounts: [{{name: c, mountPath: /c}}]
      volumes: [{{name: c, configMap: {{name: words}}}}]
""")
    done = go(manifest)
    assert "from the map" in done.stdout
    assert done.returncode == 5


@pytest.mark.parametrize("text,words", [
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containrs: []}\n", "containrs"),
    ("apiVersion: v1\nkind: Pond\nmetadata: {name: x}\n", "Pond"),
    ("a: [", "bad.yaml"), ("", "bad.yaml"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: UP, image: x}]}\n",
     "UP")])
def test_a_bad_manifest_is_refused_with_its_place(go, tmp_path, text, words):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    done = go(file)
    assert done.returncode == 125 and words in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) <= 2, done.stderr


def test_what_cannot_be_run_is_125(go, tmp_path):
    text = tmp_path / "text.wasm"
    text.write_text("no module")
    assert "neither a Wasm module nor an OCI archive" in go(text).stderr
    assert go(text).returncode == 125
    assert go(tmp_path / "absent.wasm").returncode == 125


def test_an_image_of_a_registry_runs(go, cluster):
    done = go("--plain-http", cluster.registry, cluster.push("actor"), "print", "pulled", flags=())
    assert (done.returncode, done.stdout) == (0, "pulled\n"), done.stderr


def start(skiff, root_dir, *words, **options):
    return subprocess.Popen([str(w) for w in (skiff, "run", "-q", "--root-dir", root_dir, *words)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_interrupting_stops_at_once_and_leaves_nothing(skiff, root_dir):
    before = engines()
    process = start(skiff, root_dir, ACTOR, "print", "up", ";", "hold")
    assert process.stdout.readline() == "up\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (130, 143)
    assert time.monotonic() - begun < 8
    wait_until(lambda: engines() <= before, 10, "the keeper ends")


def test_killing_skiff_run_kills_its_pods(skiff, root_dir):
    before = engines()
    process = start(skiff, root_dir, ACTOR, "print", "up", ";", "hold")
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.wait(timeout=10)
    wait_until(lambda: engines() <= before, 10, "keeper and runner end")


class Standalone:
    """`skiff node --standalone` with a folder of static pods."""

    def __init__(self, skiff, tmp_path):
        self.skiff, self.manifests = skiff, tmp_path / "manifests"
        self.manifests.mkdir()
        self.run_dir = f"/run/skiff-e2e-{os.getpid()}"
        self.log = tmp_path / "agent.log"
        self.flags = ["--root-dir", tmp_path / "root", "--run-dir", self.run_dir, "--pod-log-dir",
                      tmp_path / "pods", "--port", "10450", "--healthz-port", "0"]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [str(w) for w in (self.skiff, "node", "--standalone", "--pod-manifest-path",
                              self.manifests, "--file-check-frequency", "1s", *self.flags)],
            stdout=subprocess.DEVNULL, stderr=open(self.log, "a"))

    def put(self, name, *args, policy="Always"):
        (self.manifests / f"{name}.yaml").write_text(json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
             "spec": {"restartPolicy": policy, "containers": [
                 {"name": "main", "image": str(ACTOR), "args": list(args)}]}}))

    def call(self, *words):
        return run([self.skiff, *words, "--run-dir", self.run_dir], check=False)

    def pods(self):
        done = self.call("ps", "-o", "json")
        return {p["metadata"]["name"]: p for p in json.loads(done.stdout)} if not done.returncode else {}

    def phase(self, name):
        found = next((p for n, p in self.pods().items() if n.startswith(name)), None)
        return found and found["status"].get("phase")

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=20)
        done = run([self.skiff, "node", "reset", "--all", *self.flags], check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def standalone(skiff, tmp_path):
    its = Standalone(skiff, tmp_path)
    its.start()
    yield its
    its.close()


def test_standalone_runs_the_pods_of_a_folder(standalone):
    its = standalone
    its.put("ticker", "print", "tick", ";", "hold")
    its.put("once", "print", "done", ";", "exit", "3", policy="Never")
    wait_until(lambda: its.phase("ticker") == "Running" and its.phase("once") == "Failed", 30,
               lambda: f"{its.call('ps')} {its.log.read_text()[-2000:]}")
    name = next(n for n in its.pods() if n.startswith("once"))
    assert its.call("logs", name).stdout == "done\n"
    table = its.call("ps").stdout.splitlines()
    assert table[0].split()[:4] == ["NAMESPACE", "NAME", "READY", "STATUS"]
    assert any("Running" in line and "ticker" in line for line in table)
    (its.manifests / "ticker.yaml").unlink()
    wait_until(lambda: its.phase("ticker") is None, 30, lambda: its.call("ps").stdout)


def test_standalone_pods_outlive_their_agent(standalone):
    its = standalone
    its.put("stay", "hold")
    wait_until(lambda: its.phase("stay") == "Running", 30, lambda: its.log.read_text()[-2000:])
    before = next(iter(its.pods().values()))["status"]["containerStatuses"][0]
    its.process.kill()
    its.process.wait()
    its.start()
    wait_until(lambda: its.phase("stay") == "Running", 30, lambda: its.log.read_text()[-2000:])
    after = next(iter(its.pods().values()))["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)


def test_asking_where_no_node_is_says_so(skiff, tmp_path):
    done = run([skiff, "ps", "--run-dir", tmp_path], check=False)
    assert done.returncode != 0 and "is `skiff node` running" in done.stderr
