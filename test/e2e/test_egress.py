"""What a pod may reach, enforced by the kernel in the pod's network namespace, whatever the engine does.

test_cni.py has those of these tests again that take `site`, with pods of a network plugin."""

import json
import pathlib
import socket
import subprocess
import sys
import time

import pytest

from cni import netns_of
from kube import pod, run, terminated_of, wait_until
from machine import runner_of
from name_server import NameServer

HERE = pathlib.Path(__file__).resolve().parent
METADATA = ["169.254.169.254", "fd00:ec2::254"]


class Site:
    """The node of a test's pods, by the families of addresses that these have."""

    def __init__(self, cluster, node, *families):
        self.node, self.netns = node, netns_of(cluster, node)
        self.metadata = [address for address in METADATA if (6 if ":" in address else 4) in families]

    def agents(self):
        """Where the node's API listens: at each of its IPv4 addresses, also those that a plugin or a tunnel has brought."""
        links = json.loads(run(["ip", "-n", self.netns, "-4", "-j", "address", "show", "scope", "global"]).stdout)
        found = {entry["local"] for its in links for entry in its.get("addr_info", []) if entry}
        return [f"{address}:10250" for address in sorted(found - set(self.metadata))]


@pytest.fixture
def site(cluster, node):
    return Site(cluster, node, 4)


@pytest.fixture
def name_server(cluster):
    its = NameServer(cluster.machine)
    yield its
    its.close()


@pytest.fixture
def servers(cluster, site):
    """Echo servers beside the pods: (metadata addresses of the node's, one of the machine's, another port of that)."""
    metadata = [f"[{address}]:80" if ":" in address else f"{address}:80" for address in site.metadata]
    here = [f"{cluster.machine}:18181", f"{cluster.machine}:18182"]
    for address in site.metadata:
        run(["ip", "-n", site.netns, "address", "add", address, "dev", "lo", "nodad"])
    programs = []
    for prefix, targets in ((["ip", "netns", "exec", site.netns], metadata), ([], here)):
        programs.append(subprocess.Popen([*prefix, sys.executable, HERE / "echo_servers.py", *targets],
                                         stdout=subprocess.PIPE, text=True))
    try:
        for program in programs:
            assert program.stdout.readline() == "listening\n"
        yield [*metadata, *here]
    finally:
        for program in programs:
            program.kill()
            program.wait()
            program.stdout.close()
        for address in site.metadata:
            run(["ip", "-n", site.netns, "address", "del", address, "dev", "lo"])


@pytest.fixture
def start(kube, cluster, site):
    """start(name, egress): a pod that waits; its runner's pid."""
    def call(name, egress=None, **spec):
        if egress:
            spec["metadata"] = {"annotations": {"skiff/egress": egress}}
        kube.apply(pod(name, cluster.push("actor"), "hold", **{"nodeName": site.node, **spec}))
        return runner_of(kube.wait_ready(name, 60))[0]

    return call


def as_guest(pid, *command):
    """The command line of COMMAND in the network of a runner and with its ids, as a guest that broke out of the engine."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid, gid = fields["Uid"].split()[0], fields["Gid"].split()[0]
    assert int(uid) > 0 and int(fields["CapEff"], 16) == 0, status
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups",
            "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *command]


def attempts(pid, count, targets):
    """What `count` attempts gave: target → (tries, successes, slowest)."""
    # /usr/bin/python3: anybody may read it, as root's own need not be.
    with open(HERE / "egress_attempts.py") as program:
        done = subprocess.run(as_guest(pid, "/usr/bin/python3", "-", str(count), *targets), stdin=program,
                              capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["opened"] == [], "sockets below the filter"
    return said["seen"]


def successes(pid, targets):
    seen = attempts(pid, 2 * len(targets), targets)
    return {target for target, (_, reached, _) in seen.items() if reached}


def test_what_is_not_listed_is_out_of_reach_whatever_the_engine_does(kube, cluster, site, servers, start, request):
    *metadata, listed, other = servers
    address = kube.address_of(site.node)
    api_server = cluster.env["SERVER"].split("//")[1]
    targets = [*metadata, f"{address}:10250", other, api_server, cluster.registry]
    # All of them are there to be reached.
    free = start("free", ", ".join([*site.metadata, address, "0.0.0.0/0"]))
    assert successes(free, targets) >= {*metadata, f"{address}:10250", other, api_server}
    pid = start("held", f"{listed}, 198.18.0.0/15:80")
    count = 200 if request.config.getoption("--long") else 40
    seen = attempts(pid, count, targets)
    assert sum(tries for tries, _, _ in seen.values()) == count
    assert {target: reached for target, (_, reached, _) in seen.items()} == dict.fromkeys(targets, 0)
    assert max(slowest for _, _, slowest in seen.values()) < 1, "told at once"
    assert successes(pid, [listed, other]) == {listed}
    assert successes(start("none", "none"), [listed, *targets]) == set()


def test_metadata_and_the_agent_are_closed_to_every_pod(site, servers, start):
    *metadata, here, _ = servers
    plain = start("plain")
    closed = [*metadata, *site.agents()]
    assert successes(plain, [*closed, here]) == {here}
    assert successes(start("wide", "0.0.0.0/0, ::/0"), [*closed, here]) == {here}
    assert successes(start("opened", ", ".join(closed)), [*closed, here]) == set(closed)


def test_nobody_in_a_pod_changes_its_rules(servers, start):
    pid = start("held", "none")
    for words in (["nft", "delete", "table", "inet", "skiff-egress"], ["nft", "flush", "ruleset"],
                  ["ip", "address", "add", "10.99.99.99/32", "dev", "eth0"],
                  ["unshare", "--user", "--map-root-user", "nft", "flush", "ruleset"]):
        done = run(as_guest(pid, *words), check=False)
        assert done.returncode != 0, words
    assert successes(pid, servers) == set()


def test_rules_hold_over_sigkill_of_the_agent(kube_on, cluster, own_node, start):
    kube = kube_on
    # There is no other node whose API could be meant: each closes its own.
    agent = f"{kube.address_of(own_node)}:10250"
    machine = f"{cluster.registry}"
    pid = start("held", "none", nodeName=own_node)
    plain = start("plain", nodeName=own_node)
    cluster.node("kill", own_node)
    assert successes(pid, [machine]) == set(), "no agent"
    cluster.node("start", own_node)
    start("next", nodeName=own_node)
    assert successes(pid, [machine, agent]) == set()
    assert successes(plain, [agent]) == set()


def test_names_are_looked_up_for_the_kernel(kube, cluster, servers, start, name_server):
    _, here, _ = servers
    dns = {"dnsPolicy": "None", "dnsConfig": {"nameservers": [cluster.machine], "searches": ["shop.example"]}}
    name_server.names["db.shop.example"] = [cluster.machine]
    name_server.names["gone.example"] = ["198.18.0.9"]
    pid = start("held", "db:18181, gone.example, nosuch.example", **dns)
    assert successes(pid, servers) == {here}
    event = kube.wait_event("held", "EgressNameUnresolved")
    assert "nosuch.example" in event["message"] and "db" not in event["message"], event
    # The name moves here: followed within seconds, and the old answer stays.
    name_server.names["gone.example"] = [cluster.machine]
    wait_until(lambda: successes(pid, servers) == set(servers[1:]), 30, "the new answer is open")
    name_server.names["gone.example"] = ["198.18.0.9"]
    before = len(name_server.asked)
    wait_until(lambda: len([name for name, _ in name_server.asked[before:] if name == "gone.example"]) > 3, 40,
               "asked again twice")
    assert successes(pid, servers) == set(servers[1:]), "an old answer is kept"


def test_krustlets_domains_hold_in_the_kernel(cluster, servers, start):
    _, here, other = servers
    for name, domains, reached in (("listed", [f"http://{cluster.machine}/"], {here, other}), ("empty", [], set()),
                                   ("all", ["insecure:allow-all"], {here, other})):
        pid = start(name, metadata={"annotations": {
            "alpha.wasi.krustlet.dev/allowed-domains": json.dumps(domains)}})
        assert successes(pid, servers) == reached, name


# --- names of the guest ------------------------------------------------------------------------


def looked_up(kube, cluster, name, text, **spec):
    """What the guest prints that looks `text` up."""
    kube.apply(pod(name, cluster.push("sockets"), "lookup", text, **spec))
    kube.wait_pod(name, terminated_of, 60)
    return kube.logs(name).split()


def test_guests_look_names_up_by_the_files_of_their_pod(kube, cluster, node, name_server):
    name_server.names["db.two.example"] = ["198.18.0.1"]
    name_server.names["a.b"] = ["198.18.0.2"]
    own = {"dnsPolicy": "None", "dnsConfig": {
        "nameservers": [cluster.machine], "searches": ["one.example", "two.example"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "timeout", "value": "2"}, {"name": "attempts", "value": "1"}]}}
    assert looked_up(kube, cluster, "searched", "db", **own) == ["198.18.0.1"]
    assert name_server.asked_names() == ["db.one.example", "db.two.example"]
    name_server.asked.clear()
    assert looked_up(kube, cluster, "dotted", "a.b", **own) == ["198.18.0.2"]
    assert name_server.asked_names() == ["a.b.one.example", "a.b.two.example", "a.b"], "ndots"
    name_server.asked.clear()
    aliases = [{"ip": "198.18.0.7", "hostnames": ["lighthouse"]}]
    assert looked_up(kube, cluster, "hosts", "lighthouse", hostAliases=aliases, **own) == ["198.18.0.7"]
    its = looked_up(kube, cluster, "itself", "itself", **own)
    assert its == [kube.pod("itself")["status"]["podIP"]]
    assert name_server.asked == [], "the hosts file goes first"


CONFIG = """kind: KubeletConfiguration
clusterDNS: [{cluster}]
clusterDomain: test.local
resolvConf: {resolv}
"""


@pytest.mark.parametrize("policy, host, first, asked", [
    ("ClusterFirst", False, "db.NS.svc.test.local", "db.svc.test.local"),
    ("Default", False, "db.node.example", "db"),
    ("ClusterFirst", True, "db.node.example", "db"),
    ("ClusterFirstWithHostNet", True, "db.NS.svc.test.local", "db.svc.test.local"),
])
def test_dns_policies(kube, cluster, dns_node, name_server, policy, host, first, asked):
    name_server.names[asked] = ["198.18.0.1"]
    found = looked_up(kube, cluster, "asks", "db", nodeName=dns_node, dnsPolicy=policy, hostNetwork=host)
    kube("delete", "pod", "asks")
    assert found == ["198.18.0.1"]
    assert name_server.asked_names()[0] == first.replace("NS", kube.namespace)


@pytest.fixture(scope="module")
def dns_node(cluster, tmp_path_factory):
    """A node whose cluster has a domain, and whose own resolv.conf has another."""
    folder = tmp_path_factory.mktemp("dns")
    (folder / "resolv.conf").write_text(f"search node.example\nnameserver {cluster.machine}\n")
    sys.path.insert(0, str(HERE.parents[1] / "tools"))
    from testcluster.nodes import config_text
    more = CONFIG.format(cluster=cluster.machine, resolv=folder / "resolv.conf")
    (folder / "config.yaml").write_text(config_text().replace("kind: KubeletConfiguration\n", more, 1))
    cluster.node("up", "skiff-dns", "--config", str(folder / "config.yaml"))
    yield "skiff-dns"
    cluster.node("down", "skiff-dns")


# --- bandwidth ---------------------------------------------------------------------------------

MEGABYTES = 3


def megabits(pid, address, towards_pod):
    """Megabits a second of some megabytes by TCP between this machine and a pod, with plain sockets in its network."""
    program = (f"import socket; s = socket.create_server(('', 9999)); print('listening', flush=True); c = s.accept()[0]; "
               + (f"n = 0\nwhile n < {MEGABYTES}000000: n += len(c.recv(65536))\nc.sendall(b'.')" if towards_pod else
                  f"c.sendall(bytes({MEGABYTES}000000)); c.recv(1)"))
    server = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "/usr/bin/python3", "-c", program],
                              stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "listening\n"
        with socket.create_connection((address, 9999), timeout=60) as one:
            begun = time.monotonic()
            if towards_pod:
                one.sendall(bytes(MEGABYTES * 1000000))
                assert one.recv(1)
            else:
                left = MEGABYTES * 1000000
                while left > 0:
                    data = one.recv(65536)
                    assert data
                    left -= len(data)
            return MEGABYTES * 8 / (time.monotonic() - begun)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_bandwidth_annotations(kube, cluster, start):
    keys = ("kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth")
    pid = start("slow", metadata={"annotations": dict.fromkeys(keys, "20M")})
    address = kube.pod("slow")["status"]["podIP"]
    for towards_pod in (True, False):
        seen = megabits(pid, address, towards_pod)
        # A quarter of a mebibyte may go at once.
        assert 2 < seen < 24, (towards_pod, seen)
    kube.apply(pod("wrong", cluster.push("actor"), "hold", metadata={"annotations": {keys[0]: "fast"}}))
    event = kube.wait_event("wrong", "FailedCreatePodSandBox")
    assert keys[0] in event["message"] and "1k to 1P" in event["message"], event
