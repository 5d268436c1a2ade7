"""Every example that is built from source: its one command builds it, and what it makes runs by the peer."""

import os
import subprocess

import pytest

from conftest import ROOT
from kube import run
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
