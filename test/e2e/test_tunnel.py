"""k3s and RKE2 as they are (row 82): the API server reaches the node through the tunnels that it opens, and only so.

test/remotedialer stands in front of a real API server and answers as a server of k3s does: the node joins it with a
k3s token, gets its certificates from it, and opens a tunnel to it. The node's port 10250 listens on the node's own
loopback, so that nothing else leads there; the API server verifies its serving certificate.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.parse

import pytest

from conftest import Cluster
from kube import Kube, pod, run, wait_until
from testcluster import binaries, pki

PORT = 7443
NODE = "skiff-k3s"
CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
---
apiVersion: skiff.dev/v1alpha1
kind: SkiffConfiguration
registries:
- {host: "${REGISTRY}", scheme: http}
"""


class Local(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """One server of k3s: test/remotedialer at an address of its own."""

    def __init__(self, k3s, number, *flags):
        self.k3s, self.number, self.flags = k3s, number, flags
        self.address = f"{k3s.subnet}.{number}"
        self.control = f"{k3s.sockets}/control-{number}"
        self.its = None

    def start(self):
        log = open(self.k3s.folder / f"server-{self.number}.log", "a")
        cluster = self.k3s.cluster
        self.its = subprocess.Popen(
            cluster.inside(binaries.build_tool("remotedialer"), f"-listen={self.address}:{PORT}",
                           f"-control={self.control}", f"-pki={self.k3s.pki}",
                           f"-certificate={self.k3s.folder}/server", f"-apiserver={cluster.env['SERVER']}",
                           f"-servers={self.k3s.folder}/servers", f"-password={self.k3s.password}", *self.flags),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: os.path.exists(self.control), 20, "the server's control socket")

    def stop(self):
        self.its.kill()
        self.its.wait()
        os.unlink(self.control)

    def ask(self, path, **query):
        connection = Local(self.control)
        connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
        return connection.getresponse().read().decode()

    def status(self):
        return json.loads(self.ask("/status"))

    def has_tunnel(self):
        return (self.status()["nodes"] or []).count(NODE) > 0

    def wait_tunnel(self, seconds):
        wait_until(self.has_tunnel, seconds, lambda: self.k3s.log()[-3000:])


class K3s:
    """A cluster whose API server goes through the tunnels of its first server."""

    def __init__(self, name, folder):
        self.folder = folder
        self.sockets = f"/run/{name}"
        os.makedirs(self.sockets, exist_ok=True)
        self.pki = binaries.ROOT + f"/build/cluster-{name}/pki"
        self.password = "join-secret"
        egress = folder / "egress.yaml"
        egress.write_text(json.dumps({
            "apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": {
                "proxyProtocol": "HTTPConnect",
                "transport": {"uds": {"udsName": f"{self.sockets}/egress"}}}}]}))
        self.cluster = Cluster(name, "--verify-nodes", "--", f"--egress-selector-config-file={egress}")
        self.subnet = self.cluster.registry.split(":")[0].rsplit(".", 1)[0]
        self.first = Server(self, 2, f"-egress={self.sockets}/egress")
        self.second = Server(self, 3)
        for one in (self.first, self.second):
            run(["ip", "-n", self.cluster.env["CLUSTER_NETNS"], "address", "add", f"{one.address}/24", "dev", "br0"])
        pki.issue(self.pki, "ca", "../k3s-server", "/CN=k3s", "serverAuth",
                  f"IP:{self.first.address},IP:{self.second.address}")
        for end in ("crt", "key"):
            os.rename(f"{self.pki}/../k3s-server.{end}", folder / f"server.{end}")
        self.list_servers(self.first)

    def list_servers(self, *servers):
        new = self.folder / "servers.new"
        new.write_text("".join(f"{one.address}:6443\n" for one in servers))
        new.rename(self.folder / "servers")

    def token(self, password=None, digest=None):
        with open(f"{self.pki}/ca.crt", "rb") as file:
            its = hashlib.sha256(file.read()).hexdigest()
        return f"K10{digest or its}::server:{password or self.password}"

    def log(self):
        return self.cluster.log_of(NODE)

    def count(self, pattern):
        return len(re.findall(pattern, self.log()))

    def node_files(self):
        return self.cluster.node_folder(NODE) / "root/pki"


@pytest.fixture(scope="module")
def k3s(pytestconfig, tmp_path_factory):
    """The cluster with its first server and a node that joined it."""
    its = K3s(f"{pytestconfig.getoption('--cluster')}-k3s", tmp_path_factory.mktemp("k3s"))
    try:
        its.first.start()
        config = its.folder / "node.yaml"
        config.write_text(CONFIG)
        its.cluster.node("up", NODE, "--config", config, "--wait", "0",
                         "--server", f"https://{its.first.address}:{PORT}", "--token", its.token())
        its.first.wait_tunnel(60)
        wait_until(lambda: "True" in Kube(its.cluster.env, "default")(
            "get", "node", NODE, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}",
            check=False).stdout, 60, its.log)
        yield its
    finally:
        for one in (its.first, its.second):
            if one.its and one.its.poll() is None:
                one.stop()
        done = its.cluster.down()
        shutil.rmtree(its.sockets)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def kube(k3s):
    its = Kube(k3s.cluster.env, "default")
    yield its
    its.clear()


def test_kubectl_logs_and_node_metrics_go_through_the_tunnel(k3s, kube):
    before = k3s.first.status()["dials"]
    kube.apply(pod("hello", k3s.cluster.push("hello"), restartPolicy="Never"))
    kube.wait_phase("hello", "Succeeded")
    assert kube.logs("hello")
    assert "cpu" in kube.node_json(NODE, "stats/summary")["node"]
    assert k3s.first.status()["dials"] > before
    assert k3s.count("tunnel open") == 1
    page = kube("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics").stdout
    assert "\nskiff_tunnels 1\n" in page and "\nskiff_tunnels_opened_total 1\n" in page


def test_a_long_log_comes_whole(k3s, kube):
    kube.apply(pod("talker", k3s.cluster.push("actor"), "flood", "40000", "200", restartPolicy="Never"))
    kube.wait_phase("talker", "Succeeded", seconds=60)
    assert len(kube.logs("talker").splitlines()) == 40000


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_kubectl_exec_goes_through_the_tunnel(k3s, kube, websockets):
    kube.environ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = websockets
    kube.apply(pod("boat", k3s.cluster.push("actor"), "hold"))
    kube.wait_ready("boat", 60)
    done = kube("exec", "boat", "--", "sh", "-c", "echo out; echo oops >&2; exit 42", check=False)
    assert (done.returncode, done.stdout) == (42, "out\n")
    assert done.stderr.startswith("oops\n")
    sent = "".join(f"{number:07}\n" for number in range(200_000))
    assert kube("exec", "-i", "boat", "--", "cat", stdin=sent).stdout == sent


def test_the_server_dials_nothing_else(k3s):
    for proto, address in (("tcp", "127.0.0.1:10248"), ("tcp", "127.0.0.1:22"), ("tcp", f"{k3s.first.address}:6443"),
                           ("udp", "127.0.0.1:10250"), ("unix", "/run/skiff/skiff.sock")):
        answer = k3s.first.ask("/dial", node=NODE, proto=proto, address=address)
        assert "refused" in answer, f"{proto}/{address}: {answer}"
    # The tunnel is not the worse for it.
    answer = k3s.first.ask("/dial", node=NODE, proto="tcp", address="127.0.0.1:10250")
    # The kubelet waits for a handshake, so nothing comes and nothing ends.
    assert "deadline exceeded" in answer, answer
    assert k3s.count("tunnel open") == 1


def test_a_restarted_server_has_its_tunnel_back(k3s, kube):
    opened = k3s.count("tunnel open")
    k3s.first.stop()
    wait_until(lambda: k3s.count("tunnel lost") > 0, 30, k3s.log)
    k3s.first.start()
    k3s.first.wait_tunnel(60)
    # The server knows of it before the node.
    wait_until(lambda: k3s.count("tunnel open") > opened, 10, k3s.log)
    assert k3s.count("tunnel open") == opened + 1
    assert kube("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/healthz").stdout == "ok"


def restart_node(k3s):
    k3s.cluster.node("stop", NODE)
    wait_until(lambda: not k3s.first.has_tunnel(), 20, "the end of the tunnel")
    k3s.cluster.node("start", NODE, "--wait", "0")
    k3s.first.wait_tunnel(60)


def test_every_server_of_the_list_has_a_tunnel(k3s, kube):
    """Also that a restarted agent has the certificates that it had."""
    pem = (k3s.node_files() / "k3s-client.pem").read_bytes()
    k3s.second.start()
    k3s.list_servers(k3s.first, k3s.second)
    restart_node(k3s)
    k3s.second.wait_tunnel(10)
    assert (k3s.node_files() / "k3s-client.pem").read_bytes() == pem
    assert kube("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/healthz").stdout == "ok"
    k3s.list_servers(k3s.first)
    wait_until(lambda: not k3s.second.has_tunnel(), 60, k3s.log)
    assert k3s.first.has_tunnel()
    k3s.second.stop()


@pytest.mark.long
def test_renewed_certificates_cut_nobody_off(k3s, kube):
    """Certificates of a minute: the tunnel is dialled anew with each, and a log that is followed goes on."""
    first = k3s.first
    first.stop()
    first.flags = (*first.flags, "-days=0.0007")
    first.start()
    k3s.cluster.node("stop", NODE)
    for name in ("root/pki/k3s-client.pem", "kubeconfig"):
        (k3s.cluster.node_folder(NODE) / name).unlink()
    k3s.cluster.node("start", NODE, "--wait", "0")
    first.wait_tunnel(60)
    opened, renewed = k3s.count("tunnel open"), k3s.count("certificates renewed")
    kube.apply(pod("clock", k3s.cluster.push("actor"), "loop", "1", "clock"))
    kube.wait_ready("clock")
    following = kube.start("logs", "-f", "clock")
    wait_until(lambda: k3s.count("certificates renewed") >= renewed + 2, 150, k3s.log)
    wait_until(lambda: k3s.count("tunnel open") >= opened + 2, 60, k3s.log)
    assert kube("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/healthz").stdout == "ok"
    assert following.poll() is None, following.communicate()
    following.terminate()
    out = following.communicate()[0]
    assert len(out.splitlines()) > 60, out
    assert k3s.count("tunnel lost") <= 2, k3s.log()


def test_join_refuses_another_clusters_token_and_a_wrong_password(k3s, skiff, tmp_path):
    def join(token):
        return run(k3s.cluster.inside(skiff, "node", "join", f"https://{k3s.first.address}:{PORT}", "--token", token,
                                      "--bootstrap-kubeconfig", tmp_path / "bootstrap"), check=False)

    other = join(k3s.token(digest="0" * 64))
    assert other.returncode == 1 and "another cluster" in other.stderr
    wrong = join(k3s.token(password="nonsense"))
    assert wrong.returncode == 1 and "does not accept the token" in wrong.stderr
    assert "nonsense" not in wrong.stderr
    assert not os.listdir(tmp_path)
    good = join(k3s.token())
    assert good.returncode == 0 and "bootstrap.k3s" in good.stdout
    assert oct((tmp_path / "bootstrap.k3s").stat().st_mode)[-3:] == "600"
