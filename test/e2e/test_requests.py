"""What a node asks of the API server."""

import json
import re
import time
from datetime import datetime

from kube import container_of, pod, wait_until

BURST = 8  # few enough to run within the two seconds for which a first status is held back


def requests_about_pods(kube):
    """(verb, subresource) → how many requests for pods the API server has answered."""
    found = {}
    pattern = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
    for labels, value in pattern.findall(kube("get", "--raw", "/metrics").stdout):
        its = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if its["resource"] == "pods":
            key = its["verb"], its["subresource"]
            found[key] = found.get(key, 0) + int(float(value))
    return found


def settled(kube):
    """The counts once they rest: a request is counted a moment after its effect is seen."""
    last = {}
    for _ in range(20):
        now = requests_about_pods(kube)
        if {k: n for k, n in now.items() if k[0] != "LIST"} == last:
            return now
        last = {k: n for k, n in now.items() if k[0] != "LIST"}
        time.sleep(1)
    raise AssertionError(f"pods are never left alone: {last}")


def is_slow(its):
    """Whether a start may have taken so long that its pod was shown as ContainerCreating meanwhile.

    That is after two seconds; times are whole seconds, and the node hears of a start a little later.
    """
    begun = its["status"]["startTime"]
    running = container_of(its)["state"]["running"]["startedAt"]
    return abs(datetime.fromisoformat(running) - datetime.fromisoformat(begun)).seconds >= 1


def test_a_start_costs_one_status_patch_and_no_get(kube, cluster):
    image = cluster.push("sleeper")
    # Once before, so that the image is there and nobody has anything else to do.
    kube.apply(pod("first", image))
    kube.wait_ready("first")
    names = [f"burst-{i}" for i in range(BURST)]
    before = settled(kube)
    kube("create", "-f", "-", stdin="\n---\n".join(map(json.dumps, (
        pod(name, image, metadata={"labels": {"app": "burst"}}) for name in names))))

    # Lists, not gets: those of the node are to be counted.
    wait_until(lambda: sum(its["status"].get("phase") == "Running"
                           for its in kube.pods("app=burst")) == BURST, 60,
               lambda: kube("get", "pods").stdout)
    # What comes late counts too: a second status, a look at the object.
    after = settled(kube)
    grown = {key: after[key] - before.get(key, 0) for key in after}
    assert grown["POST", ""] == BURST and grown["POST", "binding"] == BURST, grown
    slow = sum(map(is_slow, kube.pods("app=burst")))
    # A pod of an earlier test that ends meanwhile has its last status patched, too.
    ended = grown.get(("DELETE", ""), 0)
    assert BURST <= grown["PATCH", "status"] <= BURST + slow + ended, grown
    assert not grown.get(("GET", "")) and not grown.get(("PUT", "status")), grown
