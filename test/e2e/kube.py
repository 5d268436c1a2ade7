"""kubectl for tests: apply, wait; and what the API server has, read from itself."""

import json
import os
import subprocess
import time

from api import Api


class CommandFailed(Exception):
    pass


def run(command, timeout=60, check=True, **options):
    """Runs a command, returns it completed with its output as text."""
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                          timeout=timeout, **options)
    if check and done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n"
                            f"{done.stderr}")
    return done


def wait_until(condition, seconds, what):
    """Calls `condition` until it returns something true; that is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.1)


class Kube:
    def __init__(self, env, namespace):
        self.namespace = namespace
        self.program = env["KUBECTL"]
        self.environ = dict(os.environ, KUBECONFIG=env["KUBECONFIG"])
        self.api = Api(env["KUBECONFIG"])

    def __call__(self, *words, check=True, timeout=60, stdin=None):
        """kubectl WORDS in the test's namespace."""
        return run([self.program, "-n", self.namespace, *words], timeout=timeout, check=check,
                   env=self.environ, input=stdin)

    def start(self, *words):
        """kubectl WORDS running beside the test, its output to be read by communicate()."""
        command = [self.program, "-n", self.namespace, *[str(word) for word in words]]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.environ)

    def token_of(self, account):
        """A token of a service account of the namespace, which is made if it is not there."""
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
        return self("create", "token", account, "--duration=2h").stdout.strip()

    def create_namespace(self):
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        wait_until(lambda: self.get("serviceaccount", "default", check=False), 20, "the namespace's service account")

    def clear(self):
        """Deletes the pods of the namespace and what makes pods, and waits for the end of the pods."""
        for kind in ("deployments", "cronjobs", "jobs"):
            self._delete_all(kind)
        these = {p["metadata"]["uid"] for p in self.pods()}
        self._delete_all("pods")
        wait_until(lambda: not self._left_of(these), 60, lambda: f"the end of {self._left_of(these)}")

    def delete_namespace(self):
        """Waits for the end of the pods; that of the namespace is its controller's and takes 5 s."""
        self.clear()
        self._tell("DELETE", self.api.path("namespace", None, self.namespace), 200, 404)

    def _delete_all(self, kind):
        if self.get(kind)["items"]:
            self._tell("DELETE", self.api.path(kind, self.namespace) + "?propagationPolicy=Background", 200)

    def _left_of(self, uids):
        return [p["metadata"]["name"] for p in self.pods() if p["metadata"]["uid"] in uids]

    def apply(self, *objects):
        """What kubectl apply does; what is new is made without it."""
        old = [its for its in objects if isinstance(its, str) or not self._create(its)]
        if old:
            self("apply", "-f", "-", stdin="\n---\n".join(its if isinstance(its, str) else json.dumps(its) for its in old))

    def _create(self, its):
        """Whether it was not there before."""
        status, text = self.api.create(its, self.namespace)
        if status not in (201, 409):
            raise CommandFailed(f"apply {its['kind']} {its['metadata']['name']}: {status} {text}")
        return status == 201

    def _tell(self, method, path, *fine):
        """The answer, whose status must be one of these."""
        status, text = self.api.ask(method, path)
        if status not in fine:
            raise CommandFailed(f"{method} {path}: {status} {text}")
        return text

    def get(self, kind, name=None, check=True, selector=None):
        """An object, or with no name the list of all; None (without `check`) when there is no such thing or no answer."""
        path = self.api.path(kind, self.namespace, name, selector)
        status, text = self.api.ask("GET", path) if path else (404, f"the server does not have {kind}")
        if status == 200:
            its = json.loads(text)
            for item in its.get("items") or []:
                item |= {"apiVersion": its["apiVersion"], "kind": its["kind"].removesuffix("List")}
            return its
        if check:
            raise CommandFailed(f"get {kind} {name or ''} in {self.namespace}: {status} {text}")
        return None

    def address_of(self, node):
        """Where the node's port 10250 is."""
        addresses = self.get("node", node)["status"]["addresses"]
        return next(a["address"] for a in addresses if a["type"] == "InternalIP")

    def node_json(self, node, path):
        """What the node answers at a path, through the API server."""
        return json.loads(self._tell("GET", f"/api/v1/nodes/{node}/proxy/{path}", 200))

    def summary(self, node, query=""):
        """What the node counts: its own figures, and by name those of the namespace's pods. It keeps them for ten seconds
        (`?only_cpu_and_memory=true`: does not), so a new pod may not be there yet."""
        document = self.node_json(node, f"stats/summary{query}")
        return document["node"], {its["podRef"]["name"]: its for its in document["pods"]
                                  if its["podRef"]["namespace"] == self.namespace}

    def pod(self, name):
        return self.get("pod", name)

    def pods(self, selector=None):
        return self.get("pods", selector=selector)["items"]

    def wait_pod(self, name, condition, seconds=30):
        """Waits until condition(pod) is true; returns the pod."""
        last = {}

        def look():
            pod = self.get("pod", name, check=False)
            last["pod"] = pod
            return pod if pod and condition(pod) else None

        def story():
            status = (last["pod"] or {}).get("status")
            return f"pod {name}: {json.dumps(status)}\n{self.describe(name)}"

        return wait_until(look, seconds, story)

    def wait_phase(self, name, *phases, seconds=30):
        return self.wait_pod(name, lambda p: p["status"].get("phase") in phases, seconds)

    def wait_ready(self, name, seconds=30):
        return self.wait_pod(name, lambda p: condition_of(p, "Ready") == "True", seconds)

    def wait_waiting(self, name, *reasons, seconds=30):
        """Waits until a container waits for one of the reasons; returns its waiting state."""

        def look(pod):
            return waiting_of(pod) and waiting_of(pod)["reason"] in reasons

        return waiting_of(self.wait_pod(name, look, seconds))

    def wait_gone(self, name, seconds=30):
        wait_until(lambda: self.get("pod", name, check=False) is None, seconds,
                   lambda: f"pod {name} gone: {self.describe(name)}")

    def logs(self, name, *flags):
        return self("logs", name, *flags).stdout

    def wait_logs(self, name, text, seconds=20):
        """Waits until this is all it has written: a pod without probes is ready when it runs, before its first word."""
        wait_until(lambda: self.logs(name) == text, seconds, lambda: f"{name} says {text!r}: {self.logs(name)!r}")

    def describe(self, name):
        return self("describe", "pod", name, check=False).stdout

    def events(self, name, reason=None):
        items = self.get("events")["items"]
        return [e for e in items if e["involvedObject"]["name"] == name
                and (reason is None or e["reason"] == reason)]

    def wait_event(self, name, reason, words="", seconds=30):
        """Waits for an event with the words: a status that tells the same may be here before it. The first one."""
        return wait_until(lambda: [e for e in self.events(name, reason) if words in e["message"]], seconds,
                          lambda: f"event {reason} ({words}) of {name}: {self.describe(name)}")[0]


RBAC = "rbac.authorization.k8s.io"


class Grants:
    """Roles of the cluster and their bindings, which let somebody use nodes: rights are pairs of verb and subresource.

    Each is there when the API server's authorizer knows it: a node that asks before remembers the refusal.
    """

    def __init__(self, kube):
        self.kube, self.names = kube, set()

    def to_account(self, account, rights):
        """For a service account of the namespace; once more for the same one: other rights."""
        namespace = self.kube.namespace
        self._grant(f"{account}-{namespace}", {"kind": "ServiceAccount", "name": account, "namespace": namespace},
                    f"system:serviceaccount:{namespace}:{account}", rights)

    def to_user(self, user, rights):
        self._grant(user, {"kind": "User", "apiGroup": RBAC, "name": user}, user, rights)

    def _grant(self, name, subject, user, rights):
        self.names.add(name)
        rules = [{"apiGroups": [""], "resources": [f"nodes/{resource}"], "verbs": [verb]}
                 for verb, resource in sorted(rights)]
        self.kube.apply({"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
                        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
                         "subjects": [subject], "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}})
        verb, resource = sorted(rights)[-1]
        ask = ["auth", "can-i", verb, "nodes", f"--subresource={resource}", f"--as={user}"]
        wait_until(lambda: self.kube(*ask, check=False).returncode == 0, 30, f"{user} may {verb} nodes/{resource}")

    def close(self):
        for name in self.names:
            self.kube("delete", "clusterrole,clusterrolebinding", name)


def find_condition(its, kind):
    """The whole condition of a Pod, a Node or a Job; None without it."""
    return next((c for c in its["status"].get("conditions", []) if c["type"] == kind), None)


def condition_of(its, kind):
    """Its status: True, False or Unknown."""
    found = find_condition(its, kind)
    return found and found["status"]


def container_of(pod, name=None):
    statuses = pod["status"].get("containerStatuses", [])
    return next((s for s in statuses if name in (None, s["name"])), None)


def terminated_of(pod, name=None):
    status = container_of(pod, name)
    return status and status["state"].get("terminated")


def waiting_of(pod):
    for group in ("initContainerStatuses", "containerStatuses"):
        for status in pod["status"].get(group, []):
            if "waiting" in status["state"]:
                return status["state"]["waiting"]
    return None


def lines_of(folder):
    """The guest's lines in all files of a container's log folder, oldest file first, by file."""
    texts = [file.read_text().splitlines() for file in folder.iterdir()]
    texts = sorted(lines for lines in texts if lines)
    return [[line.split(" ", 3)[3] for line in lines] for lines in texts]


def pod(name, image, *args, **spec):
    """A pod of one container `main` for the Skiff node; keyword arguments are fields of its spec, those that a
    container has are the container's."""
    container = {"name": "main", "image": image, "args": [str(a) for a in args]}
    for field in ("command", "env", "envFrom", "volumeMounts", "resources", "imagePullPolicy",
                  "terminationMessagePolicy", "terminationMessagePath", "ports", "workingDir", "volumeDevices",
                  "securityContext", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
        if field in spec:
            container[field] = spec.pop(field)
    metadata = {"name": name, **spec.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"runtimeClassName": "wasmtime", "restartPolicy": "Never",
                     "terminationGracePeriodSeconds": 5, "containers": [container], **spec}}
