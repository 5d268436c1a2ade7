"""Modules made to hurt the compiler (test/bombs.py): each ends in a clear answer within 30 s and 1 GiB, and the agent
feels nothing of it."""

import os
import pathlib
import re
import sys
import time

import pytest

from compiler import compile_module
from conftest import ROOT
from kube import wait_until
from machine import forget_peak_of, peak_rss_of
from standalone import Standalone

sys.path.insert(0, str(ROOT / "test"))
import bombs  # noqa: E402

SECONDS, MEMORY = 30, 1 << 30
GROWTH_MAX = 4 << 20
# Between two looks of a busy machine.
SLACK_SECONDS = 3
ANSWERS = ("ok", "invalid", "unsupported", "exhausted", "time")


def all_bombs():
    return [name if name in bombs.QUICK else pytest.param(name, marks=pytest.mark.long) for name in bombs.BOMBS]


@pytest.mark.parametrize("name", all_bombs())
def test_a_bomb_ends_in_an_answer_within_its_caps(skiff, name):
    outcome = compile_module(pathlib.Path(skiff).parent / "skiff-engine", bombs.BOMBS[name](), seconds=SECONDS,
                             memory=MEMORY)
    print(name, outcome)
    assert outcome.code in ANSWERS, outcome
    assert outcome.code == "ok" or outcome.message, outcome
    assert outcome.seconds <= SECONDS + SLACK_SECONDS and outcome.rss <= MEMORY, outcome
    assert (outcome.threads, outcome.policy) == (1, os.SCHED_IDLE), outcome


@pytest.fixture
def node(skiff, tmp_path):
    its = Standalone(skiff, tmp_path, "--compile-timeout", f"{SECONDS}s", "--compile-memory", "1Gi")
    its.start()
    yield its
    its.close()


# Some of them in other sizes.
MORE = {
    "loops-deep-500k": lambda: bombs.nested(0x03, 500_000),
    "ifs-deep-1m": lambda: bombs.nested(0x04, 1_000_000, bombs.i32(1)),
    "tries-deep-1m": lambda: bombs.nested_tries(1_000_000),
    "imports-500k": lambda: bombs.many_imports(500_000),
    "component-tuples-3^40": lambda: bombs.tuple_tower(40, 3),
    "component-record-50k": lambda: bombs.record_fields(50_000),
}
# Compilers are idle tasks: on a busy machine the clock may be the first to end one.
LIMIT = ("compiling needs more than 1.0 GiB of memory|compiling took longer than 30s|"
         "compiling took more than 30 seconds of CPU time")
TOO_MUCH = [
    "blocks-deep-1m", "loops-deep-1m", "ifs-deep-500k", "block-values-500k", "branches-out-300k",
    "loops-of-1000-locals", "nested-loops-of-locals", "early-returns-1m", "function-7m-divide", "live-values-100k",
    "live-values-900k", "calls-of-1000-arguments", "calls-of-1000-results", "blocks-of-1000-values", "loads-far-500k",
    "indirect-calls-1m", "bulk-memory-600k", "functions-1m", "types-all-differ-250k", "elements-10m",
    "constant-expression-2m", "catches-1000x1000", "tries-deep-500k", "gc-casts-1m", "gc-arrays-300x10000",
    "gc-array-constant-1m", "component-of-busy-modules", "loops-deep-500k", "ifs-deep-1m", "tries-deep-1m",
]
# What is seen before there is much to compile.
REFUSED = {
    "br-table-1m": "has 1000000 targets, which exceeds the implementation limit of 65520",
    "br-table-7m": "has 7500000 targets, which exceeds the implementation limit of 65520",
    "br-table-deep-100k": "has 99999 targets, which exceeds the implementation limit of 65520",
    "function-8m-too-large": "function body size count exceeds limit of 7654321",
    "locals-too-many": "too many locals",
    "functions-too-many": "functions count exceeds limit of 1000000",
    "imports-1m": "needs imports that nobody provides: env f0, .* and 999990 more",
    "imports-500k": "needs imports that nobody provides: env f0, .* and 499990 more",
    "imports-long-1000": "needs imports that nobody provides: env f0x",
    "wasi-imports-900k": "effective type size exceeds the limit of 1000000",
    "exports-1m": "effective type size exceeds the limit of 1000000",
    "tables-100k": "tables count exceeds limit of 100",
    "memories-100k": "memories count exceeds limit of 100",
    "names-long": "needs imports that nobody provides: n",
    "gc-subtypes-too-deep": "sub type hierarchy too deep: found depth 64, cannot exceed depth 63",
    "component-of-100k-modules": "modules count exceeds limit of 1000",
    "component-instances-100k": "instances count exceeds limit of 1000",
    "component-tuples-2^60": "effective type size exceeds the limit of 1000000",
    "component-tuples-3^40": "effective type size exceeds the limit of 1000000",
    "component-tuples-1000^5": "effective type size exceeds the limit of 1000000",
    "component-instance-types-2^100": "effective type size exceeds the limit of 1000000",
    "component-imports-100k": "needs imports that nobody provides: pkg:iface/i0@1.0.0, .* and 99990 more",
    "component-record-100k": "record field size is out of bounds",
    "component-record-50k": "record field size is out of bounds",
}
# Compiled, if that is done in time, and then nothing that a container could start: its status tells that.
NOT_STARTED = [
    "exports-long-600", "globals-1m", "elements-100k", "table-10m", "table-4g", "tables-100", "memories-100", "memory-4g",
    "data-100k", "data-60m", "data-sparse", "custom-sections-5m", "tags-1m", "gc-group-1m", "gc-structs-10000-fields",
    "gc-subtypes-63", "components-deep-1000", "component-types-1m",
]
NO_START = "exports no function `_start`|exports no `wasi:cli/run`|failed to allocate 34359738360 bytes"
NEVER_STARTED = {name: LIMIT for name in TOO_MUCH} | REFUSED
ALL_PODS = NEVER_STARTED | {name: f"{LIMIT}|{NO_START}" for name in NOT_STARTED}
QUICK_PODS = {name: ALL_PODS[name] for name in ("blocks-deep-1m", "elements-10m", "imports-1m", "component-tuples-2^60")}
# As many are put at once.
BATCH = 4


def said_of(node, name):
    """(reason, message) of a container that does not start."""
    for status in node._status(name).get("containerStatuses", []):
        ended = status["state"].get("terminated")
        if ended and ended["reason"] == "StartError":
            return ended["reason"], ended["message"]
    return node.waiting(name)


@pytest.mark.parametrize("wanted", [QUICK_PODS, pytest.param(ALL_PODS, marks=pytest.mark.long)], ids=["quick", "all"])
def test_pods_of_bombs_are_told_why_and_the_agent_does_not_grow(node, tmp_path, wanted):
    assert wanted is QUICK_PODS or len(NEVER_STARTED) >= 50
    # Once all is there that pods need, one that runs and one that is refused.
    node.put("good", "hold")
    wait_until(lambda: node.phase("good") == "Running", 30, lambda: node.log.read_text()[-2000:])
    (tmp_path / "empty.wasm").write_bytes(b"\0asm\1\0\0\0")
    node.put("empty", image=tmp_path / "empty.wasm")
    wait_until(lambda: node.waiting("empty"), 30, lambda: node.log.read_text()[-2000:])
    node.pods()
    before = forget_peak_of(node.process.pid)

    # None begins with another.
    names = {bomb: re.sub("[^a-z0-9]", "-", bomb) + "-bomb" for bomb in wanted}
    for batch in (list(wanted)[at:at + BATCH] for at in range(0, len(wanted), BATCH)):
        for bomb in batch:
            (tmp_path / f"{names[bomb]}.wasm").write_bytes((bombs.BOMBS | MORE)[bomb]())
            node.put(names[bomb], image=tmp_path / f"{names[bomb]}.wasm", policy="Never")
        # They wait for one compiler: together they have what one after the other would have.
        due = time.monotonic() + len(batch) * SECONDS + 30
        for bomb in batch:
            reason, message = wait_until(lambda: said_of(node, names[bomb]), due - time.monotonic(),
                                         lambda: node.log.read_text()[-2000:])
            assert reason in ("CreateContainerError", "RunContainerError", "StartError"), (bomb, reason)
            assert re.search(wanted[bomb], message), (bomb, message)
        for bomb in batch:
            (node.manifests / f"{names[bomb]}.yaml").unlink()
            (tmp_path / f"{names[bomb]}.wasm").unlink()
    grown = peak_rss_of(node.process.pid) - before

    lines = node.log.read_text().splitlines()
    for bomb in wanted.keys() & NEVER_STARTED.keys():
        its = [line for line in lines if f"/{names[bomb]}-" in line]
        events = [line for line in its if "reason=Failed" in line]
        assert any(re.search(wanted[bomb], line) for line in events), (bomb, its)
        assert not any("reason=Started" in line for line in its), (bomb, its)
    # So it would have been seen.
    assert any("reason=Started" in line and "/good-" in line for line in lines)
    assert grown <= GROWTH_MAX, f"the agent grew by {grown >> 10} KiB over {before >> 10} KiB"
    assert node.phase("good") == "Running"
