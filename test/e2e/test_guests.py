"""Guests that other tests rely on, by the peer (bench/wasmtime): what fails here is the guest, not Skiff."""

import http.client
import http.server
import itertools
import re
import socket
import subprocess
import threading

import pytest

from conftest import ROOT
from kube import run

GUESTS = ROOT / "build/guests"
PEER_BUILD_S = 3600


@pytest.fixture(scope="session")
def peer(pytestconfig):
    is_long = pytestconfig.getoption("--long")
    found = run([ROOT / "bench/wasmtime", *([] if is_long else ["--find"])], timeout=PEER_BUILD_S, check=is_long)
    if found.returncode != 0:  # half an hour of building, which would double what the quick tests take
        pytest.skip("the peer is not built: run bench/wasmtime, or the tests with --long")
    run([ROOT / "guests/build"], timeout=600)
    return found.stdout.strip()


class Service:
    """`wasmtime serve` with one guest."""

    def __init__(self, peer, guest, *flags):
        self.process = subprocess.Popen(
            [peer, "serve", "--addr", "127.0.0.1:0", *flags, GUESTS / f"{guest}.wasm"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        self.port = int(re.search(r":(\d+)/", line).group(1))
        # Nobody reads its log, but a full pipe would stop it.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(self, path, body=None, headers=None, timeout=30):
        """(status, body) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET" if body is None else "POST", path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def echo(self, body):
        """(status, body) of `/echo`, sent and read at the same time, as a body in both directions has to be."""
        head = f"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as stream:
            sender = threading.Thread(target=stream.sendall, args=(head + body,))
            sender.start()
            response = http.client.HTTPResponse(stream)
            response.begin()
            got = response.read()
            sender.join()
            return response.status, got

    def raw(self, request):
        """All bytes that come back for these."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as stream:
            stream.sendall(request)
            return stream.makefile("rb").read()

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module", params=["http-hello", "http-hello-03"])
def service(request, peer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pod")
    (folder / "note.txt").write_text("a file of the pod\n")
    flags = ["-S", "cli,p3" if request.param.endswith("03") else "cli", "--env", "NAME=Skiff",
             "--dir", f"{folder}::/data"]
    its = Service(peer, request.param, *flags)
    yield its
    its.stop()


@pytest.fixture(scope="module", params=["http-min", "http-min-03"])
def small(request, peer):
    its = Service(peer, request.param, "-S", "p3")
    yield its
    its.stop()


class Origin(http.server.BaseHTTPRequestHandler):
    """What guests fetch from: says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("transfer-encoding") == "chunked":
            while (size := int(self.rfile.readline(), 16)) > 0:
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        text = f"{self.command} {self.path} ".encode() + body
        self.send_response(203)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.parametrize("path, status, text", [
    ("/", 200, "Hello from Skiff!\n"),
    ("/status/418", 418, "status 418\n"),
    ("/sleep/20", 200, "slept 20 ms\n"),
    ("/env/NAME", 200, "Skiff"),
    ("/env/NONE", 404, "not set\n"),
    ("/file/data/note.txt", 200, "a file of the pod\n"),
    ("/file/data/none", 404, "cannot open it\n"),
    ("/drip/3/10", 200, "0\n1\n2\n"),
    ("/grow/3", 200, "grew 3 MiB\n"),
    ("/big-headers/32", 200, "32 KiB of headers\n"),
    ("/say/hello", 200, "said\n"),
    ("/trap-after", 200, "this is not all\n"),
    ("/echoes", 200, "Hello from Skiff!\n"),
])
def test_http_guest_answers_by_path(service, path, status, text):
    assert service.ask(path) == (status, text.encode())


def test_http_guest_sends_bytes(service):
    status, body = service.ask("/bytes/3145728")
    assert (status, len(body), set(body)) == (200, 3145728, {ord("x")})


def test_http_guest_lists_headers(service):
    status, body = service.ask("/headers", headers={"X-Test": "one"})
    assert status == 200 and b"x-test: one\n" in body.lower()


def test_http_guest_counts_its_requests(service):
    status, body = service.ask("/count")
    assert status == 200 and int(body) >= 1


@pytest.mark.parametrize("path", ["/trap", "/error/oops"])
def test_http_guest_fails_before_the_head(service, path):
    assert service.ask(path)[0] == 500


def test_http_guest_sends_a_trailer(service):
    told = service.raw(b"GET /trailers HTTP/1.1\r\nhost: x\r\nte: trailers\r\n"
                       b"connection: close\r\n\r\n")
    assert told.endswith(b"\r\n0\r\nx-sum: 42\r\n\r\n"), told


def test_http_guest_echoes_while_the_request_lasts(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as stream:
        stream.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\none")
        got = b""
        while b"one" not in got:
            piece = stream.recv(4096)
            assert piece, f"closed after {got}"
            got += piece
        stream.sendall(b"two")
        while not got.endswith(b"0\r\n\r\n"):
            piece = stream.recv(4096)
            assert piece, f"closed after {got}"
            got += piece
    assert b"two" in got


@pytest.mark.parametrize("bytes_", [65536, 10_000_000])
def test_http_guest_echoes_a_large_body(service, bytes_):
    body = bytes(range(256)) * (bytes_ // 256)
    assert service.echo(body) == (200, body)


def test_http_min_says_hello_and_echoes(small):
    body = bytes(range(256)) * 40_000
    assert small.ask("/") == (200, b"Hello from Skiff!\n")
    assert small.echo(body) == (200, body)
    assert small.echo(b"short") == (200, b"short")


def test_http_guest_spins(service):
    with pytest.raises(TimeoutError):
        service.ask("/spin", timeout=1)


def test_http_guest_fetches(service, origin):
    assert service.ask(f"/fetch?url=http://{origin}/a?b") == (203, b"GET /a?b ")
    assert service.ask(f"/fetch?url=http%3A%2F%2F{origin}/a", b"text") == (203, b"POST /a text")


def test_http_guest_names_what_stopped_a_fetch(service):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert service.ask(f"/fetch?url=http://127.0.0.1:{port}/") == (
            502, b"error: connection-refused\n")
        nobody.listen()
        status, text = service.ask(f"/fetch?url=http://127.0.0.1:{port}/&timeout=50")
        assert (status, text) == (502, b"error: connection-read-timeout\n")
    assert service.ask("/fetch?url=ftp://x/")[0] == 400


def test_http_03_guest_serves_many_at_a_time(service):
    # One instance has them all: each takes as long as the longest, and the last are answered first.
    if service.ask("/count")[1] == b"1":
        pytest.skip("an instance of its own for each request")
    order = []

    def ask(ms):
        service.ask(f"/sleep/{ms}")
        order.append(ms)

    threads = [threading.Thread(target=ask, args=(ms,)) for ms in (900, 600, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == [300, 600, 900]


def command(peer, guest, *arguments, flags=(), timeout=60):
    done = run([peer, "run", *flags, GUESTS / f"{guest}.wasm", *arguments], check=False,
               timeout=timeout, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def test_command_03_prints_sleeps_and_exits(peer):
    assert command(peer, "command-03", "print", "one", "sleep", "30", "eprint", "two", "env", "A",
                   "exit", "7", flags=["-S", "p3", "--env", "A=b"]) == (7, "one\nb\n", "two\n")
    assert command(peer, "command-03", "args", flags=["-S", "p3"])[1] == "args\n"
    assert command(peer, "command-03", "fail", flags=["-S", "p3"])[0] == 1
    assert "unreachable" in command(peer, "command-03", "trap", flags=["-S", "p3"])[2]


def flags_of(guest):
    # The peer refuses to offer wasi:http to core modules.
    return ["-S", "http"] if guest == "attack-component" else []


def attack(peer, guest, verb, *flags):
    return command(peer, guest, verb, flags=[*flags_of(guest), *flags])


OPEN = ["-S", "inherit-network,allow-ip-name-lookup,p3"]


@pytest.mark.parametrize("guest", ["sockets", "sockets-03"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_sockets_guest_talks_to_itself(peer, guest, kind):
    with subprocess.Popen([peer, "run", *OPEN, GUESTS / f"{guest}.wasm", f"{kind}-listen", "0", "2"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as server:
        port = re.fullmatch(r"listening on 0\.0\.0\.0:(\d+)\n", server.stdout.readline()).group(1)
        assert command(peer, guest, kind, "127.0.0.1", port, "one", flags=OPEN) == (0, "one\n", "")
        assert command(peer, guest, kind, "localhost", port, "two!", flags=OPEN) == (
            0, "two!\n", "")
        assert server.stdout.read() == "echoed 3 bytes\nechoed 4 bytes\n"
        assert server.wait(timeout=30) == 0


@pytest.mark.parametrize("guest", ["sockets", "sockets-03"])
def test_sockets_guest_names_errors(peer, guest):
    assert command(peer, guest, "lookup", "localhost", flags=OPEN)[1].splitlines()[0] in (
        "127.0.0.1", "::1")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = str(nobody.getsockname()[1])
        assert command(peer, guest, "tcp", "127.0.0.1", port, "x", flags=OPEN) == (
            1, "", "connect: connection-refused\n")
    for arguments in (["tcp", "127.0.0.1", "1", "x"], ["udp", "127.0.0.1", "1", "x"],
                      ["tcp-listen", "0", "1"]):
        assert command(peer, guest, *arguments, flags=["-S", "p3"]) == (
            1, "", "create: access-denied\n")


def test_core_http_imports_what_krustlet_gave():
    module = (GUESTS / "core-http.wasm").read_bytes()
    for name in (b"req", b"close", b"header_get", b"headers_get_all", b"body_read"):
        assert b"\x16wasi_experimental_http" + bytes([len(name)]) + name in module


@pytest.mark.parametrize("guest", ["attack", "attack-component"])
@pytest.mark.parametrize("verb, told", [
    ("memory", "memory: refused after 3 MiB\n"),
    ("tables", "tables: refused after 5000 elements\n"),
])
def test_attack_guest_says_what_it_reached(peer, guest, verb, told):
    limits = f"max-memory-size={4 << 20},max-table-elements=5000"
    assert attack(peer, guest, verb, "-W", limits)[:2] == (0, told)


@pytest.mark.parametrize("guest, verb, first, later", [
    ("attack", "memory", "memory: refused after 3 MiB", "memory: refused after 0 MiB"),
    ("attack", "tables", "tables: refused after 5000 elements",
     "tables: refused after 0 elements"),
    ("attack", "fds", r"fds: refused after \d\d files", "fds: refused after 0 files"),
    ("attack", "spin", "spin: 67108864 turns", "spin: 67108864 turns"),
    ("attack-component", "sockets", r"sockets: refused after \d\d sockets",
     "sockets: refused after 0 sockets"),
])
def test_attack_guest_goes_on(peer, guest, verb, first, later):
    """It keeps what it has, and there is no more."""
    limits = f"max-memory-size={4 << 20},max-table-elements=5000"
    flags = [*flags_of(guest), "-S", "inherit-network", "-W", limits, "--dir", "/"]
    with subprocess.Popen(["prlimit", "--nofile=64", peer, "run", *flags, GUESTS / f"{guest}.wasm",
                           verb, "again", "10"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        ends = (line.rstrip() for line in process.stdout if re.search("refused|turns", line))
        told = list(itertools.islice(ends, 4))
        process.kill()
    assert re.fullmatch(first, told[0]) and told[1:] == 3 * [later]


@pytest.mark.parametrize("guest, verb, told", [
    ("attack", "stack", "wasm trap: "),
    ("attack-component", "stack", "out of bounds memory access"),
    ("attack-component", "handles", "resource table has no free keys"),
    ("attack-component", "random-huge", "requested len"),
])
def test_attack_guest_ends_in_a_trap(peer, guest, verb, told):
    code, _, text = attack(peer, guest, verb, "-S", "max-resources=5000")
    assert code != 0 and told in text


def test_attack_guest_calls_with_long_lists(peer):
    code, text, _ = attack(peer, "attack", "hostcall", "--dir", "/tmp")
    assert code == 0 and [line.split(":")[0] for line in text.splitlines()] == [
        "poll_oneoff", "fd_write", "path_filestat_get"]
    code, text, _ = attack(peer, "attack", "random-huge", "-W", f"max-memory-size={64 << 20}")
    assert code == 0 and text.count("MiB in one call") == 16


def test_attack_guest_floods_its_log(peer):
    with subprocess.Popen([peer, "run", GUESTS / "attack.wasm", "logs"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert len(process.stdout.read(1 << 24)) == 1 << 24
        process.kill()
