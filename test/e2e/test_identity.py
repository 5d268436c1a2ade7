"""Who the node is: bootstrap, rotation, serving certificates, on a control plane whose certificates live
for seconds and whose API server verifies nodes (contract rows 2 to 4)."""

import calendar
import json
import os
import ssl
import threading
import time
import urllib.parse
import uuid

import pytest

from conftest import Cluster
from kube import Kube, find_condition, pod, run, wait_until
from testcluster import nodes

NODE = "skiff-id"
LIFE_SECONDS = 30
SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"


class Signed:
    """A cluster that signs for seconds, its node, and somebody who approves serving certificates."""

    def __init__(self, name, seconds, folder):
        self.cluster = Cluster(name, "--signing-duration", f"{seconds}s", "--verify-nodes", "--audit")
        self.kube = Kube(self.cluster.env, f"t-{uuid.uuid4().hex[:8]}")
        self.kube.create_namespace()
        config = folder / "config.yaml"
        config.write_text(nodes.CONFIG.replace("kind: KubeletConfiguration",
                                               "kind: KubeletConfiguration\nserverTLSBootstrap: true"))
        self.cluster.node("up", NODE, "--config", config)
        self.folder = self.cluster.node_folder(NODE)
        self._stop = threading.Event()
        self._approver = None

    def requests(self, signer):
        items = self.kube.get("csr")["items"]
        return sorted((r for r in items if r["spec"]["signerName"] == signer),
                      key=lambda r: r["metadata"]["creationTimestamp"])

    def approve(self):
        """Approves what waits; returns how many."""
        waiting = [r["metadata"]["name"] for r in self.requests(SERVING) if not r["status"].get("conditions")]
        if waiting:
            self.kube("certificate", "approve", *waiting)
        return len(waiting)

    def keep_approving(self):
        def loop():
            while not self._stop.wait(0.5):
                self.approve()

        self._approver = threading.Thread(target=loop, daemon=True)
        self._approver.start()

    def expiry(self, name):
        """When the certificate in NAME-current.pem ends, in seconds since the epoch."""
        text = run(["openssl", "x509", "-enddate", "-noout", "-in", self.folder / f"root/pki/{name}-current.pem"]).stdout
        return ssl.cert_time_to_seconds(text.strip().removeprefix("notAfter="))

    def log(self):
        return self.cluster.log_of(NODE)

    def log_count(self, words):
        return self.log().count(words)

    def ready(self):
        return find_condition(self.kube.get("node", NODE), "Ready")

    def refused(self, since):
        """Requests of the node since then that the API server did not do, but for what is so without any rotation: an object
        that the test has just deleted or changed, or of which the authorizer does not know yet that a pod of the node needs it; and
        the question whether this is a k3s server, once in ten minutes."""
        bad = []
        for line in (self.folder.parents[1] / "logs/audit.log").read_text().splitlines():
            entry = json.loads(line)
            when = calendar.timegm(time.strptime(entry["stageTimestamp"][:19], "%Y-%m-%dT%H:%M:%S"))
            status = entry.get("responseStatus", {}).get("code", 0)
            who = entry["user"].get("username", "")
            kind = urllib.parse.urlsplit(entry["requestURI"]).path.split("/")[5:6]
            lags = status == 403 and kind in (["configmaps"], ["serviceaccounts"])
            usual = lags or status in (404, 409) or entry["requestURI"] == "/v1-k3s/connect"
            if when >= since and status >= 400 and not usual and (who == f"system:node:{NODE}" or status == 401):
                bad.append((who, entry["verb"], entry["requestURI"], status))
        return bad

    def close(self):
        self._stop.set()
        if self._approver:
            self._approver.join()
        self.kube.delete_namespace()
        done = self.cluster.down()
        assert done.returncode == 0, f"the cluster left something behind:\n{done.stderr}"


@pytest.fixture(scope="module")
def signed(pytestconfig, tmp_path_factory):
    its = Signed(pytestconfig.getoption("--cluster") + "-id", LIFE_SECONDS, tmp_path_factory.mktemp("id"))
    yield its
    its.close()


def test_row_2_the_bootstrap_is_a_kubelets(signed):
    first = signed.requests(CLIENT)[0]
    assert first["metadata"]["name"].startswith("node-csr-")
    assert first["spec"]["username"].startswith("system:bootstrap:")
    assert first["spec"]["usages"] == ["digital signature", "client auth"]
    assert [c["type"] for c in first["status"]["conditions"]] == ["Approved"]
    link = signed.folder / "root/pki/kubelet-client-current.pem"
    assert link.is_symlink() and link.stat().st_mode & 0o777 == 0o600
    assert str(link) in (signed.folder / "kubeconfig").read_text()
    assert not (signed.folder / "root/pki/kubelet-client.key.tmp").exists()


def test_row_4_the_serving_certificate_is_signed_when_somebody_approves(signed):
    """The API server verifies it: before there is one, nobody gets anything from port 10250."""
    kube = signed.kube
    kube.apply(pod("talks", signed.cluster.push("hello")))
    kube.wait_phase("talks", "Succeeded", seconds=60)
    if not (signed.folder / "root/pki/kubelet-server-current.pem").exists():
        early = kube("logs", "talks", check=False)
        assert early.returncode != 0 and "tls" in early.stderr.lower(), early.stderr
    wait_until(lambda: signed.requests(SERVING), 20, "a request for the serving certificate")
    asked = signed.requests(SERVING)[0]
    assert asked["spec"]["username"] == f"system:node:{NODE}"
    assert asked["spec"]["usages"] == ["digital signature", "server auth"]
    signed.keep_approving()
    wait_until(lambda: kube("logs", "talks", check=False).returncode == 0, 30,
               lambda: kube("logs", "talks", check=False).stderr)
    assert kube.logs("talks").strip()
    text = run(["openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName", "-in",
                signed.folder / "root/pki/kubelet-server-current.pem"]).stdout
    address = kube.address_of(NODE)
    assert f"system:node:{NODE}" in text and f"DNS:{NODE}" in text and f"IP Address:{address}" in text, text


def rotate_under_load(signed, seconds, renewals):
    """Pods come and go for so long; nothing of the node's is refused, and nobody sees it NotReady."""
    kube = signed.kube
    before = signed.ready()["lastTransitionTime"]
    clients, servings = (signed.log_count("client certificate renewed"), signed.log_count("certificate of port 10250 stored"))
    begun = time.time()
    lines = len(signed.log().splitlines())
    guest = signed.cluster.push("hello")
    kube.apply(pod("long", signed.cluster.push("actor"), "sleep", "100000"))
    kube.wait_ready("long", seconds=60)
    count = 0
    while time.time() < begun + seconds:
        name = f"load-{count}"
        kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": str(count)}},
                   pod(name, guest, env=[{"name": "K", "valueFrom": {"configMapKeyRef": {"name": name, "key": "k"}}}]))
        kube.wait_phase(name, "Succeeded", seconds=60)
        assert kube.logs(name).strip()
        kube("delete", "pod,configmap", name)
        count += 1
    kube("delete", "pod", "long")
    assert signed.log_count("client certificate renewed") >= clients + renewals, signed.log()
    assert signed.log_count("certificate of port 10250 stored") >= servings + renewals
    assert signed.expiry("kubelet-client") > time.time() and signed.expiry("kubelet-server") > time.time()
    assert signed.ready()["status"] == "True" and signed.ready()["lastTransitionTime"] == before
    assert not signed.refused(begun)
    # Events of pods are theirs: each of them is told that the cluster has no DNS.
    loud = [line for line in signed.log().splitlines()[lines:]
            if (" warn " in line or " error " in line) and " warn  event pod=" not in line]
    assert not loud, loud
    print(f"{count} pods in {time.time() - begun:.0f} s; client certificate renewed "
          f"{signed.log_count('client certificate renewed') - clients} times, serving certificate "
          f"{signed.log_count('certificate of port 10250 stored') - servings} times")
    kept = [f for f in os.listdir(signed.folder / "root/pki") if f.startswith("kubelet-client-2")]
    assert len(kept) <= 2, kept
    return count


def test_row_3_certificates_rotate_under_load(signed):
    signed.keep_approving()
    assert rotate_under_load(signed, seconds=2.2 * LIFE_SECONDS, renewals=2) > 3


def test_row_2_a_certificate_that_ended_while_the_agent_was_down_is_asked_for_again(signed):
    signed.cluster.node("stop", NODE)
    ends = signed.expiry("kubelet-client")
    known = {r["metadata"]["name"] for r in signed.requests(CLIENT)}
    wait_until(lambda: time.time() > ends, LIFE_SECONDS + 5, "the end of the certificate")
    signed.cluster.node("start", NODE)

    def fresh():
        return [r for r in signed.requests(CLIENT) if r["metadata"]["name"] not in known]

    # The node is Ready as long as nobody has missed it: that says nothing of the agent that has just begun.
    wait_until(fresh, 30, signed.log)
    assert fresh()[0]["spec"]["username"].startswith("system:bootstrap:"), (ends, fresh(), signed.log()[-3000:])
    assert "asking for a new certificate" in signed.log()


@pytest.mark.long
def test_row_2_a_certificate_that_ended_while_the_agent_ran_is_asked_for_again(signed):
    """The agent is stopped as by a debugger or a suspended machine: it wakes with a certificate that has ended."""
    agent = json.loads((signed.folder.parents[1] / "state.json").read_text())["nodes"][NODE]["agent"]["pid"]
    ends = signed.expiry("kubelet-client")
    os.kill(agent, 19)
    wait_until(lambda: time.time() > ends + 1, LIFE_SECONDS + 5, "the end of the certificate")
    os.kill(agent, 18)
    wait_until(lambda: signed.expiry("kubelet-client") > time.time(), 20, signed.log)
    wait_until(lambda: signed.ready()["status"] == "True", 60, "the node Ready")


@pytest.mark.long
def test_row_3_three_minute_certificates_for_a_quarter_of_an_hour(pytestconfig, tmp_path):
    its = Signed(pytestconfig.getoption("--cluster") + "-3m", 180, tmp_path)
    try:
        its.keep_approving()
        wait_until(lambda: "certificate of port 10250 stored" in its.log(), 30, its.log)
        assert rotate_under_load(its, seconds=15 * 60, renewals=5) > 50
    finally:
        its.close()
