"""Every example that is built from source: its one command builds it, what it makes runs by the peer, and its manifest in
the cluster."""

import http.client
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import ROOT
from kube import pod, run, terminated_of, wait_until, waiting_of
from layouts import layered_layout, publish
from test_guests import Service, peer  # noqa: F401 (a fixture)

EXAMPLES = ROOT / "examples"


def build(name):
    """The component or module that the example's own script makes."""
    made = run([EXAMPLES / name / "build"], timeout=900, stdin=subprocess.DEVNULL).stdout.split()
    assert made and all(os.path.getsize(file) > 0 for file in made)
    return made


def serve(peer, file, *flags):
    return Service(peer, os.path.relpath(file, ROOT / "build/guests").removesuffix(".wasm"),
                   "-S", "cli", *flags)


def test_c_http_counts_words(peer):
    its = serve(peer, build("c-http")[0], "--env", "GREETING=Ahoy")
    try:
        assert its.ask("/hello/sailor") == (200, b"Ahoy, sailor!\n")
        assert its.ask("/", b"one two\n three") == (200, b"3 words\n")
        assert its.ask("/") == (404, b"GET /hello/NAME, or POST a text\n")
    finally:
        its.stop()


def test_go_counts_what_a_configmap_holds(peer, tmp_path):
    # A ConfigMap's folder: the files are below a folder that a link names.
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026/song").write_text("Row, row, row your boat\n")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "song").symlink_to("..data/song")
    file = build("go")[0]
    assert run([peer, "run", "--dir", f"{tmp_path}::/texts", file, "-top", "1", "/texts"]
               ).stdout == "3 row\n"
    missing = run([peer, "run", file, "/none"], check=False)
    assert missing.returncode == 1 and missing.stderr.startswith("words: ")


def test_link_is_an_app_and_its_provider(peer):
    app, provider = build("link")
    refused = run([peer, "run", app, "oar"], check=False)
    assert "example:link/prices@1.0.0" in refused.stderr
    # The provider exports exactly that, and may do nothing else.
    text = open(provider, "rb").read()
    assert b"example:link/prices@1.0.0" in text and b"wasi:" not in text


@pytest.mark.long
def test_python_http_looks_words_up(peer):
    its = serve(peer, build("python-http")[0])
    try:
        status, body = its.ask("/%C3%B6l", timeout=120)
        assert status == 200 and b'"LATIN SMALL LETTER O WITH DIAERESIS"' in body
        assert its.ask("/")[0] == 404
    finally:
        its.stop()


@pytest.mark.long
def test_js_http_answers_fetch_events(peer):
    its = serve(peer, build("js-http")[0])
    try:
        assert its.ask("/sloop", timeout=120) == (200, b'{"crew":4,"sails":2}')
        assert its.ask("/crew", b'["sloop","dinghy"]') == (200, b'{"crew":5}')
        assert its.ask("/raft")[0] == 404
    finally:
        its.stop()


@pytest.mark.long
def test_rust_adds_up(peer):
    its = serve(peer, build("rust")[0])
    try:
        assert its.ask("/sum?1&2&3") == (200, b"6\n")
        assert its.ask("/sum?1&x") == (400, b"invalid digit found in string\n")
        assert its.ask("/")[0] == 404
    finally:
        its.stop()


# --- in the cluster ------------------------------------------------------------------------------


def push(cluster, file, name):
    """The digest of the pushed module."""
    return run([sys.executable, ROOT / "tools/push", file,
                f"{cluster.registry}/{name}"]).stdout.strip()


def manifest(cluster, name, **words):
    text = (EXAMPLES / name / "pod.yaml").read_text().replace("REGISTRY", cluster.registry)
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def test_linked_components_run_in_the_cluster(kube, cluster):
    app, provider = build("link")
    push(cluster, app, "link-app:1")
    digest = push(cluster, provider, "link-provider:1")
    kube.apply(manifest(cluster, "link", DIGEST=digest))
    assert terminated_of(kube.wait_pod("link", terminated_of, 60))["exitCode"] == 0
    assert kube.logs("link") == "oar 19.50\nrope 3.20\ntotal 22.70\n"


def test_a_plug_may_be_a_file_of_the_image(kube, cluster, tmp_path, push_tool):
    app, provider = build("link")
    files = {"/app.wasm": app, "/plugs/prices.wasm": provider}
    layout = layered_layout(tmp_path / "image", {path: pathlib.Path(file).read_bytes() for path, file in files.items()},
                            Entrypoint=["/app.wasm"])

    def linked(file):
        return run([os.environ["SKIFF_BIN"], "run", "-q", "--root-dir", tmp_path / "root", "--annotation",
                    f"skiff/link={file}", layout, "oar", "rope"], check=False)

    assert linked("/plugs/prices.wasm").stdout == "oar 19.50\nrope 3.20\ntotal 22.70\n"
    missing = linked("/plugs/none.wasm")
    assert missing.returncode != 0 and "/plugs/none.wasm" in missing.stderr, missing

    image = publish(push_tool, layout, f"{cluster.registry}/link-layered:1")
    for name, file, engine in (("linked", "/plugs/prices.wasm", "wasmtime"), ("pulley", "/plugs/prices.wasm", "pulley"),
                               ("missing", "/plugs/none.wasm", "wasmtime"), ("unlinked", None, "wasmtime")):
        kube.apply(pod(name, image, "oar", "rope", runtimeClassName=engine,
                       metadata={"annotations": {"skiff/link": file} if file else {}}))
    for name in ("linked", "pulley"):
        assert terminated_of(kube.wait_pod(name, terminated_of, 60))["exitCode"] == 0
        assert kube.logs(name) == "oar 19.50\nrope 3.20\ntotal 22.70\n"
    for name, told in (("missing", "/plugs/none.wasm"), ("unlinked", "example:link/prices@1.0.0")):
        assert told in kube.wait_waiting(name, "CreateContainerError", seconds=60)["message"]
        assert kube.wait_event(name, "Failed", told)["type"] == "Warning"


def test_a_plug_that_does_not_fit_is_a_clear_event(kube, cluster):
    app, _ = build("link")
    push(cluster, app, "link-app:1")
    digest = push(cluster, ROOT / "build/guests/actor-component.wasm", "no-provider:1")
    text = manifest(cluster, "link", DIGEST=digest).replace("link-provider", "no-provider")
    kube.apply(text)
    waiting = waiting_of(kube.wait_pod("link", lambda its: (waiting_of(its) or {}).get("reason") ==
                                       "CreateContainerError", 60))
    assert "plug 1" in waiting["message"], waiting


@pytest.mark.parametrize("name, path, answer", [
    ("c-http", "/hello/sailor", b"sailor"),
    pytest.param("python-http", "/%C3%B6l", b"DIAERESIS", marks=pytest.mark.long),
    pytest.param("js-http", "/sloop", b'"crew":4', marks=pytest.mark.long),
    pytest.param("rust", "/sum?1&2&3", b"6\n", marks=pytest.mark.long),
])
def test_http_services_answer_in_the_cluster(kube, cluster, name, path, answer):
    push(cluster, build(name)[0], f"{name}:1")
    kube.apply(manifest(cluster, name))
    its = kube.wait_ready(name, 180)
    port = its["spec"]["containers"][0]["ports"][0]["containerPort"]

    def ask():
        connection = http.client.HTTPConnection(its["status"]["podIP"], port, timeout=60)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except OSError:  # it has no probe: it is ready before it listens
            return None
        finally:
            connection.close()

    status, body = wait_until(ask, 20, "it listens")
    assert status == 200 and answer in body


def test_the_job_in_go_counts_what_its_configmap_holds_in_the_cluster(kube, cluster):
    push(cluster, build("go")[0], "go:1")
    kube("apply", "-f", "-", stdin=manifest(cluster, "go"))
    kube("wait", "--for=condition=Complete", "job/go", "--timeout=60s", timeout=70)
    assert kube("logs", "job/go").stdout == "3 row\n"
