"""`kubectl top` and a HorizontalPodAutoscaler over a real metrics-server, and `skiff top` on the node (row 48)."""

import json
import re
import subprocess

import pytest

from kube import Kube, pod, run, wait_until
from testcluster import binaries

SYSTEM = "kube-system"
PORT = 4443
API = "metrics.k8s.io"


def bound(kind, name, role_kind, role):
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "metrics-server", "namespace": SYSTEM}]}


# What metrics-server's own manifests give it, and the way to it: it runs beside the API server, not in a pod.
def objects(address):
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "metrics-server"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
         "metadata": {"name": "system:metrics-server"},
         "rules": [{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
                   {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}]},
        bound("ClusterRoleBinding", "system:metrics-server", "ClusterRole", "system:metrics-server"),
        bound("ClusterRoleBinding", "metrics-server:system:auth-delegator", "ClusterRole", "system:auth-delegator"),
        bound("RoleBinding", "metrics-server-auth-reader", "Role", "extension-apiserver-authentication-reader"),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics-server"},
         "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": {"name": "metrics-server", "labels": {"kubernetes.io/service-name": "metrics-server"}},
         "ports": [{"name": "https", "port": PORT}], "endpoints": [{"addresses": [address]}]},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
         "metadata": {"name": f"v1beta1.{API}"},
         "spec": {"group": API, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                  "insecureSkipTLSVerify": True,
                  "service": {"name": "metrics-server", "namespace": SYSTEM}}}]


@pytest.fixture(scope="module")
def metrics(cluster, node, tmp_path_factory):
    """A metrics-server with a service account of its own; kubectl of kube-system."""
    kube = Kube(cluster.env, SYSTEM)
    address = cluster.registry.split(":")[0]
    kube.apply(*objects(address))
    config = json.loads(kube("config", "view", "--raw", "-o", "json").stdout)
    token = kube("create", "token", "metrics-server", "--duration=2h").stdout.strip()
    config["users"][0]["user"] = {"token": token}
    folder = tmp_path_factory.mktemp("metrics-server")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    with open(folder / "log", "w") as log:
        its = subprocess.Popen(
            cluster.inside(binaries.build_tool("metrics-server"), f"--kubeconfig={kubeconfig}",
                           f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
                           f"--secure-port={PORT}", f"--cert-dir={folder}", "--kubelet-insecure-tls",
                           "--kubelet-preferred-address-types=InternalIP", "--metric-resolution=10s",
                           "--kubelet-request-timeout=5s"),
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: kube("get", "--raw", f"/apis/{API}/v1beta1/nodes", check=False).returncode == 0, 60,
                   lambda: (folder / "log").read_text()[-4000:])
        yield kube
    finally:
        its.kill()
        its.wait()
        kube("delete", f"apiservice/v1beta1.{API}", "service/metrics-server", "--wait=false")


def test_kubectl_top_shows_node_pods_and_containers(kube, cluster, node, metrics):
    kube.apply(pod("busy", cluster.push("actor"), "spin", resources={"limits": {"cpu": "500m"}}),
               pod("idle", cluster.push("sleeper")))
    for name in ("busy", "idle"):
        kube.wait_ready(name)

    def top(*words):
        return kube("top", *words, check=False).stdout

    def row(pattern, *words):
        """The match; a round of the server's in which the node answers late has none."""
        return wait_until(lambda: re.search(pattern, top(*words)), 30, lambda: f"{pattern} in {top(*words)}")

    wait_until(lambda: "busy" in top("pods") and "idle" in top("pods"), 90,
               lambda: kube("top", "pods", check=False).stderr)
    # Its first window may have begun before the pod.
    wait_until(lambda: int(row(r"busy\s+main\s+(\d+)m", "pods", "--containers")[1]) > 250, 60,
               lambda: top("pods", "--containers"))
    cores, memory = row(r"busy\s+main\s+(\d+)m\s+(\d+)Mi", "pods", "--containers").groups()
    assert int(cores) <= 750 and int(memory) < 64
    assert int(row(r"idle\s+(\d+)m", "pods")[1]) < 50
    row(rf"{node}\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%", "nodes")


def test_an_autoscaler_scales_a_deployment_on_cpu(kube, cluster, metrics):
    """An HPA sees that one pod burns more than it asks for, and makes more of them."""
    template = pod("unused", cluster.push("actor"), "spin", restartPolicy="Always",
                   resources={"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}})["spec"]
    labels = {"app": "burner"}
    kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "burner"},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                         "template": {"metadata": {"labels": labels}, "spec": template}}},
               {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "burner"},
                "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "burner"},
                         "minReplicas": 1, "maxReplicas": 2,
                         "metrics": [{"type": "Resource", "resource": {
                             "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}})

    def ready():
        return kube.get("deployment", "burner")["status"].get("readyReplicas", 0)

    wait_until(lambda: ready() == 2, 180, lambda: kube("describe", "hpa", "burner").stdout)
    kube("delete", "hpa,deployment", "burner")


def test_skiff_top_shows_the_same_on_the_node(kube, cluster, node, skiff, run_dir):
    kube.apply(pod("busy", cluster.push("actor"), "spin", resources={"limits": {"cpu": "500m"}}))
    kube.wait_ready("busy")

    def top(*words):
        return run([skiff, "top", "--run-dir", run_dir, *words])

    def shown():
        return re.search(rf"{kube.namespace}\s+busy\s+main\s+(\d+)m\s+\d+Mi", top().stdout)

    # Its first window may have begun before the pod.
    wait_until(lambda: (found := shown()) and 100 < int(found[1]) < 900, 20, lambda: top().stdout)
    assert top("--once").stdout.startswith(f"node {node}: CPU ")
    document = json.loads(top("-o", "json").stdout)
    assert any(p["podRef"]["name"] == "busy" for p in document["pods"])
    nobody = run([skiff, "top", "--run-dir", "/nowhere"], check=False)
    assert nobody.returncode != 0 and "no node answers at /nowhere/skiff.sock" in nobody.stderr
