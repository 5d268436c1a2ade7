"""Processes, namespaces, cgroups and mounts of a test cluster.

Every process is started in a session of its own and remembered as (pid, start time), so that a pid
which the kernel has given to somebody else is never signalled. Nothing here knows Kubernetes.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time

CLONE_NEWUTS = 0x04000000
CLONE_NEWNET = 0x40000000
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class ClusterError(Exception):
    """A failure that is shown to the user as one line."""


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def check_call(*arguments):
    """Runs a command, which ends with this process; its output is shown only when it fails."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, preexec_fn=_die_with_parent)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(arguments)}: exit {done.returncode}\n"
                           f"{done.stdout.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


def start_time(pid):
    """Start time of `pid` in clock ticks since boot, None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == b"Z" else int(fields[19])


def is_alive(record):
    return record is not None and start_time(record["pid"]) == record["start"]


def _join_netns(name):
    handle = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    if _libc.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(handle)


def spawn(command, log_path, netns=None, hostname=None, cgroups=(), environment=None):
    """Starts `command` and returns its {pid, start}; output is appended to `log_path`."""

    def in_child():
        for folder in cgroups:
            with open(os.path.join(folder, "cgroup.procs"), "w") as file:
                file.write("0")
        if netns:
            _join_netns(netns)
        if hostname:
            if _libc.unshare(CLONE_NEWUTS) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            socket.sethostname(hostname)

    with open(log_path, "ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True, preexec_fn=in_child, cwd="/",
                                 env=environment)
    # The child is a zombie, not gone, until this process reaps it: its start time can be read.
    with open(f"/proc/{child.pid}/stat", "rb") as file:
        start = int(file.read().rsplit(b")", 1)[1].split()[19])
    return {"pid": child.pid, "start": start}


def run_in(netns, command, hostname=None, environment=None):
    """Runs a command to its end inside a network namespace and returns its output."""

    def in_child():
        _die_with_parent()
        _join_netns(netns)
        if hostname:
            _libc.unshare(CLONE_NEWUTS)
            socket.sethostname(hostname)

    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, preexec_fn=in_child, cwd="/", env=environment)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: exit {done.returncode}\n{output.strip()}")
    return output


def _reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # Started by an earlier run of this tool: init reaps it.


def stop(record, grace_seconds=0.0):
    """Ends a process: SIGTERM and `grace_seconds` to obey (none: at once), then SIGKILL."""
    if not is_alive(record):
        return
    pid = record["pid"]
    deadline = time.monotonic() + grace_seconds
    send(record, signal.SIGTERM if grace_seconds > 0 else signal.SIGKILL)
    while is_alive(record):
        if time.monotonic() > deadline:
            send(record, signal.SIGKILL)
            deadline = time.monotonic() + 10
        _reap(pid)
        time.sleep(0.01)
    _reap(pid)


def send(record, number):
    """Signals a process unless its pid belongs to somebody else by now."""
    if is_alive(record):
        try:
            os.kill(record["pid"], number)
        except ProcessLookupError:
            pass


def kill_netns_members(netns):
    """Ends whatever still lives in a network namespace; returns what was found."""
    try:
        wanted = os.stat(f"/run/netns/{netns}")
    except FileNotFoundError:
        return []
    found = []
    for _ in range(100):
        members = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                its = os.stat(f"/proc/{entry}/ns/net")
            except OSError:
                continue
            start = start_time(entry)
            if (its.st_ino, its.st_dev) == (wanted.st_ino, wanted.st_dev) and start is not None:
                members.append({"pid": int(entry), "start": start})
        if not members:
            break
        for member in members:
            if member["pid"] not in [known["pid"] for known in found]:
                found.append(dict(member, name=_name_of(member["pid"])))
            send(member, signal.SIGKILL)
            _reap(member["pid"])
        time.sleep(0.02)
    return found


def _name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "?"


# --- cgroups ---------------------------------------------------------------------------------


def own_cgroups():
    """The folder of this process's own cgroup in each mounted hierarchy (v1 and v2)."""
    memberships = {}
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            memberships[controllers] = path
    folders = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, right = line.split(" - ", 1)
            mount_root, mount_point = left.split()[3:5]
            kind, _, options = right.split()[:3]
            if kind not in ("cgroup", "cgroup2"):
                continue
            path = memberships.get("") if kind == "cgroup2" else next(
                (its for names, its in memberships.items()
                 if names and set(names.split(",")) <= set(options.split(","))), None)
            if path is None:
                continue
            inside = os.path.relpath(path, mount_root)
            folder = os.path.normpath(os.path.join(mount_point, inside))
            if os.path.isdir(folder) and folder not in folders:
                folders.append(folder)
    return folders


def create_cgroups(name):
    """Creates the cgroup `name` below this process's own in each hierarchy that allows it."""
    created = []
    for parent in own_cgroups():
        folder = os.path.join(parent, name)
        try:
            os.makedirs(folder, exist_ok=True)
            # A new cpuset admits nobody until it has processors and memory nodes.
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if os.path.exists(os.path.join(folder, setting)):
                    with open(os.path.join(parent, setting)) as source:
                        value = source.read()
                    with open(os.path.join(folder, setting), "w") as file:
                        file.write(value)
        except OSError:
            continue
        created.append(folder)
    return created


def remove_cgroups(folders):
    """Removes cgroups with everything below; returns what would not go."""
    left = []
    for top in folders:
        for folder, _, _ in os.walk(top, topdown=False):
            for _ in range(100):
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    # A member may be on its way out: the kernel drops it a moment after exit.
                    _kill_members(folder)
                    time.sleep(0.02)
            else:
                left.append(folder)
    return left


def _members(folder):
    try:
        with open(os.path.join(folder, "cgroup.procs")) as file:
            pids = [int(line) for line in file]
    except OSError:
        return []
    return [pid for pid in pids if pid not in (0, os.getpid())]


def _kill_members(folder):
    for pid in _members(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_cgroup_members(folders):
    """Ends every process at or below these cgroups; returns {pid, name} of what was found."""
    found = {}
    for _ in range(100):
        pids = {pid for top in folders for folder, _, _ in os.walk(top) for pid in _members(folder)}
        pids = {pid for pid in pids if start_time(pid) is not None}
        if not pids:
            break
        for pid in pids:
            found.setdefault(pid, _name_of(pid))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            _reap(pid)
        time.sleep(0.02)
    return [{"pid": pid, "name": name} for pid, name in found.items()]


# --- mounts ----------------------------------------------------------------------------------


def mounts_below(folder):
    """Mount points at or below `folder`, deepest first."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            point = line.split()[4].encode().decode("unicode_escape")
            if point == folder or point.startswith(folder.rstrip("/") + "/"):
                found.append(point)
    return list(reversed(found))


def unmount_below(folder):
    """Unmounts everything at or below `folder`; returns what was found."""
    found = mounts_below(folder)
    for point in found:
        _libc.umount2(point.encode(), MNT_DETACH)
    return found
