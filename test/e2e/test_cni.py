"""The cluster's network plugin gives pods their addresses: the reference plugins of today, and Debian's of 2022."""

import ipaddress
import json
import os

import pytest

from cni import PluginNode, conflist, netns_of
from kube import pod, run, wait_until
# The tests of these names are run here with this file's `site`.
from test_egress import (Site, servers, start, successes, test_metadata_and_the_agent_are_closed_to_every_pod,  # noqa: F401
                         test_nobody_in_a_pod_changes_its_rules,  # noqa: F401
                         test_what_is_not_listed_is_out_of_reach_whatever_the_engine_does)  # noqa: F401
from test_engine import answers, ask, serve

PLUGINS = ["today", "debian"]


@pytest.fixture(scope="module", params=PLUGINS)
def plugged(request, cluster, node, tmp_path_factory):
    its = PluginNode(cluster, f"skiff-{request.param}", tmp_path_factory.mktemp(request.param), request.param,
                     "--runtime-request-timeout=5s")
    yield its
    its.close()


@pytest.fixture
def kube_at(kube):
    """kubectl, emptied of pods at the end."""
    yield kube
    kube.clear()


@pytest.fixture
def site(cluster, plugged):
    return Site(cluster, plugged.name, 4, 6)


def at(plugged, name, cluster, **spec):
    return pod(name, cluster.push("actor"), "hold", nodeName=plugged.name, restartPolicy="Always", **spec)


def exec_in(kube, plugged, name, *command):
    """A command of the toolbox in a pod; its output."""
    return run([os.environ["SKIFF_BIN"], "exec", "--run-dir", plugged.run_folder, "-n", kube.namespace, name, "--",
                *command], check=False).stdout


def test_pods_have_the_plugins_addresses_and_talk(kube_at, cluster, plugged):
    kube = kube_at
    one = serve(kube, cluster, "http-hello", "one", 8080, nodeName=plugged.name)
    two = serve(kube, cluster, "http-hello", "two", 8080, nodeName=plugged.name)
    range_v4 = ipaddress.ip_network(kube.get("node", plugged.name)["spec"]["podCIDRs"][0])
    for its in (one, two):
        v4, v6 = (ipaddress.ip_address(entry["ip"]) for entry in its["status"]["podIPs"])
        assert v4 in range_v4 and v6 in ipaddress.ip_network("fd00:9::/64"), its["status"]["podIPs"]
        assert str(v4) == its["status"]["podIP"] != its["status"]["hostIP"]
        assert ask(its, "/")[0] == 200, "from another machine"
    said = plugged.inside("curl", "-sS", "-m", "10", f"http://{one['status']['podIP']}:8080/")
    for here, there in ((one, two), (two, one)):
        for entry in there["status"]["podIPs"]:
            address = f"[{entry['ip']}]" if ":" in entry["ip"] else entry["ip"]
            assert exec_in(kube, plugged, here["metadata"]["name"], "wget", "-O", "-",
                           f"http://{address}:8080/") == said, address
    kube("delete", "pod", "one", "two", "--timeout=30s")
    assert not any(plugged.leavings().values()), plugged.leavings()


def test_a_port_of_the_node_leads_to_the_pod(kube_at, cluster, plugged):
    kube = kube_at
    kube.apply(pod("web", cluster.push("http-hello"), nodeName=plugged.name,
                   ports=[{"containerPort": 8080, "hostPort": 18090}]))
    its = kube.wait_ready("web", 60)
    at_node = {"status": {"podIP": its["status"]["hostIP"]}}
    wait_until(lambda: answers(at_node, 18090), 20, "the node's port leads to the pod")
    assert plugged.leavings()["rules"]
    kube.apply(pod("late", cluster.push("http-hello"), nodeName=plugged.name,
                   ports=[{"containerPort": 8081, "hostPort": 18090}]))
    message = f"port 18090/TCP of the node is taken by pod {kube.namespace}/web"
    done = wait_until(lambda: kube.events("late") or kube.pod("late")["status"].get("message"), 30, "it is refused")
    assert message in str(done) or "NodePorts" in str(done) or "available" in str(done), done
    kube("delete", "pod", "web", "late", "--timeout=30s")
    assert not answers(at_node, 18090)
    assert not any(plugged.leavings().values()), plugged.leavings()


def test_addresses_and_rules_survive_sigkill_of_the_agent(kube_at, cluster, plugged, site, start):  # noqa: F811
    kube = kube_at
    before = serve(kube, cluster, "http-hello", "web", 8080, nodeName=plugged.name)
    kube.apply(at(plugged, "gone", cluster))
    kube.wait_ready("gone", 60)
    held = start("held", "none")
    cluster.node("kill", plugged.name)
    assert ask(before, "/")[0] == 200, "while the agent is down"
    assert successes(held, [cluster.registry]) == set(), "while the agent is down"
    kube("delete", "pod", "gone", "--wait=false")
    cluster.node("start", plugged.name)
    kube.wait_gone("gone")
    its = kube.pod("web")
    assert its["status"]["podIPs"] == before["status"]["podIPs"]
    assert its["status"]["containerStatuses"][0]["restartCount"] == 0
    assert ask(its, "/")[0] == 200
    assert successes(held, [cluster.registry, *site.agents()]) == set()
    assert len(plugged.leavings()["pins"]) == 2
    kube("delete", "pod", "web", "held", "--timeout=30s")
    assert not any(plugged.leavings().values()), plugged.leavings()


NOT_READY = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:"


def test_a_configuration_that_is_missing_or_wrong_is_told_until_it_comes(kube_at, cluster, plugged):
    kube = kube_at
    file = plugged.config / "10-harbour.conflist"
    file.unlink()
    ready = plugged.wait_condition(kube, "False", NOT_READY, "cni plugin not initialized", str(plugged.config))
    assert ready["reason"] == "KubeletNotReady"
    kube.apply(at(plugged, "early", cluster))
    event = kube.wait_event("early", "NetworkNotReady")
    assert "cni plugin not initialized" in event["message"]
    file.write_text("{")
    plugged.wait_condition(kube, "False", NOT_READY, "10-harbour.conflist")
    plugged.put_config()
    plugged.wait_condition(kube, "True")
    kube.wait_ready("early", 60)


def test_a_program_that_is_missing_is_named(kube_at, cluster, plugged):
    kube = kube_at
    plugged.gate.unlink()
    plugged.wait_condition(kube, "False", NOT_READY, "CNI plugin gate", str(plugged.own))
    kube.apply(at(plugged, "early", cluster))
    assert "CNI plugin gate" in kube.wait_event("early", "NetworkNotReady")["message"]
    plugged.put_gate()
    plugged.wait_condition(kube, "True")
    kube.wait_ready("early", 60)


@pytest.mark.parametrize("fault,words", [("fail", "no boats left; all at sea"), ("hang", "did not end in time"),
                                         ("nonsense", "its result")])
def test_a_plugin_that_fails_is_quoted_and_may_recover(kube_at, cluster, plugged, fault, words):
    kube = kube_at
    plugged.fault("ADD", fault)
    kube.apply(at(plugged, "web", cluster))
    try:
        event = kube.wait_event("web", "FailedCreatePodSandBox")
        assert words in event["message"] and "CNI plugin gate, network harbour, ADD" in event["message"], event["message"]
        assert kube.pod("web")["status"]["phase"] == "Pending"
        if fault != "hang":  # the next attempt, whose traces are there while it lasts, may have begun
            wait_until(lambda: not any(plugged.leavings().values()), 20, plugged.leavings)
    finally:
        plugged.fault("ADD")
    kube.wait_ready("web", 60)
    kube("delete", "pod", "web", "--timeout=30s")
    assert not any(plugged.leavings().values()), plugged.leavings()


def test_a_pod_goes_only_when_the_plugin_has_let_it_go(kube_at, cluster, plugged):
    kube = kube_at
    kube.apply(at(plugged, "web", cluster))
    kube.wait_ready("web", 60)
    plugged.fault("DEL", "fail")
    kube("delete", "pod", "web", "--wait=false")
    try:
        assert "no boats left" in kube.wait_event("web", "FailedKillPod", seconds=40)["message"]
        assert kube.pod("web")
    finally:
        plugged.fault("DEL")
    kube.wait_gone("web", 60)
    assert not any(plugged.leavings().values()), plugged.leavings()


def test_another_kind_of_network_harms_no_pod_that_lives(kube_on, cluster, own_node, tmp_path):
    """routed, then the machine's own, then a plugin: each pod keeps what it began with, and leaves nothing."""
    kube = kube_on
    built_in = serve(kube, cluster, "http-hello", "built-in", 8080, nodeName=own_node)

    def restart(*flags):
        cluster.node("stop", own_node)
        cluster.node("start", own_node, "--", *flags)

    def kept(*pods):
        for before in pods:
            its = kube.pod(before["metadata"]["name"])
            assert its["status"]["podIPs"] == before["status"]["podIPs"]
            assert its["status"]["containerStatuses"][0]["restartCount"] == 0
            assert ask(its, "/", before["spec"]["containers"][0]["ports"][0]["containerPort"])[0] == 200

    restart("--pod-network=node")
    nodes_own = serve(kube, cluster, "http-hello", "nodes-own", 8081, nodeName=own_node)
    assert nodes_own["status"]["podIP"] == nodes_own["status"]["hostIP"]
    kept(built_in)
    config = tmp_path / "net.d"
    config.mkdir()
    (config / "10-harbour.conflist").write_text(conflist("bridge", tmp_path / "leases"))
    plugin = ["--pod-network=cni", f"--cni-conf-dir={config}", "--cni-bin-dir=/usr/lib/cni"]
    restart(*plugin)
    plugged = serve(kube, cluster, "http-hello", "plugged", 8080, nodeName=own_node)
    assert len(plugged["status"]["podIPs"]) == 2
    kept(built_in, nodes_own, plugged)
    # `auto` goes on as its pods began; here both kinds live, so the configuration decides.
    restart("--pod-network=auto", *plugin[1:])
    assert "kind=cni" in cluster.log_of(own_node).rsplit("network of pods", 1)[1].splitlines()[0]
    kept(built_in, nodes_own, plugged)
    kube("delete", "pod", "plugged", "--timeout=30s")
    restart("--pod-network=auto", *plugin[1:])
    assert "kind=routed" in cluster.log_of(own_node).rsplit("network of pods", 1)[1].splitlines()[0]
    kept(built_in, nodes_own)
    kube("delete", "pod", "built-in", "nodes-own", "--timeout=30s")
    restart("--pod-network=node")
    inside = ["ip", "netns", "exec", netns_of(cluster, own_node)]
    links = [its["ifname"] for its in json.loads(run([*inside, "ip", "-j", "link"]).stdout)]
    assert not [name for name in links if name.startswith(("sk", "veth"))], links
    assert "skiff-" not in run([*inside, "nft", "list", "tables"]).stdout
