"""Port 10250 under a crowd: connections that say nothing or hardly anything, and zlib that swells.

Beyond the caps of the server (src/http/server.h) strangers lose their connections; who may ask gets answers all the
while, pods go on, and the agent stays small.
"""

import contextlib
import resource
import selectors
import socket
import ssl
import threading
import time
import zlib

import pytest

from kube import container_of, wait_until
from machine import agent_of, rss_of
from streams import Kubelet, exec_path

AGENT_GROWTH_MAX = 48 << 20  # 768 connections, each with the state of its handshake
ANSWER_SECONDS = 10


@pytest.fixture
def agent(run_dir):
    return agent_of(run_dir)


@pytest.fixture
def address(kube, node):
    return kube.address_of(node)


@pytest.fixture
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(16384, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Crowd:
    """Connections of strangers that are opened one after another, and those that the node closed again."""

    def __init__(self, address):
        self.address, self.closed = address, 0
        self.open = selectors.DefaultSelector()

    def join(self, greeting=b""):
        it = socket.create_connection((self.address, 10250), timeout=20)
        it.setblocking(False)
        with contextlib.suppress(OSError):  # closed already
            it.send(greeting)
        self.open.register(it, selectors.EVENT_READ)

    def look(self):
        for key, _ in self.open.select(0):
            try:
                gone = key.fileobj.recv(4096) == b""
            except OSError:
                gone = True
            if gone:
                self.open.unregister(key.fileobj)
                key.fileobj.close()
                self.closed += 1

    def size(self):
        return len(self.open.get_map())

    def say(self, piece):
        for key in list(self.open.get_map().values()):
            with contextlib.suppress(OSError):
                key.fileobj.send(piece)

    def leave(self):
        for key in list(self.open.get_map().values()):
            key.fileobj.close()
        self.open.close()


class Asking:
    """`kubectl logs` again and again meanwhile: how long the slowest answer took."""

    def __init__(self, kube, name):
        self.kube, self.name, self.slowest, self.answers, self.problem = kube, name, 0.0, 0, None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._ask)

    def _ask(self):
        while not self.over.is_set():
            begun = time.monotonic()
            done = self.kube("logs", "--tail=1", self.name, check=False, timeout=60)
            if done.returncode != 0:
                self.problem = done.stderr
                return
            self.slowest, self.answers = max(self.slowest, time.monotonic() - begun), self.answers + 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def crowd_comes(kube, address, agent, count, greeting, pieces, stay_max):
    """`count` strangers, who then say each of `pieces`, one a second; until only `stay_max` are there."""
    before, most = rss_of(agent), 0
    crowd = Crowd(address)
    try:
        with Asking(kube, "boat") as asking:
            for number in range(count):
                crowd.join(greeting)
                if number % 50 == 0:
                    crowd.look()
                    most = max(most, rss_of(agent))
            for piece in pieces:
                crowd.say(piece)
                time.sleep(1)
                crowd.look()
                most = max(most, rss_of(agent))
            wait_until(lambda: asking.answers >= 3 or asking.problem, 30, lambda: f"{asking.answers} answers")
            # A busy machine takes in the last ones, and closes them, a little later.
            wait_until(lambda: crowd.look() or crowd.size() <= stay_max, 5, lambda: f"{crowd.size()} are there")
            stay = crowd.size()
    finally:
        crowd.leave()
    assert asking.problem is None and asking.answers >= 3, (asking.problem, asking.answers)
    assert asking.slowest < ANSWER_SECONDS
    assert most - before < AGENT_GROWTH_MAX
    return stay, crowd.closed


@pytest.mark.parametrize("count", [2000, pytest.param(10000, marks=pytest.mark.long)])
def test_idle_strangers_are_pushed_out(kube, boat, address, agent, many_files, count):
    stay, closed = crowd_comes(kube, address, agent, count, b"", [b""] * 2, 768)
    assert stay <= 768 and closed >= count - 768
    assert container_of(kube.pod("boat"))["restartCount"] == 0


def test_slow_strangers_are_pushed_out(kube, boat, address, agent, many_files):
    """A handshake that comes byte by byte has ten seconds."""
    hello = ssl_hello()
    stay, closed = crowd_comes(kube, address, agent, 1000, hello[:5], [hello[i:i + 1] for i in range(5, 17)], 0)
    assert stay == 0 and closed == 1000
    assert container_of(kube.pod("boat"))["restartCount"] == 0


def ssl_hello():
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl._create_unverified_context().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_header_block_that_swells_costs_nothing(kube, cluster, boat, address, agent):
    """64 MiB of zeros in 64 KiB of zlib, by one who may run commands."""
    kubelet = Kubelet(address, cluster.env["CLUSTER_DIR"])
    before = rss_of(agent)
    path = exec_path(kube.namespace, "boat", ["true"], output=1)
    headers = [("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", "v4.channel.k8s.io")]
    bomb = zlib.compress(bytes(64 << 20), 9)
    for _ in range(20):
        stream, _, _ = kubelet.upgrade("POST", path, headers)
        head = b"\x80\x03\x00\x01" + (10 + len(bomb)).to_bytes(4, "big")
        with contextlib.suppress(OSError):
            stream.sendall(head + (1).to_bytes(4, "big") + bytes(6) + bomb)
            while stream.recv(4096):
                pass
        stream.close()
    assert rss_of(agent) - before < 20 << 20
    assert kube.logs("boat") == "hello\n"
