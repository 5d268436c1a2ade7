"""Modules made to hurt the compiler (test/bombs.py): each ends in a clear answer within 30 s and 1 GiB, and the agent
feels nothing of it."""

import os
import pathlib
import re
import sys

import pytest

from compiler import compile_module
from conftest import ROOT
from kube import wait_until
from machine import rss_of
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
    if outcome.policy is not None and outcome.seconds > 0.5:
        assert (outcome.threads, outcome.policy) == (1, os.SCHED_IDLE), outcome


@pytest.fixture
def node(skiff, tmp_path):
    its = Standalone(skiff, tmp_path, "--compile-timeout", f"{SECONDS}s", "--compile-memory", "1Gi")
    its.start()
    yield its
    its.close()


# Compilers are idle tasks: on a busy machine the clock may be the first to end one.
LIMIT = ("compiling needs more than 1.0 GiB of memory|compiling took longer than 30s|"
         "compiling took more than 30 seconds of CPU time")
QUICK_PODS = {
    "blocks-deep-1m": LIMIT,
    "elements-10m": LIMIT,
    "imports-1m": "needs imports that nobody provides: env f0",
    "component-tuples-2^60": "effective type size exceeds the limit",
}
LONG_PODS = {"nested-loops-of-locals": LIMIT, "functions-1m": LIMIT}


@pytest.mark.parametrize("wanted", [QUICK_PODS, pytest.param(QUICK_PODS | LONG_PODS, marks=pytest.mark.long)],
                         ids=["quick", "all"])
def test_pods_of_bombs_are_told_why_and_the_agent_does_not_grow(node, tmp_path, wanted):
    # Once all is there that pods need, one that runs and one that is refused.
    node.put("good", "hold")
    wait_until(lambda: node.phase("good") == "Running", 30, lambda: node.log.read_text()[-2000:])
    (tmp_path / "empty.wasm").write_bytes(b"\0asm\1\0\0\0")
    node.put("empty", image=tmp_path / "empty.wasm")
    wait_until(lambda: node.waiting("empty"), 30, lambda: node.log.read_text()[-2000:])
    node.pods()
    before = most = rss_of(node.process.pid)

    def told(name):
        nonlocal most
        most = max(most, rss_of(node.process.pid))
        return node.waiting(name)

    for bomb, said in wanted.items():
        name = re.sub("[^a-z0-9]", "-", bomb)
        (tmp_path / f"{name}.wasm").write_bytes(bombs.BOMBS[bomb]())
        node.put(name, image=tmp_path / f"{name}.wasm")
        reason, message = wait_until(lambda: told(name), SECONDS + 30, lambda: node.log.read_text()[-2000:])
        assert reason in ("CreateContainerError", "RunContainerError"), (bomb, reason)
        assert re.search(said, message), (bomb, message)
        events = [line for line in node.log.read_text().splitlines() if "reason=Failed" in line and name in line]
        assert any(re.search(said, line) for line in events), (bomb, events)
    assert most - before <= GROWTH_MAX, f"the agent grew from {before >> 10} to {most >> 10} KiB"
    assert node.phase("good") == "Running"
