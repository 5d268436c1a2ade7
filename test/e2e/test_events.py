"""`skiff events`: the node's latest events, asked of the node itself."""

import json
import subprocess

from kube import pod, run, wait_until
from test_restart import NODE, no_way_to_the_api_server


def events(skiff, run_dir, *words):
    """They are one JSON object a line."""
    done = run([skiff, "events", "--run-dir", run_dir, "-o", "json", *words])
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_dir_of(kube, node):
    return kube.node_json(node, "configz")["skiffconfig"]["runDir"]


def test_they_are_those_of_the_api_server_and_filtered(kube, cluster, node, skiff, run_dir):
    kube.apply(pod("one", cluster.push("sleeper")), pod("two", cluster.push("sleeper")))
    for name in ("one", "two"):
        kube.wait_ready(name)
    mine = events(skiff, run_dir, "-n", kube.namespace)
    assert {e["involvedObject"]["name"] for e in mine} == {"one", "two"}
    one = events(skiff, run_dir, "one", "-n", kube.namespace)
    assert [e["reason"] for e in one][-2:] == ["Created", "Started"], "the newest is last"
    assert {e["involvedObject"]["uid"] for e in one} == {kube.pod("one")["metadata"]["uid"]}
    wait_until(lambda: {e["reason"] for e in kube.events("one")} >= {e["reason"] for e in one}, 20,
               "the API server has them, too")
    table = run([skiff, "events", "--run-dir", run_dir, "-n", kube.namespace]).stdout.splitlines()
    assert table[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert len(table) == len(mine) + 1 and f"{kube.namespace}/pod/" in table[-1]


def test_the_nodes_own_are_among_them(kube_on, own_node, skiff):
    everything = events(skiff, run_dir_of(kube_on, own_node))
    assert any(e["involvedObject"]["kind"] == "Node" and e["reason"] == "Starting" for e in everything)


def test_they_come_as_they_happen(kube, cluster, node, skiff, run_dir):
    watch = subprocess.Popen([skiff, "events", "-w", "--run-dir", run_dir, "-n", kube.namespace, "-o", "json"],
                             stdout=subprocess.PIPE, text=True)
    try:
        kube.apply(pod("late", cluster.push("sleeper")))
        reasons = []
        while "Started" not in reasons:
            reasons.append(json.loads(watch.stdout.readline())["reason"])
    finally:
        watch.terminate()
        watch.wait(timeout=10)


def test_they_are_told_while_the_api_server_is_away(kube_on, cluster, skiff):
    kube = kube_on
    kube.apply(pod("lonely", cluster.push("actor"), "hold-file", nodeSelector={"kubernetes.io/hostname": NODE},
                   restartPolicy="Always"))
    wait_until(lambda: kube.pod("lonely")["status"].get("containerStatuses"), 30, "it was tried")
    run_dir = run_dir_of(kube, NODE)
    with no_way_to_the_api_server(kube, cluster):
        def backs_off():
            return [e for e in events(skiff, run_dir, "lonely") if e["reason"] == "BackOff"]

        first = wait_until(backs_off, 60, lambda: events(skiff, run_dir, "lonely"))[-1]
        wait_until(lambda: backs_off()[-1]["count"] > first["count"], 60, "it happens again")


def test_no_node_is_told_in_one_line(skiff):
    done = run([skiff, "events", "--run-dir", "/nowhere"], check=False)
    assert done.returncode == 1 and "no node answers at /nowhere/skiff.sock" in done.stderr
