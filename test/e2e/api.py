"""The API server without kubectl, for what tests do all the time: to look, to make what is new, to clear up. A kubectl takes a
tenth of a second of a processor each time, an apply a quarter."""

import http.client
import json
import pathlib
import ssl
import threading
import urllib.parse

TIMEOUT_S = 30


class Api:
    """Asks as the administrator; from any thread."""

    _found = {}  # by kubeconfig: what discovery said, by every name of a kind, and by apiVersion and kind

    def __init__(self, kubeconfig):
        """Of a kubeconfig of the test cluster's, beside which its keys are."""
        self.text = pathlib.Path(kubeconfig).read_text()
        its = json.loads(self.text)
        self.server = urllib.parse.urlsplit(its["clusters"][0]["cluster"]["server"])
        keys = pathlib.Path(kubeconfig).with_suffix("")
        self.context = ssl.create_default_context(cafile=keys.with_name("ca.crt"))
        self.context.load_cert_chain(keys.with_suffix(".crt"), keys.with_suffix(".key"))
        self.local = threading.local()

    def ask(self, method, path, body=None):
        """(status, what it says); the status is 0 when nobody answers."""
        headers = {"Accept": "application/json", **({"Content-Type": "application/json"} if body else {})}
        for fresh in (False, True):
            try:
                connection = self._connection(fresh)
                connection.request(method, path, json.dumps(body) if body else None, headers)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException) as problem:
                said = f"{type(problem).__name__}: {problem}"
        return 0, said

    def create(self, its, namespace):
        """(status, what it says): makes an object as `kubectl apply` makes one that is not there, with its checks and its
        note for the next apply."""
        place = self._place((its["apiVersion"], its["kind"]))
        if place is None:
            return 404, f"the server does not have {its['apiVersion']} {its['kind']}"
        metadata = its["metadata"]
        note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(its) + "\n"}
        noted = {**its, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **note}}}
        path = self._collection(place, metadata.get("namespace", namespace))
        return self.ask("POST", f"{path}?fieldManager=kubectl-client-side-apply&fieldValidation=Strict", noted)

    def path(self, kind, namespace, name=None, selector=None):
        """Where objects of a kind are (by its name, plural or short name), as kubectl finds them; None for a kind that the
        server does not have."""
        place = self._place(kind)
        if place is None:
            return None
        words = [self._collection(place, namespace), *([name] if name else [])]
        return "/".join(words) + (f"?labelSelector={urllib.parse.quote(selector)}" if selector else "")

    @staticmethod
    def _collection(place, namespace):
        return "/".join([place["group"], *(["namespaces", namespace] if place["namespaced"] else []), place["plural"]])

    def _connection(self, fresh):
        if fresh or not hasattr(self.local, "connection"):
            if fresh:
                self.local.connection.close()
            self.local.connection = http.client.HTTPSConnection(self.server.hostname, self.server.port, timeout=TIMEOUT_S,
                                                                context=self.context)
        return self.local.connection

    def _place(self, kind):
        known = self._found.setdefault(self.text, {})
        if kind not in known:
            self._discover(known)
        return known.get(kind)

    def _discover(self, known):
        groups = json.loads(self.ask("GET", "/apis")[1])["groups"]
        preferred = [g["preferredVersion"]["groupVersion"] for g in groups]
        others = [v["groupVersion"] for g in groups for v in g["versions"] if v != g["preferredVersion"]]
        for group in ["/api/v1", *(f"/apis/{version}" for version in preferred + others)]:
            status, text = self.ask("GET", group)
            for its in json.loads(text)["resources"] if status == 200 else []:
                if "/" not in its["name"]:
                    place = {"group": group, "plural": its["name"], "namespaced": its["namespaced"]}
                    version = group.removeprefix("/api/").removeprefix("/apis/")
                    names = (its["name"], its["singularName"], its["kind"].lower(), *(its.get("shortNames") or []), (version, its["kind"]))
                    for name in names:
                        known.setdefault(name, place)
