"""A machine with upstream's kubelet and containerd 2, and Skiff beside them: everything at the place where it is by default.

The machine is a set of namespaces (mounts, network, host name, processes, cgroups). What it writes below /etc, /opt, /run, /var
and into the settings of the kernel that a kubelet changes is its own; all of it dies with this process.
"""

import json
import os
import pathlib
import shutil
import signal
import socket

from kube import condition_of, run, wait_until
from machine import all_processes, stat_of
from testcluster import binaries, net, proc

# A place in the cluster that tools/cluster gives to no node: it counts from 1. flannel.py has 150.
INDEX = 151
PORT, HEALTHZ_PORT = 10350, 10348
# Where Skiff's pods log beside a kubelet: /var/log/pods is swept by it.
POD_LOG_DIR = "/var/log/skiff/pods"

# $1: a folder of the machine's own; $2 …: folders that containers' file systems are made of, or moved between.
INIT = """\
set -e
own=$1; shift
groups=$(grep -E '^[^ ]+ /sys/fs/cgroup[^ ]* cgroup2? ' /proc/mounts)
# Copies of mounts of other tests: theirs would not end with them. Some are gone by now.
awk '$3 == "nsfs" || $2 ~ "/build/cluster" { print $2 }' /proc/mounts | xargs -r umount -lq || true
for top in etc opt var; do
    mkdir -p "$own/$top" "$own/work-$top"
    mount -t overlay machine -o "lowerdir=/$top,upperdir=$own/$top,workdir=$own/work-$top" "/$top"
done
mount -t tmpfs machine /run
for folder in "$@"; do
    mkdir -p "$folder" "$own/disk$folder"
    mount --bind "$own/disk$folder" "$folder"
done
umount -Rl /sys
mount -t sysfs machine /sys
mount -t tmpfs machine /sys/fs/cgroup
while read -r _ place kind options _; do
    options=$(tr , '\\n' <<<"$options" | grep -vxE 'rw|relatime|nosuid|nodev|noexec|nsdelegate|memory_recursiveprot' | paste -sd,)
    mkdir -p "$place"
    mount -t "$kind" ${options:+-o "$options"} machine "$place"
done <<<"$groups"
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \\
               kernel/keys/root_maxbytes; do
    mkdir -p "$own/sys/$(dirname $setting)"
    cat "/proc/sys/$setting" >"$own/sys/$setting"
    mount --bind "$own/sys/$setting" "/proc/sys/$setting"
done
touch "$own/up"
# bash, not exec: somebody has to reap what loses its parent.
sleep infinity & wait
"""
DISKS = ["/var/lib/containerd", "/var/lib/kubelet", "/var/lib/skiff", "/var/log"]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}

CONTAINERD = """\
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{image}'
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '/etc/containerd/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
use_internal_loopback = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
runtime_path = '{shim}'
"""

KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "authentication": {"x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}},
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "cgroupDriver": "cgroupfs",
    # What the machine of the test may be; nothing that is shared depends on it.
    "failCgroupV1": False, "failSwapOn": False, "evictionHard": {"memory.available": "100Mi"},
}

SKIFF = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{x509: {{clientCAFile: /etc/kubernetes/pki/ca.crt}}}}
port: {port}
healthzPort: {healthz_port}
---
apiVersion: skiff.dev/v1alpha1
kind: SkiffConfiguration
registries:
- {{host: "{registry}", scheme: http}}
"""


def conflist(subnet):
    """The reference plugins as a kubeadm cluster without a DaemonSet for its network has them."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}
    return json.dumps({"cniVersion": "1.0.0", "name": "harbour", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}}]})


class Daemon:
    """A program of the machine that is started, killed and started again."""

    def __init__(self, machine, name, *command):
        self.machine, self.name, self.command = machine, name, command
        self.log = machine.folder / f"{name}.log"
        self.entry = None

    def start(self):
        self.entry = proc.spawn(self.machine.inside(*self.command), self.log, cgroups=self.machine.cgroups,
                                environment=ENVIRONMENT)
        self.pid = child_of(self.entry)

    def end(self, number=signal.SIGKILL):
        """Sends the signal and waits for the end."""
        os.kill(self.pid, number)
        wait_until(lambda: not self.lives(), 30, f"{self.name} ends")

    def lives(self):
        return proc.is_alive(self.entry)

    def said(self):
        return self.log.read_text(errors="replace")


def child_of(entry):
    """The process that an `nsenter` or `unshare` waits for; None when that has ended already."""
    def look():
        children = [pid for pid in all_processes() if (fields := stat_of(pid)) and int(fields[1]) == entry["pid"]]
        return children or not proc.is_alive(entry)
    children = wait_until(look, 10, f"a child of process {entry['pid']}")
    return None if children is True else children[0]


class Machine:
    """Made at once; `close()` removes all of it."""

    def __init__(self, kube, cluster, name, folder):
        self.kube, self.cluster, self.name, self.folder = kube, cluster, name, pathlib.Path(folder)
        self.slot = cluster.slot
        self.netns, self.address = net.node_netns(self.slot, INDEX), net.node_address(self.slot, INDEX)
        self.cgroups, self.entry = [], None
        try:
            self._create()
        except BaseException:
            self.close()
            raise

    def _create(self):
        # What a run that was killed has left.
        net.remove(self.netns)
        proc.remove_cgroups(proc.create_cgroups(self.netns))
        net.create_node(self.slot, INDEX)
        self.cgroups = proc.create_cgroups(self.netns)
        own = self.folder / "own"
        own.mkdir()
        self.entry = proc.spawn(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child",
             "--mount-proc", "bash", "-c", INIT, "init", own, *DISKS],
            self.folder / "init.log", netns=self.netns, hostname=self.name, cgroups=self.cgroups, environment=ENVIRONMENT)
        wait_until(lambda: (own / "up").exists() or not proc.is_alive(self.entry), 20, "the machine is up")
        assert (own / "up").exists(), (self.folder / "init.log").read_text()
        self.init = child_of(self.entry)
        # As on any machine: the kubelet looks its own name up, and there is nobody else to ask.
        self.put("/etc/hosts", f"127.0.0.1 localhost\n{self.address} {self.name}\n")

    def start_kubelet(self, image):
        """containerd and the kubelet, joined by a token, until the Node is Ready; `image` is that of pods' sandboxes."""
        folder = binaries.build_set("containerd")
        server, registry = self.cluster.env["SERVER"], self.cluster.registry
        self.put("/etc/containerd/config.toml", CONTAINERD.format(image=image, shim=f"{folder}/containerd-shim-runc-v2"))
        self.put(f"/etc/containerd/certs.d/{registry}/hosts.toml", f'server = "http://{registry}"\n')
        authority = pathlib.Path(self.cluster.env["CLUSTER_DIR"], "pki/ca.crt").read_text()
        self.put("/etc/kubernetes/pki/ca.crt", authority)
        self.put("/var/lib/kubelet/config.yaml", json.dumps(KUBELET))
        self.put("/etc/kubernetes/bootstrap-kubelet.conf", json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority": "/etc/kubernetes/pki/ca.crt"}}],
            "users": [{"name": "it", "user": {"token": self.cluster.env["BOOTSTRAP_TOKEN"]}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))
        self.path("/etc/cni/net.d").mkdir(parents=True)
        self.path("/opt/cni").mkdir(parents=True, exist_ok=True)
        self.path("/opt/cni/bin").symlink_to(binaries.build_set("cni-plugins"))
        self.containerd = Daemon(self, "containerd", f"{folder}/containerd")
        self.kubelet = Daemon(self, "kubelet", binaries.build_tool("kubelet"), "--config=/var/lib/kubelet/config.yaml",
                              "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
                              "--kubeconfig=/etc/kubernetes/kubelet.conf")
        self.start_both()
        ranges = wait_until(lambda: (self.kube.get("node", self.name, check=False) or {"spec": {}})["spec"].get("podCIDRs"),
                            60, self.kubelet.said)
        net.route_pods(self.slot, INDEX, ranges)
        self.put("/etc/cni/net.d/10-harbour.conflist", conflist(ranges[0]))
        self.wait_ready(self.name, self.kubelet)

    def start_both(self):
        """The kubelet ends when there is no containerd."""
        self.containerd.start()
        wait_until(self._has_containerd, 60, self.containerd.said)
        self.kubelet.start()

    def _has_containerd(self):
        with socket.socket(socket.AF_UNIX) as its:
            return its.connect_ex(str(self.path("/run/containerd/containerd.sock"))) == 0

    def start_skiff(self):
        """Joins and starts Skiff as the documentation says, until its Node is Ready."""
        self.put("/etc/skiff/config.yaml", SKIFF.format(port=PORT, healthz_port=HEALTHZ_PORT, registry=self.cluster.registry))
        program, its = os.environ["SKIFF_BIN"], self.cluster.env
        self.run(program, "node", "join", its["SERVER"], "--token", its["BOOTSTRAP_TOKEN"], "--ca-cert-hash",
                 its["CA_CERT_HASH"])
        # The cgroup is that of the unit in deploy/.
        self.skiff = Daemon(self, "skiff", program, "node", "--cgroup-root", "/skiff")
        self.skiff.start()
        self.wait_ready(self.skiff_name, self.skiff)

    @property
    def skiff_name(self):
        return f"{self.name}-wasm"

    def wait_serving(self):
        """Until both answer: the Ready condition may be that of the last time."""
        for name, daemon in ((self.name, self.kubelet), (self.skiff_name, self.skiff)):
            path = f"/api/v1/nodes/{name}/proxy/healthz"
            wait_until(lambda: self.kube("get", "--raw", path, check=False).returncode == 0, 60, daemon.said)

    def wait_ready(self, name, daemon, seconds=60):
        def look():
            assert daemon.lives(), daemon.said()[-5000:]
            its = self.kube.get("node", name, check=False)
            return its and condition_of(its, "Ready") == "True"
        wait_until(look, seconds, lambda: daemon.said()[-5000:])

    def inside(self, *command):
        """The command line of COMMAND at the machine."""
        return ["nsenter", "--target", str(self.init), "--mount", "--net", "--uts", "--pid", "--cgroup", "--",
                *map(str, command)]

    def run(self, *command, check=True, timeout=60):
        def join():
            for folder in self.cgroups:
                pathlib.Path(folder, "cgroup.procs").write_text("0")
        return run(self.inside(*command), check=check, timeout=timeout, env=ENVIRONMENT, preexec_fn=join)

    def path(self, path):
        """A file of the machine, as seen from outside."""
        return pathlib.Path(f"/proc/{self.init}/root", str(path).lstrip("/"))

    def put(self, path, text):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)

    def close(self):
        proc.stop(self.entry)
        net.remove(self.netns)
        proc.kill_cgroup_members(self.cgroups)
        proc.remove_cgroups(self.cgroups)
        shutil.rmtree(self.folder / "own", ignore_errors=True)
