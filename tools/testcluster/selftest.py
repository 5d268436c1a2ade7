#!/usr/bin/env python3
"""Tests the test cluster itself: run it with `python3 tools/testcluster/selftest.py`.

It needs root, what tools/packages.txt lists and the built control plane (tools/cluster build).
"""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.dont_write_bytecode = True

from testcluster import net, proc  # noqa: E402
from testcluster.control import Cluster  # noqa: E402

CLUSTER = os.path.join(ROOT, "tools", "cluster")
# The eight bytes of a header and nothing after: the smallest module there is.
EMPTY_MODULE = b"\0asm\x01\0\0\0"


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def folder_of(name):
    return os.path.join(ROOT, "build", f"cluster-{name}")


def mark_of(name):
    """The hardware address of a cluster's wire: what tells it from clusters of other people."""
    with open(os.path.join(folder_of(name), "state.json")) as file:
        return json.load(file)["mark"]


def leftovers(name, mark):
    """What of a cluster is still on the machine; other clusters may come and go meanwhile."""
    found = [folder_of(name)] if os.path.exists(folder_of(name)) else []
    wires = [its for its in os.listdir("/sys/class/net") if re.fullmatch(r"skc\d+", its)]
    for wire in wires:
        # An interface that is just going cannot be read.
        with contextlib.suppress(OSError):
            with open(f"/sys/class/net/{wire}/address") as file:
                found += [wire] if file.read().strip() == mark else []
    if os.path.isdir("/run/netns"):
        # A namespace whose wire is gone belongs to nobody who is alive.
        found += [its for its in os.listdir("/run/netns")
                  if re.fullmatch(r"skc\d+", its) and its not in wires]
    return found


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


class RunningCluster(unittest.TestCase):
    """What a test may rely on while a cluster is up."""

    @classmethod
    def setUpClass(cls):
        run(CLUSTER, "up", "--name", "self", "--owner", str(os.getpid()))
        cls.cluster = Cluster("self")
        cls.cluster.state = cls.cluster.load()
        cls.environment = cls.cluster.environment()

    @classmethod
    def tearDownClass(cls):
        mark = mark_of("self")
        run(CLUSTER, "down", "--name", "self")
        assert wait_until(lambda: not leftovers("self", mark), 5), leftovers("self", mark)

    def kubectl(self, *words, **options):
        return run(self.environment["KUBECTL"], *words,
                   env=dict(os.environ, **self.environment), **options)

    def bootstrap_call(self, method, path, body=None):
        """A request as the bootstrap token's user, made by curl as another machine would."""
        command = ["curl", "-sS", "--cacert", f"{self.cluster.pki}/ca.crt", "-X", method,
                   "-H", f"Authorization: Bearer {self.environment['BOOTSTRAP_TOKEN']}",
                   "-H", "Content-Type: application/json", self.environment["SERVER"] + path]
        if body:
            command += ["-d", json.dumps(body)]
        return json.loads(run(*command))

    def test_api_server_is_ready_and_says_its_version(self):
        self.assertEqual(self.kubectl("get", "--raw", "/readyz"), "ok")
        self.assertEqual(json.loads(self.kubectl("get", "--raw", "/version"))["gitVersion"],
                         "v1.37.2")

    def test_discovery_is_signed_for_the_token(self):
        info = json.loads(run("curl", "-sSk", self.environment["SERVER"]
                              + "/api/v1/namespaces/kube-public/configmaps/cluster-info"))
        identifier = self.environment["BOOTSTRAP_TOKEN"].split(".")[0]
        self.assertTrue(wait_until(lambda: f"jws-kubeconfig-{identifier}" in json.loads(run(
            "curl", "-sSk", self.environment["SERVER"]
            + "/api/v1/namespaces/kube-public/configmaps/cluster-info"))["data"], 20))
        self.assertIn("certificate-authority-data", info["data"]["kubeconfig"])

    def test_bootstrap_token_gets_a_node_certificate_without_a_human(self):
        with tempfile.TemporaryDirectory() as folder:
            run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{folder}/key",
                "-out", f"{folder}/csr", "-subj", "/O=system:nodes/CN=system:node:selftest",
                stderr=subprocess.DEVNULL)
            with open(f"{folder}/csr", "rb") as file:
                request = base64.b64encode(file.read()).decode()
            made = self.bootstrap_call(
                "POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests",
                {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                 "metadata": {"name": "selftest"},
                 "spec": {"request": request, "usages": ["digital signature", "client auth"],
                          "signerName": "kubernetes.io/kube-apiserver-client-kubelet"}})
            self.assertEqual(made["spec"]["username"], "system:bootstrap:"
                             + self.environment["BOOTSTRAP_TOKEN"].split(".")[0])
            path = "/apis/certificates.k8s.io/v1/certificatesigningrequests/selftest"
            self.assertTrue(wait_until(
                lambda: "certificate" in self.bootstrap_call("GET", path)["status"], 20))
            certificate = self.bootstrap_call("GET", path)["status"]["certificate"]
            with open(f"{folder}/crt", "wb") as file:
                file.write(base64.b64decode(certificate))
            # The new certificate is a node's: it may make its own Node and no other.
            for node, status in (("selftest", "201"), ("another", "403")):
                body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
                self.assertEqual(run(
                    "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
                    "--cacert", f"{self.cluster.pki}/ca.crt", "--cert", f"{folder}/crt",
                    "--key", f"{folder}/key", "-H", "Content-Type: application/json",
                    "-d", json.dumps(body), self.environment["SERVER"] + "/api/v1/nodes"), status)
            self.assertTrue(wait_until(lambda: "podCIDR" in self.kubectl(
                "get", "node", "selftest", "-o", "json"), 20))
            self.kubectl("delete", "node", "selftest")

    def test_runtime_class_brings_selector_tolerations_and_overhead(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "placed"},
               "spec": {"runtimeClassName": "wasmtime",
                        "containers": [{"name": "c", "image": "x"}]}}
        got = json.loads(self.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-",
                                      input=json.dumps(pod)))
        self.assertEqual(got["spec"]["nodeSelector"], {"kubernetes.io/arch": "wasm32-wasi"})
        self.assertEqual({its["effect"] for its in got["spec"]["tolerations"]
                          if its["key"] == "kubernetes.io/arch"}, {"NoSchedule", "NoExecute"})
        self.assertEqual(got["spec"]["overhead"], {"memory": "1Mi"})

    def test_every_pushed_format_can_be_pulled_by_another_tool(self):
        with tempfile.TemporaryDirectory() as folder:
            module = os.path.join(folder, "empty.wasm")
            with open(module, "wb") as file:
                file.write(EMPTY_MODULE)
            for form in ("cncf", "runwasi", "wasm-to-oci", "wasmcloud", "compat", "linux"):
                reference = f"{self.environment['REGISTRY']}/empty:{form}"
                digest = run(os.path.join(ROOT, "tools", "push"), "--format", form, module,
                             reference).strip()
                run("skopeo", "copy", "-q", "--preserve-digests", "--src-tls-verify=false",
                    f"docker://{reference}", f"oci:{folder}/{form}")
                with open(f"{folder}/{form}/index.json") as file:
                    self.assertEqual(json.load(file)["manifests"][0]["digest"], digest)

    def test_namespace_has_no_route_outside(self):
        routes = proc.run_in(net.netns(self.cluster.slot), ["ip", "route"])
        self.assertNotIn("default", routes)

    def test_a_second_cluster_is_apart(self):
        run(CLUSTER, "up", "--name", "self-2", "--owner", str(os.getpid()))
        try:
            second = Cluster("self-2")
            second.state = second.load()
            self.assertNotEqual(second.server, self.cluster.server)
            address = net.address(second.slot)
            with self.assertRaises(proc.ClusterError):
                proc.run_in(net.netns(self.cluster.slot),
                            ["curl", "-sSk", "-m", "2", f"https://{address}:6443/readyz"])
        finally:
            run(CLUSTER, "down", "--name", "self-2")


class Interrupted(unittest.TestCase):
    """An `up` that does not come to its end leaves nothing."""

    def interrupt(self, number, marker):
        # A shell's background jobs are born with SIGINT ignored, and these tests may be part of one.
        child = subprocess.Popen([CLUSTER, "up", "--name", "self-3"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.assertTrue(wait_until(
            lambda: os.path.exists(os.path.join(folder_of("self-3"), marker)), 60))
        mark = mark_of("self-3")
        child.send_signal(number)
        child.wait()
        self.check_gone(mark)

    def check_gone(self, mark):
        self.assertTrue(wait_until(lambda: not leftovers("self-3", mark), 20),
                        leftovers("self-3", mark))

    def test_kill_while_the_network_is_made(self):
        self.interrupt(signal.SIGKILL, "state.json")

    def test_kill_while_the_api_server_starts(self):
        self.interrupt(signal.SIGKILL, "logs/kube-apiserver.log")

    def test_control_c_while_the_api_server_starts(self):
        self.interrupt(signal.SIGINT, "logs/kube-apiserver.log")

    def test_owner_that_dies_takes_its_cluster_along(self):
        owner = subprocess.Popen(["sleep", "1000"])
        try:
            run(CLUSTER, "up", "--name", "self-3", "--owner", str(owner.pid))
            mark = mark_of("self-3")
            self.assertIn(folder_of("self-3"), leftovers("self-3", mark))
        finally:
            owner.kill()
            owner.wait()
        self.check_gone(mark)


if __name__ == "__main__":
    unittest.main(verbosity=2)
