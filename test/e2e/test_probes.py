"""Probes and lifecycle hooks (contract rows 19, 36–38, 40, 55): what kubectl sees of them."""

import datetime
import json
import pathlib
import socket
import subprocess
import time

import pytest

from conftest import OWN_NODE
from kube import condition_of, container_of, find_condition, pod, run, terminated_of, waiting_of, wait_until
from machine import runner_of, runners_of
from testcluster import binaries, net
from web import https_server, make_certificate, plain_server

NODE = OWN_NODE
MOUNT = {"volumeMounts": [{"name": "f", "mountPath": "/f"}]}


def shared(files):
    """Fields of a pod that has the test's folder at /f."""
    return {**MOUNT, "volumes": [{"name": "f", "hostPath": {"path": str(files)}}]}


def every_second(**fields):
    return {"periodSeconds": 1, "failureThreshold": 1, **fields}


def shell(script):
    return {"exec": {"command": ["sh", "-c", script]}}


def asking(script, name="asked"):
    """A command that leaves a line in the test's folder each time."""
    return shell(f"echo . >> /f/{name}; {script}")


def wait_asked(files, times, name="asked"):
    """Waits until the command of `asking` has run so many times more."""
    file = pathlib.Path(files) / name

    def count():
        return len(file.read_text().split()) if file.exists() else 0

    before = count()
    wait_until(lambda: count() >= before + times, 10 + 3 * times, lambda: f"{name}: {before}, {count()}")


def restarts(its):
    return container_of(its)["restartCount"]


def wait_restarted(kube, name, seconds=30):
    return kube.wait_pod(name, lambda p: container_of(p) and restarts(p) >= 1, seconds)


# --- probes ---------------------------------------------------------------------------------------


def test_exec_liveness(kube, cluster, files):
    """row 36: a container whose exec liveness probe fails is restarted, and the events say why"""
    health = pathlib.Path(files) / "health"
    health.write_text("ok")
    kube.apply(pod("alive", cluster.push("sleeper"), restartPolicy="Always",
                   livenessProbe=every_second(**asking("cat /f/health")), **shared(files)))
    kube.wait_ready("alive")
    wait_asked(files, 3)
    assert restarts(kube.pod("alive")) == 0
    health.unlink()
    its = wait_restarted(kube, "alive")
    health.write_text("ok")
    assert container_of(its)["lastState"]["terminated"]["exitCode"] == 143
    failed = kube.wait_event("alive", "Unhealthy", "/f/health")["message"]
    assert failed.startswith("Liveness probe failed: "), failed
    killing = "Container main failed liveness probe, will be restarted"
    assert kube.wait_event("alive", "Killing", killing)["message"] == killing
    kube.wait_ready("alive")


def test_a_healthy_container_is_left_alone(kube, cluster, files):
    """row 36: one that always answers is never restarted"""
    kube.apply(pod("calm", cluster.push("sleeper"), restartPolicy="Always",
                   livenessProbe=every_second(**asking("true", "alive")),
                   readinessProbe=every_second(**asking("true", "ready")), **shared(files)))
    kube.wait_ready("calm")
    wait_asked(files, 10, "alive")
    wait_asked(files, 1, "ready")
    its = kube.pod("calm")
    assert restarts(its) == 0 and condition_of(its, "Ready") == "True"
    assert not kube.events("calm", "Unhealthy")


def test_a_command_that_hangs_is_a_failure_and_is_killed(kube, cluster):
    """row 36: a command that outlasts timeoutSeconds fails the probe and is killed"""
    kube.apply(pod("hangs", cluster.push("sleeper"), restartPolicy="Always",
                   readinessProbe=every_second(**shell("sleep 3000"))))
    event = kube.wait_event("hangs", "Unhealthy")
    assert event["message"] == 'Readiness probe failed: command "sh -c sleep 3000" timed out after 1s'
    its = kube.pod("hangs")
    assert container_of(its)["ready"] is False and restarts(its) == 0
    wait_until(lambda: len(runners_of(its)) <= 2, 10, "commands that timed out are gone")


def test_http_probes(kube, cluster, files):
    """row 36: httpGet by named port: readiness follows the answer, and a wrong one restarts nothing"""
    ready = pathlib.Path(files) / "ready"
    kube.apply(pod("web", cluster.push("http-hello"), restartPolicy="Always",
                   ports=[{"name": "http", "containerPort": 8081}],
                   readinessProbe=every_second(httpGet={"path": "/file/f/ready", "port": "http"}),
                   livenessProbe=every_second(httpGet={"path": "/", "port": 8081}), **shared(files)))
    kube.wait_event("web", "Unhealthy")
    its = kube.wait_pod("web", lambda p: container_of(p) and container_of(p)["started"] is True)
    assert condition_of(its, "Ready") == "False"
    assert kube.wait_event("web", "Unhealthy", "HTTP probe failed with statuscode: ")
    ready.write_text("yes")
    kube.wait_ready("web")
    ready.unlink()
    kube.wait_pod("web", lambda p: condition_of(p, "Ready") == "False")
    its = kube.pod("web")
    assert condition_of(its, "ContainersReady") == "False" and restarts(its) == 0
    ready.write_text("yes")
    kube.wait_ready("web")


def test_http_liveness(kube, cluster, files):
    """row 36: a server that answers 500 is restarted, also with OnFailure although it drains and exits 0"""
    health = pathlib.Path(files) / "health"
    health.write_text("ok")
    kube.apply(pod("sick", cluster.push("http-hello"), restartPolicy="OnFailure",
                   metadata={"annotations": {"skiff/drain-delay": "0s"}},
                   ports=[{"containerPort": 8082}],
                   livenessProbe=every_second(httpGet={"path": "/file/f/health", "port": 8082}),
                   **shared(files)))
    kube.wait_ready("sick")
    health.unlink()
    its = wait_restarted(kube, "sick")
    health.write_text("ok")
    assert its["status"]["phase"] == "Running"
    assert container_of(its)["lastState"]["terminated"]["exitCode"] == 0


def test_an_answer_of_3xx_is_a_success_with_a_warning(kube, cluster):
    """row 36: a redirect that leads nowhere is a success with the event ProbeWarning"""
    kube.apply(pod("moved", cluster.push("http-hello"), ports=[{"containerPort": 8083}],
                   readinessProbe=every_second(httpGet={"path": "/status/302", "port": 8083})))
    kube.wait_ready("moved")
    event = kube.wait_event("moved", "ProbeWarning")
    assert event["message"].startswith("Readiness probe warning: Probe terminated redirects")


def test_tcp_probes(kube, cluster):
    """row 36: tcpSocket: ready where somebody listens, never where nobody does; restarts nothing"""
    server = cluster.push("http-hello")
    kube.apply(pod("open", server, ports=[{"name": "web", "containerPort": 8084}],
                   readinessProbe=every_second(tcpSocket={"port": "web"})),
               pod("closed", server, ports=[{"containerPort": 8085}],
                   readinessProbe=every_second(tcpSocket={"port": 8086})))
    kube.wait_ready("open")
    event = kube.wait_event("closed", "Unhealthy")
    assert event["message"].startswith("Readiness probe failed: dial tcp ")
    assert "onnection refused" in event["message"]
    wait_until(lambda: sum(e["count"] for e in kube.events("closed", "Unhealthy")) >= 4, 30,
               lambda: kube.events("closed", "Unhealthy"))
    its = kube.pod("closed")
    assert condition_of(its, "Ready") == "False" and restarts(its) == 0


def test_startup_gates_the_others(kube, cluster, files):
    """row 19: until the startup probe succeeded a container is not started, not ready, not asked else"""
    started = pathlib.Path(files) / "started"
    kube.apply(pod("slow", cluster.push("sleeper"), restartPolicy="Always",
                   startupProbe=every_second(failureThreshold=60, **asking("cat /f/started", "startup")),
                   livenessProbe=every_second(**shell("echo alive >> /f/asked")),
                   readinessProbe=every_second(**shell("echo ready >> /f/asked")), **shared(files)))
    kube.wait_pod("slow", lambda p: container_of(p) and "running" in container_of(p)["state"])
    wait_asked(files, 3, "startup")
    its = kube.pod("slow")
    assert container_of(its)["started"] is False and container_of(its)["ready"] is False
    assert its["status"]["phase"] == "Running"
    asked = pathlib.Path(files) / "asked"
    assert not asked.exists()
    started.write_text("yes")
    kube.wait_ready("slow", 10)
    assert container_of(kube.pod("slow"))["started"] is True
    wait_until(lambda: asked.exists() and {"alive", "ready"} <= set(asked.read_text().split()), 10,
               "both are asked now")


def test_a_container_that_does_not_start_is_restarted(kube, cluster):
    """row 36: a startup probe that failed for good restarts the container"""
    kube.apply(pod("never", cluster.push("sleeper"), restartPolicy="Always",
                   startupProbe=every_second(failureThreshold=2, **shell("false"))))
    wait_restarted(kube, "never")
    killing = "Container main failed startup probe, will be restarted"
    assert kube.wait_event("never", "Killing", killing)["message"] == killing


def test_initial_delay(kube, cluster):
    """row 36: nothing is asked before initialDelaySeconds, so the container is not ready before"""
    kube.apply(pod("later", cluster.push("sleeper"),
                   readinessProbe=every_second(initialDelaySeconds=6, **shell("true"))))
    its = kube.wait_ready("later")
    ready = find_condition(its, "Ready")
    begun = container_of(its)["state"]["running"]["startedAt"]
    assert seconds_of(ready["lastTransitionTime"]) - seconds_of(begun) >= 5
    assert restarts(its) == 0


def seconds_of(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def test_a_probes_own_grace(kube, cluster):
    """row 38: terminationGracePeriodSeconds of the probe, not of the pod, bounds the end for its sake"""
    kube.apply(pod("stays", cluster.push("graceful"), "0", "300", restartPolicy="Always",
                   terminationGracePeriodSeconds=300,
                   livenessProbe=every_second(terminationGracePeriodSeconds=2, **shell("false"))))
    begun = time.monotonic()
    its = wait_restarted(kube, "stays", 40)
    assert container_of(its)["lastState"]["terminated"]["exitCode"] == 137
    assert time.monotonic() - begun < 30
    kube("delete", "pod", "stays", "--grace-period=1", "--timeout=30s")


def test_https_probes_verify_nothing_and_say_who_they_are(kube, cluster, tmp_path):
    """row 36: scheme HTTPS with any certificate, another host, headers; User-Agent kube-probe/1.37"""
    make_certificate(tmp_path, "nobody")
    with https_server(cluster.machine, tmp_path, "nobody") as (port, seen):
        get = {"scheme": "HTTPS", "host": cluster.machine, "port": port, "path": "/z?q=1",
               "httpHeaders": [{"name": "X-Boat", "value": "skiff"}]}
        kube.apply(pod("tls", cluster.push("sleeper"), readinessProbe=every_second(httpGet=get)))
        kube.wait_ready("tls")
    path, headers = seen[0]
    assert path == "/z?q=1"
    assert headers["User-Agent"] == "kube-probe/1.37" and headers["X-Boat"] == "skiff"
    assert headers["Accept"] == "*/*" and headers["Connection"] == "close"


def connects(address, port):
    with socket.socket() as one:
        return one.connect_ex((address, port)) == 0


@pytest.fixture
def grpc_server(kube, cluster, node):
    """Upstream's test server for gRPC probes, listening where pods of the node do; gives its ports."""
    address = kube.address_of(node)
    number = int(address.split(".")[3]) - 10
    its = subprocess.Popen(cluster.inside(binaries.build_own("grpc-health"), "--port", "5000", "--http-port", "5001",
                                          "--service", "boat", node_number=number),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for port in (5000, 5001):
            wait_until(lambda: connects(address, port), 20, f"the server listens on {port}")
        yield 5000, 5001
    finally:
        its.kill()
        its.wait()


def test_grpc_probes(kube, cluster, grpc_server):
    """row 36: grpc: the health service of a server, by service name; NOT_SERVING restarts the container"""
    port, control = grpc_server
    kube.apply(pod("boat", cluster.push("sleeper"), restartPolicy="Always", hostNetwork=True,
                   readinessProbe=every_second(grpc={"port": port, "service": "boat"}),
                   livenessProbe=every_second(grpc={"port": port, "service": "boat"})),
               pod("raft", cluster.push("sleeper"), restartPolicy="Always", hostNetwork=True,
                   readinessProbe=every_second(grpc={"port": port, "service": "raft"})),
               pod("plank", cluster.push("sleeper"), restartPolicy="Always", hostNetwork=True,
                   readinessProbe=every_second(grpc={"port": 5002})),
               pod("steer", cluster.push("sleeper"), restartPolicy="Always", hostNetwork=True, lifecycle={
                   "preStop": {"httpGet": {"port": control, "path": "/make-not-serving"}}}))
    for name in ("boat", "steer"):
        kube.wait_ready(name)
    refused = kube.wait_event("raft", "Unhealthy")["message"]
    assert "NotFound" in refused or "code = 5" in refused
    assert "failed to connect service at" in kube.wait_event("plank", "Unhealthy")["message"]
    assert restarts(kube.pod("boat")) == 0
    kube("delete", "pod", "steer", "--timeout=30s")
    wait_restarted(kube, "boat")
    assert kube.wait_event("boat", "Unhealthy", 'service unhealthy (responded with "NOT_SERVING")')


# --- readiness gates ------------------------------------------------------------------------------


def test_readiness_gates(kube, cluster):
    """row 16: Ready waits for the conditions of readinessGates, ContainersReady does not"""
    kube.apply(pod("gated", cluster.push("sleeper"),
                   readinessGates=[{"conditionType": "example.com/lb"}]))
    its = kube.wait_pod("gated", lambda p: condition_of(p, "ContainersReady") == "True")
    ready = find_condition(its, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")

    def set_gate(value):
        patch = {"status": {"conditions": [{"type": "example.com/lb", "status": value}]}}
        kube("patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p",
             json.dumps(patch))

    set_gate("True")
    kube.wait_ready("gated")
    set_gate("False")
    kube.wait_pod("gated", lambda p: condition_of(p, "Ready") == "False")


# --- hooks ----------------------------------------------------------------------------------------


def test_hooks_in_order(kube, cluster, files):
    """row 37: postStart before the container counts and before the next one starts; preStop before the end"""
    order = pathlib.Path(files) / "order"
    actor = cluster.push("actor")
    second = {"name": "second", "image": actor,
              "args": ["append", "/f/order", "second", ";", "hold"], **MOUNT}
    its = pod("hooked", cluster.push("graceful"), "0",
              lifecycle={"postStart": shell("sleep 2; echo started >> /f/order"),
                         "preStop": shell("echo stopping >> /f/order; sleep 2; "
                                          "echo stopped >> /f/order")},
              terminationGracePeriodSeconds=30, **shared(files))
    its["spec"]["containers"].append(second)
    kube.apply(its)
    waiting = kube.wait_pod("hooked", lambda p: waiting_of(p))
    assert waiting_of(waiting)["reason"] == "ContainerCreating"
    kube.wait_ready("hooked")
    # The second one counts as started before its first line is written.
    wait_until(lambda: order.read_text().split() == ["started", "second"], 10, order.read_text)
    begun = time.monotonic()
    kube("delete", "pod", "hooked", "--timeout=30s")
    assert 2 <= time.monotonic() - begun < 15
    assert order.read_text().split() == ["started", "second", "stopping", "stopped"]


def test_hooks_by_the_guests_clock(kube, cluster, files):
    """row 37: the guest's own clock: it is told to stop after its preStop hook has ended"""
    files = pathlib.Path(files)
    kube.apply(pod("timed", cluster.push("graceful"), "0", restartPolicy="Never",
                   lifecycle={"preStop": shell("sleep 2; date +%s%N > /f/hook || date +%s > /f/hook")},
                   terminationGracePeriodSeconds=30, metadata={"finalizers": ["example.com/keep"]},
                   **shared(files)))
    kube.wait_ready("timed")
    kube("delete", "pod", "timed", "--wait=false")
    its = kube.wait_pod("timed", lambda p: terminated_of(p))
    try:
        hook = int((files / "hook").read_text()[:10])
        assert terminated_of(its)["exitCode"] == 0
        assert seconds_of(terminated_of(its)["finishedAt"]) >= hook
    finally:
        kube("patch", "pod", "timed", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_a_failed_post_start_hook(kube, cluster):
    """row 37: FailedPostStartHook, the container is killed and waits as PostStartHookError"""
    kube.apply(pod("unhooked", cluster.push("sleeper"), restartPolicy="Always",
                   lifecycle={"postStart": shell("sleep 2; echo oops; exit 3")}))
    waiting = kube.wait_waiting("unhooked", "PostStartHookError")
    assert "exited with 3: oops" in waiting["message"], waiting
    event = kube.wait_event("unhooked", "FailedPostStartHook")
    assert event["message"] == "PostStartHook failed"
    assert kube.wait_event("unhooked", "Killing", "FailedPostStartHook")["message"] == "FailedPostStartHook"
    its = wait_restarted(kube, "unhooked")
    assert condition_of(its, "Ready") == "False"


def test_a_pre_stop_hook_has_the_grace_period(kube, cluster):
    """row 38: a preStop hook that does not end is cut at the end of the grace period"""
    kube.apply(pod("endless", cluster.push("sleeper"), terminationGracePeriodSeconds=3,
                   lifecycle={"preStop": shell("sleep 3000")}),
               pod("bad", cluster.push("sleeper"), terminationGracePeriodSeconds=30,
                   metadata={"finalizers": ["example.com/keep"]},
                   lifecycle={"preStop": shell("exit 1")}),
               pod("naps", cluster.push("sleeper"), terminationGracePeriodSeconds=30,
                   lifecycle={"preStop": {"sleep": {"seconds": 3}},
                              "postStart": {"sleep": {"seconds": 1}}}))
    for name in ("endless", "bad", "naps"):
        kube.wait_ready(name)
    for name in ("endless", "naps"):
        begun = time.monotonic()
        kube("delete", "pod", name, "--timeout=30s")
        assert 3 <= time.monotonic() - begun < 12, name
    kube("delete", "pod", "bad", "--wait=false")
    assert kube.wait_event("bad", "FailedPreStopHook")["message"] == "PreStopHook failed"
    kube("patch", "pod", "bad", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kube.wait_gone("bad")


def test_a_shorter_grace_cuts_the_pre_stop_hook(kube, cluster):
    """row 22: a second DELETE with a shorter grace period cuts the wait for a preStop hook"""
    kube.apply(pod("long", cluster.push("sleeper"), terminationGracePeriodSeconds=300,
                   lifecycle={"preStop": shell("sleep 3000")}))
    kube.wait_ready("long")
    kube("delete", "pod", "long", "--wait=false")
    kube.wait_event("long", "Killing")
    begun = time.monotonic()
    kube("delete", "pod", "long", "--grace-period=2", "--timeout=30s")
    assert time.monotonic() - begun < 15


def test_http_hooks(kube, cluster):
    """row 37: httpGet hooks come from the node as kube-lifecycle/1.37; HTTPS falls back to HTTP"""
    with plain_server(cluster.machine) as (port, seen):
        def get(path, **more):
            return {"httpGet": {"host": cluster.machine, "port": port, "path": path, **more}}

        kube.apply(pod("calls", cluster.push("sleeper"), terminationGracePeriodSeconds=10, lifecycle={
            "postStart": get("/hello"),
            "preStop": get("/bye", scheme="HTTPS", httpHeaders=[
                {"name": "Authorization", "value": "secret"}, {"name": "X-Boat", "value": "skiff"}])}))
        kube.wait_ready("calls")
        kube("delete", "pod", "calls", "--timeout=30s")
        assert [path for path, _ in seen] == ["/hello", "/bye"]
        assert all(headers["User-Agent"] == "kube-lifecycle/1.37" for _, headers in seen)
        assert "Authorization" not in seen[1][1] and seen[1][1]["X-Boat"] == "skiff"


def test_a_stop_signal_is_taken_and_told(kube, cluster):
    """row 37: lifecycle.stopSignal runs (where the API server lets it in) and one event says what it is worth"""
    its = pod("signal", cluster.push("sleeper"), lifecycle={"stopSignal": "SIGUSR1"},
              os={"name": "linux"})
    done = kube("apply", "-f", "-", stdin=json.dumps(its), check=False)
    if done.returncode != 0:
        pytest.skip("this API server does not know the field")
    if "stopSignal" not in kube.pod("signal")["spec"]["containers"][0].get("lifecycle", {}):
        pytest.skip("this API server drops the field (gate ContainerStopSignals)")
    kube.wait_event("signal", "WithoutEffect")


# --- sidecars -------------------------------------------------------------------------------------


def test_a_sidecars_startup_probe_gates_the_next_container(kube, cluster, files):
    """row 40: what follows a sidecar starts when its startup probe has succeeded"""
    files = pathlib.Path(files)
    actor = cluster.push("actor")
    its = pod("convoy", actor, "append", "/f/order", "main", ";", "hold", **shared(files))
    its["spec"]["initContainers"] = [
        {"name": "proxy", "image": cluster.push("sleeper"), "restartPolicy": "Always",
         "startupProbe": every_second(failureThreshold=60, **asking("cat /f/up")), **MOUNT},
        {"name": "setup", "image": actor, "args": ["append", "/f/order", "setup"], **MOUNT}]
    kube.apply(its)
    kube.wait_pod("convoy", lambda p: any(
        s["name"] == "proxy" and "running" in s["state"]
        for s in p["status"].get("initContainerStatuses", [])))
    wait_asked(files, 3)
    assert not (files / "order").exists()
    (files / "up").write_text("yes")
    kube.wait_ready("convoy")
    # It counts as started before its first line is written.
    wait_until(lambda: (files / "order").read_text().split() == ["setup", "main"], 10, (files / "order").read_text)


# --- the agent's end ------------------------------------------------------------------------------


def test_readiness_survives_the_agent(kube_on, cluster, files):
    """row 55: over a restart of the agent a ready container stays ready, and its hooks do not run again"""
    kube, files = kube_on, pathlib.Path(files)
    (files / "ready").write_text("yes")
    kube.apply(pod("firm", cluster.push("sleeper"), restartPolicy="Always",
                   nodeSelector={"kubernetes.io/hostname": NODE},
                   startupProbe=every_second(failureThreshold=30, **shell("true")),
                   readinessProbe=every_second(**asking("cat /f/ready", "looked")),
                   livenessProbe=every_second(**asking("true", "alive")),
                   lifecycle={"postStart": shell("echo hello >> /f/hooks")}, **shared(files)))
    kube.wait_ready("firm")
    before = runner_of(kube.pod("firm"))
    watch = kube.start("get", "pod", "firm", "-w", "-o",
                       "jsonpath={.status.containerStatuses[0].ready}"
                       "{.status.containerStatuses[0].started}{\"\\n\"}")
    try:
        for _ in range(2):
            cluster.node("kill", NODE)
            cluster.node("start", NODE)
            wait_asked(files, 3, "looked")
            wait_asked(files, 3, "alive")
    finally:
        watch.terminate()
    seen = watch.communicate(timeout=20)[0].split()
    assert seen and set(seen) == {"truetrue"}, seen
    its = kube.pod("firm")
    assert runner_of(its) == before and restarts(its) == 0
    assert (files / "hooks").read_text().split() == ["hello"]
    assert not kube.events("firm", "Unhealthy")
    # And it is asked again.
    (files / "ready").unlink()
    kube.wait_pod("firm", lambda p: condition_of(p, "Ready") == "False")


# --- many -----------------------------------------------------------------------------------------


def probe_many(skiff, tmp_path, containers, seconds):
    """`containers` servers with two probes each every second; what bench_probes says of them."""
    guests = pathlib.Path(__file__).resolve().parents[2] / "build/guests"
    done = run([pathlib.Path(skiff).with_name("bench_probes"), tmp_path, guests / "http-min.wasm",
                "http", seconds, containers], timeout=seconds + 400)
    return json.loads(done.stdout)


def check_many(skiff, tmp_path, seconds):
    its = probe_many(skiff, tmp_path, 300, seconds)
    assert its["restarts"] == 0 and its["failed"] == 0 and its["unknown"] == 0, its
    assert its["probes_per_s"] > 0.9 * 600, its
    return its


def test_many_probes_restart_nothing(skiff, tmp_path):
    """row 36: 300 containers with probes every second: no false failure, no restart"""
    check_many(skiff, tmp_path, 20)


@pytest.mark.long
def test_many_probes_for_two_minutes(skiff, tmp_path):
    """row 36: the same for two minutes, and the agent needs at most 0.3 core"""
    its = check_many(skiff, tmp_path, 120)
    assert its["cores"] <= 0.3, its
