"""What `resources.limits` mean for a guest."""

import re
import time

from kube import pod, terminated_of
from machine import cpu_seconds_of, runner_of


def test_a_cpu_limit_throttles(kube, cluster):
    image = cluster.push("actor")
    kube.apply(pod("limited", image, "spin", resources={"limits": {"cpu": "100m"}}),
               pod("free", image, "spin"))
    pids = {name: runner_of(kube.wait_ready(name))[0] for name in ("limited", "free")}
    before = {name: cpu_seconds_of(pid) for name, pid in pids.items()}
    begun = time.monotonic()
    time.sleep(2)
    took = time.monotonic() - begun
    used = {name: (cpu_seconds_of(pid) - before[name]) / took for name, pid in pids.items()}
    # A tenth of a core, with room for a period's edge and coarse ticks.
    assert 0.02 <= used["limited"] <= 0.2, used
    assert used["free"] >= 2 * used["limited"], used
    kube("delete", "pods", "--all", "--timeout=20s")


def test_a_memory_limit_refuses_growth_and_names_limit_and_demand(kube, cluster):
    image = cluster.push("actor")
    limit = {"resources": {"limits": {"memory": "16Mi"}}}
    kube.apply(pod("bears-it", image, "try-grow", "64", ";", "print", "alive", **limit),
               pod("gives-up", image, "grow", "64", **limit),
               pod("fits", image, "grow", "8", ";", "print", "alive", **limit),
               pod("component", cluster.push("actor-component"), "grow", "64", **limit))
    for name in ("bears-it", "fits"):
        kube.wait_phase(name, "Succeeded")
        assert kube.logs(name).endswith("alive\n")
    for name in ("gives-up", "component"):
        ended = terminated_of(kube.wait_phase(name, "Failed"))
        assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled"), ended
        told = re.search(r"limit of 16777216 bytes .* asked for (\d+) bytes", ended["message"])
        assert told and int(told[1]) > 16 << 20, ended
