"""Runs `skiff-engine compile` as the agent does: the module on fd 0, the artifact to 1, the report to 3."""

import os
import re
import select
import struct
import subprocess
import tempfile
import time

CODES = ("ok", "invalid", "unsupported", "io", "internal", "exhausted")


class Outcome:
    """How a compile ended."""

    def __init__(self, code, message, seconds, seen, artifact):
        self.code = code            # one of CODES, "time" (killed by our clock), "died"
        self.message = message
        self.seconds = seconds      # of wall time
        self.rss = seen.rss         # peak, bytes, as far as it was looked at
        self.threads = seen.threads
        self.policy = seen.policy   # of the scheduler, at its end
        self.artifact = artifact    # bytes

    def __repr__(self):
        return (f"{self.code} in {self.seconds:.1f}s, {self.rss >> 20} MiB, artifact {self.artifact >> 10} KiB"
                f"{': ' if self.message else ''}{self.message[:150]}")


class Watched:
    """A process while it runs."""

    def __init__(self, pid):
        self.pid, self.pidfd = pid, os.pidfd_open(pid)
        self.rss = self.threads = 0
        self.policy = None

    def ended_within(self, seconds):
        begun = time.monotonic()
        while (left := begun + seconds - time.monotonic()) > 0:
            # Often at first: what ends at once is seen, too.
            pause = 0.002 if seconds - left < 0.2 else 0.05
            if select.select([self.pidfd], [], [], min(left, pause))[0]:
                # Nobody has waited for it yet, so the kernel still knows it.
                self.policy = os.sched_getscheduler(self.pid)
                return True
            self.look()
        return False

    def look(self):
        try:
            fields = dict(re.findall(r"^(VmHWM|Threads):\s+(\d+)", open(f"/proc/{self.pid}/status").read(), re.M))
            self.policy = os.sched_getscheduler(self.pid)
        except (OSError, ProcessLookupError):
            return
        self.rss = max(self.rss, int(fields.get("VmHWM", 0)) * 1024)
        self.threads = max(self.threads, int(fields.get("Threads", 0)))


def parse_report(content):
    """(code, message) of a wire::CompileReport, or None."""
    if len(content) < 5:
        return None
    length, = struct.unpack_from("<I", content, 1)
    return CODES[content[0]], content[5:5 + length].decode()


def compile_module(engine, wasm, *, seconds=30, memory=1 << 30, runtime="wasmtime", flags=(),
                   keep=None):
    """Compiles the bytes within the limits; kills what takes longer, as the agent's clock does. The artifact goes to
    the file `keep`."""
    with tempfile.TemporaryFile() as module, tempfile.TemporaryFile() as artifact, \
            tempfile.TemporaryFile() as report:
        module.write(wasm)
        module.flush()
        module.seek(0)
        fds = [module.fileno(), artifact.fileno(), report.fileno()]
        command = (f"exec {engine} compile --engine={runtime} --memory-bytes={memory} --cpu-seconds={seconds} "
                   f"{' '.join(flags)} <&{fds[0]} >&{fds[1]} 3<&{fds[2]}")
        began = time.monotonic()
        process = subprocess.Popen(["bash", "-c", command], pass_fds=fds)
        watched = Watched(process.pid)
        killed = not watched.ended_within(seconds)
        # What is killed under load goes when it gets a core; the agent does not wait for that either.
        took = time.monotonic() - began
        if killed:
            process.kill()
        process.wait()
        os.close(watched.pidfd)
        report.seek(0)
        parsed = parse_report(report.read())
        size = os.fstat(artifact.fileno()).st_size
        if keep:
            artifact.seek(0)
            keep.write_bytes(artifact.read())
        if killed:
            return Outcome("time", "compiling took longer than allowed", took, watched, size)
        if parsed is None:
            return Outcome("died", f"status {process.returncode}", took, watched, size)
        return Outcome(*parsed, took, watched, size)
