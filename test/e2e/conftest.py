"""Fixtures of the end-to-end tests: a real control plane, a real registry, real Skiff nodes.

A cluster lives for the whole session; tools/run_tests has two sessions side by side (pytest-xdist), which share nothing:
what a test takes of the machine itself carries `own_number`. Each test gets a namespace of its own; at the end its pods are
deleted and that is awaited: a pod that cannot be deleted fails the test that made it.
"""

import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "tools")]

from clients import old_kubectl  # noqa: E402
from kube import Grants, Kube, pod, run  # noqa: E402
from screen import Screen  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests that take minutes")
    parser.addoption("--preset", default="dev", help="which build to test")
    parser.addoption("--cluster", default="e2e", help="name of the test cluster, for runs side by side")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; run with --long")
    # A program named by the environment goes first: one cannot always rebuild under a running test.
    built = ROOT / "build" / config.getoption("--preset") / "bin" / "skiff"
    os.environ.setdefault("SKIFF_BIN", str(built))
    if worker := getattr(config, "workerinput", None):  # one of several processes, each with a cluster of its own
        config.option.cluster += f"-{worker['workerid']}"


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    kept = [item for item in items if "long" not in item.keywords]
    config.hook.pytest_deselected(items=[item for item in items if "long" in item.keywords])
    items[:] = kept


class Cluster:
    """A test cluster and what is needed to talk to it."""

    PROGRAM = ROOT / "tools/cluster"

    def __init__(self, name, *flags):
        self.name = name
        run([self.PROGRAM, "up", "--name", name, "--owner", str(os.getpid()), *flags],
            timeout=120)
        env = (ROOT / f"build/cluster-{name}/env").read_text().splitlines()
        self.env = dict(line.split("=", 1) for line in env if "=" in line)
        self.registry = self.env["REGISTRY"]
        self.slot = int(self.env["CLUSTER_NETNS"].removeprefix("skc"))
        # The machine's own address on the cluster's wire.
        self.machine = self.registry.split(":")[0].rsplit(".", 1)[0] + ".254"
        self.pushed = {}

    def node(self, action, node, *flags, check=True):
        return run([self.PROGRAM, "node", action, node, "--name", self.name, *flags],
                   timeout=150, check=check)

    def node_folder(self, node):
        return ROOT / f"build/cluster-{self.name}/nodes/{node}"

    def log_of(self, node):
        return (self.node_folder(node) / "agent.log").read_text()

    def inside(self, *command, node_number=None):
        """The command line of COMMAND in the cluster's network, or in that of its first, second … node."""
        network = self.env["CLUSTER_NETNS"] + (f"n{node_number}" if node_number else "")
        return ["ip", "netns", "exec", network, *command]

    def push(self, guest, name=None, *flags):
        """Pushes build/guests/GUEST.wasm once; returns the image reference."""
        name = name or f"{guest}:1"
        if name not in self.pushed:
            reference = f"{self.registry}/{name}"
            digest = run([sys.executable, ROOT / "tools/push", *flags,
                          ROOT / f"build/guests/{guest}.wasm", reference]).stdout.strip()
            self.pushed[name] = (reference, digest)
        return self.pushed[name][0]

    def down(self):
        return run([self.PROGRAM, "down", "--name", self.name, "--save-logs",
                    ROOT / f"build/reports/{self.name}-logs"], timeout=180, check=False)


@pytest.fixture(scope="session")
def cluster(pytestconfig):
    its = Cluster(pytestconfig.getoption("--cluster"))
    try:
        yield its
    finally:
        done = its.down()
        assert done.returncode == 0, f"the cluster left something behind:\n{done.stderr}"


@pytest.fixture(scope="session")
def node(cluster):
    """The name of a Skiff node that is Ready."""
    cluster.node("up", "skiff-1")
    return "skiff-1"


# The node of `own_node`.
OWN_NODE = "skiff-restart"


@pytest.fixture
def own_node(cluster, node):
    """A node whose agent may be killed without harm to other tests."""
    cluster.node("up", OWN_NODE)
    yield OWN_NODE
    cluster.node("down", OWN_NODE)


@pytest.fixture
def kube_on(kube, own_node):
    """kubectl, emptied of pods before the node goes."""
    yield kube
    kube.clear()


@pytest.fixture
def kube(cluster, node):
    """kubectl in a fresh namespace."""
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    its = Kube(cluster.env, namespace)
    its.create_namespace()
    yield its
    its.delete_namespace()


@pytest.fixture
def boat(kube, cluster):
    """A pod that has said hello and written it into its volume, and waits."""
    kube.apply(pod("boat", cluster.push("actor"), "write", "/data/note", "hello", ";", "print", "hello", ";", "hold",
                   restartPolicy="Always", volumes=[{"name": "data", "emptyDir": {}}],
                   volumeMounts=[{"name": "data", "mountPath": "/data"}]))
    its = kube.wait_ready("boat", 60)
    kube.wait_logs("boat", "hello\n")
    return its


@pytest.fixture
def grants(kube):
    """Lets accounts of the namespace and users do things with nodes, as long as the test runs."""
    its = Grants(kube)
    yield its
    its.close()


@pytest.fixture(scope="session")
def run_dir(cluster, node):
    """Where the sockets of the first node of the cluster are (tools/testcluster/nodes.py)."""
    return f"/run/{cluster.env['CLUSTER_NETNS']}n1"


@pytest.fixture
def inside(kube, run_dir):
    """Runs a command in a pod of the namespace of the test; returns what it printed."""
    def call(name, *command):
        return run([os.environ["SKIFF_BIN"], "exec", "--run-dir", run_dir, "-n", kube.namespace,
                    name, "--", *command], check=False).stdout

    return call


# kubectl's ways of carrying streams: of today, of today for old servers, and what was there in 2020 (Debian's package).
TRANSPORTS = {"websocket": "true", "spdy": "false", "kubectl-1.20": "false"}


@pytest.fixture(params=TRANSPORTS)
def transport(request, kube):
    """What kubectl speaks to the API server, and by that what reaches the node."""
    for name in ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"):
        kube.environ[name] = TRANSPORTS[request.param]
    if request.param == "kubectl-1.20":
        kube.program = old_kubectl()
    return request.param


@pytest.fixture
def screen(kube):
    """screen(*words): kubectl WORDS on a terminal."""
    screens = []

    def make(*words):
        screens.append(Screen(kube, *words))
        return screens[-1]

    yield make
    for its in screens:
        its.close()


@pytest.fixture(scope="session")
def push_tool():
    """tools/push as a module."""
    loader = importlib.machinery.SourceFileLoader("push", str(ROOT / "tools/push"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("push", loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def skiff():
    """Path of the program under test."""
    return os.environ["SKIFF_BIN"]


@pytest.fixture
def standalone(skiff, tmp_path):
    from standalone import Standalone  # it imports this file
    its = Standalone(skiff, tmp_path)
    its.start()
    yield its
    its.close()


@pytest.fixture
def files(tmp_path):
    """A folder that root inside a pod may write to."""
    os.chmod(tmp_path, 0o777)
    return tmp_path
