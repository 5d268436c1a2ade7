"""kubectl on a terminal. Fixture: conftest.screen."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time


class Screen:
    """kubectl on a terminal of its own, which is its controlling one; `text` is what it said and nobody took yet."""

    def __init__(self, kube, *words):
        self.master, slave = pty.openpty()
        self.resize(80, 24)
        self.process = subprocess.Popen([kube.program, "-n", kube.namespace, *words], stdin=slave, stdout=slave,
                                        stderr=slave, env=kube.environ, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def more(self, seconds):
        """Takes in what there is or comes within so long; False once kubectl has ended and all is taken in."""
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:  # EIO: nobody has the other end
                return False
        return True

    def until(self, pattern, seconds=30):
        """What came up to the pattern, and takes it away."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text, re.S)):
            assert time.monotonic() < deadline and self.more(0.2), f"no {pattern!r} in {self.text!r}"
        text, self.text = self.text[:found.end()], self.text[found.end():]
        return text

    def prompt(self):
        """A shell may have printed its prompt before the client came: as kubectl says, try Enter."""
        deadline = time.monotonic() + 60
        while not re.search("[$>] $", self.text):
            assert time.monotonic() < deadline, self.text[-200:]
            self.type("\r")
            pause = time.monotonic() + 1
            while time.monotonic() < pause:
                assert self.more(0.2), f"kubectl has ended: {self.text!r}"
        self.text = ""

    def end(self, seconds=30):
        """kubectl's exit code, once it has ended by itself."""
        deadline = time.monotonic() + seconds
        while self.more(0.2):
            assert time.monotonic() < deadline, f"kubectl does not end: {self.text!r}"
        return self.process.wait(seconds)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
