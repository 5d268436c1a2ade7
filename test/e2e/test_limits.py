"""What `resources.limits` mean for a guest."""

import re
import time

import pytest

from kube import pod, terminated_of, wait_until
from machine import cgroup_of, runner_of


class CpuUse:
    """What a container has used of the CPU since this was made, as the kernel counts it for its control group."""

    def __init__(self, kube, name):
        pid, _ = runner_of(kube.wait_ready(name))
        self.limits = cgroup_of(pid, "cpu")
        self.usage_ns = cgroup_of(pid, "cpuacct") / "cpuacct.usage"
        self.begun, self.before = time.monotonic(), self._count()

    def _count(self):
        """Seconds of use, periods that ended, periods whose share was used up. With version 2 all is in one file."""
        counts = dict(line.split() for line in (self.limits / "cpu.stat").read_text().splitlines())
        used = (int(counts["usage_usec"]) / 1e6 if "usage_usec" in counts else
                int(self.usage_ns.read_text()) / 1e9)
        return used, int(counts.get("nr_periods", 0)), int(counts.get("nr_throttled", 0))

    def look(self):
        """Of a core; and of the periods that ended: how many there were, in how many the share was used up."""
        used, periods, throttled = (now - then for now, then in zip(self._count(), self.before))
        return used / (time.monotonic() - self.begun), periods, throttled


@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.long)])
def test_a_cpu_limit_throttles(kube, cluster, seconds):
    image = cluster.push("actor")
    kube.apply(pod("limited", image, "spin", resources={"limits": {"cpu": "100m"}}),
               pod("free", image, "spin"))
    limited, free = CpuUse(kube, "limited"), CpuUse(kube, "free")
    time.sleep(seconds)  # what is measured is a share of time
    used, periods, throttled = limited.look()
    # At the most a tenth of a core and 5 %: the kernel holds that, whatever else the machine does.
    assert used <= 0.105, (used, periods, throttled)
    # Where others want the cores it may get less than it may have; but it had its whole share of each period in which
    # it was throttled.
    assert periods >= 9 * seconds and throttled >= periods / 5, (used, periods, throttled)
    assert used >= max(0.02, 0.095 * throttled / periods), (used, periods, throttled)
    assert free.look()[0] >= 2 * used
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


def test_calls_that_block_hold_few_threads(kube, cluster):
    """Thousands of look-ups at a time, whose name server never answers (192.0.2.0/24 is nobody's)."""
    silent = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"],
                                                 "options": [{"name": "timeout", "value": "30"}]}}
    kube.apply(pod("attack", cluster.push("attack-03"), "threads", "nobody.example", **silent))
    pid, _ = runner_of(kube.wait_ready("attack"))
    wait_until(lambda: "4096 look-ups at a time" in kube.logs("attack"), 60, "it asks")
    pids = cgroup_of(pid, "pids")
    assert (pids / "pids.max").read_text() == "128\n"

    def threads():
        return int((pids / "pids.current").read_text())

    wait_until(lambda: threads() > 4, 20, "look-ups hold threads")
    for _ in range(20):
        assert threads() <= 8, "one for the guest, four that block, what the runner itself has"
        time.sleep(0.1)  # Two seconds in all: a thread too many would have begun by then.
    kube.apply(pod("beside", cluster.push("sockets"), "lookup", "localhost"))
    kube.wait_phase("beside", "Succeeded")
    kube("delete", "pods", "--all", "--timeout=20s")
