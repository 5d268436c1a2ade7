"""kubectl exec, cp and port-forward; and port 10250 itself, by protocols of today and of old."""

import base64
import fcntl
import hashlib
import http.client
import os
import re
import socket
import struct
import termios
import time

import pytest

from kube import pod, wait_until
from machine import agent_of, runners_of
from streams import Kubelet, Refused, exec_path, exit_code, from_base64, outcome
from test_engine import port, serve  # noqa: F401 (a fixture)

@pytest.fixture
def kubelet(cluster, node, kube):
    return Kubelet(kube.address_of(node), cluster.env["CLUSTER_DIR"])


def test_exec_has_streams_and_an_exit_code(kube, boat, transport):
    done = kube("exec", "boat", "--", "sh", "-c", "cat /data/note; echo oops >&2; exit 42",
                check=False)
    assert (done.returncode, done.stdout) == (42, "hello\n")
    assert done.stderr.startswith("oops\n") and "exit code 42" in done.stderr
    assert kube("exec", "-i", "boat", "--", "cat", stdin="ahoy\n").stdout == "ahoy\n"
    # Without -i there is no standard input, and with it, its end is seen.
    assert kube("exec", "boat", "--", "cat", stdin="ahoy\n").stdout == ""
    assert kube("exec", "-i", "boat", "--", "sh", stdin="echo $((6*7))\n").stdout == "42\n"
    missing = kube("exec", "boat", "--", "no-such-tool", check=False)
    assert missing.returncode == 127, missing
    wrong = kube("exec", "boat", "-c", "other", "--", "ls", check=False)
    assert wrong.returncode == 1 and "container" in wrong.stderr


def test_exec_carries_much_both_ways(kube, boat, transport, tmp_path):
    done = kube("exec", "boat", "--", "seq", "1", "500000")
    assert hashlib.sha256(done.stdout.encode()).hexdigest() == hashlib.sha256(
        "".join(f"{i}\n" for i in range(1, 500001)).encode()).hexdigest()
    # A command that reads nothing does not hold its client up.
    many = "x" * 3_000_000
    assert kube("exec", "-i", "boat", "--", "echo", "done", stdin=many).stdout == "done\n"
    kept = kube("exec", "-i", "boat", "--", "sh", "-c", "cat > /data/many; sha256sum < /data/many",
                stdin=many)
    assert kept.stdout.split()[0] == hashlib.sha256(many.encode()).hexdigest()


def test_cp_copies_both_ways(kube, boat, transport, tmp_path):
    folder = tmp_path / "hold"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/bytes").write_bytes(os.urandom(300_000))
    (folder / "text").write_text("ahoy\n")
    kube("cp", str(folder), "boat:/data")
    assert kube("exec", "boat", "--", "cat", "/data/hold/text").stdout == "ahoy\n"
    kube("cp", "boat:/data/hold", str(tmp_path / "back"))
    for name in ("deep/bytes", "text"):
        assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()


def size_of(pid):
    """Columns and rows of the terminal that a process has, None while it has none."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if os.readlink(path).startswith("/dev/pts/"):
            fd = os.open(path, os.O_RDONLY | os.O_NOCTTY)
            try:
                rows, columns, _, _ = struct.unpack(
                    "HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
            finally:
                os.close(fd)
            return columns, rows
    return None


def test_a_shell_in_a_terminal(kube, boat, transport, screen):
    before = set(runners_of(boat))
    its = screen("exec", "-it", "boat", "--", "sh")
    its.until(r"\$ $")
    its.type("echo $((6*7))\n")
    its.until(r"\b42\r\n")
    (shell,) = set(runners_of(boat)) - before
    wait_until(lambda: size_of(shell) == (80, 24), 10, "the size at the start")
    its.resize(100, 40)
    wait_until(lambda: size_of(shell) == (100, 40), 10, "the new size")
    its.type("exit 7\n")
    assert its.end() == 7
    # ^C ends what runs, as there is nobody who could get a signal.
    its = screen("exec", "-it", "boat", "--", "sleep", "1000")
    wait_until(lambda: set(runners_of(boat)) - before, 20, "the command")
    its.type("\x03")
    assert its.end() == 130
    wait_until(lambda: set(runners_of(boat)) == before, 10, "the command's end")


def forward(kube, target, ports):
    """kubectl port-forward, and the local ports that it listens on."""
    its = kube.start("port-forward", "-v=4", target, *[f":{number}" for number in ports])
    local = []
    while len(local) < len(ports):
        line = its.stdout.readline()
        assert line, its.stderr.read()
        if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line):
            local.append(int(found[1]))
    return its, local


def get(local, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", local, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_port_forward_reaches_a_server(kube, cluster, transport, port):  # noqa: F811
    serve(kube, cluster, "http-hello", "web", port)
    with socket.socket() as free:
        free.bind(("", 0))
        nobody = free.getsockname()[1]
    its, (local, dead) = forward(kube, "pod/web", [port, nobody])
    try:
        for _ in range(20):
            assert get(local) == (200, b"Hello from Skiff!\n")
        # Several at once.
        connections = [http.client.HTTPConnection("127.0.0.1", local, timeout=20) for _ in range(8)]
        for connection in connections:
            connection.request("GET", "/")
        assert [c.getresponse().read() for c in connections] == [b"Hello from Skiff!\n"] * 8
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(dead)
    finally:
        its.terminate()
        story = its.communicate()[1]
    assert f"error forwarding port {nobody}" in story
    assert "fallback" not in story


def test_websockets_need_no_second_try(kube, node, boat):
    """The API server passes them through, because the node says that it understands them."""
    assert "ExtendWebSocketsToKubelet" in kube.get("node", node)["status"]["declaredFeatures"]
    done = kube("exec", "-v=4", "boat", "--", "echo", "ahoy")
    assert done.stdout == "ahoy\n" and "fallback" not in done.stderr


WEBSOCKET_PROTOCOLS = [None, "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io",
                       "v4.base64.channel.k8s.io", "v5.channel.k8s.io"]


@pytest.mark.parametrize("protocol", WEBSOCKET_PROTOCOLS)
def test_every_websocket_protocol_runs_a_command(kube, kubelet, boat, protocol):
    decode = from_base64 if protocol and "base64" in protocol else bytes
    path = exec_path(kube.namespace, "boat", ["sh", "-c", "cat /data/note; echo oops >&2; exit 3"],
                     output=1, error=1)
    out, err, status = outcome(kubelet.websocket(path, protocol), decode)
    assert (out, err) == (b"hello\n", b"oops\n")
    if protocol and protocol.startswith(("v4", "v5")):
        assert exit_code(status) == 3
    else:
        assert status == "command terminated with non-zero exit code: 3"


def test_websocket_clients_send_input(kube, kubelet, boat):
    path = exec_path(kube.namespace, "boat", ["head", "-n", "1"], input=1, output=1)
    plain = kubelet.websocket(path, "v4.channel.k8s.io")
    plain.send(b"\0ahoy\n")
    assert outcome(plain)[0] == b"ahoy\n"
    coded = kubelet.websocket(path, "base64.channel.k8s.io")
    coded.send(b"0" + base64.b64encode(b"ahoy\n"), opcode=1)
    assert outcome(coded, from_base64)[0] == b"ahoy\n"
    ends = kubelet.websocket(exec_path(kube.namespace, "boat", ["cat"], input=1, output=1),
                             "v5.channel.k8s.io")
    ends.send(b"\0ahoy")
    ends.send(b"\xff\0")
    out, _, status = outcome(ends)
    assert (out, exit_code(status)) == (b"ahoy", 0)


def test_websocket_channels_forward_ports(kube, cluster, kubelet, port):  # noqa: F811
    serve(kube, cluster, "http-hello", "web", port)
    its = kubelet.websocket(f"/portForward/{kube.namespace}/web?port={port}", "v4.channel.k8s.io")
    its.send(b"\0GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    said = {0: b"", 1: b""}
    for message in its.messages():
        said[message[0]] += message[1:]
    number = struct.pack("<H", port)
    assert said[0].startswith(number + b"HTTP/1.1 200") and b"Hello from Skiff!" in said[0]
    assert said[1] == number


def test_what_cannot_be_is_refused_before_the_upgrade(kube, kubelet, boat):
    def status_of(path, headers=(("Upgrade", "websocket"),), method="GET"):
        with pytest.raises(Refused) as refused:
            kubelet.upgrade(method, path, headers)
        return refused.value.status

    good = exec_path(kube.namespace, "boat", ["ls"], output=1)
    assert status_of(good.replace("boat", "none")) == 404
    assert status_of(good.replace("/main", "/other")) == 404
    assert status_of(exec_path(kube.namespace, "boat", ["ls"])) == 400
    assert status_of(good, [("Upgrade", "SPDY/3.1")]) == 400
    assert status_of(good, [("Upgrade", "SPDY/3.1"),
                            ("X-Stream-Protocol-Version", "v9.channel.k8s.io")]) == 403
    assert status_of(good, []) == 400
    assert status_of(f"/portForward/{kube.namespace}/none") == 404


def test_a_get_that_acts_needs_create(kube, kubelet, cluster, boat, grants):
    """The right to read a node's statistics by proxy is no right to run commands on it."""
    path = exec_path(kube.namespace, "boat", ["cat", "/data/note"], output=1)

    def bearer(account, *verbs):
        grants.to_account(account, {(verb, "proxy") for verb in verbs})
        return Kubelet(kubelet.address, cluster.env["CLUSTER_DIR"], kube.token_of(account))

    with pytest.raises(Refused) as refused:
        bearer("reader", "get").websocket(path, "v4.channel.k8s.io")
    assert refused.value.status == 403 and "verb=create" in refused.value.body
    out, _, status = outcome(bearer("sailor", "get", "create").websocket(path, "v4.channel.k8s.io"))
    assert (out, exit_code(status)) == (b"hello\n", 0)


@pytest.fixture
def fleet(kube, cluster):
    """Pods that wait: one has room for some dozens of processes only."""
    names = [f"boat-{i}" for i in range(5)]
    kube.apply(*[pod(name, cluster.push("actor"), "hold") for name in names])
    return [kube.wait_ready(name, 60) for name in names]


def open_and_cut(kube, kubelet, fleet, streams):
    """Opens that many streams to each pod, and cuts them when all their commands run."""
    those = runners_in(fleet)
    open_now = []
    for i in range(streams * len(fleet)):
        name = fleet[i % len(fleet)]["metadata"]["name"]
        path = exec_path(kube.namespace, name, ["cat"], input=1, output=1, error=1)
        protocol = WEBSOCKET_PROTOCOLS[i % len(WEBSOCKET_PROTOCOLS)]
        websocket = kubelet.websocket(path, protocol)
        open_now.append(websocket)
        if i % 3 == 0:
            # More than its command has read when it is cut.
            channel = b"0" if protocol and "base64" in protocol else b"\0"
            websocket.send(channel + b"AAAA" * 5000, opcode=1)
    wait_until(lambda: len(runners_in(fleet)) == len(those) + len(open_now), 120, "all commands")
    for websocket in open_now:
        websocket.cut()
    wait_until(lambda: runners_in(fleet) == those, 10, lambda: runners_in(fleet) - those)


def runners_in(fleet):
    return {pid for its in fleet for pid in runners_of(its)}


def cut_many(kube, kubelet, fleet, run_dir, rounds, streams):
    """Cuts streams in rounds, and looks for what is left of them 10 s later."""
    agent = agent_of(run_dir)

    def held():
        return len(os.listdir(f"/proc/{agent}/fd")), len(os.listdir(f"/proc/{agent}/task"))

    open_and_cut(kube, kubelet, fleet, 1)  # what is only made once is there
    time.sleep(2)
    before = held()
    for _ in range(rounds):
        open_and_cut(kube, kubelet, fleet, streams)
    # The agent's own connections come and go.
    wait_until(lambda: all(now <= then + 3 for now, then in zip(held(), before)), 10,
               lambda: f"{before} → {held()}")
    assert kube("exec", "boat-0", "--", "echo", "ahoy").stdout == "ahoy\n"


def test_streams_that_are_cut_leave_nothing(kube, kubelet, fleet, run_dir):
    cut_many(kube, kubelet, fleet, run_dir, 1, 10)


@pytest.mark.long
def test_a_thousand_streams_that_are_cut_leave_nothing(kube, kubelet, fleet, run_dir):
    cut_many(kube, kubelet, fleet, run_dir, 20, 10)
