"""What a guest could do whose engine checks nothing: python egress_attempts.py COUNT ADDRESS:PORT...

Tries to reach the targets in turn, by TCP and by UDP, until it has tried COUNT times, with plain system calls. Prints a
JSON object: target → [tries, successes, seconds of the slowest], and what else it could do.
"""

import json
import socket
import sys
import time

COUNT, TARGETS = int(sys.argv[1]), sys.argv[2:]


def attempt(kind, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as one:
        one.settimeout(3)
        try:
            one.connect((address, port))
            if kind == socket.SOCK_STREAM:
                return True
            one.send(b"hello\n")
            return one.recv(16) != b""
        except OSError:
            return False


def main():
    seen = {target: [0, 0, 0.0] for target in TARGETS}
    for number in range(COUNT):
        target = TARGETS[(number // 2) % len(TARGETS)]
        address, port = target.rsplit(":", 1)
        begun = time.monotonic()
        kind = socket.SOCK_STREAM if number % 2 == 0 else socket.SOCK_DGRAM
        reached = attempt(kind, address.strip("[]"), int(port))
        tries = seen[target]
        tries[0] += 1
        tries[1] += reached
        tries[2] = max(tries[2], time.monotonic() - begun)
    opened = []
    for name, family, kind in [("raw", socket.AF_INET, socket.SOCK_RAW), ("packet", socket.AF_PACKET, socket.SOCK_RAW)]:
        try:
            socket.socket(family, kind, socket.IPPROTO_RAW if name == "raw" else 0).close()
            opened.append(name)
        except OSError:
            pass
    print(json.dumps({"seen": seen, "opened": opened}))


main()
