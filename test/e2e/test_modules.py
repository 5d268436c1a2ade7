"""Real input that nobody here wrote, unchanged, from the registry; and every example manifest."""

import json
import pathlib
import re

import pytest

from conftest import ROOT
from kube import pod, run, terminated_of, wait_until

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="session")
def pushed(cluster):
    """All example images are in the cluster's registry."""
    run([EXAMPLES / "push", cluster.registry], timeout=120)
    return cluster.registry


def apply_example(kube, registry, name):
    kube.apply((EXAMPLES / name).read_text().replace("REGISTRY", registry))


def test_boolector_solves_a_puzzle_from_a_configmap(kube, pushed):
    apply_example(kube, pushed, "modules/boolector.yaml")
    kube.wait_pod("boolector", lambda p: terminated_of(p), 120)
    told = kube.logs("boolector")
    assert told.startswith("sat\n"), told
    value = re.search(r"\(\(x #b([01]{8})\)\)", told)
    assert value, told
    root = int(value.group(1), 2)
    assert root * root % 256 == 0x31 and root < 16


def test_resvg_renders_a_png_onto_a_host_folder(kube, pushed, files):
    files = pathlib.Path(files)
    (files / "boat.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="20">'
        '<rect width="32" height="20" fill="#ff0000"/></svg>')
    kube.apply(pod("render", f"{pushed}/resvg:1", "/work/boat.svg", "/work/boat.png",
                   volumeMounts=[{"name": "work", "mountPath": "/work"}],
                   volumes=[{"name": "work", "hostPath": {"path": str(files)}}]))
    kube.wait_phase("render", "Succeeded", seconds=120)
    picture = (files / "boat.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture[12:16] == b"IHDR"
    assert (int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")) == (32, 20)


def test_resvg_hands_its_picture_to_the_next_container(kube, pushed):
    apply_example(kube, pushed, "modules/resvg.yaml")
    kube.wait_phase("resvg", "Succeeded", seconds=120)
    assert re.search(r"[1-9]\d\d", kube.logs("resvg")), "the picture's size"


def test_cpython_runs_a_program_from_a_configmap(kube, pushed):
    apply_example(kube, pushed, "modules/python.yaml")
    kube.wait_phase("python", "Succeeded", seconds=180)
    told = json.loads(kube.logs("python"))
    assert told == {"python": "3.12.0", "pod": "python", "primes": 25, "last": 97}
    size = r"python\.wasm \((2\d(\.\d+)? MiB)\)"
    compiling, compiled = (kube.wait_event("python", reason)["message"]
                           for reason in ("Compiling", "Compiled"))
    assert re.fullmatch(f"Compiling module {size}", compiling), compiling
    assert re.fullmatch(rf"Compiled module {size} in (\d+m)?[\d.]+m?s", compiled), compiled


def test_a_python_component_runs(kube, pushed):
    apply_example(kube, pushed, "modules/python-component.yaml")
    kube.wait_phase("python-component", "Succeeded", seconds=180)
    assert "ahoy" in kube.logs("python-component")


@pytest.mark.long
def test_yosys_synthesises_a_counter(kube, cluster, pushed):
    cluster.push("yosys")
    apply_example(kube, pushed, "modules/yosys.yaml")
    kube.wait_event("yosys", "Compiling", seconds=120)
    kube.wait_phase("yosys", "Succeeded", seconds=480)
    assert "cells" in kube.logs("yosys")


def test_configuration_example_shows_every_source(kube, pushed, node):
    apply_example(kube, pushed, "config.yaml")
    kube.wait_phase("config", "Succeeded")
    told = kube.logs("config")
    for line in ("ahoy, crew of two", "Lisbon", "Madeira", "17-4-42", str(16 << 20), node,
                 "combination", 'crew="two"'):
        assert line in told, told


def test_job_example_counts_to_five(kube, pushed):
    apply_example(kube, pushed, "job.yaml")
    name = kube.get("jobs")["items"][0]["metadata"]["name"]
    kube("wait", f"job/{name}", "--for=condition=Complete", "--timeout=60s", timeout=70)
    assert kube.get("job", name)["status"]["succeeded"] == 5


def test_deployment_example_becomes_available(kube, pushed):
    apply_example(kube, pushed, "deployment.yaml")
    its = kube.get("deployments")["items"][0]["metadata"]["name"]
    kube("wait", f"deployment/{its}", "--for=condition=Available", "--timeout=60s", timeout=70)


def test_cronjob_example_is_taken_and_its_job_runs(kube, pushed):
    apply_example(kube, pushed, "cronjob.yaml")
    its = kube.get("cronjobs")["items"][0]["metadata"]["name"]
    # The next full minute may be far: start one job by hand, as an operator would.
    kube("create", "job", "now", f"--from=cronjob/{its}")
    kube("wait", "job/now", "--for=condition=Complete", "--timeout=60s", timeout=70)


@pytest.mark.parametrize("name", ["greet", "hello-world-assemblyscript", "hello-world-c",
                                  "hello-world-rust"])
def test_krustlet_demo_runs_unchanged(kube, pushed, name):
    apply_example(kube, pushed, f"krustlet/{name}.yaml")
    its = kube.get("pods")["items"][0]["metadata"]["name"]

    def ended_well(found):
        status = (found["status"].get("containerStatuses") or [{}])[0]
        state = {**status.get("lastState", {}), **status.get("state", {})}
        return state.get("terminated", {}).get("exitCode") == 0

    kube.wait_pod(its, ended_well, 60)
    words = ["Hello, world!"] if name == "greet" else ["bar", "cool stuff"]

    def printed():
        told = kube.logs(its)
        return all(word in told for word in words)

    # It may have been started again: then these are the logs of one that has not ended.
    wait_until(printed, 10, lambda: f"{words} in {kube.logs(its)}")


def test_krustlet_server_demo_stays_up(kube, pushed):
    apply_example(kube, pushed, "krustlet/simpleserver.yaml")
    kube.wait_ready(kube.get("pods")["items"][0]["metadata"]["name"], 60)


def test_krustlet_wasmerciser_passes(kube, pushed):
    apply_example(kube, pushed, "krustlet/wasmerciser.yaml")
    kube.wait_phase("wasmerciser", "Succeeded")
    assert "fairly unique" in kube.logs("wasmerciser")
