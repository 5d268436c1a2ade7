"""The build without the compiler (preset no-compiler, Wasmi only): its own tests, and pods that it runs.

Takes ten minutes where the engine's dependencies were never built that way: the compiler's Wasmtime is of no use to it.
"""

import json
import subprocess

import pytest

from conftest import ROOT
from kube import run, wait_until
from standalone import ACTOR, Standalone

BUILD = ROOT / "build/no-compiler"
COMPONENT = ROOT / "build/guests/actor-component.wasm"

# They compile guests to native code; what they test of Wasmi, the crate's tests and the pods below do here.
OF_THE_COMPILER = ("engine_test", "runtime_test", "wasm_test")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def small():
    """Path of `skiff` whose engine has no compiler."""
    run([ROOT / "dev", "--preset", "no-compiler", "build"], timeout=2700, stdin=subprocess.DEVNULL)
    return BUILD / "bin/skiff"


@pytest.fixture(scope="module")
def root_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("no-compiler-root")


@pytest.fixture
def go(small, root_dir):
    def call(*words, **options):
        return run([small, "run", "-q", "--root-dir", root_dir, *words], check=False, **options)
    return call


@pytest.fixture
def node(small, tmp_path):
    its = Standalone(small, tmp_path)
    its.start()
    yield its
    its.close()


def test_its_own_tests_pass(small):
    done = run(["ctest", "--test-dir", BUILD, "-R", "^engine_", "--output-on-failure"], check=False, timeout=1800)
    assert done.returncode == 0 and "100% tests passed, 0 tests failed out of 2" in done.stdout, done.stdout[-6000:]
    programs = [program for program in sorted((BUILD / "bin").glob("*_test"))
                if "_live_" not in program.name and program.name not in OF_THE_COMPILER]
    for program in programs:
        done = run([program, "--gtest_brief=1"], check=False, timeout=300)
        assert done.returncode == 0, f"{program.name}: {done.stdout[-6000:]}{done.stderr[-2000:]}"
    assert len(programs) > 15


def test_it_says_what_it_has(small):
    told = run([small.with_name("skiff-engine"), "version"]).stdout.splitlines()
    assert "runtimes=wasmi" in told


@pytest.mark.parametrize("flags", [(), ("--runtime", "wasmi")])
def test_a_core_module_runs(go, flags, tmp_path):
    done = go(*flags, "-e", "A=one", "-v", f"{tmp_path}:/d", ACTOR, "env", "A", ";", "write", "/d/out", "back", ";",
              "eprint", "err", ";", "exit", "7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "A=one\n", "err\n")
    assert (tmp_path / "out").read_text() == "back\n"


def test_the_memory_limit_holds(go):
    done = go("--memory", "16m", ACTOR, "grow", "64")
    assert done.returncode == 137 and "OOMKilled" in done.stderr, done.stderr
    assert go("--memory", "16m", ACTOR, "try-grow", "64", ";", "print", "alive").stdout.endswith("alive\n")


@pytest.mark.parametrize("runtime", ["wasmtime", "pulley"])
def test_another_engine_is_refused_by_name(go, runtime):
    done = go("--runtime", runtime, ACTOR, "print", "hello")
    assert done.returncode != 0 and done.stdout == ""
    assert f'no runtime for handler "{runtime}"; this node has wasmi' in done.stderr, done.stderr


def test_a_component_is_refused_by_name(go):
    done = go(COMPONENT, "print", "hello")
    assert done.returncode != 0 and done.stdout == ""
    assert "wasmi runs core modules only, and this is a component" in done.stderr, done.stderr


def test_inspect_says_which_engines_are_missing(small):
    done = run([small, "inspect", "-o", "json", ACTOR])
    told = json.loads(done.stdout)["module"]["runtimes"]
    assert told["wasmi"]["runs"] is True
    for runtime in ("wasmtime", "pulley"):
        assert told[runtime]["runs"] is False and "this build has no compiler" in told[runtime]["message"], told


def test_a_node_of_it_runs_pods_and_commands_in_them(node, small):
    node.put("stay", "print", "ready", ";", "hold")
    node.put("ends", "exit", "3", policy="Never")
    wait_until(lambda: (node.phase("stay"), node.phase("ends")) == ("Running", "Failed"), 60,
               lambda: f"{node.call('ps').stdout} {node.log.read_text()[-2000:]}")
    pod = next(name for name in node.pods() if name.startswith("stay"))
    assert node.call("logs", pod).stdout == "ready\n"
    command = [small, "exec", "--run-dir", node.run_dir, pod, "--", "sh", "-c", "echo $((6 * 7)) | wc -c"]
    assert run(command, check=False).stdout.split() == ["3"]
    # The default is what this node has.
    image = json.loads(node.call("image", "ls", "-o", "json").stdout)["images"][0]["reference"]
    done = node.call("image", "precompile", image)
    assert done.returncode == 0 and "is compiled already" in done.stdout, done.stdout + done.stderr
