"""What is on the machine itself: processes, mounts, namespaces, cgroups."""

import collections
import os
import pathlib
import re

from kube import container_of, wait_until

PROC = pathlib.Path("/proc")


def own_number():
    """0, 1 … for the processes that run tests side by side (pytest-xdist)."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def stat_of(pid):
    """The fields of /proc/PID/stat behind the name, None when there is no such process."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields


def command_of(pid):
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(
            errors="replace")
    except OSError:
        return ""


def all_processes():
    return [int(folder.name) for folder in PROC.glob("[0-9]*")]


def processes_of(word):
    """pid → (start time, command line) of the processes in cgroups whose path holds `word`."""
    found = {}
    for pid in all_processes():
        try:
            if word not in (PROC / str(pid) / "cgroup").read_text():
                continue
        except OSError:
            continue
        if fields := stat_of(pid):
            found[pid] = (int(fields[19]), command_of(pid))
    return found


def runners_of(its, name=None):
    """`processes_of` a container of a pod: what runs it, and the commands in it."""
    identity = container_of(its, name)["containerID"].split("//")[1]
    return processes_of(identity[:16])


def runner_of(its, name=None):
    """(pid, start time) of the one process that runs this container of a pod; commands in it (probes) come and go."""
    seen = []

    def look():
        seen[:] = runners_of(its, name).items()
        return len(seen) == 1

    wait_until(look, 10, lambda: f"{its['metadata']['name']}: {seen}")
    (pid, (start, _)), = seen
    return pid, start


def _status_bytes(pid, field):
    status = (PROC / str(pid) / "status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.M)[1]) * 1024


def rss_of(pid):
    """Bytes of its memory that are there."""
    return _status_bytes(pid, "VmRSS")


def forget_peak_of(pid):
    """From here on `peak_rss_of` tells the most that it has had since. Bytes that it has now."""
    (PROC / str(pid) / "clear_refs").write_text("5")
    return peak_rss_of(pid)


def peak_rss_of(pid):
    """The most bytes of memory that it has had at once, as the kernel has kept count."""
    return _status_bytes(pid, "VmHWM")


def cgroup_of(pid, controller):
    """The folder of a process's cgroup in one hierarchy (of version 2: the only one)."""
    for line in (PROC / str(pid) / "cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return pathlib.Path("/sys/fs/cgroup") / controller / path.lstrip("/")
        if names == "" and pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return pathlib.Path("/sys/fs/cgroup") / path.lstrip("/")
    raise AssertionError(f"process {pid} is in no cgroup of {controller}")


def is_skiff(pid):
    """Whether a process is one of Skiff's: on a machine with users others come and go."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("skiff")
    except OSError:
        return False


def agent_of(run_dir):
    """The process that serves the node whose sockets are there."""
    for pid in all_processes():
        command = command_of(pid)
        if run_dir in command and is_skiff(pid) and os.path.basename(command.split()[0]) == "skiff":
            return pid
    raise AssertionError(f"no agent of {run_dir}")


class Process:
    """One of Skiff's processes at the time of a snapshot."""

    def __init__(self, pid):
        self.pid, self.command, self.namespaces = pid, command_of(pid), set()
        folder = PROC / str(pid) / "ns"
        try:
            names = os.listdir(folder)
        except OSError:  # it has ended meanwhile
            names = []
        for name in names:
            try:
                self.namespaces.add(os.readlink(folder / name))
            except OSError:
                continue


# How many namespaces a node keeps ready (RoutedSettings::prepared_max).
LAID_AHEAD_MAX = 4


class Snapshot:
    """What a node could leave behind, as sets of texts. Other test clusters are not looked at."""

    def __init__(self, cluster):
        self.own_network = cluster.env["CLUSTER_NETNS"]
        self.own_folder = cluster.env["CLUSTER_DIR"]
        mounts = [line.split() for line in (PROC / "self/mountinfo").read_text().splitlines()]
        # A namespace of a pod has a record; those laid ahead for pods to come have none, and change names as they are used.
        pins = [words[4] for words in mounts if re.fullmatch(r"/run/[^/]+/netns/[0-9]+", words[4]) and not self.is_foreign(words[4])]
        mounts = [words for words in mounts if words[4] not in pins]
        folders = collections.Counter(pathlib.Path(pin).parents[1] for pin in pins)
        records = {folder: list((folder / "network").iterdir()) for folder in folders}
        self.records = {f"record {path}" for paths in records.values() for path in paths}
        self.laid_ahead = {folder: pins - len(records[folder]) for folder, pins in folders.items()}
        self.mounts = {f"mount {words[4]} {words[3]}" for words in mounts
                       if not self.is_foreign(words[4])}
        self.cgroups = {f"cgroup {folder}" for folder, _, _ in os.walk("/sys/fs/cgroup")
                        if not self.is_foreign(folder)}
        names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
        self.networks = {f"network {name}" for name in names if not self.is_foreign(name)}
        self.parents, self.skiffs, self.namespaces = {}, [], set()
        for pid in all_processes():
            fields = stat_of(pid)
            if fields is None:
                continue
            self.parents[pid] = (int(fields[19]), int(fields[1]))
            its = Process(pid)
            self.namespaces |= its.namespaces
            # Agents, keepers and runners all name their run folder.
            if is_skiff(pid) and not self.is_foreign(its.command):
                self.skiffs.append(its)

    def is_foreign(self, text):
        """Whether a path belongs to another cluster of this machine."""
        found = re.search(r"\bskc\d+", text)
        if found:
            return found[0] != self.own_network
        # A node's groups are below its `skcNnI`: those elsewhere are of somebody's `skiff run`.
        if re.search(r"^/sys/fs/cgroup/.*/skiff-[0-9a-f]{8}(/|$)", text):
            return True
        return "/build/cluster" in text and not text.startswith(self.own_folder)

    def came_after(self, before, pid):
        """Whether a process is new and no job of somebody who was there before."""
        while pid in self.parents:
            start, parent = self.parents[pid]
            if before.parents.get(pid, (None,))[0] == start:
                return pid == 1
            pid = parent
        return True

    def new_since(self, before):
        """What is here now and was not; a process only if it belongs to nobody who was there."""
        left = set()
        for kind in ("mounts", "cgroups", "networks", "records"):
            left |= getattr(self, kind) - getattr(before, kind)
        for folder, count in self.laid_ahead.items():
            if count > (LAID_AHEAD_MAX if folder in before.laid_ahead else 0):
                left.add(f"{count} pinned namespaces of no pod in {folder}")
        for its in self.skiffs:
            if before.parents.get(its.pid) != self.parents[its.pid] and self.came_after(before,
                                                                                        its.pid):
                left.add(f"process {its.pid} {its.command}")
                left |= {f"namespace {name} of process {its.pid}"
                         for name in its.namespaces - before.namespaces}
        return left
