"""An API server three minor versions back. The first run builds it, which takes about ten minutes."""

import pytest

from conftest import Cluster
from kube import Kube, pod, run

OLD = "1.34"


@pytest.fixture(scope="module")
def old_cluster(pytestconfig):
    run([Cluster.PROGRAM, "build", "--version", OLD], timeout=3600)
    its = Cluster(f"{pytestconfig.getoption('--cluster')}-old", "--version", OLD)
    try:
        its.node("up", "skiff-1")
        yield its
    finally:
        done = its.down()
        assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_server_three_minors_back_is_served(old_cluster):
    kube = Kube(old_cluster.env, "old")
    kube.create_namespace()
    told = kube.get("node", "skiff-1")["status"]["nodeInfo"]
    assert told["kubeletVersion"].startswith(f"v{OLD}."), "never newer than the server"
    kube.apply(pod("hello", old_cluster.push("actor"), "print", "from the past", ";", "exit", "3"))
    kube.wait_phase("hello", "Failed")
    assert kube.logs("hello") == "from the past\n"
    kube.delete_namespace()
