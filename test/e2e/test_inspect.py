"""`skiff inspect`: what a module is and would be granted, told without running it."""

import hashlib
import json
import pathlib
import sys

import pytest

from compiler import compile_module
from conftest import ROOT
from kube import run
from layouts import artifact_layout, layered_layout
from standalone import ACTOR

sys.path.insert(0, str(ROOT / "test"))
import bombs  # noqa: E402

COMPONENT = ROOT / "build/guests/actor-component.wasm"


@pytest.fixture
def inspect(skiff, tmp_path):
    def call(*words):
        return run([skiff, "inspect", *words], check=False, timeout=60)
    return call


@pytest.fixture
def own_root(tmp_path):
    """Images are looked at in the store of `skiff run`: one of this test's own."""
    return ("--root-dir", tmp_path / "root")


def told(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_core_module_is_told(inspect):
    text = inspect(ACTOR).stdout
    for part in ("core module, WASI 0.1, command", "wasi_snapshot_preview1", "fd_write", "_start",
                 "none: a core module has no sockets", hashlib.sha256(ACTOR.read_bytes()).hexdigest()):
        assert part in text, text
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= 100, text
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_a_component_is_told_with_versions(inspect):
    module = told(inspect(COMPONENT, "-o", "json"))["module"]
    assert (module["kind"], module["command"], module["server"]) == ("component", True, False)
    assert module["wasi"] == "0.2" and module["runtimes"]["wasmtime"] == {"runs": True}
    assert any(i.startswith("wasi:cli/exit@0.2.") for i in module["imports"]), module
    assert not module["runtimes"]["wasmi"]["runs"]
    refused = inspect(COMPONENT, "--runtime", "wasmi")
    assert refused.returncode == 1 and "wasmi" in refused.stdout and "component" in refused.stdout


def test_what_an_engine_lacks_is_named(inspect, tmp_path):
    (tmp_path / "x.wasm").write_bytes(bombs.many_imports(3))
    done = inspect(tmp_path / "x.wasm")
    assert done.returncode == 1
    assert "env f0, env f1, env f2" in done.stdout, done.stdout


def test_what_is_no_module_is_told(inspect, tmp_path):
    (tmp_path / "x.wasm").write_text("#!/bin/sh\n")
    done = inspect(tmp_path / "x.wasm")
    assert done.returncode == 1 and "script" in done.stdout, done.stdout
    nothing = inspect(tmp_path / "nowhere.wasm", "--root-dir", tmp_path / "r", "--pull", "never")
    assert nothing.returncode == 1 and "nowhere" in nothing.stderr, nothing.stderr


def test_a_module_that_never_ends_to_be_read_is_bounded(inspect, tmp_path):
    """A million imports make a report, not a flood."""
    (tmp_path / "x.wasm").write_bytes(bombs.BOMBS["imports-1m"]())
    done = inspect(tmp_path / "x.wasm", "-o", "json")
    assert done.returncode == 1 and len(done.stdout) < 4 << 20, done.stderr
    assert not done.stderr, done.stderr
    assert "more" in json.loads(done.stdout)["module"]["runtimes"]["wasmtime"]["message"]


def test_an_artifact_in_a_layout(inspect, own_root, tmp_path):
    layout = artifact_layout(tmp_path / "art", ACTOR.read_bytes())
    found = told(inspect(layout, *own_root, "-o", "json"))
    assert found["kind"] == "artifact" and found["module"]["kind"] == "core"
    assert found["module"]["digest"] == "sha256:" + hashlib.sha256(ACTOR.read_bytes()).hexdigest()


def test_a_layered_image_names_its_entrypoint_and_lists_the_rest(inspect, own_root, tmp_path):
    layout = layered_layout(tmp_path / "img", {"/app/main.wasm": ACTOR.read_bytes(),
                                               "/app/tool.wasm": COMPONENT.read_bytes(), "/notes": b"x"},
                            Entrypoint=["/app/main.wasm"], Cmd=["hold"])
    found = told(inspect(layout, *own_root, "-o", "json"))
    assert found["command"] == ["/app/main.wasm", "hold"]
    assert found["module"]["name"] == "/app/main.wasm"
    assert [f["path"] for f in found["files"]] == ["/app/tool.wasm"]
    other = told(inspect(layout, *own_root, "-o", "json", "--file", "/app/tool.wasm"))
    assert other["module"]["kind"] == "component"
    assert [f["path"] for f in other["files"]] == ["/app/main.wasm"]
    assert "Other modules in the image" in inspect(layout, *own_root).stdout
    missing = inspect(layout, *own_root, "--file", "/nowhere.wasm")
    assert missing.returncode == 1 and "/nowhere.wasm" in missing.stderr


def test_native_code_in_an_image_is_never_taken(inspect, skiff, own_root, tmp_path):
    """Not even code that this engine would have made itself."""
    engine = pathlib.Path(skiff).parent / "skiff-engine"
    made = tmp_path / "actor.cwasm"
    outcome = compile_module(engine, ACTOR.read_bytes(), keep=made)
    assert outcome.code == "ok" and made.read_bytes().startswith(b"\x7fELF")
    layout = artifact_layout(tmp_path / "art", made.read_bytes())
    done = run([skiff, "run", "-q", *own_root, layout], check=False)
    assert done.returncode == 125 and "not a Wasm module" in done.stderr and "(ELF)" in done.stderr, done.stderr
    done = inspect(layout, *own_root)
    assert done.returncode == 1 and "(ELF)" in done.stdout, done.stdout
