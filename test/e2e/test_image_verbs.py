"""`skiff image`: with an agent, which owns the store, and without one."""

import json

import pytest

from conftest import ROOT
from kube import run, wait_until
from layouts import layered_layout
from standalone import ACTOR

COMPONENT = ROOT / "build/guests/actor-component.wasm"


@pytest.fixture
def its(standalone):
    """The node, and what it has compiled."""
    standalone.compiled = lambda: sorted(
        p.name for p in (standalone.root / "compiled").iterdir()
        if not p.name.startswith(".") and not p.name.endswith(".facts"))
    standalone.images = lambda: json.loads(ok(standalone.call("image", "ls", "-o", "json")))["images"]
    return standalone


def ok(done):
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def running(its, name, image=ACTOR, *args):
    its.put(name, *(args or ("hold",)), image=image)
    wait_until(lambda: its.phase(name) == "Running", 30, lambda: its.log.read_text()[-2000:])


def gone(its, name):
    (its.manifests / f"{name}.yaml").unlink()
    wait_until(lambda: its.phase(name) is None, 30, lambda: its.call("ps").stdout)


def remove_image(its, name):
    """What `image rm` says. A pod that has gone from the list lets go of its image a moment later."""
    def attempt():
        done = its.call("image", "rm", name)
        return done if done.returncode == 0 else None

    return wait_until(attempt, 10, lambda: its.call("image", "rm", name).stderr).stdout


def test_the_agent_lists_compiles_and_removes(its):
    running(its, "stay")
    image, = its.images()
    name = image["reference"]
    assert name.startswith("localhost/actor:") and image["size"] > ACTOR.stat().st_size
    table = ok(its.call("image", "ls")).splitlines()
    assert table[0].split() == ["IMAGE", "DIGEST", "SIZE"] and table[1].split()[0] == name
    assert "is compiled already" in ok(its.call("image", "precompile", name))
    assert len(its.compiled()) == 1
    assert " compiled in " in ok(its.call("image", "precompile", name, "--runtime", "pulley"))
    assert len(its.compiled()) == 2
    refused = its.call("image", "rm", name)
    assert refused.returncode == 1 and "is needed by" in refused.stderr and "stay" in refused.stderr
    assert its.images() and len(its.compiled()) == 2
    gone(its, "stay")
    assert "freed" in remove_image(its, name)
    assert its.images() == [] and its.compiled() == []
    again = its.call("image", "rm", name)
    assert again.returncode == 1 and "no image" in again.stderr
    # And the next pod has it loaded and compiled anew.
    running(its, "later")
    assert len(its.compiled()) == 1


def test_every_module_of_a_layered_image(its, tmp_path):
    layout = layered_layout(tmp_path / "img", {"/main.wasm": ACTOR.read_bytes(), "/tool.wasm": COMPONENT.read_bytes()},
                            Entrypoint=["/main.wasm"])
    running(its, "layered", layout)
    name = its.images()[0]["reference"]
    assert ok(its.call("image", "precompile", name)).count("\n") == 1
    both = ok(its.call("image", "precompile", "--all", name)).splitlines()
    assert len(both) == 2 and "/main.wasm" in both[0] and "already" in both[0], both
    assert "/tool.wasm" in both[1] and " compiled in " in both[1], both
    assert len(its.compiled()) == 2
    # The same module as an image of its own: its code outlives the layered one.
    running(its, "alone")
    gone(its, "layered")
    remove_image(its, name)
    assert len(its.compiled()) == 1


def test_bad_requests_are_told(its):
    # Not by `image ls`: before there is an agent it opens the store itself, and holds it.
    wait_until(lambda: its.call("ps").returncode == 0, 20, lambda: its.log.read_text()[-2000:])
    for words, said in ((("precompile", "UPPER CASE"), "reference"),
                        (("precompile", "localhost:1/nobody:1"), "localhost:1"),
                        (("rm", "example.com/none:1"), "no image"),
                        (("ls", "--root-dir", "/elsewhere"), "not below /elsewhere")):
        done = its.call("image", *words)
        assert done.returncode == 1 and said in done.stderr, (words, done.stderr)
    assert its.call("image", "precompile", "x", "--runtime", "v8").returncode == 2


def test_nobody_else_writes_an_agents_store(its, tmp_path):
    running(its, "stay")
    # Where it does not listen.
    done = run([its.skiff, "image", "rm", "x", "--root-dir", its.root, "--run-dir", tmp_path / "other"], check=False)
    assert done.returncode == 1 and str(its.process.pid) in done.stderr, done.stderr


def test_without_an_agent_the_store_is_opened_and_what_runs_goes_on(its):
    running(its, "stay")
    name = its.images()[0]["reference"]
    container = next(iter(its.pods().values()))["status"]["containerStatuses"][0]["containerID"]
    its.process.kill()
    its.process.wait()
    here = ("--root-dir", its.root)
    assert name in ok(its.call("image", "ls", *here))
    assert "is compiled already" in ok(its.call("image", "precompile", name, *here))
    refused = its.call("image", "rm", name, *here)
    assert refused.returncode == 1 and "is needed by" in refused.stderr, refused.stderr
    its.start()
    wait_until(lambda: its.phase("stay") == "Running", 30, lambda: its.log.read_text()[-2000:])
    now = next(iter(its.pods().values()))["status"]["containerStatuses"][0]
    assert (now["containerID"], now["restartCount"]) == (container, 0)
    gone(its, "stay")
    its.process.terminate()
    its.process.wait(timeout=20)
    assert "freed" in ok(its.call("image", "rm", name, *here))
    assert its.compiled() == []


def test_the_images_of_skiff_run(skiff, tmp_path):
    root = ("--root-dir", tmp_path / "root")
    assert run([skiff, "run", "-q", *root, ACTOR, "exit", "3"], check=False).returncode == 3
    listed = ok(run([skiff, "image", "ls", "--run", *root], check=False)).splitlines()
    name = listed[1].split()[0]
    assert "is compiled already" in ok(run([skiff, "image", "precompile", "--run", *root, name], check=False))
    ok(run([skiff, "image", "rm", "--run", *root, name], check=False))
    assert len(ok(run([skiff, "image", "ls", "--run", *root], check=False)).splitlines()) == 1
