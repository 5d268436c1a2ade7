"""A node without an API server, for tests that need no cluster. Fixture: conftest.standalone."""

import json
import os
import subprocess

from conftest import ROOT
from kube import run
from machine import own_number

ACTOR = ROOT / "build/guests/actor.wasm"


class Standalone:
    """`skiff node --standalone` with a folder of static pods."""

    def __init__(self, skiff, tmp_path, *flags):
        self.skiff, self.manifests = skiff, tmp_path / "manifests"
        self.manifests.mkdir()
        self.root = tmp_path / "root"
        self.run_dir = f"/run/skiff-e2e-{os.getpid()}"
        self.log = tmp_path / "agent.log"
        self.flags = ["--root-dir", self.root, "--run-dir", self.run_dir, "--pod-log-dir",
                      tmp_path / "pods", "--port", str(10450 + own_number()), "--healthz-port", "0",
                      "--pod-network", "node"]  # the machine itself is not for tests to route on
        self.node_flags = flags
        self.environment = None
        self.prepare = None  # called in the agent's process before it is the agent
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [str(w) for w in (self.skiff, "node", "--standalone", "--pod-manifest-path",
                              self.manifests, "--file-check-frequency", "1s", *self.node_flags, *self.flags)],
            stdout=subprocess.DEVNULL, stderr=open(self.log, "a"), env=self.environment,
            preexec_fn=self.prepare)

    def put(self, name, *args, policy="Always", image=ACTOR, **container):
        (self.manifests / f"{name}.yaml").write_text(json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
             "spec": {"restartPolicy": policy, "containers": [
                 {"name": "main", "image": str(image), "args": list(args), **container}]}}))

    def call(self, *words):
        return run([self.skiff, *words, "--run-dir", self.run_dir], check=False)

    def pods(self):
        done = self.call("ps", "-o", "json")
        return {p["metadata"]["name"]: p for p in json.loads(done.stdout)} if not done.returncode else {}

    def _status(self, name):
        return next((p["status"] for n, p in self.pods().items() if n.startswith(name)), {})

    def phase(self, name):
        return self._status(name).get("phase")

    def waiting(self, name):
        """(reason, message) of the pod's container as it waits, None while it has not failed."""
        for status in self._status(name).get("containerStatuses", []):
            waiting = status["state"].get("waiting", {})
            if waiting.get("message"):
                return waiting["reason"], waiting["message"]
        return None

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=20)
        done = run([self.skiff, "node", "reset", "--all", *self.flags], check=False)
        assert done.returncode == 0, done.stderr
