"""Services: upstream's kube-proxy and CoreDNS beside Skiff (tools/cluster services up). What upstream's suite does in its
classes N and K, with guests of our own."""

import collections
import json
import re
import subprocess
import sys
import threading

import pytest

from conftest import ROOT
from kube import pod, run, wait_until
from test_network import http_from

NODE = "skiff-services"
FAR_NODE = "skiff-services-2"


@pytest.fixture(scope="module")
def node(cluster):
    """A node with kube-proxy beside its agent; its pods' names are answered by CoreDNS."""
    # The first time builds both programs.
    run([cluster.PROGRAM, "services", "up", "--name", cluster.name], timeout=3600)
    dns = cluster.env["SERVER"].split("//")[1].rsplit(".", 1)[0].replace("10.209", "10.208") + ".10"
    cluster.node("up", NODE, "--", "--cluster-dns", dns)
    yield NODE
    cluster.node("down", NODE)
    run([cluster.PROGRAM, "services", "down", "--name", cluster.name])


@pytest.fixture
def far_node(kube, cluster, node):
    """Another node with its own kube-proxy; the two reach each other's pods by VXLAN."""
    cluster.node("up", FAR_NODE)
    yield FAR_NODE
    kube.clear()
    cluster.node("down", FAR_NODE)


@pytest.fixture(scope="module")
def number(cluster, node):
    return json.loads((ROOT / f"build/cluster-{cluster.name}/state.json").read_text())["nodes"][node]["index"]


@pytest.fixture(scope="module")
def run_dir(cluster, number):
    return f"/run/{cluster.env['CLUSTER_NETNS']}n{number}"


NAME = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


def web(name, image, replicas=2, **spec):
    """A Deployment of servers that say their name at /env/POD."""
    template = pod(name, image, env=[NAME], ports=[{"containerPort": 8080}], restartPolicy="Always",
                   **{"nodeName": NODE, **spec})
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]}}}


def service(name, app, *ports, **spec):
    ports = ports or ({"name": "http", "port": 80, "targetPort": 8080},)
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": app}, "ports": list(ports), **spec}}


def endpoints(kube, name):
    """Addresses of the endpoints that are ready."""
    slices = kube.get("endpointslices", selector=f"kubernetes.io/service-name={name}")
    return {address for its in slices["items"] for one in its["endpoints"] or []
            if one["conditions"].get("ready") for address in one["addresses"]}


def pods_of(kube, app):
    return [its for its in kube.pods(f"app={app}") if "deletionTimestamp" not in its["metadata"]]


def filled(kube, name, app, count):
    """Waits until the Service has that many endpoints, all of them pods of the app; returns the pods."""
    def look():
        pods = pods_of(kube, app)
        addresses = {its["status"].get("podIP") for its in pods}
        return pods if len(pods) == count and endpoints(kube, name) == addresses else None

    return wait_until(look, 60, lambda: f"{count} endpoints of {name}: {endpoints(kube, name)}")


@pytest.fixture
def client(kube, cluster, node, inside):
    """A pod from which to ask: client(command…) returns what it printed."""
    kube.apply(pod("client", cluster.push("actor"), "hold", nodeName=node))
    kube.wait_ready("client", 60)
    return lambda *words: inside("client", *words)


@pytest.fixture
def ask_node(cluster, number):
    """ask_node(host, port, path): the answer that the node itself gets, None without one."""
    return lambda *where: http_from(cluster, number, *where)


def spread(ask, count=40):
    """Who answered how often."""
    return collections.Counter(ask() for _ in range(count))


def reached(ask, names):
    """Waits until each of the pods has answered, and nobody else does: kube-proxy hears of an endpoint after the API
    server."""
    names, seen = set(names), set()

    def look():
        answered = set(spread(ask))
        if not answered <= names:
            seen.clear()
            return False
        seen.update(answered)
        return seen == names

    wait_until(look, 20, lambda: f"answers of {sorted(names)}: {sorted(seen)}")


def wait_rules(cluster, number, *ends):
    """Waits until kube-proxy leads to these ADDRESS:PORT. What is sent to a Service before that, by UDP above all, may
    stay without an answer for as long as its sender repeats it."""

    def rules():
        return run(cluster.inside("nft", "list", "ruleset", node_number=number)).stdout

    def led():
        text = rules()
        return all(f"dnat to {end}" in text for end in ends)

    wait_until(led, 20, lambda: f"{ends} in {rules()}")


def test_endpoint_slices_follow_the_pods(kube, cluster, node):
    kube.apply(web("web", cluster.push("http-hello"), 3), service("web", "web"))
    first = filled(kube, "web", "web", 3)
    gone = first[0]["metadata"]["name"]
    kube("delete", "pod", gone, "--wait=false")
    wait_until(lambda: gone not in {p["metadata"]["name"] for p in pods_of(kube, "web")}, 20, f"{gone} is replaced")
    filled(kube, "web", "web", 3)


def test_a_cluster_address_leads_to_every_pod(kube, cluster, node, client, ask_node):
    """From a pod and from the node, and a pod reaches itself by its Service."""
    kube.apply(web("web", cluster.push("http-hello"), 3), service("web", "web"))
    names = {its["metadata"]["name"] for its in filled(kube, "web", "web", 3)}
    address = kube.get("service", "web")["spec"]["clusterIP"]
    reached(lambda: ask_node(address, 80, "/env/POD"), names)
    answered = spread(lambda: client("wget", "-q", "-O", "-", f"http://{address}/env/POD"))
    assert set(answered) == names, answered
    single = sorted(names)[0]
    kube("label", "pod", single, "only=this")
    kube.apply(dict(service("self", "web"), spec={"selector": {"only": "this"}, "ports": [{"port": 80, "targetPort": 8080}]}))
    own = kube.get("service", "self")["spec"]["clusterIP"]
    wait_until(lambda: ask_node(own, 80, "/env/POD") == single, 20, "the Service of one pod")
    assert ask_node(kube.pod(single)["status"]["podIP"], 8080, f"/fetch?url=http://{own}/env/POD").endswith(single)


def test_the_api_server_reaches_a_service(kube, cluster, node):
    kube.apply(web("web", cluster.push("http-hello"), 1), service("web", "web"))
    name = filled(kube, "web", "web", 1)[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{kube.namespace}/services/web:http/proxy/env/POD"
    # The API server has the endpoints by a watch of its own.
    wait_until(lambda: kube("get", "--raw", path, check=False).stdout == name, 20, "the Service's pod answers")


def test_names_of_services_are_known_in_pods(kube, cluster, node, client, ask_node):
    """dnsPolicy ClusterFirst: short names by the search list, whole ones, those of other namespaces."""
    kube.apply(web("web", cluster.push("http-hello"), 1), service("web", "web"))
    name = filled(kube, "web", "web", 1)[0]["metadata"]["name"]
    address = kube.get("service", "web")["spec"]["clusterIP"]
    wait_until(lambda: address in client("nslookup", "web"), 20, lambda: client("nslookup", "web"))
    reached(lambda: ask_node(address, 80, "/env/POD"), {name})
    for known in ("web", f"web.{kube.namespace}", f"web.{kube.namespace}.svc.cluster.local"):
        assert client("wget", "-q", "-O", "-", f"http://{known}/env/POD") == name, known
    api_server = kube("get", "service", "kubernetes", "-n", "default", "-o", "jsonpath={.spec.clusterIP}").stdout
    assert api_server in client("nslookup", "kubernetes.default")
    kube.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"}, "spec": {
        "type": "ExternalName", "externalName": f"web.{kube.namespace}.svc.cluster.local"}})
    wait_until(lambda: address in client("nslookup", "other"), 20, "the name of a name")
    kube("delete", "service", "web")
    wait_until(lambda: address not in client("nslookup", "web"), 20, "a name goes with its Service")


def test_a_headless_service_names_its_pods(kube, cluster, node, client):
    kube.apply(web("web", cluster.push("http-hello"), 3), service("crew", "web", clusterIP="None"),
               dict(pod("cook", cluster.push("http-hello"), env=[NAME], nodeName=node, hostname="cook", subdomain="crew",
                        metadata={"labels": {"app": "web"}}, ports=[{"containerPort": 8080}])))
    wait_until(lambda: len(endpoints(kube, "crew")) == 4, 60, "four endpoints")
    addresses = {its["status"]["podIP"] for its in pods_of(kube, "web")}

    def known(name):
        return set(re.findall(r"\d+\.\d+\.\d+\.\d+", client("nslookup", name)))

    wait_until(lambda: addresses <= known("crew"), 20, lambda: f"{addresses}: {client('nslookup', 'crew')}")
    cook = kube.pod("cook")["status"]["podIP"]
    wait_until(lambda: cook in known(f"cook.crew.{kube.namespace}.svc.cluster.local"), 20, "a pod by its host name")
    assert client("wget", "-q", "-O", "-", "http://cook.crew:8080/env/POD") == "cook"


def test_a_port_of_every_node_leads_to_the_service(kube, cluster, node, client, ask_node):
    kube.apply(web("web", cluster.push("http-hello"), 2), service("web", "web", type="NodePort"))
    names = {its["metadata"]["name"] for its in filled(kube, "web", "web", 2)}
    port = kube.get("service", "web")["spec"]["ports"][0]["nodePort"]
    address = kube.address_of(node)
    reached(lambda: ask_node(address, port, "/env/POD"), names)
    outside = run(["curl", "-sS", "-m", "10", f"http://{address}:{port}/env/POD"]).stdout
    assert outside in names
    answered = spread(lambda: client("wget", "-q", "-O", "-", f"http://{address}:{port}/env/POD"))
    assert set(answered) == names, answered


def test_a_service_leads_to_a_pod_of_another_node(kube, cluster, node, far_node, client, ask_node):
    """By its address, its name and a port of either node, from a pod, the node and outside."""
    kube.apply(web("web", cluster.push("http-hello"), 1, nodeName=far_node), service("web", "web", type="NodePort"))
    name = filled(kube, "web", "web", 1)[0]["metadata"]["name"]
    its = kube.get("service", "web")["spec"]
    near, far, port = kube.address_of(node), kube.address_of(far_node), its["ports"][0]["nodePort"]
    for at in (its["clusterIP"], f"web.{kube.namespace}.svc.cluster.local", f"{near}:{port}", f"{far}:{port}"):
        ask = lambda at=at: client("wget", "-q", "-O", "-", f"http://{at}/env/POD")  # noqa: E731
        wait_until(lambda ask=ask: ask() == name, 30, f"a pod is led from {at} to the other node's")
    wait_until(lambda: ask_node(its["clusterIP"], 80, "/env/POD") == name, 30, "the node is led there")
    for at in (near, far):
        outside = ["curl", "-sS", "-m", "5", f"http://{at}:{port}/env/POD"]
        wait_until(lambda outside=outside: run(outside, check=False).stdout == name, 30, f"{at}:{port} leads there")


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_a_client_stays_with_its_pod(kube, cluster, node, client, ask_node, kind):
    """sessionAffinity ClientIP, taken away and given back while the Service is there."""
    kube.apply(web("web", cluster.push("http-hello"), 3), service("web", "web", type=kind, sessionAffinity="ClientIP"))
    names = {its["metadata"]["name"] for its in filled(kube, "web", "web", 3)}
    its = kube.get("service", "web")["spec"]
    address, port = (its["clusterIP"], 80) if kind == "ClusterIP" else (kube.address_of(node), its["ports"][0]["nodePort"])
    ask = lambda: client("wget", "-q", "-O", "-", f"http://{address}:{port}/env/POD")  # noqa: E731
    wait_until(lambda: ask_node(address, port, "/env/POD"), 20, "kube-proxy knows the Service")
    assert len(spread(ask, 15)) == 1
    kube("patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "None"}}')
    reached(ask, names)
    kube("patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "ClientIP"}}')
    wait_until(lambda: len(spread(ask, 15)) == 1, 20, "one pod answers")


def test_a_pod_that_is_not_ready_gets_no_requests(kube, cluster, node, inside, ask_node):
    kube.apply(web("web", cluster.push("http-hello"), 2, volumes=[{"name": "v", "emptyDir": {}}],
                   volumeMounts=[{"name": "v", "mountPath": "/v"}],
                   readinessProbe={"exec": {"command": ["ls", "/v/ready"]}, "periodSeconds": 1, "failureThreshold": 1}),
               service("web", "web"))
    wait_until(lambda: len(pods_of(kube, "web")) == 2, 20, "two pods")
    one, two = sorted(its["metadata"]["name"] for its in pods_of(kube, "web"))
    for name in (one, two):
        kube.wait_pod(name, lambda its: its["status"].get("containerStatuses", [{}])[0].get("started"), 60)
        assert endpoints(kube, "web") == ({kube.pod(one)["status"]["podIP"]} if name == two else set())
        inside(name, "touch", "/v/ready")
        kube.wait_ready(name)
    filled(kube, "web", "web", 2)
    address = kube.get("service", "web")["spec"]["clusterIP"]
    ask = lambda: ask_node(address, 80, "/env/POD")  # noqa: E731
    reached(ask, {one, two})
    inside(one, "rm", "/v/ready")
    wait_until(lambda: endpoints(kube, "web") == {kube.pod(two)["status"]["podIP"]}, 30, "one endpoint")
    reached(ask, {two})


def said_by(kube, name):
    its = kube.wait_phase(name, "Succeeded", "Failed", seconds=60)
    return its["status"]["phase"], kube.logs(name)


@pytest.mark.parametrize("guest", ["sockets", "sockets-03"])
def test_tcp_and_udp_by_one_port_of_a_service(kube, cluster, node, number, guest):
    """Servers and clients in C, over wasi:sockets: each protocol has pods of its own behind the same port."""
    image = cluster.push(guest)
    for kind in ("tcp", "udp"):
        kube.apply(pod(f"{kind}-server", image, f"{kind}-listen", 9000, nodeName=node,
                       metadata={"labels": {"app": "echo", "kind": kind}}))
    for kind in ("tcp", "udp"):
        kube.wait_ready(f"{kind}-server", 60)
    both = [{"name": kind, "port": 7, "targetPort": 9000, "protocol": kind.upper()} for kind in ("tcp", "udp")]
    for kind in ("tcp", "udp"):
        kube.apply(dict(service(kind, ""), spec={"selector": {"kind": kind}, "ports": both}))
    for kind in ("tcp", "udp"):
        wait_until(lambda kind=kind: endpoints(kube, kind), 30, f"an endpoint of {kind}")
    wait_rules(cluster, number, *(f"{kube.pod(f'{kind}-server')['status']['podIP']}:9000" for kind in ("tcp", "udp")))
    for kind in ("tcp", "udp"):
        kube.apply(pod(f"{kind}-client", image, kind, f"{kind}.{kube.namespace}.svc.cluster.local", 7, "ahoy", nodeName=node,
                       restartPolicy="OnFailure"))
        assert said_by(kube, f"{kind}-client") == ("Succeeded", "ahoy\n")
    # The other protocol of the same address leads to a port where nobody listens.
    kube.apply(pod("wrong", image, "tcp", f"udp.{kube.namespace}.svc.cluster.local", 7, "ahoy", nodeName=node))
    phase, text = said_by(kube, "wrong")
    assert phase == "Failed" and "connect" in text, text


def test_one_port_of_the_node_by_address_and_protocol(kube, cluster, node, number, ask_node):
    """hostPort: three pods with the same one, apart by hostIP or protocol, none of which is in another's way."""
    address = kube.address_of(node)
    at = {"containerPort": 8080, "hostPort": 18323}
    image = cluster.push("http-hello")
    kube.apply(pod("loopback", image, env=[NAME], nodeName=node, ports=[dict(at, hostIP="127.0.0.1")]),
               pod("outside", image, env=[NAME], nodeName=node, ports=[dict(at, hostIP=address)]),
               pod("datagrams", cluster.push("sockets"), "udp-listen", 8080, nodeName=node,
                   ports=[dict(at, hostIP=address, protocol="UDP")]))
    for name in ("loopback", "outside", "datagrams"):
        kube.wait_ready(name, 60)
    wait_until(lambda: ask_node("127.0.0.1", 18323, "/env/POD") == "loopback", 20, "by loopback")
    wait_until(lambda: ask_node(address, 18323, "/env/POD") == "outside", 20, "by the address")
    assert run(["curl", "-sS", "-m", "10", f"http://{address}:18323/env/POD"]).stdout == "outside"
    script = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5);"
              f"s.sendto(b'ahoy', ('{address}', 18323)); print(s.recv(100).decode())")
    for where in ([], cluster.inside(node_number=number)):
        assert run([*where, sys.executable, "-c", script]).stdout == "ahoy\n"


# Asks an address again and again, each time by a connection of its own; says at the end who answered, and what failed.
# Of a request that fails it tells what the kernel knows of its flow: to which pod it was led.
LOOP = """
import collections, http.client, json, os, socket, sys, threading, time
host, ended, answered, failed = sys.argv[1], threading.Event(), collections.Counter(), []
def flows(port):
    if not os.path.exists("/proc/net/nf_conntrack"):
        return []
    with open("/proc/net/nf_conntrack") as file:
        return [line.strip() for line in file if f"dst={host} sport={port} " in line]
def ask():
    while not ended.is_set():
        begun, step, stream = time.time(), "connecting", socket.socket()
        stream.settimeout(10)
        try:
            stream.connect((host, 80))
            step, connection = "asking", http.client.HTTPConnection(host, 80)
            connection.sock = stream
            connection.request("GET", "/env/POD")
            answer = connection.getresponse()
            name = answer.read().decode()
            if answer.status != 200:
                raise OSError(answer.status)
            answered[name] += 1
        except Exception as error:
            flow = flows(stream.getsockname()[1])
            failed.append(f"{step} at {time.ctime(begun)}, after {time.time() - begun:.3f} s: {error!r} {flow}")
        stream.close()
        ended.wait(0.005)
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
sys.stdin.read()
ended.set()
for thread in threads: thread.join()
print(json.dumps([answered, failed]))
"""


def ends_of(kube, addresses):
    """When each of the pods was asked to end, and its address."""
    ends = [(e["firstTimestamp"], e["involvedObject"]["name"]) for e in kube.get("events")["items"]
            if e["reason"] == "Killing"]
    return "\n".join(f"{when} {name} {addresses.get(name)}" for when, name in sorted(ends))


def test_a_rolling_update_of_twenty_pods_drops_no_request(kube, cluster, node, number):
    """Requests are spread over all pods, before and after; each is answered while all of them are replaced."""
    count = 20
    its = web("web", cluster.push("http-hello"), count, readinessProbe={"httpGet": {"path": "/", "port": 8080}},
              terminationGracePeriodSeconds=30)
    kube.apply(its, service("web", "web"))
    addresses = {p["metadata"]["name"]: p["status"]["podIP"] for p in filled(kube, "web", "web", count)}
    before = set(addresses)
    address = kube.get("service", "web")["spec"]["clusterIP"]
    reached(lambda: http_from(cluster, number, address, 80, "/env/POD"), before)
    loop = subprocess.Popen(cluster.inside(sys.executable, "-c", LOOP, address, node_number=number), text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        threading.Event().wait(3)
        its["spec"]["template"]["metadata"]["annotations"] = {"update": "2"}
        kube.apply(its)
        kube("rollout", "status", "deployment/web", "--timeout=180s", timeout=200)
        after = {p["metadata"]["name"] for p in filled(kube, "web", "web", count)}
        threading.Event().wait(3)
        answered, failed = json.loads(loop.communicate("", timeout=60)[0])
    finally:
        loop.kill()
    assert not failed, f"{len(failed)} of {sum(answered.values())}: {failed[:5]}\n{ends_of(kube, addresses)}"
    assert not before & after
    assert before | after <= set(answered), sorted((before | after) - set(answered))
