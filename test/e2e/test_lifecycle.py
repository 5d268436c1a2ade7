"""Kinds of containers and their order in time, by what the guests themselves write down.

Each test's text begins with the row of the contract (facts: kubelet-contract.md) that it proves.
"""

import json
import threading

import pytest

from kube import condition_of, container_of, pod, terminated_of, wait_until

STOP_FILE = "/run/skiff/terminating"


class Order:
    """A file of the machine into which guests write `WHO WHAT NANOSECONDS`, one line each."""

    def __init__(self, folder):
        self.file = folder / "order"
        self.volume = {"name": "order", "hostPath": {"path": str(folder), "type": "Directory"}}
        self.mount = {"name": "order", "mountPath": "/order"}

    @staticmethod
    def stamp(*words):
        return ["stamp", "/order/order", *words]

    def rows(self):
        """(who, what, nanoseconds), in the order of the file."""
        if not self.file.exists():
            return []
        return [(who, what, int(when)) for who, what, when in
                (line.split() for line in self.file.read_text().splitlines())]

    def names(self):
        return [f"{who} {what}" for who, what, _ in self.rows()]

    def container(self, name, image, *script, **fields):
        """A container whose script is joined from lists of words."""
        args = [str(word) for part in script for word in [";", *part]][1:]
        return {"name": name, "image": image, "args": args, "volumeMounts": [self.mount], **fields}


@pytest.fixture
def order(files):
    return Order(files)


def lives(order, name, image, **fields):
    """Stamps its start, waits to be told to stop, stamps its end."""
    return order.container(name, image, order.stamp(name, "starts"), ["wait-file", STOP_FILE],
                           order.stamp(name, "ends"), **fields)


def of(order, name, image, containers, init=(), annotations=None, **spec):
    its = pod(name, image, volumes=[order.volume], metadata={
        "annotations": {"skiff/stop": "file", **(annotations or {})}}, **spec)
    its["spec"]["containers"] = list(containers)
    its["spec"]["initContainers"] = list(init)
    return its


def status_of(its, name):
    for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for status in its["status"].get(kind, []):
            if status["name"] == name:
                return status
    return None


def words_of(process):
    """The words that it prints, as they come."""
    words = []

    def read():
        for line in process.stdout:
            words.extend(line.split())

    threading.Thread(target=read, daemon=True).start()
    return words


def is_running(its, name):
    status = status_of(its, name)
    return status is not None and "running" in status["state"]


def test_init_containers_and_sidecars_start_in_order_and_stop_in_reverse(kube, cluster, order):
    """Rows 39 and 40: each waits for the one before; sidecars go on running, and stop after the
    regular containers, the last one first."""
    image = cluster.push("actor")
    always = {"restartPolicy": "Always"}
    its = of(order, "order", image, [lives(order, "main", image)], [
        order.container("first", image, order.stamp("first", "starts"), ["sleep", "0.3"],
                        order.stamp("first", "ends")),
        lives(order, "proxy", image, **always),
        order.container("second", image, order.stamp("second", "starts"), ["sleep", "0.3"],
                        order.stamp("second", "ends")),
        lives(order, "agent", image, **always)])
    its["spec"]["terminationGracePeriodSeconds"] = 30
    kube.apply(its)
    ready = kube.wait_ready("order")
    assert [s["name"] for s in ready["status"]["initContainerStatuses"]] == [
        "first", "proxy", "second", "agent"]
    assert all(status_of(ready, name)["started"] and status_of(ready, name)["ready"]
               for name in ("proxy", "agent", "main"))
    assert condition_of(ready, "Initialized") == "True"
    kube("delete", "pod", "order", "--timeout=30s")
    assert order.names() == [
        "first starts", "first ends", "proxy starts", "second starts", "second ends",
        "agent starts", "main starts", "main ends", "agent ends", "proxy ends"]
    times = [when for _, _, when in order.rows()]
    assert times == sorted(times)


def test_a_sidecar_restarts_on_its_own_and_is_counted_in_ready(kube, cluster, order):
    """Row 40: restarts whatever the pod's policy says, and the others do not notice."""
    image = cluster.push("actor")
    its = of(order, "beside", image, [lives(order, "main", image)], [
        order.container("proxy", image, order.stamp("proxy", "starts"),
                        ["wait-file", "/order/fail"], ["remove", "/order/fail"], ["exit", "3"],
                        restartPolicy="Always")])
    kube.apply(its)
    kube.wait_ready("beside")
    order.file.with_name("fail").write_text("now")
    # The second time it waits for its back-off, and the pod is not ready meanwhile.
    kube.wait_pod("beside", lambda p: status_of(p, "proxy")["restartCount"] == 1 and
                  is_running(p, "proxy"))
    order.file.with_name("fail").write_text("again")
    waiting = kube.wait_pod("beside", lambda p: condition_of(p, "Ready") == "False")
    assert is_running(waiting, "main") and waiting["status"]["phase"] == "Running"
    back = kube.wait_pod("beside", lambda p: status_of(p, "proxy")["restartCount"] == 2 and
                         condition_of(p, "Ready") == "True", 40)
    assert status_of(back, "main")["restartCount"] == 0
    assert status_of(back, "proxy")["lastState"]["terminated"]["exitCode"] == 3
    # It counts as started before its first line is written.
    wait_until(lambda: order.names().count("proxy starts") == 3, 10, order.names)
    assert order.names().count("main starts") == 1


def test_a_sidecar_does_not_hold_up_the_end_of_its_pod(kube, cluster, order):
    """Row 40: a pod is complete when its regular containers are."""
    image = cluster.push("actor")
    kube.apply(of(order, "job", image, [order.container("main", image, ["sleep", "0.5"],
                                                        order.stamp("main", "ends"))],
                  [lives(order, "proxy", image, restartPolicy="Always")]))
    done = kube.wait_phase("job", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded"
    assert order.names() == ["proxy starts", "main ends", "proxy ends"]
    assert status_of(done, "proxy")["state"]["terminated"]["exitCode"] == 0


def test_an_init_container_that_fails_for_good_fails_the_pod(kube, cluster, order):
    """Row 39: with the policy Never nothing follows, and the others wait as PodInitializing."""
    image = cluster.push("actor")
    kube.apply(of(order, "refused", image, [lives(order, "main", image)],
                  [order.container("init", image, ["exit", "4"])]))
    failed = kube.wait_phase("refused", "Failed")
    assert status_of(failed, "init")["state"]["terminated"]["exitCode"] == 4
    assert status_of(failed, "main")["state"]["waiting"]["reason"] == "PodInitializing"
    assert order.rows() == []


def test_an_ephemeral_container_runs_once_in_a_running_pod(kube, cluster, order):
    """Row 45: added by `kubectl debug`, of its own image, never restarted."""
    image = cluster.push("actor")
    kube.apply(of(order, "debugged", image, [lives(order, "main", image)], restartPolicy="Always"))
    before = kube.wait_ready("debugged")
    kube("debug", "debugged", f"--image={cluster.push('hello')}", "-c", "debugger",
         "--target=main", "--attach=false")
    done = kube.wait_pod("debugged", lambda p: status_of(p, "debugger") and
                         "terminated" in status_of(p, "debugger")["state"])
    ended = status_of(done, "debugger")
    assert ended["state"]["terminated"]["exitCode"] == 0 and ended["restartCount"] == 0
    assert "/hello@sha256:" in ended["imageID"]
    assert kube.logs("debugged", "-c", "debugger")
    assert condition_of(done, "Ready") == "True"
    assert container_of(done)["containerID"] == container_of(before)["containerID"]
    wait_until(lambda: kube.pod("debugged")["status"].get("observedGeneration") ==
               kube.pod("debugged")["metadata"]["generation"], 20, "the new generation observed")
    # A second one, while the first is history.
    kube("debug", "debugged", f"--image={image}", "-c", "second", "--attach=false",
         "--arguments-only", "--", "hold")
    kube.wait_pod("debugged", lambda p: is_running(p, "second"))
    again = kube.pod("debugged")
    assert status_of(again, "debugger")["containerID"] == ended["containerID"]
    kube("delete", "pod", "debugged", "--timeout=20s")


def test_an_ephemeral_container_with_a_wrong_image_waits_and_harms_nobody(kube, cluster, order):
    """Row 45: its own image, pulled like any other."""
    image = cluster.push("actor")
    kube.apply(of(order, "wrong", image, [lives(order, "main", image)]))
    kube.wait_ready("wrong")
    kube("debug", "wrong", f"--image={cluster.registry}/nothing:1", "-c", "debugger",
         "--attach=false")
    its = kube.wait_pod("wrong", lambda p: status_of(p, "debugger") and status_of(
        p, "debugger")["state"].get("waiting", {}).get("reason") in (
            "ErrImagePull", "ImagePullBackOff"))
    assert condition_of(its, "Ready") == "True"
    kube("delete", "pod", "wrong", "--timeout=20s")


def rule(action, *codes, operator="In"):
    return {"action": action, "exitCodes": {"operator": operator, "values": list(codes)}}


def test_a_container_restarts_by_its_own_rules(kube, cluster, order):
    """Rows 23 and 68: restartPolicyRules of a container in a pod that never restarts."""
    image = cluster.push("actor")
    kube.apply(
        of(order, "listed", image, [order.container(
            "main", image, order.stamp("listed", "starts"), ["wait-file", "/order/go"],
            ["exit", "7"], restartPolicy="Never", restartPolicyRules=[rule("Restart", 42)])]),
        of(order, "policy", image, [order.container(
            "main", image, order.stamp("policy", "starts"), ["exit", "5"],
            restartPolicy="OnFailure")]))
    # The policy of the container goes before the pod's.
    kube.wait_pod("policy", lambda p: container_of(p) and container_of(p)["restartCount"] >= 1)
    kube("delete", "pod", "policy", "--timeout=20s")
    order.file.with_name("go").write_text("")
    failed = kube.wait_phase("listed", "Failed")
    assert container_of(failed)["restartCount"] == 0  # 7 is not in the rule
    assert order.names().count("listed starts") == 1


def test_a_rule_restarts_what_the_policy_would_not(kube, cluster, order):
    """Row 68: exit code 42 restarts, any other end is the last."""
    image = cluster.push("toolbox")
    script = "if [ -e /order/seen ]; then exit 0; fi; echo > /order/seen; exit 42"
    kube.apply(of(order, "again", image, [{
        "name": "main", "image": image, "args": ["sh", "-c", script],
        "volumeMounts": [order.mount], "restartPolicy": "Never",
        "restartPolicyRules": [rule("Restart", 42)]}]))
    done = kube.wait_phase("again", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded"
    assert container_of(done)["restartCount"] == 1
    assert container_of(done)["lastState"]["terminated"]["exitCode"] == 42


def test_a_rule_restarts_all_containers(kube, cluster, order):
    """Row 68: RestartAllContainers stops the others and begins again with the init containers, in
    the same pod: same address, volumes kept, restart counts raised."""
    image, box = cluster.push("actor"), cluster.push("toolbox")
    script = "if [ -e /data/seen ]; then sleep 3600; fi; echo > /data/seen; sleep 1; exit 42"
    data = {"name": "data", "mountPath": "/data"}
    its = of(order, "all", image, [
        {"name": "main", "image": box, "args": ["sh", "-c", script], "volumeMounts": [data],
         "restartPolicy": "Never", "restartPolicyRules": [rule("RestartAllContainers", 42)]},
        order.container("other", image, order.stamp("other", "starts"), ["hold"])], [
        order.container("init", image, order.stamp("init", "starts")),
        order.container("proxy", image, order.stamp("proxy", "starts"), ["hold"],
                        restartPolicy="Always")])
    its["spec"]["volumes"].append({"name": "data", "emptyDir": {}})
    kube.apply(its)
    path = '{.status.conditions[?(@.type=="AllContainersRestarting")].status}{"\\n"}'
    watch = kube.start("get", "pod", "all", "-w", "-o", f"jsonpath={path}")
    said = words_of(watch)
    try:
        done = kube.wait_pod("all", lambda p: container_of(p, "main") and
                             container_of(p, "main")["restartCount"] == 1 and
                             condition_of(p, "Ready") == "True")
        # The watch may hear of it later.
        wait_until(lambda: "True" in said and said[-1] == "False", 10, lambda: f"True, then False: {said}")
    finally:
        watch.terminate()
        watch.wait(timeout=20)
    # What is Ready has started, but may not have written its line.
    wait_until(lambda: order.names() == ["init starts", "proxy starts", "other starts"] * 2, 10, order.names)
    for name in ("init", "proxy", "main", "other"):
        assert status_of(done, name)["restartCount"] == 1, name
    assert container_of(done, "main")["lastState"]["terminated"]["exitCode"] == 42
    assert container_of(done, "other")["lastState"]["terminated"]["reason"] == \
        "RestartingAllContainers"
    assert condition_of(done, "AllContainersRestarting") == "False"
    assert condition_of(done, "Initialized") == "True"
    kube("delete", "pod", "all", "--timeout=20s")


def test_only_the_container_whose_image_changes_restarts(kube, cluster, order):
    """Row 23: `kubectl set image` stops and starts that container; observedGeneration follows."""
    image, other = cluster.push("actor"), cluster.push("actor", "actor:2")
    kube.apply(of(order, "changed", image, [lives(order, "main", image),
                                            lives(order, "other", image)]))
    before = kube.wait_ready("changed")
    kube("set", "image", "pod/changed", f"main={other}")
    after = kube.wait_pod("changed", lambda p: container_of(p, "main")["restartCount"] == 1 and
                          condition_of(p, "Ready") == "True")
    assert container_of(after, "main")["image"] == other
    assert container_of(after, "other")["containerID"] == container_of(before, "other")[
        "containerID"]
    assert after["status"]["observedGeneration"] == after["metadata"]["generation"]
    assert all(c["observedGeneration"] == after["metadata"]["generation"]
               for c in after["status"]["conditions"])
    killing = kube.wait_event("changed", "Killing")
    assert killing["message"] == "Container main definition changed, will be restarted"


def test_every_generation_is_observed(kube, cluster):
    """Row 17: updates that change nothing on the node are observed, too."""
    kube.apply(pod("seen", cluster.push("sleeper"), activeDeadlineSeconds=5000))
    kube.wait_ready("seen")
    for seconds in range(4000, 3980, -1):
        kube("patch", "pod", "seen", "--type=merge", "-p",
             json.dumps({"spec": {"activeDeadlineSeconds": seconds}}))
    its = kube.pod("seen")
    assert its["metadata"]["generation"] >= 21
    kube.wait_pod("seen", lambda p: p["status"]["observedGeneration"] ==
                  p["metadata"]["generation"])


def test_termination_messages_are_bounded_and_fall_back_to_the_log(kube, cluster):
    """Row 42: 4,096 bytes of a container's file, else the end of its log if it failed."""
    image = cluster.push("actor")
    kube.apply(
        pod("long", image, "write", "/dev/termination-log", "x" * 6000),
        pod("tail", image, "flood", "200", "40", ";", "exit", "3",
            terminationMessagePolicy="FallbackToLogsOnError"),
        pod("well", image, "print", "fine", terminationMessagePolicy="FallbackToLogsOnError"),
        pod("elsewhere", image, "write", "/tmp/last", "words", terminationMessagePath="/tmp/last"))
    assert terminated_of(kube.wait_phase("long", "Succeeded"))["message"] == "x" * 4096
    message = terminated_of(kube.wait_phase("tail", "Failed"))["message"]
    assert len(message) <= 2048 and message.endswith(kube.logs("tail").splitlines()[-1] + "\n")
    assert len(message.splitlines()) <= 80
    assert "message" not in terminated_of(kube.wait_phase("well", "Succeeded"))
    assert terminated_of(kube.wait_phase("elsewhere", "Succeeded"))["message"].strip() == "words"


def test_termination_messages_of_a_pod_share_12_kib(kube, cluster):
    """Row 42: split evenly over its containers."""
    image = cluster.push("actor")
    its = pod("many", image)
    its["spec"]["containers"] = [
        {"name": f"c{i}", "image": image, "args": ["write", "/dev/termination-log", "x" * 4096]}
        for i in range(6)]
    kube.apply(its)
    done = kube.wait_phase("many", "Succeeded")
    assert [len(s["state"]["terminated"]["message"])
            for s in done["status"]["containerStatuses"]] == [2048] * 6


def test_hosts_and_names_of_a_pod(kube, cluster):
    """Rows 28 and 50: hostname, subdomain and hostAliases in the environment and in /etc/hosts."""
    image = cluster.push("actor")
    kube.apply(
        pod("named", image, "env", "HOSTNAME", ";", "read", "/etc/hosts", hostname="front",
            subdomain="web", hostAliases=[{"ip": "192.0.2.7", "hostnames": ["one", "two"]}]),
        pod("plain", image, "env", "HOSTNAME"))
    kube.wait_phase("named", "Succeeded")
    lines = kube.logs("named").splitlines()
    assert lines[0] == "HOSTNAME=front"
    assert lines[1] == "# Kubernetes-managed hosts file."
    assert any(f"front.web.{kube.namespace}.svc." in line and line.split()[-1] == "front"
               for line in lines), lines
    assert lines[-2:] == ["# Entries added by HostAliases.", "192.0.2.7\tone\ttwo"]
    kube.wait_phase("plain", "Succeeded")
    assert kube.logs("plain") == "HOSTNAME=plain\n"


def test_the_downward_api_tells_of_pod_node_and_limits(kube, cluster):
    """Row 26: every fieldRef and resourceFieldRef, divisors, and the node's share for no limit."""

    def field(path):
        return {"valueFrom": {"fieldRef": {"fieldPath": path}}}

    def resource(name, **more):
        return {"valueFrom": {"resourceFieldRef": {"resource": name, **more}}}

    asked = {
        "NAME": field("metadata.name"), "NAMESPACE": field("metadata.namespace"),
        "UID": field("metadata.uid"), "LABEL": field("metadata.labels['app']"),
        "NOTE": field("metadata.annotations['note']"), "NODE": field("spec.nodeName"),
        "ACCOUNT": field("spec.serviceAccountName"), "HOST": field("status.hostIP"),
        "HOSTS": field("status.hostIPs"), "IP": field("status.podIP"), "IPS": field("status.podIPs"),
        "CPU": resource("limits.cpu", divisor="1m"), "ASKED": resource("requests.memory",
                                                                       divisor="1Mi"),
        "MEMORY": resource("limits.memory")}
    kube.apply(pod("tells", cluster.push("actor"), "environ",
                   env=[{"name": name, **value} for name, value in asked.items()],
                   resources={"limits": {"cpu": "250m"}, "requests": {"memory": "32Mi"}},
                   metadata={"labels": {"app": "web"}, "annotations": {"note": "a b"}}))
    its = kube.wait_phase("tells", "Succeeded")
    told = dict(line.split("=", 1) for line in kube.logs("tells").splitlines() if "=" in line)
    status = its["status"]
    node = kube.get("node", its["spec"]["nodeName"])
    assert {name: told[name] for name in asked if name != "MEMORY"} == {
        "NAME": "tells", "NAMESPACE": kube.namespace, "UID": its["metadata"]["uid"],
        "LABEL": "web", "NOTE": "a b", "NODE": its["spec"]["nodeName"], "ACCOUNT": "default",
        "HOST": status["hostIP"], "HOSTS": status["hostIP"], "IP": status["podIP"],
        "IPS": status["podIP"], "CPU": "250", "ASKED": "32"}
    # No limit: what the node can give.
    assert int(told["MEMORY"]) == quantity(node["status"]["allocatable"]["memory"])


def quantity(text):
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    return int(text[:-2]) * units[text[-2:]] if text[-2:] in units else int(text)


def test_the_overhead_of_a_runtime_class_counts(kube, cluster):
    """Row 56: spec.overhead is added to what the pod asks for; what does not fit is refused."""
    name = f"heavy-{kube.namespace}"
    node = kube.get("node", "skiff-1")
    runtime = kube.get("runtimeclass", "wasmtime")
    its = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name},
           "handler": "wasmtime", "scheduling": runtime["scheduling"],
           "overhead": {"podFixed": {"cpu": node["status"]["allocatable"]["cpu"]}}}
    kube.apply(its)
    try:
        heavy = pod("heavy", cluster.push("sleeper"), runtimeClassName=name,
                    resources={"requests": {"cpu": "100m"}})
        heavy["spec"]["nodeName"] = "skiff-1"  # past the scheduler, which would see it, too
        kube.apply(heavy)
        failed = kube.wait_phase("heavy", "Failed")
        assert failed["status"]["reason"] == "OutOfcpu", failed["status"]
    finally:
        kube("delete", "runtimeclass", name)


def test_an_unknown_runtime_class_handler_waits_with_an_event(kube, cluster):
    """Row 56: a handler that this node has not is a sandbox that cannot be made; it ends when
    deleted."""
    name = f"other-{kube.namespace}"
    runtime = kube.get("runtimeclass", "wasmtime")
    kube.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name},
                "handler": "runc", "scheduling": runtime["scheduling"]})
    try:
        kube.apply(pod("other", cluster.push("sleeper"), runtimeClassName=name))
        event = kube.wait_event("other", "FailedCreatePodSandBox")
        assert "runc" in event["message"]
        assert kube.pod("other")["status"]["phase"] == "Pending"
        kube("delete", "pod", "other", "--timeout=20s")
    finally:
        kube("delete", "runtimeclass", name)
