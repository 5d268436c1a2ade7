"""Skiff nodes of a test cluster, each joined the way docs/ tells an operator.

A node has a network namespace, a host name, cgroups, a root, a run and a log folder of its own, so several run on one machine and all use port 10250.
"""

import glob
import os
import shutil
import signal
import socket

from . import api, binaries, net, proc, services
from .proc import ClusterError

CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {x509: {clientCAFile: "${CA_FILE}"}}
---
apiVersion: skiff.dev/v1alpha1
kind: SkiffConfiguration
registries:
- {host: "${REGISTRY}", scheme: http}
"""


def config_text(*registries):
    """A node's configuration file: plain HTTP to the cluster's registry and to these."""
    return CONFIG + "".join(f'- {{host: "{host}", scheme: http}}\n' for host in registries)


def skiff_binary():
    """$SKIFF_BIN, else the newest build of this tree."""
    chosen = os.environ.get("SKIFF_BIN")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise ClusterError(f"SKIFF_BIN={chosen} is not a program")
        return os.path.abspath(chosen)
    built = glob.glob(os.path.join(binaries.ROOT, "build", "*", "bin", "skiff"))
    if not built:
        raise ClusterError("no build/*/bin/skiff: build Skiff first or set SKIFF_BIN")
    return max(built, key=os.path.getmtime)


class Node:
    """One node; the cluster's lock is held and its state loaded while a method runs."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.folder = os.path.join(cluster.folder, "nodes", name)

    @property
    def record(self):
        found = self.cluster.state.get("nodes", {}).get(self.name)
        if found is None:
            raise ClusterError(f"no node '{self.name}' in cluster '{self.cluster.name}'")
        return found

    @property
    def netns(self):
        return net.node_netns(self.cluster.slot, self.record["index"])

    @property
    def address(self):
        return net.node_address(self.cluster.slot, self.record["index"])

    @property
    def run_folder(self):
        # Short, because sockets live here and a socket's path has at most 107 characters.
        return f"/run/{self.netns}"

    def _instance_flags(self):
        return ["--root-dir", f"{self.folder}/root", "--run-dir", self.run_folder,
                "--pod-log-dir", f"{self.folder}/pods", "--config", f"{self.folder}/config.yaml"]

    def _command(self, *words):
        """A `skiff` command run in the node's own network namespace, as at its console."""
        return proc.run_in(self.netns, [self.record["skiff"], *words], hostname=self.name)

    def run_skiff(self, words):
        """A command of the operator at this node, such as `ps`; it finds the node's run folder."""
        return self._command(*words, "--run-dir", self.run_folder)

    # --- life --------------------------------------------------------------------------------

    def create(self, flags, config_path, server=None, token=None, families=("ipv4",)):
        """Makes the node's place in the cluster, joins it (`server`: by a token that pins its CA) and starts the agent."""
        nodes = self.cluster.state["nodes"]
        if self.name in nodes:
            raise ClusterError(f"node '{self.name}' is there already")
        used = {its["index"] for its in nodes.values()}
        index = next(number for number in range(1, 200) if number not in used)
        slot = self.cluster.slot
        nodes[self.name] = {"index": index, "skiff": skiff_binary(), "flags": flags,
                            "cgroups": [], "agent": None}
        self.cluster.store()
        os.makedirs(self.folder)
        net.create_node(slot, index)
        if "ipv6" in families or self.cluster.dual_stack:
            net.add_node_v6(slot, index)
        self.record["cgroups"] = proc.create_cgroups(self.netns)
        self.cluster.store()
        self._write_config(config_path)
        its = self.cluster.environment()
        how = [server, "--token", token] if server else [
            its["SERVER"], "--token", its["BOOTSTRAP_TOKEN"], "--ca-cert-hash", its["CA_CERT_HASH"]]
        self._command("node", "join", *how, "--bootstrap-kubeconfig", f"{self.folder}/bootstrap.kubeconfig")
        self.start()
        self._start_proxy()

    def _start_proxy(self):
        if self.cluster.state.get("services"):
            services.start_proxy(self)

    def _write_config(self, config_path):
        text = config_text()
        if config_path:
            with open(config_path) as file:
                text = file.read()
        with open(os.path.join(self.folder, "config.yaml"), "w") as file:
            file.write(text.replace("${REGISTRY}", self.cluster.registry)
                       .replace("${CA_FILE}", f"{self.cluster.pki}/ca.crt"))

    def start(self, flags=()):
        """Starts the agent, with other flags or ($SKIFF_BIN) another build if they are given."""
        if proc.is_alive(self.record["agent"]):
            raise ClusterError(f"node '{self.name}' runs already")
        if flags:
            self.record["flags"] = list(flags)
        if os.environ.get("SKIFF_BIN"):
            self.record["skiff"] = skiff_binary()
        command = [
            self.record["skiff"], "node", *self._instance_flags(),
            "--bootstrap-kubeconfig", f"{self.folder}/bootstrap.kubeconfig",
            "--kubeconfig", f"{self.folder}/kubeconfig",
            "--node-name", self.name, *self._cni_flags(), *self.record["flags"]]
        self.record["agent"] = proc.spawn(
            command, os.path.join(self.folder, "agent.log"), netns=self.netns,
            hostname=self.name, cgroups=self.record["cgroups"])
        self.cluster.store()

    def _cni_flags(self):
        """A folder of its own for a network plugin's configuration: the machine's is not the node's."""
        if any(flag.startswith("--cni-conf-dir") for flag in self.record["flags"]):
            return []
        return ["--cni-conf-dir", os.path.join(self.folder, "net.d")]

    def _answers(self):
        """Whether port 10250 is open: the Ready condition alone may be that of an earlier agent."""
        try:
            socket.create_connection((self.address, 10250), timeout=1).close()
        except OSError:
            return False
        return True

    def wait_ready(self, seconds):
        """Waits until it serves and is Ready; an agent that ends first is an error with its log."""
        client = self.cluster.api()

        def still_running():
            if not proc.is_alive(self.record["agent"]):
                raise ClusterError(f"the agent of '{self.name}' ended:\n{self._log_tail()}")

        try:
            api.wait_until(lambda: self._answers() and api.is_node_ready(client, self.name),
                           seconds, f"node '{self.name}' Ready", still_running)
        except ClusterError as error:
            if "not within" in str(error):
                raise ClusterError(f"{error}\n{self._log_tail()}") from None
            raise

        def ranges():
            its = client.find(f"/api/v1/nodes/{self.name}") or {}
            return its.get("spec", {}).get("podCIDRs", [])

        # A node need not know them to be Ready: with a network plugin it is before the controller gave it some.
        api.wait_until(ranges, seconds, f"podCIDRs of node '{self.name}'")
        # Else IPv6 is the nodes' own affair: the machine and the control plane have no address of it.
        known = [its for its in ranges() if self.cluster.dual_stack or ":" not in its]
        net.route_pods(self.cluster.slot, self.record["index"], known)

    def _log_tail(self):
        try:
            with open(os.path.join(self.folder, "agent.log"), errors="replace") as file:
                return "".join(file.readlines()[-20:]).strip()
        except FileNotFoundError:
            return ""

    def stop(self, grace_seconds=10):
        """Stops the agent only: its pods run on, as over an upgrade."""
        proc.stop(self.record["agent"], grace_seconds)

    def kill(self):
        """SIGKILLs the agent only, and waits until the kernel has let go of it."""
        proc.send(self.record["agent"], signal.SIGKILL)
        proc.stop(self.record["agent"])

    def reboot(self):
        """What a power cut does: every process of the node dies and its run folder is gone."""
        self._end_everything()
        proc.unmount_below(self.folder)
        shutil.rmtree(self.run_folder, ignore_errors=True)
        self.record["cgroups"] = proc.create_cgroups(self.netns)
        self.start()
        self._start_proxy()

    def _end_everything(self):
        """Kills the agent and all that it started; returns what outlived its reset."""
        proc.stop(self.record["agent"])
        strays = proc.kill_netns_members(self.netns)
        strays += proc.kill_cgroup_members(self.record["cgroups"])
        proc.remove_cgroups(self.record["cgroups"])
        proc.unmount_below(self.run_folder)
        return strays

    def remove(self, grace_seconds, forget=True):
        """Stops the agent, resets the node and removes it; returns what reset left behind."""
        problems = []
        if os.path.exists(f"/run/netns/{self.netns}"):
            services.stop_proxy(self)
            self.stop(grace_seconds)
            problems += self._reset()
            problems += [f"{self.name}: process left by reset: {its['name']} ({its['pid']})"
                         for its in self._end_everything()]
            net.remove(self.netns)
        if forget:
            self.cluster.api().delete(f"/api/v1/nodes/{self.name}")
        left = proc.unmount_below(self.folder) + proc.unmount_below(self.run_folder)
        problems += [f"{self.name}: mount left by reset: {point}" for point in left]
        shutil.rmtree(self.run_folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        del self.cluster.state["nodes"][self.name]
        self.cluster.store()
        return problems

    def _reset(self):
        if self.record["agent"] is None:
            return []
        problems = []
        try:
            self._command("node", "reset", "--all", *self._instance_flags())
        except (ClusterError, OSError) as error:
            problems.append(f"{self.name}: {error}")
        left = [folder for top in self.record["cgroups"]
                for folder, _, _ in os.walk(top) if folder != top]
        return problems + [f"{self.name}: cgroup left by reset: {folder}" for folder in left]
