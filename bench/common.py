"""What the benchmarks share: tables, statistics, a standalone node, the API of a test cluster."""

import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ.get("SKIFF_BIN_DIR", ROOT / "build/release/bin"))
GUESTS = ROOT / "build/guests"


def percentile(values, share):
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def table(header, rows):
    """Prints rows below a header, columns lined up."""
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for number, row in enumerate(cells):
        print("  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))))
        if number == 0:
            print("  ".join("-" * w for w in widths))


def result(**keys):
    """The last line of a benchmark: JSON for machines."""
    print(json.dumps(keys), flush=True)


class InMemory:
    """A folder on a tmpfs, as /run is on a machine that systemd booted: there, what describes running things lives."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "run", self.folder], check=True)

    def close(self):
        # `skiff node reset` may have taken it away with all that is mounted there.
        subprocess.run(["umount", "--lazy", self.folder], check=False, stderr=subprocess.DEVNULL)


class JournaledDisk:
    """A folder on an ext4 with a journal, as a node's disk is. The root of a virtual machine for tests may have none; then
    each new file looks at the inodes of all that was deleted in the last minutes, for up to a millisecond."""

    MIB = 2048

    def __init__(self, folder):
        self.folder, self.image = pathlib.Path(folder), pathlib.Path(f"{folder}.ext4")
        subprocess.run(["fallocate", "-l", f"{self.MIB}M", self.image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image], check=True)
        self.device = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", self.image], check=True,
                                     capture_output=True, text=True).stdout.strip()
        subprocess.run(["mount", self.device, self.folder], check=True)

    def close(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)
        subprocess.run(["losetup", "--detach", self.device], check=True)
        self.image.unlink()


def wait_until(condition, seconds, what, pause=0.05):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    sys.exit(f"not within {seconds} s: {what}")


def mem_available_kb():
    """MemAvailable once the caches are dropped, which makes it repeatable."""
    subprocess.run(["sync"], check=True)
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise RuntimeError("no MemAvailable in /proc/meminfo")


def rss_kb(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Registry:
    """Debian's docker-registry on a free loopback port; `command`: the words in front of it."""

    def __init__(self, folder, command=()):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = folder / "registry.yml"
        config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem:\n"
                          f"    rootdirectory: {folder}/registry\nhttp:\n  addr: 127.0.0.1:{self.port}\n")
        self.process = subprocess.Popen([*command, "docker-registry", "serve", config],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 20, "docker-registry answers")

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self):
        self.process.kill()
        self.process.wait()


class StandaloneNode:
    """`skiff node --standalone` in a folder of its own; pods are files in `manifests`. `network` is its podNetwork, `command`
    the words in front of the program, `disk` what its folder is on."""

    def __init__(self, *flags, network="node", command=(), disk=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skiff-bench-"))
        self.disk = disk(self.folder) if disk else None
        self.manifests = self.folder / "manifests"
        self.manifests.mkdir()
        self.log = open(self.folder / "agent.log", "w")
        self.run_folder = InMemory(self.folder / "run")
        self.command = command
        self.places = ["--root-dir", self.folder / "root", "--run-dir", self.folder / "run",
                       "--pod-log-dir", self.folder / "pods"]
        self.process = subprocess.Popen(
            [*command, BIN / "skiff", "node", "--standalone", "--pod-network", network, *self.places, "--pod-manifest-path",
             self.manifests, "--port", "10350", "--healthz-port", "10348", *flags],
            stdout=self.log, stderr=self.log, start_new_session=True)
        self.socket = self.folder / "run" / "skiff.sock"
        wait_until(self.socket.exists, 20, f"{self.socket} (log: {self.folder}/agent.log)")

    @property
    def pid(self):
        return self.process.pid

    def pods(self):
        done = subprocess.run([BIN / "skiff", "ps", "-o", "json", "--run-dir", self.folder / "run"],
                              capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def running(self):
        return sum(1 for p in self.pods() if p["status"].get("phase") == "Running")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        subprocess.run([*self.command, BIN / "skiff", "node", "reset", "--all", *self.places], check=True,
                       stdout=self.log, stderr=self.log)
        self.run_folder.close()
        if self.disk:
            self.disk.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """A test cluster with one Skiff node `bench`, and its API over plain HTTPS."""

    def __init__(self, name, *node_flags):
        self.name = name
        self._tool("up", "--owner", str(os.getpid()))
        env = (ROOT / f"build/cluster-{name}/env").read_text().splitlines()
        self.env = dict(line.split("=", 1) for line in env if "=" in line)
        os.environ["SKIFF_BIN"] = str(BIN / "skiff")
        self._tool("node", "up", "bench", *(["--", *node_flags] if node_flags else []))
        self._read_kubeconfig()

    def _tool(self, *words):
        rest = list(words)
        if "--" in rest:
            cut = rest.index("--")
            command = [*rest[:cut], "--name", self.name, *rest[cut:]]
        else:
            command = [*rest, "--name", self.name]
        done = subprocess.run([ROOT / "tools/cluster", *command], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"tools/cluster {' '.join(command)}:\n{done.stdout}{done.stderr}")

    def _read_kubeconfig(self):
        text = subprocess.run([self.env["KUBECTL"], "config", "view", "--raw", "-o", "json"],
                              env=dict(os.environ, KUBECONFIG=self.env["KUBECONFIG"]),
                              capture_output=True, text=True, check=True).stdout
        config = json.loads(text)
        cluster, self._user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.host = urllib.parse.urlsplit(cluster["server"]).netloc
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE  # our own cluster, on this machine
        with tempfile.TemporaryDirectory() as folder:
            self.context.load_cert_chain(*self.client_files(folder))

    def client_files(self, folder):
        """The administrator's certificate and key as files, in `folder` if they have none."""
        paths = []
        for kind in ("client-certificate", "client-key"):
            path = self._user.get(kind)
            if not path:
                path = os.path.join(folder, kind)
                pathlib.Path(path).write_bytes(base64.b64decode(self._user[f"{kind}-data"]))
            paths.append(path)
        return paths

    def connection(self):
        return http.client.HTTPSConnection(self.host, context=self.context, timeout=60)

    def request(self, method, path, body=None, connection=None):
        connection = connection or self.connection()
        connection.request(method, path, body=json.dumps(body) if body else None,
                           headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def push(self, guest):
        reference = f"{self.env['REGISTRY']}/{guest}:bench"
        subprocess.run([sys.executable, ROOT / "tools/push", GUESTS / f"{guest}.wasm", reference],
                       check=True, stdout=subprocess.DEVNULL)
        return reference

    def agent_pid(self):
        folder = str(ROOT / f"build/cluster-{self.name}/nodes/bench/root")
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    words = open(f"/proc/{entry}/cmdline").read().split("\0")
                except OSError:
                    continue
                if len(words) > 1 and words[0].endswith("/skiff") and words[1] == "node" and \
                        folder in words:
                    return int(entry)
        sys.exit("the node's agent does not run")

    def close(self):
        self._tool("down")


def pod(name, image, args=(), **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"runtimeClassName": "wasmtime", "restartPolicy": "Never",
                     "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "main", "image": image, "args": list(args)}], **spec}}
