"""A board as small as the smallest that the compiler is for: one gigabyte of memory, addresses of 39 bits."""

import concurrent.futures
import http.client
import os
import pathlib
import re
import resource

import pytest

from conftest import ROOT
from kube import container_of, wait_until
from standalone import Standalone
from testcluster.proc import own_cgroups

MEMORY = 1 << 30
ADDRESSES = 1 << 39
GUESTS = ROOT / "build/guests"
HTTP_PORT = 18340
WAITING = 40


class Board:
    """A memory cgroup in which the agent is started: what it makes lies below."""

    def __init__(self):
        own = next((its for its in own_cgroups() if os.path.exists(f"{its}/memory.limit_in_bytes")), None)
        if own:
            self.limit, self.peak, self.events = "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"
            base = pathlib.Path(own)
        else:  # version 2, where only its root may hold processes beside groups
            self.limit, self.peak, self.events = "memory.max", "memory.peak", "memory.events"
            base = pathlib.Path("/sys/fs/cgroup")
        self.folder = base / f"skiff-e2e-board-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / self.limit).write_text(str(MEMORY))

    def enter(self):
        (self.folder / "cgroup.procs").write_text("0")
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))

    def peak_bytes(self):
        return int((self.folder / self.peak).read_text())

    def killed(self):
        """Processes that the kernel killed for want of memory."""
        return sum(int(re.search(r"^oom_kill (\d+)$", file.read_text(), re.M)[1])
                   for file in (self.folder / self.events, *self.folder.rglob(self.events)))

    def close(self):
        wait_until(self._removed, 20, lambda: f"{self.folder} is empty: {(self.folder / 'cgroup.procs').read_text()}")

    def _removed(self):
        try:
            self.folder.rmdir()
        except OSError:
            return False
        return True


@pytest.fixture
def board():
    its = Board()
    yield its
    its.close()


@pytest.fixture
def node(skiff, tmp_path, board):
    its = Standalone(skiff, tmp_path, "--compile-memory", MEMORY)  # what such a machine gives: all it has
    its.prepare = board.enter
    its.start()
    yield its
    its.close()


def answers(host, port, count):
    """Statuses of requests, each by its own connection."""
    statuses = []
    for _ in range(count):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("GET", "/")
        reply = connection.getresponse()
        reply.read()
        statuses.append(reply.status)
        connection.close()
    return statuses


def test_pods_are_compiled_run_and_serve(node, board):
    """Each server's slots are made for the addresses there are; nobody is killed for want of memory."""
    for number in range(3):
        node.put(f"web-{number}", image=GUESTS / "http-hello.wasm", ports=[{"containerPort": HTTP_PORT + number}])
    for number in range(WAITING):
        node.put(f"waits-{number}", "hold")
    # A middle one, compiled while the others run: it says that it has no arguments.
    node.put("picture", image=GUESTS / "resvg.wasm", policy="Never")

    def all_there():
        pods = node.pods()
        running = [n for n, its in pods.items() if its["status"].get("phase") == "Running"]
        return pods if len(running) == WAITING + 3 else None

    pods = wait_until(all_there, 120, lambda: node.log.read_text()[-3000:])
    host, = {its["status"]["podIP"] for its in pods.values()}  # all have the node's network
    wait_until(lambda: node.phase("picture") in ("Succeeded", "Failed"), 120, lambda: node.log.read_text()[-3000:])
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        told = [pool.submit(answers, host, HTTP_PORT + number % 3, 25) for number in range(12)]
        assert sum((its.result() for its in told), []) == [200] * 300
    pods = node.pods()
    assert [n for n, its in pods.items() if container_of(its)["restartCount"]] == []
    print(f"peak {board.peak_bytes() >> 20} MiB")
    assert board.killed() == 0


@pytest.mark.long
def test_a_module_too_large_to_compile_here_is_told_so(node, board):
    """By its own bound or by the kernel, it is the compiler that ends: what runs is not harmed."""
    node.put("waits", "hold")
    wait_until(lambda: node.phase("waits") == "Running", 60, lambda: node.log.read_text()[-3000:])
    node.put("large", image=GUESTS / "yosys.wasm")
    reason, message = wait_until(lambda: node.waiting("large"), 300, lambda: node.log.read_text()[-3000:])
    print(reason, message, f"peak {board.peak_bytes() >> 20} MiB, {board.killed()} killed")
    assert re.search(r"needs more than 1\.0 GiB of memory|needed more than 1\.0 GiB", message), message
    assert container_of(next(p for n, p in node.pods().items() if n.startswith("waits")))["restartCount"] == 0
