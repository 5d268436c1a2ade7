"""A node whose pods get their addresses from a network plugin: the reference plugins bridge, host-local and portmap."""

import json
import pathlib
import sys

from conftest import ROOT
from kube import find_condition, run, wait_until

sys.path.insert(0, str(ROOT / "tools"))

from testcluster import binaries, net  # noqa: E402

# A plugin in front of bridge that does what the file `fault` beside it says, else what bridge does.
GATE = """\
#!/bin/bash
here=$(dirname "$0")
fault=$(cat "$here/fault-$CNI_COMMAND" 2>/dev/null)
case "$fault" in
fail) echo '{"cniVersion":"1.0.0","code":100,"msg":"no boats left","details":"all at sea"}'; exit 1 ;;
hang) exec sleep 600 ;;
nonsense) echo ahoy; exit 0 ;;
esac
exec BRIDGE
"""


def netns_of(cluster, name):
    """The network namespace of a node."""
    state = json.loads((ROOT / f"build/cluster-{cluster.name}/state.json").read_text())
    return net.node_netns(cluster.slot, state["nodes"][name]["index"])


def conflist(plugin, leases):
    """A network of the reference plugins: IPv4 from the Node's podCIDR (the capability ipRanges), IPv6 from a range of its own."""
    ipam = {"type": "host-local", "dataDir": str(leases), "ranges": [[{"subnet": "fd00:9::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
    return json.dumps({
        "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.0.0", "1.1.0"], "name": "harbour", "plugins": [
            {"type": plugin, "bridge": "harbour0", "isGateway": True, "hairpinMode": True,
             "capabilities": {"ipRanges": True}, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}}]})


class PluginNode:
    """A node of the cluster with a network plugin's files of its own."""

    def __init__(self, cluster, name, folder, kind, *flags):
        self.cluster, self.name, self.folder = cluster, name, pathlib.Path(folder)
        self.plugins = binaries.build_set("cni-plugins") if kind == "today" else "/usr/lib/cni"
        self.config, self.own, self.leases = self.folder / "net.d", self.folder / "bin", self.folder / "leases"
        for made in (self.config, self.own):
            made.mkdir()
        self.gate = self.own / "gate"
        self.put_gate()
        self.put_config()
        cluster.node("up", name, "--", "--pod-network=cni", f"--cni-conf-dir={self.config}",
                     f"--cni-bin-dir={self.own},{self.plugins}", *flags)
        self.netns = netns_of(cluster, name)
        self.run_folder = pathlib.Path("/run", self.netns)

    def put_gate(self):
        self.gate.write_text(GATE.replace("BRIDGE", f"{self.plugins}/bridge"))
        self.gate.chmod(0o755)

    def put_config(self):
        (self.config / "10-harbour.conflist").write_text(conflist("gate", self.leases))

    def fault(self, command, kind=None):
        """What the plugin does at a command from now on; None: what it should."""
        file = self.own / f"fault-{command}"
        file.write_text(kind) if kind else file.unlink(missing_ok=True)

    def inside(self, *command):
        """A command in the node's network; its output."""
        return run(["ip", "netns", "exec", self.netns, *command]).stdout

    def wait_condition(self, kube, status, *words, seconds=40):
        """Until the Node's Ready condition is so, and its message has the words."""
        def look():
            ready = find_condition(kube.get("node", self.name), "Ready")
            return ready["status"] == status and all(word in ready["message"] for word in words) and ready
        return wait_until(look, seconds, lambda: find_condition(kube.get("node", self.name), "Ready"))

    def leavings(self):
        """All that pods may leave in the node's network, as text lines; the bridge itself stays."""
        links = [its["ifname"] for its in json.loads(self.inside("ip", "-j", "link"))]
        rules = self.inside("nft", "list", "ruleset")
        leases = [its.name for its in self.leases.glob("*/*") if its.name[0].isdigit() or ":" in its.name]
        leases = [name for name in leases if not name.startswith("last_reserved")]
        pins = [its.name for its in (self.run_folder / "netns").glob("cni-*")]
        records = [its.name for its in (ROOT / f"build/cluster-{self.cluster.name}/nodes/{self.name}/root/cni").glob("*")]
        return {"links": [name for name in links if name.startswith("veth")], "leases": leases, "pins": pins,
                "records": records, "rules": [line for line in rules.splitlines() if "CNI-DN-" in line or "dnat" in line]}

    def close(self):
        self.cluster.node("down", self.name)
