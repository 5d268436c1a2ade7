"""`skiff run`, `ps`, `logs` and `skiff node --standalone`: no cluster."""

import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import ROOT
from kube import run, wait_until
from machine import stat_of
from standalone import ACTOR

GUESTS = ROOT / "build/guests"


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


def is_of_others(pid):
    """Whether it came of another process that runs tests beside this one."""
    while fields := stat_of(pid):
        parent = int(fields[1])
        if parent == os.getppid():
            return int(pid) != os.getpid()
        pid = parent
    return False


def engines():
    """Processes of this test's `skiff run` instances, or of nobody's: what is left when theirs has died."""
    done = subprocess.run(["pgrep", "-f", "skiff-engine keep --run-dir=[^ ]*/skiff-run-"],
                          capture_output=True, text=True)
    return {pid for pid in done.stdout.split() if not is_of_others(pid)}


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


def test_a_memory_limit_holds_and_is_named(go):
    done = go("--memory", "16m", ACTOR, "grow", "64")
    assert done.returncode == 137
    told = re.search(r"OOMKilled .*limit of 16777216 bytes .* asked for (\d+) bytes", done.stderr)
    assert told and int(told[1]) > 16 << 20, done.stderr
    assert go("--memory", "16m", ACTOR, "try-grow", "64", ";", "print", "alive").returncode == 0
    assert go("--memory", "128m", ACTOR, "grow", "64").returncode == 0


def test_a_cpu_limit_throttles(skiff, root_dir):
    def turns(*flags):
        process = start(skiff, root_dir, *flags, ACTOR, "spin", "2")
        return lambda: int(process.communicate(timeout=40)[0].split()[1])

    # Side by side, so that both have the same machine.
    limited, free = turns("--cpus", "0.1"), turns()
    limited, free = limited(), free()
    assert 0 < limited < free / 2, (limited, free)


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


def test_a_pod_that_cannot_be_set_up_is_given_up(go, tmp_path):
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "c", "image": f"{ROOT}/build/guests/hello.wasm",
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "hostPath": {"path": str(tmp_path / "absent"),
                                               "type": "Directory"}}]}}
    file = tmp_path / "pod.json"
    file.write_text(json.dumps(manifest))
    done = go(file)
    assert done.returncode == 125, done.stderr
    assert "FailedMount" in done.stderr and str(tmp_path / "absent") in done.stderr, done.stderr


def test_an_image_of_a_registry_runs(go, cluster):
    done = go("--plain-http", cluster.registry, cluster.push("actor"), "print", "pulled", flags=())
    assert (done.returncode, done.stdout) == (0, "pulled\n"), done.stderr


@pytest.fixture(scope="module")
def layouts(cluster, tmp_path_factory):
    """An image as other tools put it on disk: an OCI layout folder and an OCI archive."""
    folder = tmp_path_factory.mktemp("layouts")
    for target in (f"oci:{folder}/layout:v1", f"oci-archive:{folder}/archive.tar:v1"):
        run(["skopeo", "copy", "-q", "--src-tls-verify=false",
             f"docker://{cluster.push('actor', 'on-disk:1', '--format', 'compat')}", target])
    return folder


@pytest.mark.parametrize("name", ["layout", "layout:v1", "archive.tar"])
def test_an_image_on_disk_runs(go, layouts, name):
    done = go(layouts / name, "print", "from disk", ";", "write", "/x", "1", ";", "exit", "4")
    assert (done.returncode, done.stdout) == (4, "from disk\n"), done.stderr


def test_a_name_that_a_layout_lacks_is_told(go, layouts):
    done = go(layouts / "layout:v2")
    assert done.returncode == 125 and "v2" in done.stderr, done.stderr


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


@pytest.mark.parametrize("errors", [subprocess.PIPE, subprocess.STDOUT])
def test_output_that_nobody_reads_ends_it(skiff, root_dir, errors):
    """`skiff run … | head -1`, and the same with 2>&1."""
    before = engines()
    process = subprocess.Popen([str(w) for w in (skiff, "run", "--root-dir", root_dir, ACTOR, "flood",
                                                 1_000_000_000, 20, ";", "hold")],
                               stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    if errors == subprocess.PIPE:
        assert process.stderr.read() == ""
    wait_until(lambda: engines() <= before, 10, "the keeper ends")


def test_what_is_shown_may_be_read_in_part(skiff, root_dir):
    for words in (("inspect", "--root-dir", root_dir, ACTOR), ("image", "ls", "--run"),
                  ("config", "reference")):
        with subprocess.Popen([str(w) for w in (skiff, *words)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            process.stdout.close()
            assert process.stderr.read() == "", words
            assert process.wait(timeout=20) in (0, -signal.SIGPIPE), words


def test_killing_skiff_run_kills_its_pods(skiff, root_dir):
    before = engines()
    process = start(skiff, root_dir, ACTOR, "print", "up", ";", "hold")
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.wait(timeout=10)
    wait_until(lambda: engines() <= before, 10, "keeper and runner end")


def test_a_deployment_in_a_file_runs_its_replicas_until_it_is_stopped(skiff, root_dir, tmp_path):
    manifest = tmp_path / "fleet.yaml"
    manifest.write_text(json.dumps({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fleet"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "fleet"}}, "template": {
            "metadata": {"labels": {"app": "fleet"}},
            "spec": {"containers": [{"name": "main", "image": str(ACTOR), "env": [
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "args": ["env", "POD", ";", "hold"]}]}}}}))
    before = engines()
    process = start(skiff, root_dir, manifest)
    lines = sorted(process.stdout.readline() for _ in range(3))
    names = [line.split("POD=")[1].strip() for line in lines]
    assert len(set(names)) == 3 and all(name.startswith("fleet-") for name in names), lines
    assert all(name in line.split("POD=")[0] for name, line in zip(names, lines)), lines
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (130, 143)
    wait_until(lambda: engines() <= before, 10, "the keeper ends")


def test_a_terminal_is_the_guests(skiff, root_dir):
    ours, theirs = os.openpty()
    process = subprocess.Popen([str(w) for w in (skiff, "run", "-q", "-it", "--root-dir", root_dir,
                                                 ACTOR, "terminal", ";", "stdin", ";", "exit", "3")],
                               stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    # The line, and the end of input as a user types it.
    os.write(ours, b"ahoy\n\x04")
    assert process.wait(timeout=30) == 3
    told = os.read(ours, 4096).decode().replace("\r\n", "\n")
    os.close(ours)
    for stream in (0, 1, 2):
        assert f"{stream} terminal\n" in told, told
    # Once as the terminal's echo, once from the guest, and not once more from its log.
    assert told.count("ahoy") == 2, told


def test_without_a_terminal_there_is_none(go):
    assert go(ACTOR, "terminal").stdout == "0 none\n1 none\n2 none\n"
    done = go("-it", ACTOR, "stdin", stdin="through a pipe\n")
    assert done.stdout == "through a pipe\n" and "no terminal" in done.stderr, done


@pytest.fixture
def ordinary(skiff):
    """Runs `skiff run` as `nobody`, from a folder of his with copies of what he may not reach."""
    user = pwd.getpwnam("nobody")
    home = pathlib.Path(tempfile.mkdtemp(prefix="skiff-nobody-", dir="/tmp"))
    for file in (skiff, pathlib.Path(skiff).with_name("skiff-engine"), ACTOR):
        shutil.copy(file, home)
    for path in (home, *home.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid)

    def call(*words):
        return run([home / "skiff", "run", *words], check=False, timeout=60, cwd=home,
                   user=user.pw_uid, group=user.pw_gid, extra_groups=[],
                   env={"HOME": str(home), "PATH": "/usr/bin:/bin"})

    call.home = home
    yield call
    shutil.rmtree(home)


def test_an_ordinary_user_runs_pods_and_is_told_once_what_is_weaker(ordinary):
    before = engines()
    done = ordinary("-v", f"{ordinary.home}:/d", "actor.wasm", "print", "mine", ";", "write",
                    "/d/note", "from the guest", ";", "exit", "5")
    assert (done.returncode, done.stdout) == (5, "mine\n"), done.stderr
    weaker, = [line for line in done.stderr.splitlines() if "warn" in line]
    assert "weaker" in weaker and "user id" in weaker and "control groups" in weaker
    note = ordinary.home / "note"
    assert note.read_text() == "from the guest\n"
    assert note.stat().st_uid == ordinary.home.stat().st_uid
    wait_until(lambda: engines() <= before, 10, "the keeper ends")
    assert ordinary("-q", "-m", "16m", "actor.wasm", "grow", "64").returncode == 137


def test_an_ordinary_user_runs_a_layered_image_and_nothing_of_it_stays(ordinary, layouts):
    shutil.copy(layouts / "archive.tar", ordinary.home)
    done = ordinary("archive.tar", "write", "/x", "1", ";", "read", "/x", ";", "exit", "6")
    assert (done.returncode, done.stdout) == (6, "1\n"), done.stderr
    assert not re.search("not removed|reset|denied", done.stderr), done.stderr
    pods = ordinary.home / ".local/share/skiff/0/pods"
    assert not pods.exists() or not list(pods.iterdir())


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
