"""Services over IPv6: a dual-stack cluster (tools/cluster up --dual-stack) with upstream's kube-proxy and CoreDNS beside Skiff.
What upstream's suite does under IPv6DualStack. The node's pods ask for names over IPv6, too: its cluster DNS has such an address."""

import collections
import ipaddress

import pytest

from conftest import Cluster
from kube import pod, run, wait_until
from test_services import (NAME, NODE, ask_node, client, far_node, number, pods_of, reached, run_dir,  # noqa: F401
                           said_by, service, spread, wait_rules, web)
from testcluster import services

BOTH = {"ipFamilyPolicy": "RequireDualStack"}
ONLY_V6 = {"ipFamilies": ["IPv6"]}


@pytest.fixture(scope="module")
def cluster(pytestconfig):
    its = Cluster(f"{pytestconfig.getoption('--cluster')}-dual", "--dual-stack")
    yield its
    done = its.down()
    assert done.returncode == 0, f"the cluster left something behind:\n{done.stderr}"


@pytest.fixture(scope="module")
def node(cluster):
    """A node with kube-proxy beside its agent; its pods' names are answered by CoreDNS over IPv6."""
    run([cluster.PROGRAM, "services", "up", "--name", cluster.name], timeout=3600)  # the first time builds both programs
    cluster.node("up", NODE, "--", "--cluster-dns", services.dns_address_v6(cluster.slot))
    yield NODE
    cluster.node("down", NODE)


def of_family(addresses, version):
    return next(its for its in addresses if ipaddress.ip_address(its).version == version)


def addresses_of(its):
    """Of a pod or a node, IPv4 first."""
    status = its["status"]
    return [one["ip"] for one in status["podIPs"]] if "podIPs" in status else [
        one["address"] for one in status["addresses"] if one["type"] == "InternalIP"]


def slices(kube, name):
    """Addresses of the endpoints that are ready, by the type of their slices."""
    found = collections.defaultdict(set)
    for its in kube.get("endpointslices", selector=f"kubernetes.io/service-name={name}")["items"]:
        found[its["addressType"]] |= {address for one in its["endpoints"] or [] if one["conditions"].get("ready")
                                      for address in one["addresses"]}
    return dict(found)


def filled(kube, name, app, count, families=("IPv4", "IPv6")):
    """Waits until slices of these types, and of no other, have each pod of the app; returns the pods' names."""
    def look():
        pods = pods_of(kube, app)
        each = [addresses_of(its) for its in pods if len(its["status"].get("podIPs", [])) == 2]
        wanted = {f"IPv{version}": {of_family(its, version) for its in each} for version in (4, 6)}
        wanted = {family: wanted[family] for family in families}
        return {its["metadata"]["name"] for its in pods} if len(each) == count and slices(kube, name) == wanted else None

    return wait_until(look, 60, lambda: f"{count} endpoints of {name}: {slices(kube, name)}")


def v6_of(kube, name):
    """The Service's cluster address of IPv6, as a URL has it."""
    return f"[{of_family(kube.get('service', name)['spec']['clusterIPs'], 6)}]"


def by(client, host):  # noqa: F811
    """Asks a server for its name from a pod."""
    return lambda: client("wget", "-q", "-O", "-", f"http://{host}/env/POD")


def test_slices_of_each_family_follow_the_pods(kube, cluster, node):
    """By status.podIPs. A Service of one family becomes one of both and back while it is there."""
    ranges = [ipaddress.ip_network(its) for its in kube.get("node", node)["spec"]["podCIDRs"]]
    assert [its.version for its in ranges] == [4, 6]
    kube.apply(web("web", cluster.push("http-hello"), 2), service("web", "web"), service("six", "web", **ONLY_V6))
    filled(kube, "web", "web", 2, ["IPv4"])
    gone = sorted(filled(kube, "six", "web", 2, ["IPv6"]))[0]
    for its in pods_of(kube, "web"):
        assert all(ipaddress.ip_address(address) in inside
                   for address, inside in zip(addresses_of(its), ranges, strict=True)), its["status"]
        assert [one["ip"] for one in its["status"]["hostIPs"]] == addresses_of(kube.get("node", node))
    kube("patch", "service", "web", "-p", '{"spec": {"ipFamilyPolicy": "RequireDualStack"}}')
    filled(kube, "web", "web", 2)
    kube("delete", "pod", gone, "--wait=false")
    wait_until(lambda: gone not in {p["metadata"]["name"] for p in pods_of(kube, "web")}, 20, f"{gone} is replaced")
    filled(kube, "web", "web", 2)
    kube("patch", "service", "web", "-p", '{"spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": null, "clusterIPs": null}}')
    filled(kube, "web", "web", 2, ["IPv4"])
    filled(kube, "six", "web", 2, ["IPv6"])


def test_a_pod_with_the_nodes_network_has_the_nodes_addresses(kube, cluster, node):
    kube.apply(web("web", cluster.push("http-hello"), 1, hostNetwork=True), service("web", "web", **BOTH))
    filled(kube, "web", "web", 1)
    assert addresses_of(pods_of(kube, "web")[0]) == addresses_of(kube.get("node", node))


def test_a_pod_that_is_not_ready_is_in_no_slice(kube, cluster, node, inside):
    kube.apply(pod("web", cluster.push("http-hello"), nodeName=node, metadata={"labels": {"app": "web"}},
                   volumes=[{"name": "v", "emptyDir": {}}], volumeMounts=[{"name": "v", "mountPath": "/v"}],
                   readinessProbe={"exec": {"command": ["ls", "/v/ready"]}, "periodSeconds": 1, "failureThreshold": 1}),
               service("web", "web", **BOTH))
    kube.wait_pod("web", lambda its: its["status"].get("containerStatuses", [{}])[0].get("started"), 60)
    wait_until(lambda: slices(kube, "web") == {"IPv4": set(), "IPv6": set()}, 20, lambda: slices(kube, "web"))
    inside("web", "touch", "/v/ready")
    filled(kube, "web", "web", 1)
    inside("web", "rm", "/v/ready")
    wait_until(lambda: slices(kube, "web") == {"IPv4": set(), "IPv6": set()}, 20, lambda: slices(kube, "web"))


@pytest.mark.parametrize("families", [BOTH, ONLY_V6], ids=["both", "only"])
def test_a_cluster_address_of_ipv6_leads_to_every_pod(kube, cluster, node, client, ask_node, families):  # noqa: F811
    """From a pod and from the node, and a pod reaches itself by its Service."""
    kube.apply(web("web", cluster.push("http-hello"), 3), service("web", "web", **families))
    names = filled(kube, "web", "web", 3, kube.get("service", "web")["spec"]["ipFamilies"])
    address = v6_of(kube, "web")
    reached(lambda: ask_node(address, 80, "/env/POD"), names)
    answered = spread(by(client, address))
    assert set(answered) == names, answered
    if families is BOTH:
        # kube-proxy keeps the rules of each family apart.
        reached(by(client, kube.get("service", "web")["spec"]["clusterIP"]), names)
    single = sorted(names)[0]
    kube("label", "pod", single, "only=this")
    kube.apply(service("self", "", selector={"only": "this"}, **families))
    own = v6_of(kube, "self")
    wait_until(lambda: ask_node(own, 80, "/env/POD") == single, 20, "the Service of one pod")
    at = of_family(addresses_of(kube.pod(single)), 6)
    assert ask_node(f"[{at}]", 8080, f"/fetch?url=http://{own}/env/POD").endswith(single)


def test_the_api_server_reaches_a_service_over_ipv6(kube, cluster, node):
    kube.apply(web("web", cluster.push("http-hello"), 1), service("web", "web", **ONLY_V6))
    name, = filled(kube, "web", "web", 1, ["IPv6"])
    path = f"/api/v1/namespaces/{kube.namespace}/services/web:http/proxy/env/POD"
    # The API server has the endpoints by a watch of its own.
    wait_until(lambda: kube("get", "--raw", path, check=False).stdout == name, 20, "the Service's pod answers")


def test_a_client_stays_with_its_pod_over_ipv6(kube, cluster, node, client, ask_node):  # noqa: F811
    kube.apply(web("web", cluster.push("http-hello"), 3), service("web", "web", sessionAffinity="ClientIP", **ONLY_V6))
    names = filled(kube, "web", "web", 3, ["IPv6"])
    address = v6_of(kube, "web")
    wait_until(lambda: ask_node(address, 80, "/env/POD"), 20, "kube-proxy knows the Service")
    assert len(spread(by(client, address), 15)) == 1
    kube("patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "None"}}')
    reached(by(client, address), names)


def test_a_port_of_the_nodes_ipv6_address_leads_to_the_service(kube, cluster, node, client, ask_node):  # noqa: F811
    kube.apply(web("web", cluster.push("http-hello"), 2), service("web", "web", type="NodePort", **BOTH))
    names = filled(kube, "web", "web", 2)
    port = kube.get("service", "web")["spec"]["ports"][0]["nodePort"]
    v4, v6 = addresses_of(kube.get("node", node))
    for address in (v4, f"[{v6}]"):
        reached(lambda address=address: ask_node(address, port, "/env/POD"), names)
        assert run(["curl", "-sS", "-m", "10", f"http://{address}:{port}/env/POD"]).stdout in names
        answered = spread(by(client, f"{address}:{port}"))
        assert set(answered) == names, answered


def test_a_service_leads_over_ipv6_to_a_pod_of_another_node(kube, cluster, node, far_node, client, ask_node):  # noqa: F811
    """By its address, its name and a port of either node, from a pod, the node and outside."""
    kube.apply(web("web", cluster.push("http-hello"), 1, nodeName=far_node), service("web", "web", type="NodePort", **ONLY_V6))
    name, = filled(kube, "web", "web", 1, ["IPv6"])
    address, port = v6_of(kube, "web"), kube.get("service", "web")["spec"]["ports"][0]["nodePort"]
    near, far = (f"[{of_family(addresses_of(kube.get('node', its)), 6)}]" for its in (node, far_node))
    for at in (address, f"web.{kube.namespace}.svc.cluster.local", f"{near}:{port}", f"{far}:{port}"):
        wait_until(lambda at=at: by(client, at)() == name, 30, f"a pod is led from {at} to the other node's")
    wait_until(lambda: ask_node(address, 80, "/env/POD") == name, 30, "the node is led there")
    for at in (near, far):
        outside = ["curl", "-sS", "-m", "5", f"http://{at}:{port}/env/POD"]
        wait_until(lambda outside=outside: run(outside, check=False).stdout == name, 30, f"{at}:{port} leads there")


def test_names_have_addresses_of_their_families(kube, cluster, node, client):  # noqa: F811
    """A and AAAA of a Service, of a headless one and of a pod, asked for over IPv6 (UDP through kube-proxy)."""
    kube.apply(web("web", cluster.push("http-hello"), 2), service("both", "web", **BOTH), service("six", "web", **ONLY_V6),
               service("crew", "web", clusterIP="None", **BOTH), service("crew-six", "web", clusterIP="None", **ONLY_V6),
               dict(pod("cook", cluster.push("http-hello"), nodeName=node, hostname="cook", subdomain="crew-six",
                        metadata={"labels": {"app": "web"}}, ports=[{"containerPort": 8080}])))
    filled(kube, "both", "web", 3)
    filled(kube, "crew-six", "web", 3, ["IPv6"])
    pods = [addresses_of(its) for its in pods_of(kube, "web")]
    wanted = {"both": kube.get("service", "both")["spec"]["clusterIPs"], "six": kube.get("service", "six")["spec"]["clusterIPs"],
              "crew": sum(pods, []), "crew-six": [of_family(its, 6) for its in pods],
              f"cook.crew-six.{kube.namespace}.svc.cluster.local": [of_family(addresses_of(kube.pod("cook")), 6)]}
    assert f"nameserver {services.dns_address_v6(cluster.slot)}\n" in client("cat", "/etc/resolv.conf")
    for name, addresses in wanted.items():
        wait_until(lambda name=name, addresses=addresses: set(client("nslookup", name).split()) == set(addresses), 20,
                   lambda name=name: f"{name}: {client('nslookup', name)}")


@pytest.mark.parametrize("guest", ["sockets", "sockets-03"])
def test_tcp_and_udp_over_ipv6(kube, cluster, node, number, guest):  # noqa: F811
    """Servers and clients in C, over wasi:sockets; the name has no other address."""
    image = cluster.push(guest)
    for kind in ("tcp", "udp"):
        kube.apply(pod(f"{kind}-server", image, f"{kind}-listen", 9000, 0, "::", nodeName=node,
                       metadata={"labels": {"app": kind}}),
                   service(kind, kind, {"port": 7, "targetPort": 9000, "protocol": kind.upper()}, **ONLY_V6))
    for kind in ("tcp", "udp"):
        filled(kube, kind, kind, 1, ["IPv6"])
        wait_rules(cluster, number, f"[{of_family(addresses_of(kube.pod(f'{kind}-server')), 6)}]:9000")
        kube.apply(pod(f"{kind}-client", image, kind, kind, 7, "ahoy", nodeName=node, restartPolicy="OnFailure"))
        assert said_by(kube, f"{kind}-client") == ("Succeeded", "ahoy\n")


def test_a_port_of_the_node_leads_to_the_pod_over_ipv6(kube, cluster, node, ask_node):  # noqa: F811
    """hostPort: at all addresses, and at one."""
    addresses = addresses_of(kube.get("node", node))
    at = {"containerPort": 8080, "hostPort": 18324}
    kube.apply(pod("all", cluster.push("http-hello"), env=[NAME], nodeName=node, ports=[at]),
               pod("six", cluster.push("http-hello"), env=[NAME], nodeName=node,
                   ports=[dict(at, hostPort=18325, hostIP=of_family(addresses, 6))]))
    for name, port, hosts in (("all", 18324, addresses), ("six", 18325, [of_family(addresses, 6)])):
        kube.wait_ready(name, 60)
        for host in hosts:
            host = f"[{host}]" if ":" in host else host
            wait_until(lambda: ask_node(host, port, "/env/POD") == name, 20, f"{host}:{port} leads to {name}")
            assert run(["curl", "-sS", "-m", "10", f"http://{host}:{port}/env/POD"]).stdout == name
    assert not ask_node(of_family(addresses, 4), 18325, "/env/POD")
