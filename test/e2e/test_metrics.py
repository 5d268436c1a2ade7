"""The pages of metrics: who may read them, their names, and what they say of real pods (rows 58, 59, 74)."""

import os
import re
import ssl
import time
import urllib.error
import urllib.request

import pytest

from conftest import ROOT
from kube import Grants, Kube, pod, wait_until
from test_storage import claim, claiming, storage  # noqa: F401

PAGES = ["/metrics", "/metrics/cadvisor", "/metrics/probes", "/metrics/resource", "/metrics/slis"]
OPEN_METRICS = "application/openmetrics-text;version=1.0.0"
GOLDEN = ROOT / "test/metrics/families.txt"


class Reader:
    """A monitor with a token of its own, which may read metrics and nothing else."""

    def __init__(self, cluster, node):
        self.kube = Kube(cluster.env, "kube-system")
        self.token = self.kube.token_of("monitor")
        self.grants = Grants(self.kube)
        self.grants.to_account("monitor", {("get", "metrics")})
        self.host = self.kube.address_of(node)
        self.port = self.kube.get("node", node)["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def fetch(self, path, accept="text/plain", token=None):
        """Status, content type and body."""
        request = urllib.request.Request(f"https://{self.host}:{self.port}{path}")
        request.add_header("Accept", accept)
        request.add_header("Authorization", f"Bearer {token or self.token}")
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=20) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()

    def page(self, path, accept="text/plain"):
        status, _, body = self.fetch(path, accept)
        assert status == 200, body
        return body

    def samples(self, path):
        """(name, labels, value) of every sample of a page."""
        found = []
        for name, labels, value in re.findall(r"^([a-z_]+)(?:\{(.*)\})? (\S+)", self.page(path), re.M):
            found.append((name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
        return found

    def value(self, path, name, /, **labels):
        """The one sample of that name whose labels include these; None without it."""
        found = [v for n, its, v in self.samples(path) if n == name and labels.items() <= its.items()]
        assert len(found) <= 1, f"{name}{labels}: {found}"
        return found[0] if found else None


@pytest.fixture(scope="module")
def reader(cluster, node):
    its = Reader(cluster, node)
    yield its
    its.grants.close()


@pytest.fixture
def busy(kube, cluster):
    """A server that answers and is probed, and a pod that burns up to its limits."""
    web = pod("web", cluster.push("http-hello"), restartPolicy="Always",
              ports=[{"containerPort": 8085}], resources={"limits": {"cpu": "500m", "memory": "64Mi"}},
              livenessProbe={"httpGet": {"path": "/", "port": 8085}, "periodSeconds": 1})
    web["spec"]["hostNetwork"] = True
    kube.apply(web, pod("burns", cluster.push("actor"), "spin", resources={"limits": {"cpu": "50m"}}))
    for name in ("web", "burns"):
        kube.wait_ready(name)
    return kube


def test_pages_are_what_the_golden_list_says(reader, busy):
    """Names and types: dashboards and rules of kube-prometheus stand on them."""
    wait_until(lambda: reader.value("/metrics/probes", "prober_probe_total", namespace=busy.namespace,
                                    result="successful"), 20, "a probe")
    pages = {path: reader.page(path) for path in PAGES}
    missing = []
    for line in GOLDEN.read_text().splitlines():
        path, name, kind = line.split()
        if f"# TYPE {name} {kind}\n" not in pages[path]:
            missing.append(line)
    assert not missing


def test_both_formats_are_told_apart(reader):
    for path in PAGES:
        status, kind, body = reader.fetch(path)
        assert status == 200 and kind == "text/plain; version=0.0.4; charset=utf-8", body
        status, kind, body = reader.fetch(path, OPEN_METRICS)
        assert status == 200 and kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", body
        assert ("\n" + body).endswith("\n# EOF\n")


def test_metrics_are_for_whom_may_read_them(reader):
    """A monitor of nodes/metrics reads these pages, and neither pods nor logs (kubelet-contract §3)."""
    for path in PAGES:
        assert reader.fetch(path)[0] == 200
        assert reader.fetch(path, token="nobody")[0] == 401
    for path in ("/pods", "/runningpods/", "/configz", "/containerLogs/a/b/c"):
        assert reader.fetch(path)[0] == 403, path
    assert reader.fetch("/metrics/none")[0] == 404
    assert reader.fetch("/metrics", token=reader.kube.token_of("nobody"))[0] == 403


def test_numbers_are_those_of_the_pods(reader, busy, node):
    ns = busy.namespace
    of = {"namespace": ns, "container": "main"}
    cadvisor = "/metrics/cadvisor"
    throttled = "container_cpu_cfs_throttled_periods_total"
    wait_until(lambda: (reader.value(cadvisor, throttled, pod="burns", **of) or 0) > 3,
               60, "a throttled pod")
    assert reader.value(cadvisor, "container_cpu_usage_seconds_total", pod="burns", **of) > 0
    assert reader.value(cadvisor, "container_spec_cpu_quota", pod="burns", **of) == 5000
    assert reader.value(cadvisor, "container_spec_memory_limit_bytes", pod="web", **of) == 64 << 20
    assert 0 < reader.value(cadvisor, "container_memory_working_set_bytes", pod="web", **of) < 64 << 20
    assert reader.value(cadvisor, "container_processes", pod="web", **of) == 1
    labels = next(its for name, its, _ in reader.samples(cadvisor)
                  if name == "container_memory_rss" and its["pod"] == "web" and its["container"])
    uid = busy.pod("web")["metadata"]["uid"]
    assert labels["id"].startswith(f"/pod{uid}") and "http-hello" in labels["image"] and labels["name"]
    # The pod's own line: no container, all its time.
    assert reader.value(cadvisor, "container_cpu_usage_seconds_total", namespace=ns, pod="burns", container="") > 0
    started = reader.value(cadvisor, "container_start_time_seconds", pod="web", **of)
    assert abs(started - time.time()) < 300
    assert reader.value(cadvisor, "machine_cpu_cores") == os.cpu_count()
    # HTTP: the liveness probe is a request.
    requests = "skiff_http_server_requests_total"
    wait_until(lambda: (reader.value(cadvisor, requests, pod="web", code="2xx", **of) or 0) > 1,
               20, "requests")
    assert reader.value(cadvisor, "skiff_http_server_request_duration_seconds_count", pod="web", **of) > 1
    assert reader.value("/metrics/probes", "prober_probe_total", probe_type="Liveness", result="successful",
                        pod="web", pod_uid=uid, **of) > 1
    assert reader.value("/metrics", "kubelet_node_name", node=node) == 1
    assert reader.value("/metrics", "kubelet_running_pods") >= 2
    assert reader.value("/metrics", "kubelet_running_containers", container_state="running") >= 2
    assert reader.value("/metrics", "kubelet_pod_start_duration_seconds_count") >= 2
    assert reader.value("/metrics", "skiff_start_phase_seconds_count", phase="run") >= 2
    assert reader.value("/metrics", "kubelet_certificate_manager_client_ttl_seconds") > 60
    assert reader.value("/metrics", "process_start_time_seconds") < time.time()
    assert reader.value("/metrics/slis", "kubernetes_healthcheck", name="syncloop") == 1


def test_claims_show_their_filesystems(reader, kube, cluster, storage, files):  # noqa: F811
    """kubelet_volume_stats_*: what rules warn of that a volume fills up."""
    storage(kube.namespace, hostPath={"path": str(files)})
    kube.apply(claim("data", kube.namespace))
    kube.apply(claiming("uses", cluster.push("sleeper"), "data"))
    kube.wait_ready("uses")
    its = {"namespace": kube.namespace, "persistentvolumeclaim": "data"}
    disk = os.statvfs(files)
    assert reader.value("/metrics", "kubelet_volume_stats_capacity_bytes", **its) == disk.f_blocks * disk.f_frsize
    assert reader.value("/metrics", "kubelet_volume_stats_inodes", **its) == disk.f_files
    # Others write to the same disk.
    used = reader.value("/metrics", "kubelet_volume_stats_used_bytes", **its)
    assert abs(used - (disk.f_blocks - disk.f_bfree) * disk.f_frsize) < 4 << 30
    available = reader.value("/metrics", "kubelet_volume_stats_available_bytes", **its)
    assert abs(available - disk.f_bavail * disk.f_frsize) < 4 << 30
    assert reader.value("/metrics", "volume_manager_total_volumes", state="actual_state_of_world",
                        plugin_name="kubernetes.io/persistent-volume-claim") == 1
    kube("delete", "pod", "uses")
    assert reader.value("/metrics", "kubelet_volume_stats_capacity_bytes", **its) is None


def test_running_pods_are_listed(busy, node):
    """/runningpods/ through the API server, as e2e and agents ask for it (row 59)."""
    items = busy.node_json(node, "runningpods/")["items"]
    mine = {p["metadata"]["name"]: p for p in items if p["metadata"]["namespace"] == busy.namespace}
    assert set(mine) == {"web", "burns"}
    assert [c["name"] for c in mine["web"]["spec"]["containers"]] == ["main"]


def test_the_summary_tells_of_swap_and_stalls(busy, node):
    """Row 74: as far as this machine's kernel counts them."""
    wait_until(lambda: "web" in busy.summary(node)[1], 20, "the pod is in the summary")
    its, mine = busy.summary(node)
    assert its["swap"]["swapUsageBytes"] >= 0
    if os.path.exists("/proc/pressure/cpu"):
        for part in ("cpu", "memory", "io"):
            assert set(its[part]["psi"]["some"]) == {"total", "avg10", "avg60", "avg300"}
    memory = mine["web"]["containers"][0]["memory"]
    assert memory["usageBytes"] >= memory["workingSetBytes"] > 0
    assert memory["availableBytes"] == (64 << 20) - memory["workingSetBytes"]


def test_every_family_is_documented(reader, busy):
    documented = set(re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M))
    for path in PAGES:
        shown = set(re.findall(r"^# TYPE (\S+) (\S+)$", reader.page(path), re.M))
        assert shown and shown <= documented, f"{path}: {sorted(shown - documented)}"
