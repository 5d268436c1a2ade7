"""Client libraries that are not kubectl run commands and forward ports (test/clients)."""

import json
import shutil
import sys

import pytest

from clients import installed
from conftest import ROOT
from kube import pod, run
from test_engine import port, serve  # noqa: F401 (a fixture)

CLIENTS = ROOT / "test/clients"


def key_of(*files):
    return b"".join((CLIENTS / file).read_bytes() for file in files)


def install_python(folder):
    run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", folder,
         "-r", CLIENTS / "requirements.txt"], timeout=300)


def install_javascript(folder):
    for file in ("package.json", "package-lock.json"):
        shutil.copy(CLIENTS / file, folder)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], timeout=300, cwd=folder)


def python_client():
    folder = installed("python", key_of("requirements.txt"), install_python)
    return [sys.executable, CLIENTS / "streams.py"], {"PYTHONPATH": str(folder)}


def javascript_client():
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    folder = installed("javascript", key_of("package.json", "package-lock.json"), install_javascript)
    # Modules are looked up from where the script is.
    shutil.copy(CLIENTS / "streams.mjs", folder)
    return ["node", folder / "streams.mjs"], {}


@pytest.mark.parametrize("client", [python_client, javascript_client])
def test_a_client_library_runs_commands_and_forwards_ports(kube, cluster, client, port):  # noqa: F811
    command, environ = client()
    kube.apply(pod("boat", cluster.push("actor"), "hold"))
    serve(kube, cluster, "http-hello", "web", port)
    kube.wait_ready("boat", 60)
    done = run([*command, kube.namespace, "boat", "web", port], timeout=120,
               env=dict(kube.environ, **environ))
    found = json.loads(done.stdout)
    assert (found["stdout"], found["stderr"], found["code"]) == ("ahoy\n", "oops\n", 3)
    assert found["echo"] == "one\ntwo\n"
    assert found["answer"].startswith("HTTP/1.1 200") and "Hello from Skiff!" in found["answer"]
    assert not found["error"]
