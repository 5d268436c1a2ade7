"""What makes Services work in a test cluster: upstream's kube-proxy on every node, beside Skiff as on any machine, and CoreDNS
in the cluster's namespace, reachable as 10.208.N.10 like that of kubeadm, in a dual-stack cluster as fd00:208:N::a, too.
"""

import json
import os
import shutil

from . import api, binaries, net, pki, proc
from .proc import ClusterError

DOMAIN = "cluster.local"
# Short, so that a test need not wait for what it has changed.
TTL_SECONDS = 1
COREFILE = """\
.:53 {{
    bind {addresses}
    errors
    health 127.0.0.1:8080
    ready 127.0.0.1:8181
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl {ttl}
    }}
    cache {ttl}
}}
"""


def dns_address(slot):
    return net.service_range(slot).replace(".0/24", ".10")


def dns_address_v6(slot):
    return net.service_range_v6(slot).replace("::/112", "::a")


def _kubeconfig(cluster, user):
    path = os.path.join(cluster.pki, f"{user}.kubeconfig")
    if not os.path.exists(path):
        pki.issue(cluster.pki, "ca", user, f"/CN=system:{user}")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(pki.kubeconfig(cluster.pki, cluster.server, user))
    return path


def _dns_addresses(cluster):
    """Where CoreDNS listens and what its Service has, for each family."""
    slot = cluster.slot
    its = {"IPv4": (net.address(slot), dns_address(slot))}
    return its | {"IPv6": (net.address_v6(slot), dns_address_v6(slot))} if cluster.dual_stack else its


def _dns_objects(addresses):
    """Rights and the Service of CoreDNS; its one endpoint is no pod, so nobody else keeps it."""
    meta = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"}, "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "system:coredns"},
         "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:coredns"},
         "subjects": [{"apiGroup": rbac, "kind": "User", "name": "system:coredns"}]},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta,
         "spec": {"clusterIP": addresses["IPv4"][1], "clusterIPs": [its for _, its in addresses.values()],
                  "ipFamilyPolicy": "PreferDualStack", "ports": ports}},
        *({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family, "ports": ports,
           "metadata": dict(meta, name=f"kube-dns-{family.lower()}", labels={"kubernetes.io/service-name": "kube-dns"}),
           "endpoints": [{"addresses": [address], "conditions": {"ready": True}}]}
          for family, (address, _) in addresses.items())]


def _start_dns(cluster):
    addresses = _dns_addresses(cluster)
    corefile = os.path.join(cluster.folder, "Corefile")
    with open(corefile, "w") as file:
        file.write(COREFILE.format(addresses=" ".join(its for its, _ in addresses.values()), domain=DOMAIN, ttl=TTL_SECONDS,
                                   kubeconfig=_kubeconfig(cluster, "coredns")))
    path = os.path.join(cluster.folder, "coredns.json")
    with open(path, "w") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": _dns_objects(addresses)}, file)
    proc.check_call(f"{cluster.binaries}/kubectl", "--kubeconfig", f"{cluster.pki}/admin.kubeconfig",
                    "--cache-dir", f"{cluster.folder}/kubectl", "apply", "--server-side", "-f", path)
    cluster.state["processes"]["coredns"] = proc.spawn(
        [binaries.build_tool("coredns"), "-conf", corefile], os.path.join(cluster.logs, "coredns.log"),
        netns=net.netns(cluster.slot))
    cluster.store()


def start_proxy(node):
    """kube-proxy in the node's namespace; the node joins first, as its address comes from the Node."""
    if proc.is_alive(node.record.get("proxy")):
        return
    cluster = node.cluster
    path = os.path.join(node.folder, "kube-proxy.json")
    with open(path, "w") as file:
        json.dump({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
                   "clientConnection": {"kubeconfig": _kubeconfig(cluster, "kube-proxy")},
                   "hostnameOverride": node.name, "clusterCIDR": cluster.pod_ranges,
                   # A change is seen at once; the default gathers those of a second.
                   "nftables": {"minSyncPeriod": "100ms"},
                   # Settings of the machine, which is not the cluster's: left as they are.
                   "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}}, file)
    node.record["proxy"] = proc.spawn([binaries.build_tool("kube-proxy"), "--config", path],
                                      os.path.join(node.folder, "kube-proxy.log"), netns=node.netns, hostname=node.name)
    cluster.store()


def stop_proxy(node):
    proc.stop(node.record.pop("proxy", None))
    node.cluster.store()


def build(say):
    """Makes sure that the programs exist."""
    for command in ("nft", "curl"):
        if not shutil.which(command):
            raise ClusterError(f"{command} is missing: install what tools/packages.txt lists")
    for name in ("kube-proxy", "coredns"):
        say(f"{name}: {binaries.build_tool(name)}")


def up(cluster, nodes):
    """Starts what does not run; nodes that come later get their kube-proxy when they come."""
    if not proc.is_alive(cluster.state["processes"].get("coredns")):
        _start_dns(cluster)
    cluster.state["services"] = True
    cluster.store()
    for node in nodes:
        start_proxy(node)
    api.wait_until(lambda: _answers(cluster), 60, f"CoreDNS ready ({cluster.logs}/coredns.log)")


def _answers(cluster):
    try:
        proc.run_in(net.netns(cluster.slot), ["curl", "-sf", "-m", "2", "http://127.0.0.1:8181/ready"])
    except ClusterError:
        return False
    return True


def down(cluster, nodes):
    """The rules of kube-proxy go, too."""
    proc.stop(cluster.state["processes"].pop("coredns", None))
    cluster.state["services"] = False
    for node in nodes:
        stop_proxy(node)
        proc.run_in(node.netns, ["sh", "-c", "nft delete table ip kube-proxy; nft delete table ip6 kube-proxy; true"])
    cluster.store()
