"""Packets between the pods of different nodes: flannel's VXLAN and host-gw, between Skiff nodes and with upstream flanneld."""

import ipaddress
import json
import os

import pytest

from cni import netns_of
from flannel import PORT, FlannelNode
from kube import condition_of, run, wait_until
from test_engine import serve

TYPE = "flannel.alpha.coreos.com/backend-type"
OTHER = "skiff-2"


def url_of(address):
    return f"http://[{address}]:8080/" if ":" in address else f"http://{address}:8080/"


class Node:
    """A Skiff node of the cluster, and what the kernel does there."""

    def __init__(self, kube, cluster, name):
        self.kube, self.cluster, self.name = kube, cluster, name
        self.netns = netns_of(cluster, name)
        its = kube.get("node", name)
        # Of one family or of both, IPv4 first.
        self.addresses = [one["address"] for one in its["status"]["addresses"] if one["type"] == "InternalIP"]
        self.ranges = its["spec"]["podCIDRs"]
        self.range = self.ranges[0]

    def at(self, *command):
        return ["ip", "netns", "exec", self.netns, *command]

    def ip(self, *words):
        return json.loads(run(self.at("ip", "-j", *words)).stdout or "[]")

    def fetch(self, its, address=None):
        """What a pod says to the node."""
        done = run(self.at("curl", "-sS", "-m", "5", url_of(address or its["status"]["podIP"])), check=False)
        return done.stdout if done.returncode == 0 else None

    def wget(self, its, url):
        """What a server says to a pod of the node, or why not."""
        done = run([os.environ["SKIFF_BIN"], "exec", "--run-dir", f"/run/{self.netns}", "-n", self.kube.namespace,
                    its["metadata"]["name"], "--", "wget", "-O", "-", url], check=False)
        return done.stdout or done.stderr

    def device_to(self, address):
        """Over which interface the node would send; None when it knows no way but the default."""
        way = self.ip("route", "get", address)[0]
        return None if way.get("gateway") == self.default_gateway() else way["dev"]

    def default_gateway(self):
        return self.ip("route", "show", "default")[0]["gateway"]

    def route_to(self, other):
        """The route to another node's pods."""
        return self.route(other.range)

    def route(self, range_):
        family = "-6" if ":" in range_ else "-4"
        return next((its for its in self.ip(family, "route") if its["dst"] == range_), None)


def announce(kube, cluster, name, number):
    """A Node, before it joins, with a range of pods of each family: the cluster's controller knows only IPv4."""
    # The last ranges, for the controller gives the first ones.
    v4 = list(ipaddress.ip_network(cluster.env["POD_CIDR"]).subnets(new_prefix=22))[-1 - number]
    ranges = [str(v4), f"fd00:210:0:{number + 1}::/64"]
    kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "spec": {"podCIDR": ranges[0], "podCIDRs": ranges}})


@pytest.fixture
def pair(kube, cluster, node, request):
    """Two nodes; if the test's parameter names `podRoutes`, two with these and with addresses of both families."""
    routes = getattr(request, "param", None)
    names = [f"{routes}-1", f"{routes}-2"] if routes else [node, OTHER]
    new = names if routes else names[1:]
    for number, name in enumerate(new):
        if routes:
            announce(kube, cluster, name, number)
        cluster.node("up", name, *(["--ipv6", "--", "--pod-routes", routes] if routes else []))
    yield [Node(kube, cluster, name) for name in names]
    kube.clear()
    for name in new:
        cluster.node("down", name)


def pods_on(kube, cluster, nodes):
    return [serve(kube, cluster, "http-hello", f"on-{its.name}", 8080, nodeName=its.name) for its in nodes]


def addresses_of(its):
    return [entry["ip"] for entry in its["status"]["podIPs"]]


def assert_reach_each_other(kube, nodes, pods):
    """Pod to pod and node to pod at each address, and the API server's proxy, each both ways."""
    said = nodes[0].fetch(pods[0])
    assert said
    for here, there in ((0, 1), (1, 0)):
        for address, inside in zip(addresses_of(pods[there]), nodes[there].ranges, strict=True):
            assert ipaddress.ip_address(address) in ipaddress.ip_network(inside)
            wait_until(lambda: nodes[here].fetch(pods[there], address) == said, 20, f"{nodes[here].name} reaches {address}")
            assert nodes[here].wget(pods[here], url_of(address)) == said
        name = pods[there]["metadata"]["name"]
        proxied = kube("get", "--raw", f"/api/v1/namespaces/{kube.namespace}/pods/{name}:8080/proxy/")
        assert proxied.stdout == said


def wires_of(its):
    """The pods' interfaces at a node."""
    return [link for link in its.ip("link") if link["ifname"].startswith("sk") and link.get("ifalias")]


def test_pods_reach_each_other_over_vxlan(kube, cluster, pair):
    pods = pods_on(kube, cluster, pair)
    assert_reach_each_other(kube, pair, pods)
    for here, there in ((0, 1), (1, 0)):
        assert pair[here].device_to(pods[there]["status"]["podIP"]) == "flannel.1"
        annotations = kube.get("node", pair[here].name)["metadata"]["annotations"]
        assert annotations[TYPE] == "vxlan"
        tunnel = pair[here].ip("link", "show", "flannel.1")[0]
        data = json.loads(annotations["flannel.alpha.coreos.com/backend-data"])
        assert data == {"VNI": 1, "VtepMAC": tunnel["address"]}
        assert annotations["flannel.alpha.coreos.com/public-ip"] == kube.address_of(pair[here].name)
        # Pods send no packet that the tunnel could not take whole.
        assert {its["mtu"] for its in wires_of(pair[here])} == {tunnel["mtu"]} == {1450}


@pytest.mark.long
@pytest.mark.parametrize("pair", ["vxlan"], indirect=True)
def test_pods_of_both_families_reach_each_other_over_two_tunnels(kube, cluster, pair):
    pods = pods_on(kube, cluster, pair)
    assert_reach_each_other(kube, pair, pods)
    for here, there in ((0, 1), (1, 0)):
        assert [pair[here].device_to(address) for address in addresses_of(pods[there])] == ["flannel.1", "flannel-v6.1"]
        annotations = kube.get("node", pair[here].name)["metadata"]["annotations"]
        told = [annotations[f"flannel.alpha.coreos.com/public-{family}"] for family in ("ip", "ipv6")]
        assert told == pair[here].addresses
        # The larger header of the two counts.
        assert {its["mtu"] for its in wires_of(pair[here])} == {1430}


@pytest.mark.parametrize("pair", ["host-gw"], indirect=True)
def test_pods_reach_each_other_over_host_gw(kube, cluster, pair):
    """Over IPv4 and IPv6."""
    pods = pods_on(kube, cluster, pair)
    assert_reach_each_other(kube, pair, pods)
    for here, there in ((0, 1), (1, 0)):
        assert [pair[here].device_to(address) for address in addresses_of(pods[there])] == ["eth0", "eth0"]
        gateways = [pair[here].route(range_)["gateway"] for range_ in pair[there].ranges]
        assert gateways == pair[there].addresses and len(gateways) == 2
        assert kube.get("node", pair[here].name)["metadata"]["annotations"][TYPE] == "host-gw"


def test_a_node_that_is_gone_leaves_no_route(kube, cluster, node):
    here = Node(kube, cluster, node)
    cluster.node("up", OTHER)
    there = Node(kube, cluster, OTHER)
    first = str(ipaddress.ip_network(there.range)[0])
    wait_until(lambda: here.route_to(there), 20, "a route to the new node")
    assert [its for its in here.ip("neigh") if its["dst"] == first and its["dev"] == "flannel.1"]
    cluster.node("down", OTHER)
    wait_until(lambda: here.route_to(there) is None, 20, "the route is gone")
    assert not [its for its in here.ip("neigh") if its["dst"] == first]


def test_sigkill_of_the_agent_stops_no_packet(kube_on, cluster, node, own_node):
    kube = kube_on
    here, there = Node(kube, cluster, node), Node(kube, cluster, own_node)
    pods = pods_on(kube, cluster, [here, there])
    wait_until(lambda: here.fetch(pods[1]), 20, "the pod answers")
    before = there.ip("link", "show", "flannel.1")[0]
    cluster.node("kill", own_node)
    assert here.fetch(pods[1]) and there.fetch(pods[0]), "while the agent is down"
    cluster.node("start", own_node)
    after = there.ip("link", "show", "flannel.1")[0]
    assert (after["ifindex"], after["address"]) == (before["ifindex"], before["address"])
    assert here.fetch(pods[1]) and there.fetch(pods[0])


def test_a_tunnel_of_somebody_else_is_named_and_left_alone(kube, cluster, node, own_node):
    its = Node(kube, cluster, own_node)
    cluster.node("kill", own_node)
    run(its.at("ip", "link", "delete", "flannel.1"))
    run(its.at("ip", "link", "add", "flannel.1", "type", "vxlan", "id", "1", "dstport", "8472", "dev", "eth0"))
    index = its.ip("link", "show", "flannel.1")[0]["ifindex"]
    cluster.node("start", own_node, "--wait", "0")

    def message():
        ready = next(c for c in kube.get("node", own_node)["status"]["conditions"] if c["type"] == "Ready")
        return ready["message"] if ready["status"] == "False" else ""

    wait_until(lambda: "the interface flannel.1" in message() and "podRoutes: none" in message(), 40, message)
    assert its.ip("link", "show", "flannel.1")[0]["ifindex"] == index
    run(its.at("ip", "link", "delete", "flannel.1"))
    wait_until(lambda: condition_of(kube.get("node", own_node), "Ready") == "True", 30, "the node is Ready again")
    assert its.route_to(Node(kube, cluster, node))["dev"] == "flannel.1"


def test_a_node_that_may_not_list_nodes_says_so(kube, cluster, node):
    """Once, with the remedy; its pods run all the same, and it goes on once it may."""
    kept = kube.get("clusterrolebinding", "skiff:pod-routes")
    kept["metadata"] = {"name": "skiff:pod-routes"}
    kube("delete", "clusterrolebinding", "skiff:pod-routes")
    try:
        cluster.node("up", OTHER)
        there = Node(kube, cluster, OTHER)

        def events():
            items = json.loads(kube("get", "events", "-n", "default", "-o", "json").stdout)["items"]
            return [e for e in items if e["involvedObject"]["name"] == OTHER and e["reason"] == "PodRoutesForbidden"]

        said = wait_until(events, 30, "the event")
        assert len(said) == 1 and "deploy/cluster.yaml" in said[0]["message"]
        serve(kube, cluster, "http-hello", "web", 8080, nodeName=OTHER)
        assert not [link for link in there.ip("link") if link["ifname"] == "flannel.1"]
        kube.apply(kept)
        wait_until(lambda: there.route_to(Node(kube, cluster, node)), 60, "a route once it may")
        assert len(events()) == 1 and events()[0].get("count", 1) == 1
    finally:
        kube.apply(kept)
        kube.clear()
        cluster.node("down", OTHER)


@pytest.mark.parametrize("backend", ["vxlan", "host-gw"])
def test_skiff_and_flannel_nodes_reach_each_others_pods(kube, cluster, node, tmp_path, backend):
    """With upstream's own daemon at the other end."""
    name = node
    if backend == "host-gw":
        name = "gw-1"
        cluster.node("up", name, "--", "--pod-routes", "host-gw")
    here = Node(kube, cluster, name)
    web = serve(kube, cluster, "http-hello", "web", 8080, nodeName=name)
    flannel = FlannelNode(kube, cluster, "flannel-1", tmp_path, backend)
    try:
        wait_until(lambda: here.route_to(flannel), 30, "Skiff's route to flannel's pods")
        wait_until(lambda: here.range in flannel.routes(), 30, flannel.log.read_text)
        said = here.fetch(web)
        url = f"http://{web['status']['podIP']}:8080/"
        assert flannel.fetch(flannel.in_pod, url) == said
        assert flannel.fetch(flannel.inside, url) == said
        back = f"http://{flannel.pod_address}:{PORT}/"
        assert here.wget(web, back) == web["status"]["podIP"], "with its own address"
        assert flannel.fetch(here.at, back) == (
            str(ipaddress.ip_network(here.range)[0]) if backend == "vxlan" else kube.address_of(name))
        kube("delete", "node", flannel.name)
        wait_until(lambda: here.route_to(flannel) is None, 20, "the route went with the Node")
    finally:
        flannel.close()
        if name != node:
            kube.clear()
            cluster.node("down", name)
