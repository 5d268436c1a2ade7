"""wrk, and `wasmtime serve` beside which servers are measured."""

import dataclasses
import math
import re
import signal
import subprocess

from common import ROOT

# Of each server, in turn. Many short ones: the machine's speed drifts less between neighbours.
RUNS, SECONDS = 15, 1
ECHO_BYTES = 65536
LUA = {
    "hello": "",
    "echo": f"""wrk.method = "POST"
wrk.path = "/echo"
wrk.body = string.rep("x", {ECHO_BYTES})
""",
}
# Each connection waits between its requests so that all together send about `rate` a second; wrk waits whole milliseconds.
LUA_PACE = """
function delay() return {whole_ms} + (math.random() < {rest_ms} and 1 or 0) end
"""
LUA_DONE = r"""
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %f %f\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


@dataclasses.dataclass
class Figures:
    requests: int
    errors: int
    rate: float  # a second
    p50_ms: float
    p99_ms: float


def load(url, work, concurrency, seconds, folder, rate=None, peak=math.inf, command=(), until=None):
    """Runs wrk behind the words of `command`, for so long or until `until` returns: Figures, or what it printed instead. With
    `rate`, requests a second: connections wait, but for the share of the time that a server which can do `peak` needs."""
    script = LUA[work] + LUA_DONE
    if rate:
        rest_ms, whole_ms = math.modf(1000 * (concurrency - rate / peak) / rate)
        script += LUA_PACE.format(whole_ms=int(whole_ms), rest_ms=rest_ms)
    file = folder / "wrk.lua"
    file.write_text(script)
    words = [*command, "wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout", "10s", "-s", file, url]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as its:
        try:
            if until:
                until()
                its.send_signal(signal.SIGINT)
            output, _ = its.communicate()
        finally:
            its.kill()
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\S+) (\S+)", output)
    if not found:
        return output
    requests, microseconds, errors = (int(found[i]) for i in (1, 2, 3))
    return Figures(requests, errors, requests / (microseconds / 1e6), float(found[4]) / 1e3, float(found[5]) / 1e3)


def peer():
    found = subprocess.run([ROOT / "bench/wasmtime"], stdout=subprocess.PIPE, text=True, check=True)
    return found.stdout.strip()


def peer_command(guest, policy, address):
    """`wasmtime serve` of a guest: requests per instance and of these at the same time, as "128/1"."""
    count, concurrent = policy.split("/")
    # `-S cli`: what a pod may use beyond wasi:http; without it hello-03 and others do not start there.
    options = [] if guest == "http-min" else ["-S", "cli"]
    options += ["-S", "p3", "-W", "component-model-async"] if guest.endswith("-03") else []
    return [peer(), "serve", "--addr", address, "--max-instance-reuse-count", count,
            "--max-instance-concurrent-reuse-count", concurrent, *options, ROOT / f"build/guests/{guest}.wasm"]
