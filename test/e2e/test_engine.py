"""Engines, WASI levels, HTTP, sockets: what a module is decides how it runs, and its pod what it may reach."""

import http.client
import json
import re
import socket
import sys
import threading
import time

import pytest

from conftest import ROOT
from kube import container_of, pod, run, terminated_of, wait_until
from machine import cgroup_of, runner_of
from web import https_server, make_certificate

COMPONENT_ENGINES = ("wasmtime", "pulley")
ENGINES = (*COMPONENT_ENGINES, "wasmi")


def ask(its, path, port=8080, method="GET", body=None, timeout=20, headers={}):
    """One request to the pod; status, headers, body."""
    connection = http.client.HTTPConnection(its["status"]["podIP"], port, timeout=timeout)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def server(cluster, guest, name, port, runtime="wasmtime", annotations=None, finalizers=(), **spec):
    """A pod that serves HTTP on `port`, and that goes at once when it is deleted."""
    return pod(name, cluster.push(guest), ports=[{"containerPort": port}], runtimeClassName=runtime,
               metadata={"annotations": {"skiff/drain-delay": "0s", **(annotations or {})},
                         "finalizers": list(finalizers)}, **spec)


def wait_answers(kube, name, port):
    """The pod, once it answers."""
    its = kube.wait_ready(name, 60)
    wait_until(lambda: answers(its, port), 20, f"{name} answers on {port}")
    return its


def serve(kube, cluster, guest, name, port, *args, **options):
    """A `server` that runs and answers."""
    kube.apply(server(cluster, guest, name, port, *args, **options))
    return wait_answers(kube, name, port)


def pushed(cluster, folder, name, wasm):
    """The image of a module made by hand."""
    file, reference = folder / f"{name}.wasm", f"{cluster.registry}/{name}:1"
    file.write_bytes(wasm)
    run([sys.executable, ROOT / "tools/push", file, reference])
    return reference


def answers(its, port):
    try:
        return ask(its, "/", port, timeout=2)[0] == 200
    except OSError:
        return False


@pytest.fixture
def port():
    """A port of the node that nobody has."""
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


# --- which engine ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_core_command_runs_on_every_engine(kube, cluster, engine):
    script = "print hello ; write /data/x kept ; read /data/x ; env WHO ; exit 7"
    kube.apply(pod("core", cluster.push("actor"), *script.split(), runtimeClassName=engine,
                   env=[{"name": "WHO", "value": "world"}],
                   volumes=[{"name": "data", "emptyDir": {}}],
                   volumeMounts=[{"name": "data", "mountPath": "/data"}]))
    ended = terminated_of(kube.wait_pod("core", terminated_of, 60))
    assert ended["exitCode"] == 7
    assert kube.logs("core").split() == ["hello", "kept", "WHO=world"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_trap_and_a_memory_limit_end_alike_on_every_engine(kube, cluster, engine):
    kube.apply(pod("trap", cluster.push("actor"), "trap", runtimeClassName=engine),
               pod("grow", cluster.push("actor"), "grow", 64, runtimeClassName=engine,
                   resources={"limits": {"memory": "32Mi"}}))
    ended = terminated_of(kube.wait_pod("trap", terminated_of, 60))
    assert ended["exitCode"] == 134 and "unreachable" in ended["message"], ended
    ended = terminated_of(kube.wait_pod("grow", terminated_of, 60))
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled"), ended


@pytest.mark.parametrize("engine", COMPONENT_ENGINES)
@pytest.mark.parametrize("guest, args, wanted", [
    ("actor-component", ["print", "hello", ";", "exit", "1"], 1),
    ("command-03", ["exit", "3"], 3),
])
def test_component_commands_of_both_levels(kube, cluster, engine, guest, args, wanted):
    kube.apply(pod("command", cluster.push(guest), *args, runtimeClassName=engine))
    ended = terminated_of(kube.wait_pod("command", terminated_of, 60))
    assert ended["exitCode"] == wanted, ended


def test_what_an_engine_cannot_run_says_so(kube, cluster):
    kube.apply(pod("component", cluster.push("actor-component"), "args", runtimeClassName="wasmi"),
               pod("no-server", cluster.push("hello"),
                   metadata={"annotations": {"skiff/http-reuse": "8"}}))
    waiting = kube.wait_waiting("component", "CreateContainerError", seconds=60)
    assert "wasmi runs core modules only" in waiting["message"], waiting
    waiting = kube.wait_waiting("no-server", "CreateContainerConfigError", seconds=60)
    assert "only components can" in waiting["message"], waiting


def test_an_unknown_handler_is_tried_again(kube, cluster):
    kube.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
                "metadata": {"name": kube.namespace}, "handler": "wasmer",
                "scheduling": kube.get("runtimeclass", "wasmtime")["scheduling"]})
    try:
        kube.apply(pod("stranger", cluster.push("hello"), runtimeClassName=kube.namespace))
        told = kube.wait_event("stranger", "FailedCreatePodSandBox")
        assert "wasmer" in told["message"] and "wasmi" in told["message"], told
        # A handler cannot be changed: the class goes and comes back with another.
        kube("delete", "runtimeclass", kube.namespace)
        kube.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
                    "metadata": {"name": kube.namespace}, "handler": "wasmtime",
                    "scheduling": kube.get("runtimeclass", "wasmtime")["scheduling"]})
        assert terminated_of(kube.wait_pod("stranger", terminated_of, 60))["exitCode"] == 0
    finally:
        kube("delete", "runtimeclass", kube.namespace)


def test_a_core_module_has_no_sockets_and_its_pod_says_so(kube, cluster, files):
    kube.apply(pod("server", cluster.push("hello"), ports=[{"containerPort": 8080}]))
    told = kube.wait_event("server", "WithoutEffect")
    assert told["type"] == "Warning" and "nothing listens on port 8080" in told["message"], told
    # WASI 0.1 has calls for a socket that somebody opened, and others made more of their own for opening one.
    for name, call in (("takes", b"sock_accept"), ("opens", b"sock_open")):
        module = b"wasi_snapshot_preview1"
        types = b"\x01\x0b\x02\x60\x03\x7f\x7f\x7f\x01\x7f\x60\x00\x00"
        imported = b"\x01" + bytes([len(module)]) + module + bytes([len(call)]) + call + b"\x00\x00"
        start = b"\x03\x02\x01\x01\x07\x0a\x01\x06_start\x00\x01\x0a\x04\x01\x02\x00\x0b"
        wasm = b"\0asm\1\0\0\0" + types + b"\x02" + bytes([len(imported)]) + imported + start
        kube.apply(pod(name, pushed(cluster, files, f"{name}-sockets", wasm)))
    told = kube.wait_event("takes", "WithoutEffect")
    assert told["type"] == "Normal" and "has no sockets" in told["message"], told
    assert terminated_of(kube.wait_pod("takes", terminated_of, 60))["exitCode"] == 0
    waiting = kube.wait_waiting("opens", "CreateContainerError", seconds=60)
    assert "sock_open; core modules have no sockets: build it as a component" in waiting["message"], waiting


@pytest.mark.parametrize("engine", ENGINES)
def test_exec_runs_the_toolbox_of_every_engine(kube, cluster, engine):
    kube.apply(pod("web", cluster.push("sleeper"), runtimeClassName=engine))
    kube.wait_ready("web", 60)
    script = 'for n in 1 2; do echo "$n $(echo of $WHO)"; done | wc -l'
    assert kube("exec", "web", "--", "sh", "-c", script).stdout.split() == ["2"]
    done = kube("exec", "-i", "web", "--", "sh", "-c", 'read crew; echo "aye $crew"; echo oops >&2; exit 42',
                stdin="ahoy\n", check=False)
    assert (done.returncode, done.stdout) == (42, "aye ahoy\n") and done.stderr.startswith("oops\n"), done


def test_missing_imports_are_named_with_their_version(kube, cluster, files):
    # One instance type without exports, and an import of it.
    name = b"wasi:keyvalue/store@0.2.0"
    body = b"\x01\x00" + bytes([len(name)]) + name + b"\x05\x00"
    component = b"\0asm\x0d\0\1\0\x07\x03\x01\x42\x00\x0a" + bytes([len(body)]) + body
    kube.apply(pod("missing", pushed(cluster, files, "missing-imports", component)))
    waiting = kube.wait_waiting("missing", "CreateContainerError", seconds=60)
    assert "wasi:keyvalue/store@0.2.0" in waiting["message"], waiting


# --- serving HTTP ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", COMPONENT_ENGINES)
@pytest.mark.parametrize("guest", ["http-hello", "http-hello-03"])
def test_a_handler_component_is_a_server(kube, cluster, port, engine, guest):
    its = serve(kube, cluster, guest, "web", port, engine,
                env=[{"name": "WHO", "value": "world"}])
    assert ask(its, "/env/WHO", port)[2].strip() == b"world"
    body = bytes(range(256)) * 4096
    assert ask(its, "/echo", port, "POST", body)[2] == body
    assert [ask(its, "/count", port)[2].strip() for _ in range(3)] == [b"1"] * 3
    status, _, _ = ask(its, "/trap", port)
    assert status == 500
    wait_until(lambda: "unreachable" in kube.logs("web"), 10, "the trap is logged")
    # With the functions that it went through, by their names.
    assert re.search(rf"^ *\d+: {guest}\.wasm!exports_wasi_http_\w*handler_handle @", kube.logs("web"), re.M), kube.logs("web")
    assert ask(its, "/", port)[0] == 200
    assert container_of(kube.pod("web"))["restartCount"] == 0


def test_instances_are_reused_as_often_as_the_annotation_says(kube, cluster, port):
    its = serve(kube, cluster, "http-hello", "web", port, annotations={"skiff/http-reuse": "4"})
    counts = [int(ask(its, "/count", port)[2]) for _ in range(16)]
    assert max(counts) <= 4 and counts.count(4) >= 3, counts


@pytest.mark.parametrize("guest", ["http-hello", "http-hello-03"])
def test_a_server_answers_within_the_limits_of_its_annotation(kube, cluster, port, guest):
    its = serve(kube, cluster, guest, "web", port,
                annotations={"skiff/http-limits": "requests=2,time=1500ms,body=1000"})
    assert ask(its, "/echo", port, "POST", b"x" * 1000)[::2] == (200, b"x" * 1000)
    assert ask(its, "/echo", port, "POST", b"x" * 1001)[::2] == (413, b"the request's body is too large\n")
    # Of what says no length the guest sees no more; what it makes of that is its own affair.
    pieces = [b"x" * 500] * 3
    try:
        seen = ask(its, "/echo", port, "POST", iter(pieces))[2]
    except http.client.IncompleteRead as cut:
        seen = cut.partial
    assert len(seen) <= 1000
    # The head has a limit of its own, which no annotation moves: 64 KiB.
    assert ask(its, "/", port, headers={"x-long": "x" * (63 << 10)})[0] == 200
    assert ask(its, "/", port, headers={"x-long": "x" * (65 << 10)})[0] == 431
    begun = time.monotonic()
    assert ask(its, "/sleep/30000", port)[::2] == (504, b"no answer in time\n")
    assert 1.4 < time.monotonic() - begun < 10
    # Once its head is there, a response may take as long as it wants.
    streams = [http.client.HTTPConnection(its["status"]["podIP"], port, timeout=30) for _ in range(2)]
    for stream in streams:
        stream.request("GET", "/drip/20/100")
    answers = [stream.getresponse() for stream in streams]
    status, headers, _ = ask(its, "/", port)
    assert status == 503 and {k.lower(): v for k, v in headers.items()}["retry-after"] == "1", headers
    lines = b"".join(b"%d\n" % number for number in range(20))
    assert [(answer.status, answer.read()) for answer in answers] == [(200, lines)] * 2
    wait_until(lambda: ask(its, "/", port)[0] == 200, 5, "the places are free again")


def test_http_limits_that_are_none_keep_the_container_waiting(kube, cluster):
    kube.apply(pod("web", cluster.push("http-hello"),
                   metadata={"annotations": {"skiff/http-limits": "body=some"}}))
    waiting = kube.wait_waiting("web", "CreateContainerConfigError")
    assert "skiff/http-limits" in waiting["message"] and "body=some" in waiting["message"], waiting


def test_a_server_drains_and_exits_with_zero(kube, cluster, port):
    its = serve(kube, cluster, "http-hello", "web", port, terminationGracePeriodSeconds=20,
                annotations={"skiff/drain-delay": "2s"}, finalizers=["test.skiff/keep"])
    slow = {}
    thread = threading.Thread(
        target=lambda: slow.update(answer=ask(its, "/sleep/4000", port)))
    thread.start()
    time.sleep(0.5)  # it is in flight
    kube("delete", "pod", "web", "--wait=false")
    wait_until(lambda: kube.pod("web")["metadata"].get("deletionTimestamp"), 5, "told to end")

    def drains():
        status, headers, _ = ask(its, "/", port)
        assert status == 200, headers
        return headers.get("connection") == "close"

    # The node hears of it a moment later.
    wait_until(drains, 5, "answers that close their connection")
    ended = terminated_of(kube.wait_pod("web", terminated_of, 20))
    thread.join()
    kube("patch", "pod", "web", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert slow["answer"][0] == 200
    assert ended["exitCode"] == 0, ended
    kube.wait_gone("web")


# --- what a pod may reach ----------------------------------------------------------------------


class Listener:
    """An HTTP server of the machine that says hello, on the cluster's wire."""

    def __init__(self, address):
        self.socket = socket.create_server((address, 0))
        self.address, self.port = self.socket.getsockname()[:2]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    def close(self):
        self.socket.close()


@pytest.fixture
def listener(cluster):
    its = Listener(cluster.machine)
    yield its
    its.close()


@pytest.mark.parametrize("engine", COMPONENT_ENGINES)
@pytest.mark.parametrize("guest", ["http-hello", "http-hello-03"])
def test_outgoing_http_obeys_egress(kube, cluster, port, listener, engine, guest):
    url = f"http://{listener.address}:{listener.port}/"
    listed = f"{listener.address}/32:{listener.port}"
    annotations = {"open": {}, "none": {"skiff/egress": "none"}, "listed": {"skiff/egress": listed},
                   "other": {"skiff/egress": f"{listener.address}:1"}}
    kube.apply(*[server(cluster, guest, name, port, engine, its) for name, its in annotations.items()])
    for name in annotations:
        status, _, text = ask(wait_answers(kube, name, port), f"/fetch?url={url}", port)
        if name in ("open", "listed"):
            assert (status, text) == (200, b"hello"), (name, text)
        else:
            assert status == 502 and re.search(rb"denied|prohibited", text, re.I), (name, text)


@pytest.mark.parametrize("guest", ["http-hello", "http-hello-03"])
def test_outgoing_https_trusts_the_pods_bundle(kube, cluster, port, tmp_path, guest):
    """As OpenSSL's and Go's programs: what SSL_CERT_FILE names, here a file of a ConfigMap."""
    make_certificate(tmp_path, "boatyard")
    make_certificate(tmp_path, "leaf", "-CA", tmp_path / "boatyard.pem", "-CAkey", tmp_path / "boatyard.key",
                     "-addext", f"subjectAltName=IP:{cluster.machine}", "-addext", "basicConstraints=critical,CA:FALSE")
    kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust"},
                "data": {"ca.pem": (tmp_path / "boatyard.pem").read_text()}})
    bundle = {"volumes": [{"name": "trust", "configMap": {"name": "trust"}}],
              "volumeMounts": [{"name": "trust", "mountPath": "/trust"}]}
    kube.apply(server(cluster, guest, "trusts", port, **bundle, env=[{"name": "SSL_CERT_FILE", "value": "/trust/ca.pem"}]),
               server(cluster, guest, "strict", port, **bundle),
               server(cluster, guest, "lost", port, env=[{"name": "SSL_CERT_FILE", "value": "/none.pem"}]))
    with https_server(cluster.machine, tmp_path, "leaf") as (at, seen):
        got = {name: ask(wait_answers(kube, name, port), f"/fetch?url=https://{cluster.machine}:{at}/", port)
               for name in ("trusts", "strict", "lost")}
    assert got["trusts"][0] == 200 and got["trusts"][2] == b"hello", got
    assert len(seen) == 1
    for name in ("strict", "lost"):
        assert got[name][0] == 502 and b"certificate" in got[name][2].lower(), got


@pytest.mark.parametrize("engine", COMPONENT_ENGINES)
@pytest.mark.parametrize("guest", ["sockets", "sockets-03"])
def test_sockets_obey_egress(kube, cluster, listener, engine, guest):
    words = ["tcp", listener.address, str(listener.port), "GET / HTTP/1.0\r\n\r\n"]
    image = cluster.push(guest)
    kube.apply(pod("open", image, *words, runtimeClassName=engine),
               pod("none", image, *words, runtimeClassName=engine,
                   metadata={"annotations": {"skiff/egress": "none"}}))
    assert terminated_of(kube.wait_pod("open", terminated_of, 60))["exitCode"] == 0
    assert "200 OK" in kube.logs("open")
    assert terminated_of(kube.wait_pod("none", terminated_of, 60))["exitCode"] == 1
    assert "access-denied" in kube.logs("none")


def test_krustlets_http_needs_its_annotation(kube, cluster, listener):
    url = f"http://{listener.address}:{listener.port}/"
    image = cluster.push("core-http")
    allowed = {"alpha.wasi.krustlet.dev/allowed-domains": json.dumps([url])}
    kube.apply(pod("closed", image, url), pod("open", image, url,
                                              metadata={"annotations": allowed}))
    ended = terminated_of(kube.wait_pod("closed", terminated_of, 60))
    assert ended["exitCode"] != 0, kube.logs("closed")
    ended = terminated_of(kube.wait_pod("open", terminated_of, 60))
    assert ended["exitCode"] == 0 and "hello" in kube.logs("open"), kube.logs("open")


# --- linking, core dumps -----------------------------------------------------------------------


def test_a_core_dump_is_kept_on_the_node(kube, cluster, node):
    kube.apply(pod("crash", cluster.push("actor"), "trap",
                   metadata={"annotations": {"skiff/coredump": "true"}}))
    its = kube.wait_pod("crash", terminated_of, 60)
    assert "core dump" in terminated_of(its)["message"], its["status"]
    folder = cluster.node_folder(its["spec"]["nodeName"]) / "root/coredumps"
    dumps = list(folder.glob(f"{kube.namespace}_crash_main_0_*.core"))
    assert len(dumps) == 1 and dumps[0].read_bytes().startswith(b"\0asm"), dumps


# --- many requests, hostile guests -------------------------------------------------------------


def storm(its, port, paths, workers=8):
    """Asks every path once, over kept connections; the statuses in the order of the paths."""
    statuses = [None] * len(paths)
    following = iter(range(len(paths)))
    lock = threading.Lock()

    def work():
        connection = http.client.HTTPConnection(its["status"]["podIP"], port, timeout=30)
        while True:
            with lock:
                at = next(following, None)
            if at is None:
                return
            connection.request("GET", paths[at])
            answer = connection.getresponse()
            answer.read()
            statuses[at] = answer.status

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.parametrize("annotations", [{}, {"skiff/http-reuse": "128"}],
                         ids=["fresh", "reused"])
@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_of_many_requests_exactly_those_that_trap_fail(kube, cluster, port, annotations, count):
    its = serve(kube, cluster, "http-hello", "web", port, annotations=annotations)
    paths = ["/trap" if at % 100 == 50 else "/" for at in range(count)]
    statuses = storm(its, port, paths)
    wanted = [500 if path == "/trap" else 200 for path in paths]
    wrong = [(at, path, status) for at, (path, status, want) in
             enumerate(zip(paths, statuses, wanted)) if status != want]
    assert not wrong, wrong[:10]
    assert container_of(kube.pod("web"))["restartCount"] == 0


@pytest.mark.parametrize("annotations", [{}, {"skiff/http-reuse": "128"}], ids=["fresh", "reused"])
def test_a_trap_after_the_head_cuts_that_response_only(kube, cluster, port, annotations):
    its = serve(kube, cluster, "http-hello", "web", port, annotations=annotations)
    # Lines for one and a half seconds, and traps between them.
    streaming = http.client.HTTPConnection(its["status"]["podIP"], port, timeout=30)
    streaming.request("GET", "/drip/30/50")
    answer = streaming.getresponse()
    lines = [answer.readline()]
    while len(lines) < 20:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            ask(its, "/trap-after", port)
        lines.append(answer.readline())
    lines += answer.read().splitlines(keepends=True)
    streaming.close()
    assert lines == [b"%d\n" % number for number in range(30)]
    assert ask(its, "/", port)[0] == 200
    assert container_of(kube.pod("web"))["restartCount"] == 0


# Guest, verb and its memory limit in MiB; how it ends on every engine. Refused by a limit of its own: 0, and its log says
# so; a trap: 134, and the kernel's end of it: 137, which the message tells.
ATTACKS = [
    ("attack", "memory", 32, 0, "^memory: refused after 31 MiB$"),
    ("attack", "tables", 32, 0, r"^tables: refused after 4\d{6} elements$"),  # of 8 bytes each
    ("attack", "stack", 32, 134, "out of bounds memory access"),  # its own one, below which is nothing
    ("attack", "fds", 64, 0, r"^fds: refused after 10\d\d files$"),
    ("attack", "random-huge", 64, 137, "more memory than its limit of 64 MiB"),
    # Large, but allowed: within its memory. 37 is `nametoolong`.
    ("attack", "hostcall", 128, 0,
     "^poll_oneoff: error 0\nfd_write: error 0\npath_filestat_get: error 37$"),
    ("attack-component", "handles", 64, 134, "resource table has no free keys"),
    ("attack-component", "poll", 64, 134, "cannot lend resource: store handle limit exceeded"),
    ("attack-component", "fields", 64, 134, "total size of fields exceeds limit"),
    ("attack-component", "sockets", 64, 0, r"^sockets: refused after 10\d\d sockets$"),
    ("attack-component", "random-huge", 64, 134, "requested len 4293918720 exceeds limit 67108864"),
    # Each costs the host a task of more than a kilobyte, in the container's own memory.
    ("attack-03", "subtasks", 256, 134, "cannot allocate another handle: store handle limit exceeded"),
    ("attack-03", "streams", 64, 134, "cannot allocate another handle: store handle limit exceeded"),
]
# It moves its memory to grow, and has it twice for that time.
WASMI = {"memory": (137, "more memory than its limit of 32 MiB")}


def attacks():
    for engine in ENGINES:
        for guest, verb, limit, code, words in ATTACKS:
            if engine == "wasmi":
                code, words = WASMI.get(verb, (code, words))
            if engine in COMPONENT_ENGINES or guest == "attack":
                yield pytest.param(engine, guest, verb, limit, code, words, id=f"{engine}-{guest}-{verb}")


@pytest.mark.parametrize("engine, guest, verb, limit, code, words", attacks())
def test_a_guest_that_takes_all_is_refused_and_ends(kube, cluster, engine, guest, verb, limit, code, words):
    """Never by a fault of the host (a host panic says so)."""
    kube.apply(pod("attack", cluster.push(guest), verb, runtimeClassName=engine,
                   resources={"limits": {"memory": f"{limit}Mi"}}))
    its = kube.wait_pod("attack", terminated_of, 120)
    ended = terminated_of(its)
    reason = {0: "Completed", 134: "Error", 137: "OOMKilled"}[code]
    assert (ended["exitCode"], ended["reason"]) == (code, reason), ended
    message = ended.get("message", "")
    assert "panic" not in message, ended
    assert re.search(words, message if code else kube.logs("attack"), re.M), (message, kube.logs("attack"))
    assert container_of(its)["restartCount"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_guest_that_calls_itself_for_ever_traps(kube, cluster, files, engine):
    # The stack of `attack stack` is in its memory; here it is the engine's: a function that does nothing but call itself.
    wasm = (b"\0asm\1\0\0\0" b"\x01\x04\x01\x60\0\0" b"\x03\x02\x01\0"
            b"\x07\x0a\x01\x06_start\0\0" b"\x0a\x06\x01\x04\0\x10\0\x0b")
    kube.apply(pod("attack", pushed(cluster, files, "recursion", wasm), runtimeClassName=engine))
    ended = terminated_of(kube.wait_pod("attack", terminated_of, 60))
    assert ended["exitCode"] == 134 and "call stack exhausted" in ended["message"], ended


def test_what_cannot_start_is_told_by_an_event(kube, cluster, files):
    kube.apply(pod("empty", pushed(cluster, files, "nothing-to-start", b"\0asm\1\0\0\0")))
    ended = terminated_of(kube.wait_pod("empty", terminated_of, 60))
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError"), ended
    told = kube.wait_event("empty", "Failed", "exports no function `_start`")
    assert told["type"] == "Warning", told


def test_compilers_have_what_no_pod_wants_of_the_cores(kube, cluster):
    """Their group is idle: the class of a process counts within its own group only."""
    kube.apply(pod("compiled", cluster.push("sleeper")))
    pid, _ = runner_of(kube.wait_ready("compiled", 60))
    group = cgroup_of(pid, "cpu").parents[1] / "compile"
    # Made with the first compiler, of whatever test.
    assert (group / "cpu.idle").read_text() == "1\n"
