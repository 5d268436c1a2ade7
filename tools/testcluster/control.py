"""The control plane of one test cluster: up, down, status.

Everything that a cluster is made of is written to its state file before it is made, so that `down`
finds all of it whatever instruction an `up` was interrupted at.
"""

import contextlib
import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import sys

from . import api, binaries, net, pki, proc
from .proc import ClusterError

BOOTSTRAP_GROUP = "system:bootstrappers:kubeadm:default-node-token"
PROCESSES = ["etcd", "registry", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]


def boot_id():
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


class Cluster:
    """One named cluster of this working tree. Files below build/cluster[-NAME]."""

    def __init__(self, name=None):
        folder = "cluster" if name in (None, "", "cluster") else f"cluster-{name}"
        self.name = name or "cluster"
        self.folder = os.path.join(binaries.ROOT, "build", folder)
        self.pki = os.path.join(self.folder, "pki")
        self.logs = os.path.join(self.folder, "logs")
        self.state = {}

    # --- state -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, create=False):
        """Holds the cluster's lock (its folder) with the state loaded; one command at a time."""
        if create:
            os.makedirs(self.folder, exist_ok=True)
        try:
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ClusterError(f"cluster '{self.name}' is not up") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self.state = self.load()
            yield self
        finally:
            os.close(handle)

    def load(self):
        try:
            with open(os.path.join(self.folder, "state.json")) as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def store(self):
        path = os.path.join(self.folder, "state.json")
        with open(path + ".new", "w") as file:
            json.dump(self.state, file, indent=1)
        os.rename(path + ".new", path)

    @property
    def slot(self):
        return self.state["slot"]

    @property
    def dual_stack(self):
        return bool(self.state["variant"].get("dual_stack"))

    @property
    def pod_ranges(self):
        """As flags of Kubernetes want them: one, or one of each family."""
        return ",".join([net.pod_range(self.slot)] + [net.pod_range_v6(self.slot)] * self.dual_stack)

    @property
    def service_ranges(self):
        return ",".join([net.service_range(self.slot)] + [net.service_range_v6(self.slot)] * self.dual_stack)

    @property
    def server(self):
        return f"https://{net.address(self.slot)}:6443"

    @property
    def registry(self):
        return f"{net.address(self.slot)}:5000"

    @property
    def binaries(self):
        return binaries.binaries_folder(self.state.get("version", binaries.DEFAULT_VERSION))

    def api(self):
        return api.Api(self.pki, net.address(self.slot))

    def require_up(self):
        if not self.is_up():
            raise ClusterError(f"cluster '{self.name}' is not up (tools/cluster up)")

    def is_up(self):
        processes = self.state.get("processes", {})
        return (self.state.get("boot_id") == boot_id()
                and all(proc.is_alive(processes.get(name)) for name in PROCESSES))

    # --- up ----------------------------------------------------------------------------------

    def up(self, version, owner, say, variant=None):
        """`variant` is what differs from the usual control plane: signing_duration (Go's text: how long
        certificates of requests live), verify_nodes (the API server verifies their serving
        certificates), audit (logs/audit.log has every request), dual_stack (addresses of both families for
        nodes, pods and Services), flags (further ones of the API server)."""
        built = binaries.build(version, say)
        for command in ("docker-registry", "openssl", "ip"):
            if not shutil.which(command):
                raise ClusterError(f"{command} is missing: install what tools/packages.txt lists")
        with self.locked(create=True):
            if self.is_up():
                say(f"cluster '{self.name}' is up already")
                return
            if self.state:
                say(f"removing what an earlier run of '{self.name}' left")
                self._remove_everything(grace_seconds=0)
                os.makedirs(self.folder, exist_ok=True)
        guard = _Guard(self, owner)
        try:
            with self.locked(create=True):
                self._start(built, version, guard, variant or {})
        except BaseException:
            self._show_logs()
            guard.dismiss()
            self.down(grace_seconds=0)
            raise
        guard.confirm()

    def _start(self, built, version, guard, variant):
        self.state = {"boot_id": boot_id(), "version": version, "processes": {}, "nodes": {},
                      "variant": variant,
                      "netns_folder_was_mounted": net.is_netns_folder_mounted(),
                      "guard": guard.record, "mark": net.new_mark()}
        self.store()

        def remember(slot):
            self.state["slot"] = slot
            self.store()

        net.take_slot(self.state["mark"], remember)
        net.create(self.slot)
        if self.dual_stack:
            net.add_cluster_v6(self.slot)
        os.makedirs(self.logs, exist_ok=True)
        self._run("etcd", [f"{built}/etcd", *self._etcd_flags()])
        self._start_registry()
        service_address = f"10.208.{self.slot}.1"
        pki.create(self.pki, net.address(self.slot), service_address)
        self._run("kube-apiserver", [f"{built}/kube-apiserver", *self._apiserver_flags()])
        self._write_clients()
        client = self.api()
        api.wait_until(client.is_ready, 60, "kube-apiserver ready", self._check_processes)
        self._run("kube-controller-manager",
                  [f"{built}/kube-controller-manager", *self._controller_manager_flags()])
        self._run("kube-scheduler", [f"{built}/kube-scheduler", *self._scheduler_flags()])
        self._apply_objects(built)
        api.wait_until(lambda: client.find("/api/v1/namespaces/default/serviceaccounts/default")
                       and client.find("/api/v1/namespaces/default/configmaps/kube-root-ca.crt"),
                       30, "default service account", self._check_processes)
        self._write_environment(built)

    def _run(self, name, command):
        log = os.path.join(self.logs, f"{name}.log")
        self.state["processes"][name] = proc.spawn(command, log, netns=net.netns(self.slot))
        self.store()

    def _check_processes(self):
        for name, record in self.state["processes"].items():
            if not proc.is_alive(record):
                raise ClusterError(f"{name} ended (its log is shown above)")

    def _etcd_flags(self):
        folder = os.path.join(self.folder, "etcd")
        return ["--data-dir", folder, "--unsafe-no-fsync", "--log-level=warn",
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380"]

    def _start_registry(self):
        path = os.path.join(self.folder, "registry.yml")
        with open(path, "w") as file:
            file.write("version: 0.1\n"
                       "log: {level: warn, accesslog: {disabled: true}}\n"
                       "storage:\n"
                       f"  filesystem: {{rootdirectory: {json.dumps(self.folder + '/registry')}}}\n"
                       "  delete: {enabled: true}\n"
                       f"http: {{addr: '{self.registry}', relativeurls: true}}\n")
        self._run("registry", [shutil.which("docker-registry"), "serve", path])

    def _apiserver_flags(self):
        keys = self.pki
        return [
            "--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443",
            f"--advertise-address={net.address(self.slot)}", "--bind-address=0.0.0.0",
            f"--service-cluster-ip-range={self.service_ranges}",
            f"--tls-cert-file={keys}/apiserver.crt", f"--tls-private-key-file={keys}/apiserver.key",
            f"--client-ca-file={keys}/ca.crt", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--enable-bootstrap-token-auth=true",
            f"--kubelet-client-certificate={keys}/apiserver-kubelet-client.crt",
            f"--kubelet-client-key={keys}/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={keys}/sa.pub",
            f"--service-account-signing-key-file={keys}/sa.key",
            f"--requestheader-client-ca-file={keys}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={keys}/front-proxy-client.crt",
            f"--proxy-client-key-file={keys}/front-proxy-client.key",
            # Nobody makes the addresses of Services work here: their endpoints are called.
            "--enable-aggregator-routing=true",
            "--allow-privileged=true", "--profiling=false", *self._variant_apiserver_flags(),
        ]

    def _variant_apiserver_flags(self):
        variant, flags = self.state["variant"], []
        if variant.get("verify_nodes"):
            flags.append(f"--kubelet-certificate-authority={self.pki}/ca.crt")
        if variant.get("audit"):
            path = os.path.join(self.folder, "audit-policy.json")
            with open(path, "w") as file:
                json.dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
                           "rules": [{"level": "Metadata"}]}, file)
            flags += [f"--audit-policy-file={path}", f"--audit-log-path={self.logs}/audit.log"]
        return flags + list(variant.get("flags", []))

    def _controller_manager_flags(self):
        keys, config = self.pki, f"{self.pki}/controller-manager.kubeconfig"
        duration = self.state["variant"].get("signing_duration")
        return [
            f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0",
            "--controllers=*,bootstrapsigner,tokencleaner",
            "--use-service-account-credentials=true",
            f"--root-ca-file={keys}/ca.crt", f"--service-account-private-key-file={keys}/sa.key",
            f"--cluster-signing-cert-file={keys}/ca.crt",
            f"--cluster-signing-key-file={keys}/ca.key",
            # With the default burst of 30 its start takes five seconds longer; the rate is as ever.
            "--kube-api-burst=200",
            "--allocate-node-cidrs=true", f"--cluster-cidr={self.pod_ranges}",
            # Of IPv6 a node gets a /64.
            f"--node-cidr-mask-size{'-ipv4' if self.dual_stack else ''}=22",
            f"--service-cluster-ip-range={self.service_ranges}", "--profiling=false",
            *([f"--cluster-signing-duration={duration}"] if duration else []),
        ]

    def _scheduler_flags(self):
        return [f"--kubeconfig={self.pki}/scheduler.kubeconfig", "--leader-elect=false",
                "--secure-port=0", "--profiling=false"]

    def _write_clients(self):
        self.state["token"] = f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"
        self.store()
        for user in ("admin", "controller-manager", "scheduler"):
            path = os.path.join(self.pki, f"{user}.kubeconfig")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(pki.kubeconfig(self.pki, self.server, user))

    def _apply_objects(self, built):
        """What kubeadm makes on a new cluster, and what docs tell an administrator to apply."""
        path = os.path.join(self.folder, "bootstrap.json")
        with open(path, "w") as file:
            json.dump({"apiVersion": "v1", "kind": "List", "items": self._kubeadm_objects()}, file)
        proc.check_call(
            f"{built}/kubectl", "--kubeconfig", f"{self.pki}/admin.kubeconfig",
            "--cache-dir", f"{self.folder}/kubectl", "apply", "--server-side",
            "-f", path, "-f", os.path.join(binaries.ROOT, "deploy", "cluster.yaml"))

    def _kubeadm_objects(self):
        identifier, secret = self.state["token"].split(".")
        discovery = json.loads(pki.kubeconfig(self.pki, self.server, "admin"))
        discovery.update({"users": [], "contexts": [], "current-context": ""})
        discovery["clusters"][0]["name"] = ""
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "kubeadm:bootstrap-signer-clusterinfo",
                             "namespace": "kube-public"}}
        return [
            {"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
             "metadata": {"name": f"bootstrap-token-{identifier}", "namespace": "kube-system"},
             "stringData": {"token-id": identifier, "token-secret": secret,
                            "usage-bootstrap-authentication": "true",
                            "usage-bootstrap-signing": "true",
                            "auth-extra-groups": BOOTSTRAP_GROUP}},
            {"apiVersion": "v1", "kind": "ConfigMap",
             "metadata": {"name": "cluster-info", "namespace": "kube-public"},
             "data": {"kubeconfig": json.dumps(discovery)}},
            dict(role, rules=[{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"],
                               "resourceNames": ["cluster-info"]}]),
            dict(role, kind="RoleBinding",
                 roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role",
                          "name": role["metadata"]["name"]},
                 subjects=[{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                            "name": "system:anonymous"}]),
        ]

    def _write_environment(self, built):
        values = {
            "KUBECONFIG": f"{self.pki}/admin.kubeconfig", "REGISTRY": self.registry,
            "KUBECTL": f"{built}/kubectl", "SERVER": self.server,
            "BOOTSTRAP_TOKEN": self.state["token"],
            "CA_CERT_HASH": pki.authority_hash(self.pki),
            "KUBECACHEDIR": f"{self.folder}/kubectl", "CLUSTER_DIR": self.folder,
            "CLUSTER_NETNS": net.netns(self.slot), "POD_CIDR": net.pod_range(self.slot),
        }
        path = os.path.join(self.folder, "env")
        with open(path + ".new", "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
        os.rename(path + ".new", path)

    def environment(self):
        with open(os.path.join(self.folder, "env")) as file:
            return dict(line.rstrip("\n").split("=", 1) for line in file)

    def _show_logs(self):
        for name in PROCESSES:
            path = os.path.join(self.logs, f"{name}.log")
            if os.path.exists(path) and not proc.is_alive(
                    self.state.get("processes", {}).get(name)):
                with open(path, errors="replace") as file:
                    tail = file.readlines()[-15:]
                sys.stderr.write(f"--- {name}.log\n{''.join(tail)}")

    # --- down --------------------------------------------------------------------------------

    def down(self, grace_seconds=10, save_logs=None):
        """Removes the cluster with its nodes; returns what should not have been there."""
        try:
            with self.locked():
                if save_logs:
                    self._save_logs(save_logs)
                return self._remove_everything(grace_seconds)
        except ClusterError as error:
            if "is not up" in str(error):
                return []
            raise

    def _save_logs(self, target):
        os.makedirs(target, exist_ok=True)
        if os.path.isdir(self.logs):
            shutil.copytree(self.logs, target, dirs_exist_ok=True)
        for name in self.state.get("nodes", {}):
            log = os.path.join(self.folder, "nodes", name, "agent.log")
            if os.path.exists(log):
                shutil.copy(log, os.path.join(target, f"node-{name}.log"))

    def _remove_everything(self, grace_seconds):
        from . import nodes  # Not at the top: a node needs its cluster.
        problems = []
        guard = self.state.get("guard")
        if guard and guard["pid"] != os.getpid():
            proc.stop(guard)
        same_boot = self.state.get("boot_id") == boot_id()
        for name in list(self.state.get("nodes", {})):
            problems += nodes.Node(self, name).remove(grace_seconds if same_boot else 0,
                                                      forget=False)
        for record in self.state.get("processes", {}).values():
            if same_boot:
                proc.stop(record)
        if "slot" in self.state and net.is_ours(self.slot, self.state["mark"]):
            # Only what an `up` was interrupted at, between the start of a process and its record.
            net.remove(net.netns(self.slot))
            net.release_slot(self.slot)
            if not self.state.get("netns_folder_was_mounted", True):
                net.drop_netns_folder()
        problems += [f"mount left: {point}" for point in proc.unmount_below(self.folder)]
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.exists(self.folder):
            problems.append(f"files left: {self.folder}")
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(self.folder))
        return problems

    # --- status ------------------------------------------------------------------------------

    def status(self, say):
        """Prints what runs; returns whether the cluster is up and ready."""
        self.state = self.load()
        if not self.state:
            say(f"cluster '{self.name}' is not up")
            return False
        for name in PROCESSES:
            record = self.state.get("processes", {}).get(name)
            alive = proc.is_alive(record)
            say(f"{name:26} {'running, pid ' + str(record['pid']) if alive else 'not running'}")
        ready = self.is_up() and self.api().is_ready()
        say(f"{'API server':26} {self.server + (' ready' if ready else ' not ready')}"
            if "slot" in self.state else "no network yet")
        for name, node in self.state.get("nodes", {}).items():
            agent = node.get("agent")
            joined = ready and api.is_node_ready(self.api(), name)
            running = f"running, pid {agent['pid']}" if proc.is_alive(agent) else "stopped"
            say(f"node {name:21} {running}, {'Ready' if joined else 'not Ready'}")
        return ready


class _Guard:
    """A process that takes the cluster down when `up` dies half-way, or later with its owner."""

    def __init__(self, cluster, owner):
        reading, self._writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(self._writing)
            os._exit(_watch(cluster, reading, owner))
        os.close(reading)
        self.record = {"pid": pid, "start": proc.start_time(pid)}

    def confirm(self):
        os.write(self._writing, b"k")
        os.close(self._writing)

    def dismiss(self):
        proc.stop(self.record)


def _watch(cluster, reading, owner):
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        # The caller's pipes must not stay open for as long as the cluster is up.
        os.dup2(nowhere, descriptor)
    if os.read(reading, 1) == b"k":
        if owner is None:
            return 0
        try:
            watched = os.pidfd_open(owner)
        except ProcessLookupError:
            watched = None
        if watched is not None:
            select.select([watched], [], [])
    cluster.down(grace_seconds=2)
    return 0
