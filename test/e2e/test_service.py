"""The agent as a service: readiness, signs of life, a clean stop (row 57)."""

import os
import signal
import socket
import subprocess

import pytest

from kube import wait_until
from standalone import Standalone


@pytest.fixture
def manager(tmp_path):
    """A socket as systemd's, which remembers what it is told."""
    its = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = tmp_path / "notify"
    its.bind(str(path))
    its.settimeout(0.05)
    heard = []

    def listen():
        try:
            while True:
                heard.extend(its.recv(4096).decode().splitlines())
        except TimeoutError:
            return heard

    yield str(path), listen
    its.close()


def test_row_57_systemd_hears_ready_signs_of_life_and_stopping(skiff, tmp_path, manager):
    path, listen = manager
    node = Standalone(skiff, tmp_path)
    node.environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="2000000")
    node.start()
    try:
        wait_until(lambda: "READY=1" in listen(), 20, lambda: node.log.read_text())
        assert any(line.startswith("STATUS=node ") for line in listen())
        node.put("quiet", "hold")
        wait_until(lambda: listen().count("WATCHDOG=1") >= 3, 10, listen)
        wait_until(lambda: any(line.endswith(": 1 pods") for line in listen()), 20, listen)
        # An agent that stands still gives none.
        node.process.send_signal(signal.SIGSTOP)
        still = len(listen())
        with pytest.raises(AssertionError):
            wait_until(lambda: len(listen()) > still, 3, "silence")
        node.process.send_signal(signal.SIGCONT)
        wait_until(lambda: len(listen()) > still, 10, "a sign of life")
        node.process.terminate()
        assert node.process.wait(timeout=20) == 0, "SIGTERM is a clean end"
        assert listen()[-1] == "STOPPING=1"
        node.process = None
    finally:
        node.close()


def test_a_watchdog_that_cannot_be_kept_is_refused(skiff, tmp_path):
    done = subprocess.run([skiff, "node", "--standalone", "--pod-manifest-path", tmp_path], timeout=20,
                          env=dict(os.environ, WATCHDOG_USEC="1000"), capture_output=True, text=True)
    assert done.returncode == 2 and "the watchdog's time 1ms is too short" in done.stderr, done.stderr
