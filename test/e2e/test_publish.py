"""`skiff run -p`: a guest with a network of its own, and ports of the machine that lead to it. The machine is a network
namespace of the test's, with a neighbour beside it."""

import signal
import subprocess
import sys

import pytest

from conftest import ROOT
from kube import run, wait_until
from machine import own_number

GUESTS = ROOT / "build/guests"
MACHINE, NEIGHBOUR = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def machine():
    """machine(command…): the command line of COMMAND there; machine.neighbour(…) next to it."""
    here, there = (f"skp{own_number()}{side}" for side in "ab")
    for name in (here, there):
        run(["ip", "netns", "add", name])
        run(["ip", "-n", name, "link", "set", "lo", "up"])
    run(["ip", "-n", here, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", there])
    for name, address in ((here, MACHINE), (there, NEIGHBOUR)):
        run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", "up0"])
        run(["ip", "-n", name, "link", "set", "up0", "up"])

    def inside(name):
        # `ip netns exec` would hide the control groups.
        return lambda *words: ["nsenter", f"--net=/run/netns/{name}", *[str(word) for word in words]]

    command = inside(here)
    command.neighbour = inside(there)
    yield command
    for name in (here, there):
        run(["ip", "netns", "delete", name])


@pytest.fixture(scope="module")
def root_dir(tmp_path_factory):
    """Compiled modules are shared by the tests of this file."""
    return tmp_path_factory.mktemp("publish-root")


@pytest.fixture
def go(skiff, root_dir, machine):
    """Starts `skiff run` on the machine; ends it and looks that nothing of it stays."""
    started = []

    def start(*words):
        started.append(subprocess.Popen(machine(skiff, "run", "-q", "--root-dir", root_dir, *words),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for its in started:
        its.send_signal(signal.SIGINT)
        its.wait(timeout=20)
    assert leavings(machine) == []


def leavings(machine):
    """Interfaces and tables of Skiff's."""
    links = run(machine("ip", "-o", "link")).stdout.splitlines()
    tables = run(machine("nft", "list", "tables")).stdout.splitlines()
    return [its for its in links if ": sk" in its] + [its for its in tables if "skiff" in its]


def get(command, host, port, path="/"):
    done = run(command("curl", "-sS", "-m", "5", f"http://{host}:{port}{path}"), check=False)
    return done.stdout if done.returncode == 0 else None


def send(command, kind, host, port):
    """What a server that echoes answers."""
    script = (f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_{kind}); s.settimeout(5);"
              f"s.connect(('{host}', {port})); s.send(b'ahoy'); print(s.recv(100).decode())")
    return run(command(sys.executable, "-c", script), check=False).stdout.strip()


def test_a_server_is_reached_by_the_machines_port(go, machine):
    go("-p", "18080:80", GUESTS / "http-hello.wasm")
    wait_until(lambda: get(machine, "127.0.0.1", 18080), 60, "it answers")
    for command, host in ((machine, MACHINE), (machine.neighbour, MACHINE)):
        assert get(command, host, 18080) == "Hello from Skiff!\n", host
    assert get(machine, "127.0.0.1", 80) is None, "the guest's own port is not the machine's"
    assert run(machine("nft", "list", "tables")).stdout.count("skiff-") == 1


def test_an_address_and_a_protocol(go, machine):
    go("-p", "127.0.0.1:18081:9000", GUESTS / "sockets.wasm", "tcp-listen", 9000)
    go("-p", "18081:9000/udp", GUESTS / "sockets.wasm", "udp-listen", 9000)
    wait_until(lambda: send(machine, "STREAM", "127.0.0.1", 18081) == "ahoy", 60, "TCP at loopback")
    wait_until(lambda: send(machine.neighbour, "DGRAM", MACHINE, 18081) == "ahoy", 60, "UDP from outside")
    assert send(machine.neighbour, "STREAM", MACHINE, 18081) == "", "only at loopback"


def test_it_reaches_the_outside(go, machine):
    """By the machine's address: the neighbour knows no other."""
    script = ("import socket; s = socket.create_server(('192.0.2.2', 7000)); c, a = s.accept();"
              "c.send(c.recv(100)); print(a[0])")
    server = subprocess.Popen(machine.neighbour(sys.executable, "-c", script), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: "7000" in run(machine.neighbour("ss", "-Hltn")).stdout, 10, "the neighbour listens")
    its = go("-p", "18082:9000", GUESTS / "sockets.wasm", "tcp", NEIGHBOUR, 7000, "ahoy")
    assert its.communicate(timeout=60)[0] == "ahoy\n"
    assert server.communicate(timeout=10)[0] == f"{MACHINE}\n"


def test_a_killed_run_leaves_nothing_to_the_next(go, machine):
    its = go("-p", "18083:80", GUESTS / "http-hello.wasm")
    wait_until(lambda: get(machine, "127.0.0.1", 18083), 60, "it answers")
    its.send_signal(signal.SIGKILL)
    its.wait(timeout=10)
    assert leavings(machine), "this test would show nothing"
    again = go(GUESTS / "actor.wasm", "print", "next")
    assert again.communicate(timeout=60)[0] == "next\n"
    assert leavings(machine) == []


@pytest.mark.parametrize("words,told", [
    (["-p", "8080"], 'skiff: -p "8080": not [ADDRESS:]HOSTPORT:PORT[/PROTOCOL]'),
    (["-p", "80:80", "-p", "80:81"], 'skiff: -p "80:81": port 80 of the machine is given twice')])
def test_a_wrong_port_gives_one_clear_error(go, words, told):
    its = go(*words, GUESTS / "http-hello.wasm")
    errors = its.communicate(timeout=60)[1]
    assert its.returncode == 125 and errors.startswith(told) and errors.count("\n") == 1, errors


def test_a_port_that_somebody_has_is_refused(go, machine):
    script = "import socket, sys; s = socket.create_server(('', 18084)); sys.stdin.read()"
    holder = subprocess.Popen(machine(sys.executable, "-c", script), stdin=subprocess.PIPE)
    wait_until(lambda: "18084" in run(machine("ss", "-Hltn")).stdout, 10, "somebody listens")
    its = go("-p", "18084:80", GUESTS / "http-hello.wasm")
    errors = its.communicate(timeout=60)[1]
    holder.kill()
    holder.wait()
    assert its.returncode == 125 and "port 18084/TCP of the node is taken by" in errors, errors


def test_a_manifest_says_its_ports_itself(go):
    its = go("-p", "80:80", ROOT / "examples/run/boat.yaml")
    errors = its.communicate(timeout=60)[1]
    assert its.returncode == 125 and "-p goes with an image or a module" in errors, errors
