"""How a node reaches its API server: credential plugins, several servers, proxies, and the files it refuses."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from kube import condition_of, pod, run, wait_until

RELAY = pathlib.Path(__file__).with_name("relay.py")

# Gives the node's own certificate for a few seconds, and notes what it was asked.
PLUGIN = """#!{python}
import datetime, json, os, sys
with open({notes!r}, "a") as notes:
    notes.write(json.dumps([sys.argv[1:], os.environ["FOR"], json.loads(os.environ["KUBERNETES_EXEC_INFO"]),
                            sys.stdin.read()]) + "\\n")
pem = open({pem!r}).read()
cut = pem.index("-----BEGIN PRIVATE KEY")
until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
print(json.dumps({{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {{
    "clientCertificateData": pem[:cut], "clientKeyData": pem[cut:],
    "expirationTimestamp": until.strftime("%Y-%m-%dT%H:%M:%SZ")}}}}))
"""


class Access:
    """The kubeconfig of a node that is started again with another one."""

    def __init__(self, cluster, node):
        self.cluster, self.node = cluster, node
        self.folder = cluster.node_folder(node)
        self.file = self.folder / "kubeconfig"
        cluster.node("stop", node)

    def edit(self, change):
        config = yaml.safe_load(self.file.read_text())
        change(config["clusters"][0]["cluster"], config["users"][0])
        self.file.write_text(json.dumps(config))

    def start(self, *flags):
        """Until the node is Ready."""
        self.cluster.node("start", self.node, *(("--", *flags) if flags else ()))

    def log(self):
        return self.cluster.log_of(self.node)


@pytest.fixture
def access(cluster, own_node):
    return Access(cluster, own_node)


@contextlib.contextmanager
def relay(cluster, log, port, *target):
    """relay.py on the machine of the API server."""
    with open(log, "w") as out:
        its = subprocess.Popen(cluster.inside(sys.executable, RELAY, str(port), *target), stdout=out)
    try:
        wait_until(lambda: run(cluster.inside("ss", "-Hltn", f"sport = :{port}")).stdout, 10, "the relay")
        yield its
    finally:
        its.kill()
        its.wait()


def runs_a_pod(kube, cluster, node, name):
    kube.apply(pod(name, cluster.push("hello"), nodeName=node))
    kube.wait_phase(name, "Succeeded", seconds=60)


def test_a_credential_plugin_says_who_the_node_is(kube_on, cluster, access, tmp_path):
    notes, plugin = tmp_path / "notes", tmp_path / "get-credential"
    pem = access.folder / "root/pki/kubelet-client-current.pem"
    plugin.write_text(PLUGIN.format(python=sys.executable, notes=str(notes), pem=str(pem)))
    plugin.chmod(0o700)

    def by_plugin(_, user):
        user["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin),
                                 "args": ["--cluster", "$HOME"], "env": [{"name": "FOR", "value": "skiff"}],
                                 "interactiveMode": "Never", "provideClusterInfo": True}}

    access.edit(by_plugin)
    access.start()
    runs_a_pod(kube_on, cluster, access.node, "first")
    asked = wait_until(lambda: len(notes.read_text().splitlines()) >= 3 and notes.read_text().splitlines(), 30,
                       "the plugin's third run, after its credential ended twice")
    args, variable, info, stdin = json.loads(asked[0])
    assert args == ["--cluster", "$HOME"] and variable == "skiff" and stdin == ""
    assert info["spec"]["cluster"]["server"] == cluster.env["SERVER"] and not info["spec"]["interactive"]
    assert "certificate-authority-data" in info["spec"]["cluster"]
    runs_a_pod(kube_on, cluster, access.node, "second")


def test_another_api_server_takes_over(kube_on, cluster, access, tmp_path):
    server = cluster.env["SERVER"]
    host = server.removeprefix("https://").removesuffix(":6443")
    with relay(cluster, tmp_path / "relay", 7443, f"{host}:6443") as first:
        access.edit(lambda its, _: its.update(server=f"https://{host}:7443"))
        access.start("--api-servers", server)
        runs_a_pod(kube_on, cluster, access.node, "before")
        assert (tmp_path / "relay").read_text()
        assert "another API server" not in access.log()
        first.kill()
        runs_a_pod(kube_on, cluster, access.node, "after")
    assert f"another API server is used server={server}" in access.log(), access.log()
    assert condition_of(kube_on.get("node", access.node), "Ready") == "True"


def test_a_proxy_of_the_kubeconfig_or_the_environment_is_used(kube_on, cluster, access, tmp_path, monkeypatch):
    server = cluster.env["SERVER"].removeprefix("https://")
    host = server.removesuffix(":6443")
    seen = tmp_path / "proxy"
    with relay(cluster, seen, 3128):
        access.edit(lambda its, _: its.update({"proxy-url": f"http://{host}:3128"}))
        access.start()
        runs_a_pod(kube_on, cluster, access.node, "by-kubeconfig")
        assert f"CONNECT {server} HTTP/1.1" in seen.read_text()
        cluster.node("stop", access.node)
        access.edit(lambda its, _: its.pop("proxy-url"))
        seen.write_text("")
        monkeypatch.setenv("HTTPS_PROXY", f"http://{host}:3128")
        access.start()
        # The node may still be Ready from before.
        wait_until(lambda: "CONNECT" in seen.read_text(), 20, "the proxy is asked")
        cluster.node("stop", access.node)
        seen.write_text("")
        monkeypatch.setenv("NO_PROXY", f"{host.rsplit('.', 1)[0]}.0/24")
        access.start()
        runs_a_pod(kube_on, cluster, access.node, "direct")
        assert "CONNECT" not in seen.read_text()


def test_files_that_others_can_read_are_refused(access):
    key = access.folder / "root/pki/kubelet-client-current.pem"
    os.chmod(key, 0o640)
    refused = access.cluster.node("start", access.node, check=False)
    assert refused.returncode != 0
    assert f"{key} has mode 0640" in refused.stderr and f"chmod 600 {key}" in refused.stderr, refused.stderr
    os.chmod(key, 0o600)
    access.start()
