"""The network of pods: an address for each, what reaches it and what it reaches, ports of the node."""

import ipaddress
import json
import socket

import pytest

from conftest import OWN_NODE
from kube import pod, run, wait_until
from machine import LAID_AHEAD_MAX, runner_of
from test_engine import answers, ask, serve
from test_metrics import reader  # noqa: F401


def links_of(cluster, number):
    """Names of the pods' interfaces at a node."""
    done = run(cluster.inside("ip", "-j", "link", node_number=number))
    return [its["ifname"] for its in json.loads(done.stdout) if its["ifname"].startswith("sk")]


def http_from(cluster, number, host, port, path):
    """What the cluster's node of that number gets at an address, None without an answer."""
    done = run(cluster.inside("curl", "-sSf", "-m", "5", f"http://{host}:{port}{path}", node_number=number), check=False)
    return done.stdout if done.returncode == 0 else None


def test_each_pod_has_an_address_of_the_nodes_range(kube, cluster, node, inside):
    """Row 43: the same port in several pods, reached by the machine, the node, pods and the API server's proxy."""
    one = serve(kube, cluster, "http-hello", "one", 8080, nodeName=node)
    two = serve(kube, cluster, "http-hello", "two", 8080, nodeName=node)
    ranges = [ipaddress.ip_network(text) for text in kube.get("node", node)["spec"]["podCIDRs"]]
    addresses = [its["status"]["podIP"] for its in (one, two)]
    assert len(set(addresses)) == 2, addresses
    for its, address in zip((one, two), addresses):
        assert any(ipaddress.ip_address(address) in text for text in ranges), (address, ranges)
        assert its["status"]["podIPs"] == [{"ip": address}]
        assert its["status"]["hostIP"] != address
        assert ask(its, "/")[0] == 200
        done = run(cluster.inside("curl", "-sS", "-m", "10", f"http://{address}:8080/", node_number=1))
        assert done.returncode == 0, done.stderr
        proxied = kube("get", "--raw", f"/api/v1/namespaces/{kube.namespace}/pods/{its['metadata']['name']}:8080/proxy/")
        assert proxied.stdout == done.stdout
        assert f"{address}\t{its['metadata']['name']}" in inside(its["metadata"]["name"], "cat", "/etc/hosts")
    for here, there in ((one, two), (two, one), (one, one)):
        said = inside(here["metadata"]["name"], "wget", "-O", "-", f"http://{there['status']['podIP']}:8080/")
        assert said == done.stdout


def test_a_port_of_the_node_leads_to_the_pod(kube, cluster, node):
    """Row 53: from outside, at the node's loopback address, and no longer when the pod is gone."""
    kube.apply(pod("web", cluster.push("http-hello"), nodeName=node,
                   ports=[{"containerPort": 8080, "hostPort": 18090}]))
    its = kube.wait_ready("web", 60)
    at_node = {"status": {"podIP": its["status"]["hostIP"]}}
    wait_until(lambda: answers(at_node, 18090), 20, "the node's port leads to the pod")
    done = run(cluster.inside("curl", "-sS", "-m", "10", "http://127.0.0.1:18090/", node_number=1))
    assert done.returncode == 0, done.stderr
    kube("delete", "pod", "web", "--timeout=30s")
    assert not answers(at_node, 18090)


def test_a_sender_of_datagrams_is_led_to_each_pod_that_gets_the_port(kube, cluster, node):
    """It uses one port of its own and never pauses: the kernel would go on as it began, with nobody, then with the first pod."""
    address = kube.address_of(node)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.2)

        def answered():
            sender.sendto(b"ahoy", (address, 18330))
            try:
                return sender.recv(100) == b"ahoy"
            except TimeoutError:
                return False

        assert not answered()
        for name in ("first", "second"):
            kube.apply(pod(name, cluster.push("sockets"), "udp-listen", 8080, nodeName=node,
                           ports=[{"containerPort": 8080, "hostPort": 18330, "protocol": "UDP"}]))
            wait_until(answered, 20, lambda name=name: f"an answer of {name}: {kube.describe(name)}")
            kube("delete", "pod", name, "--timeout=30s")


def test_addresses_survive_sigkill_of_the_agent(kube_on, cluster, own_node):
    kube = kube_on
    before = serve(kube, cluster, "http-hello", "web", 8080, nodeName=own_node)
    cluster.node("kill", own_node)
    assert ask(before, "/")[0] == 200, "while the agent is down"
    cluster.node("start", own_node)
    after = serve(kube, cluster, "http-hello", "other", 8080, nodeName=OWN_NODE)
    assert after["status"]["podIP"] != before["status"]["podIP"]
    its = kube.pod("web")
    assert its["status"]["podIP"] == before["status"]["podIP"]
    assert its["status"]["containerStatuses"][0]["restartCount"] == 0
    assert ask(its, "/")[0] == 200


@pytest.fixture
def own_firewall(cluster, node):
    """Runs a command of iptables or nft at the node, whose rules of iptables go at the end."""
    def call(*words):
        run(cluster.inside(*words, node_number=1))

    yield call
    for family in ("ip", "ip6"):
        run(cluster.inside("nft", "delete", "table", family, "filter", node_number=1), check=False)


def test_docker_closes_the_way_until_the_administrator_opens_it(kube, cluster, node, inside, own_firewall):
    """Docker's FORWARD policy is another table's, which no rule of Skiff's could overrule; the remedy is that of docs/networking.md."""
    web = serve(kube, cluster, "http-hello", "web", 8080, nodeName=node)
    for words in (["-N", "DOCKER-USER"], ["-A", "FORWARD", "-j", "DOCKER-USER"], ["-P", "FORWARD", "DROP"]):
        own_firewall("iptables-nft", *words)
    assert not answers(web, 8080), "from another machine"
    assert http_from(cluster, 1, web["status"]["podIP"], 8080, "/"), "probes come from the node"
    registry = f"http://{cluster.registry}/v2/"
    assert "{}" not in inside("web", "wget", "-T", "2", "-O", "-", registry)
    for side in ("-i", "-o"):
        own_firewall("iptables-nft", "-I", "DOCKER-USER", side, "sk+", "-j", "ACCEPT")
    wait_until(lambda: answers(web, 8080), 20, "the pod answers again")
    assert "{}" in inside("web", "wget", "-O", "-", registry)


def test_rules_that_somebody_flushed_come_with_the_next_port(kube, cluster, node, own_firewall):
    """`nft flush ruleset`, which a restart of Debian's nftables.service is; what holds a pod is in its own network and stays."""
    port = {"containerPort": 8080, "hostPort": 18090}
    kube.apply(pod("first", cluster.push("http-hello"), nodeName=node, ports=[port]))
    its = kube.wait_ready("first", 60)
    at_node = {"status": {"podIP": its["status"]["hostIP"]}}
    wait_until(lambda: answers(at_node, 18090), 20, "the node's port leads to the pod")
    own_firewall("nft", "flush", "ruleset")
    pid = runner_of(its)[0]
    run(["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "list", "table", "inet", "skiff-egress"])
    kube.apply(pod("second", cluster.push("http-hello"), nodeName=node, ports=[dict(port, hostPort=18091)]))
    kube.wait_ready("second", 60)
    wait_until(lambda: answers(at_node, 18090), 20, "the first pod's port is back")
    rules = run(cluster.inside("nft", "list", "ruleset", node_number=1)).stdout
    assert "masquerade" in rules and "dport 18091 dnat" in rules, rules


def test_figures_are_of_what_went_through(kube, cluster, node, reader):  # noqa: F811
    """Rows 48, 49: at once on the page of cAdvisor, within ten seconds in the summary; both count the same."""
    its = serve(kube, cluster, "http-hello", "web", 8080, nodeName=node)
    kube.apply(pod("shares", cluster.push("actor"), "hold", nodeName=node, hostNetwork=True))
    kube.wait_ready("shares")
    page = "/metrics/cadvisor"

    def counted(direction, what="bytes", name="web"):
        return reader.value(page, f"container_network_{direction}_{what}_total", namespace=kube.namespace, pod=name,
                            interface="eth0", container="")

    received, sent, packets = counted("receive"), counted("transmit"), counted("receive", "packets")
    assert ask(its, "/echo", method="POST", body=b"x" * 500_000)[0] == 200
    for direction, before in (("receive", received), ("transmit", sent)):
        # The headers of TCP and IP are counted, too, and acknowledgements.
        assert 500_000 < counted(direction) - before < 600_000
    assert counted("receive", "packets") > packets
    assert counted("receive", "errors") == counted("transmit", "packets_dropped") == 0
    assert counted("receive", name="shares") > 0

    def received_now():
        return kube.summary(node)[1].get("web", {}).get("network", {}).get("rxBytes", 0)

    wait_until(lambda: received_now() > received + 500_000, 20, "a fresh summary")
    its, pods = kube.summary(node)
    of_node = its["network"]
    assert pods["web"]["network"]["name"] == "eth0" and pods["web"]["network"]["rxErrors"] == 0
    assert pods["web"]["network"]["txBytes"] > sent + 500_000
    names = [link["name"] for link in of_node["interfaces"]]
    assert of_node["name"] == "eth0" in names and not [name for name in names if name.startswith("sk")], names
    assert pods["shares"]["network"]["interfaces"] == of_node["interfaces"], "hostNetwork: those of the node"


def test_pods_that_are_gone_leave_no_interface(kube, cluster, node):
    serve(kube, cluster, "http-hello", "web", 8080, nodeName=node)
    kube("delete", "pod", "web", "--timeout=30s")
    records = cluster.env["CLUSTER_NETNS"] + "n1"
    kept = run(["ls", f"/run/{records}/network"]).stdout.split()
    assert kube.namespace not in " ".join(kept)
    # What is laid ahead stays, and what pods of other tests have.
    wait_until(lambda: len(links_of(cluster, 1)) <= len(kept) + LAID_AHEAD_MAX, 20, "interfaces are gone")
