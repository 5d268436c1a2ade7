"""The C++ tests that need a real control plane, with this one's."""

import os
import pathlib

import pytest

from kube import run


def test_the_room_node_against_the_api_server(cluster, skiff):
    program = pathlib.Path(skiff).with_name("node_live_test")
    if not program.exists():
        pytest.skip(f"{program} is not built")
    done = run([program], timeout=180, check=False, env=dict(os.environ, **cluster.env))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "SKIPPED" not in done.stdout, done.stdout
