"""A real Prometheus scrapes a node: it takes every page, keeps the names that rules know, and answers every query of
the dashboard (row 58)."""

import json
import random
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import ROOT
from kube import pod, run, wait_until
from test_metrics import PAGES, busy, reader  # noqa: F401
from testcluster import binaries

DASHBOARD = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())


@pytest.fixture(scope="module")
def prometheus(reader, node, tmp_path_factory):
    """A real Prometheus that scrapes every page of the node; asks it a query."""
    folder = tmp_path_factory.mktemp("prometheus")
    # As kube-prometheus names them; the pages' own labels of namespace and pod stand (honorLabels).
    scrape = {"scheme": "https", "honor_labels": True, "scrape_interval": "1s", "scrape_timeout": "1s",
              "authorization": {"credentials": reader.token}, "tls_config": {"insecure_skip_verify": True},
              "static_configs": [{"targets": [f"{reader.host}:{reader.port}"], "labels": {"node": node}}],
              "relabel_configs": [{"source_labels": ["__metrics_path__"], "target_label": "metrics_path"},
                                  {"target_label": "job", "replacement": "kubelet"}]}
    jobs = [dict(scrape, job_name=path, metrics_path=path) for path in PAGES]
    # It prefers OpenMetrics; the other format is taken as well, under another name of the job.
    jobs += [dict(scrape, job_name=f"{path} plain", metrics_path=path, relabel_configs=[],
                  scrape_protocols=["PrometheusText0.0.4"]) for path in PAGES]
    config = {"scrape_configs": jobs}
    (folder / "config.yml").write_text(json.dumps(config))
    program = binaries.build_tool("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with open(folder / "log", "w") as log:
        its = subprocess.Popen([program, f"--config.file={folder}/config.yml", f"--storage.tsdb.path={folder}/data",
                                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(path, **query):
        url = f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return {"error": error.read().decode()}
        except OSError:
            return {}

    def targets():
        return ask("/api/v1/targets").get("data", {}).get("activeTargets", [])

    def wait_up():
        # Its patience is a second: on a busy machine one scrape may be too late.
        wait_until(lambda: len([t for t in targets() if t["health"] == "up"]) == len(jobs), 30,
                   lambda: (folder / "log").read_text()[-2000:] + json.dumps(targets()))

    try:
        wait_up()
        yield ask
        wait_up()
    finally:
        its.terminate()
        its.wait(20)


@pytest.fixture
def fresh(kube, cluster, tmp_path):
    """A pod of a module that nobody has compiled or pulled before."""
    module = (ROOT / "build/guests/sleeper.wasm").read_bytes()
    # A custom section "x" of eight bytes, as WebAssembly has it.
    module += b"\0\x0a\x01x" + random.randbytes(8)
    (tmp_path / "fresh.wasm").write_bytes(module)
    reference = f"{cluster.registry}/fresh-{kube.namespace}:1"
    run([sys.executable, ROOT / "tools/push", tmp_path / "fresh.wasm", reference])
    kube.apply(pod("fresh", reference))
    # A compiler runs when nobody else wants to: on a machine that is busy with other tests that takes its time.
    kube.wait_ready("fresh", 120)


def queries():
    """Every query of the dashboard with the title of its panel."""
    return [(panel["title"], target["expr"])
            for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def test_a_prometheus_answers_every_query_of_the_dashboard(prometheus, busy, fresh):  # noqa: F811
    """What is shown is data, not only no error: `busy` and `fresh` came while it scraped."""
    assert len(queries()) > 30
    answers = {}

    def lacking():
        found = []
        for title, query in queries():
            filled = query.replace("$__rate_interval", "10m").replace("$node", ".*").replace("$namespace", ".*")
            assert "$" not in filled, query
            answer = prometheus("/api/v1/query", query=filled)
            assert answer.get("status") == "success", f"{title}: {filled}: {answer}"
            answers[title] = filled, answer["data"]["result"]
            if not any(sample["value"][1] != "NaN" for sample in answer["data"]["result"]):
                found.append(title)
        return found

    wait_until(lambda: not lacking(), 60, lambda: str([(title, answers[title]) for title in lacking()]))


def test_prometheus_keeps_the_names_that_dashboards_know(prometheus, reader, busy):  # noqa: F811
    """It asks for OpenMetrics, where a counter would be renamed that does not end in _total."""
    wanted = {name for path in PAGES for name, _, _ in reader.samples(path)}

    def lacking():
        return wanted - set(prometheus("/api/v1/label/__name__/values").get("data", []))

    wait_until(lambda: not lacking(), 30, lambda: sorted(lacking()))
    assert "kubelet_evictions" in prometheus("/api/v1/label/__name__/values")["data"]
