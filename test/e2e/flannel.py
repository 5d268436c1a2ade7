"""A node with upstream flanneld and no kubelet: its "pods" are network namespaces with addresses of its subnet."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

from kube import run, wait_until
from testcluster import binaries, net

# A place in the cluster that tools/cluster gives to no node: it counts from 1.
INDEX = 150
PORT = 8080
# Answers every request with the address that it came from.
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", %d), Handler).serve_forever()
""" % PORT


class FlannelNode:
    """Made at once; `close()` removes all of it."""

    def __init__(self, kube, cluster, name, folder, backend="vxlan"):
        self.kube, self.name = kube, name
        self.slot = cluster.slot
        self.netns = net.node_netns(self.slot, INDEX)
        self.pod_netns = f"{self.netns}p"
        self.folder = pathlib.Path(folder)
        self.log = self.folder / "flanneld.log"
        self.processes = []
        try:
            self._create(cluster, backend)
        except BaseException:
            self.close()
            raise

    def _create(self, cluster, backend):
        self.kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}})
        self.range = wait_until(lambda: self.kube.get("node", self.name)["spec"].get("podCIDR"), 30,
                                "the Node has a range of pods")
        net.create_node(self.slot, INDEX)
        run(self.inside("sysctl", "-q", "-w", "net.ipv4.ip_forward=1"))
        config = {"Network": net.pod_range(self.slot), "EnableNFTables": True, "Backend": {"Type": backend}}
        (self.folder / "net-conf.json").write_text(json.dumps(config))
        flanneld = binaries.build_tool("flanneld")
        with open(self.log, "w") as log:
            self.processes.append(subprocess.Popen(
                self.inside(flanneld, "--kube-subnet-mgr", f"--kubeconfig-file={cluster.env['KUBECONFIG']}",
                            f"--net-config-path={self.folder}/net-conf.json", "--iface=eth0",
                            f"--subnet-file={self.folder}/subnet.env", "--set-node-network-unavailable=false",
                            "--iptables-forward-rules=false"),
                stdout=log, stderr=log, env=dict(os.environ, NODE_NAME=self.name)))
        wait_until(lambda: (self.folder / "subnet.env").exists(), 30, self.log.read_text)
        self._create_pod()

    def _create_pod(self):
        self.pod_address = self.range.rsplit(".", 1)[0] + ".7"
        run(["ip", "netns", "add", self.pod_netns])
        run(self.inside("ip", "link", "add", "pod0", "type", "veth", "peer", "name", "eth0", "netns", self.pod_netns))
        run(self.inside("ip", "address", "add", "169.254.1.1/32", "dev", "pod0"))
        run(self.inside("ip", "link", "set", "pod0", "up"))
        run(self.inside("ip", "route", "add", f"{self.pod_address}/32", "dev", "pod0"))
        for words in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up", "mtu", "1450"],
                      ["address", "add", f"{self.pod_address}/32", "dev", "eth0"],
                      ["route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink"]):
            run(["ip", "-n", self.pod_netns, *words])
        self.processes.append(subprocess.Popen(self.in_pod(sys.executable, "-c", SERVER)))
        wait_until(lambda: self.fetch(self.in_pod, f"http://127.0.0.1:{PORT}/") == "127.0.0.1", 10, "its pod serves")

    def inside(self, *command):
        """The command line of COMMAND at the node."""
        return ["ip", "netns", "exec", self.netns, *command]

    def in_pod(self, *command):
        return ["ip", "netns", "exec", self.pod_netns, *command]

    @staticmethod
    def fetch(where, url):
        """What a server says to curl at `where`; None when there is no answer."""
        done = run(where("curl", "-sS", "-m", "5", url), check=False)
        return done.stdout if done.returncode == 0 else None

    def routes(self):
        """Ranges that the node has routes to, by flanneld."""
        done = run(self.inside("ip", "-j", "route"))
        return [its["dst"] for its in json.loads(done.stdout) if its.get("dev") in ("flannel.1", "eth0")]

    def close(self):
        self.kube("delete", "node", self.name, "--ignore-not-found")
        for process in self.processes:
            process.kill()
            process.wait()
        for name in (self.pod_netns, self.netns):
            with contextlib.suppress(FileNotFoundError):
                net.remove(name)
