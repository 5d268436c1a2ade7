"""Pods from files on a node of a cluster, and their mirrors at the API server (contract row 54)."""

import http.server
import json
import threading
import uuid

import pytest

from kube import Kube, condition_of, pod, wait_until

NODE = "skiff-static"


@pytest.fixture(scope="module")
def manifests(cluster, tmp_path_factory):
    """The folder that the node reads, every second."""
    folder = tmp_path_factory.mktemp("manifests")
    cluster.node("up", NODE, "--", "--pod-manifest-path", str(folder),
                 "--file-check-frequency", "1s")
    yield folder
    cluster.node("down", NODE)


@pytest.fixture
def static(cluster, manifests):
    """Writes manifests; their pods are in a namespace that exists for the test."""
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    its = Kube(cluster.env, namespace)
    its.create_namespace()
    yield its
    for file in manifests.iterdir():
        file.unlink()
    wait_until(lambda: not its.pods(), 30, "no mirror left")
    its.delete_namespace()


def write(static, manifests, its):
    its["metadata"]["namespace"] = static.namespace
    # What a file may not say: a static pod has no runtime class of the cluster to wait for.
    its["spec"].pop("runtimeClassName")
    (manifests / f"{its['metadata']['name']}.yaml").write_text(json.dumps(its))
    return f"{its['metadata']['name']}-{NODE}"


def test_a_mirror_shows_a_pod_of_a_file(static, manifests, cluster):
    """Row 54: named after the node, owned by it, with the status, the logs and the annotations."""
    name = write(static, manifests, pod("web", cluster.push("actor"), "print", "from a file", ";",
                                        "hold", restartPolicy="Always",
                                        metadata={"labels": {"app": "web"}}))
    its = static.wait_ready(name)
    annotations = its["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.source"] == "file"
    assert annotations["kubernetes.io/config.mirror"] == annotations["kubernetes.io/config.hash"]
    assert "kubernetes.io/config.seen" in annotations
    owner, = its["metadata"]["ownerReferences"]
    node = static.get("node", NODE)
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "Node", NODE, node["metadata"]["uid"], True)
    assert its["metadata"]["labels"] == {"app": "web"}
    assert {"operator": "Exists", "effect": "NoExecute"} in its["spec"]["tolerations"]
    static.wait_logs(name, "from a file\n")
    assert its["status"]["observedGeneration"] == its["metadata"]["generation"]


def test_a_deleted_mirror_comes_back_and_the_pod_runs_on(static, manifests, cluster):
    """Row 54: the server does not rule a pod of a file."""
    name = write(static, manifests, pod("stays", cluster.push("sleeper"), restartPolicy="Always"))
    before = static.wait_ready(name)
    static("delete", "pod", name, "--wait=false")
    after = static.wait_pod(name, lambda p: p["metadata"]["uid"] != before["metadata"]["uid"] and
                            condition_of(p, "Ready") == "True")
    ran, runs = (p["status"]["containerStatuses"][0] for p in (before, after))
    assert runs["containerID"] == ran["containerID"] and runs["restartCount"] == 0


def test_an_edited_file_is_another_pod_and_a_removed_one_takes_its_mirror_along(static, manifests,
                                                                                cluster):
    """Row 54: the uid is a hash of the manifest; the mirror follows."""
    image = cluster.push("actor")
    name = write(static, manifests, pod("edit", image, "print", "one", ";", "hold"))
    before = static.wait_ready(name)
    write(static, manifests, pod("edit", image, "print", "two", ";", "hold"))
    after = static.wait_pod(name, lambda p: p["metadata"]["uid"] != before["metadata"]["uid"] and
                            condition_of(p, "Ready") == "True", 40)
    static.wait_logs(name, "two\n")
    key = "kubernetes.io/config.hash"
    assert after["metadata"]["annotations"][key] != before["metadata"]["annotations"][key]
    (manifests / "edit.yaml").unlink()
    static.wait_gone(name)


def test_a_mirror_survives_the_agents_restart(static, manifests, cluster):
    """Rows 54 and 55: the next agent finds the same pod and the same mirror."""
    name = write(static, manifests, pod("kept", cluster.push("sleeper"), restartPolicy="Always"))
    before = static.wait_ready(name)
    cluster.node("kill", NODE)
    cluster.node("start", NODE)
    static.wait_pod(name, lambda p: condition_of(p, "Ready") == "True")
    after = static.pod(name)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["containerID"] == \
        before["status"]["containerStatuses"][0]["containerID"]


class Manifests:
    """A server of one manifest, which wants to see a header."""

    def __init__(self, address):
        its = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                allowed = self.headers["X-Token"] == "sesame"
                self.send_response(its.status if allowed else 403)
                self.end_headers()
                self.wfile.write(its.body if allowed else b"")
                its.asked += 1

            def log_message(self, *words):
                pass

        self.body, self.status, self.asked = b'{"kind":"PodList","apiVersion":"v1","items":[]}', 200, 0
        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_port}/pods"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, *pods):
        self.body = json.dumps({"kind": "PodList", "apiVersion": "v1", "items": pods}).encode()

    def wait_asked(self):
        """Until a request has come that began after this call."""
        before = self.asked
        wait_until(lambda: self.asked >= before + 2, 20, "two requests")


def test_pods_of_a_url_are_mirrored_and_outlive_its_failures(cluster, node):
    """Row 54: staticPodURL."""
    name = "skiff-url"
    manifests = Manifests(cluster.machine)
    kube = Kube(cluster.env, f"t-{uuid.uuid4().hex[:8]}")
    kube.create_namespace()
    cluster.node("up", name, "--", "--manifest-url", manifests.url, "--manifest-url-header", "X-Token:sesame",
                 "--http-check-frequency", "1s")
    try:
        its = pod("far", cluster.push("actor"), "print", "from a URL", ";", "hold", restartPolicy="Always")
        its["metadata"]["namespace"] = kube.namespace
        its["spec"].pop("runtimeClassName")
        manifests.serve({key: its[key] for key in ("metadata", "spec")})
        before = kube.wait_ready(f"far-{name}")
        assert before["metadata"]["annotations"]["kubernetes.io/config.source"] == "http"
        kube.wait_logs(f"far-{name}", "from a URL\n")
        here = {"metadata": {"name": "here", "namespace": kube.namespace},
                "spec": {"containers": [{"name": "main", "image": "/etc/passwd"}]}}
        manifests.serve({key: its[key] for key in ("metadata", "spec")}, here)
        kube.wait_waiting(f"here-{name}", "InvalidImageName")
        manifests.status = 500
        manifests.wait_asked()
        manifests.status, manifests.body = 200, b"kind: Deployment"
        manifests.wait_asked()
        after = kube.pod(f"far-{name}")
        assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
        log = cluster.log_of(name)
        assert "the server answers 500" in log and "sesame" not in log
        manifests.serve()
        kube.wait_gone(f"far-{name}")
    finally:
        cluster.node("down", name)
        manifests.server.shutdown()
        kube.delete_namespace()
