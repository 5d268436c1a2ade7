"""A name server that knows what a test tells it and records what it is asked."""

import socket
import struct
import threading

TYPES = {1: "A", 28: "AAAA"}


class NameServer:
    """At port 53 of an address, by UDP. `names`: name → addresses; `asked`: (name, type)."""

    def __init__(self, address):
        self.names = {}
        self.asked = []
        self.ttl = 5
        self.stopping = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def asked_names(self, kind="A"):
        """The names in the order in which they were asked for, each repetition left out."""
        return list(dict.fromkeys(name for name, type_ in self.asked if type_ == kind))

    def close(self):
        self.stopping = True
        # Closing it would not wake the thread.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"", self.socket.getsockname())
        self.thread.join(10)
        self.socket.close()

    def _serve(self):
        while not self.stopping:
            query, peer = self.socket.recvfrom(4096)
            if len(query) > 16:
                self.socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from(">H", query, at + 1)[0]
        name = ".".join(labels).lower()
        self.asked.append((name, TYPES.get(kind, str(kind))))
        records = b""
        count = 0
        for address in self.names.get(name, []):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if (kind == 28) == (family == socket.AF_INET6) and kind in TYPES:
                value = socket.inet_pton(family, address)
                records += struct.pack(">HHHIH", 0xc00c, kind, 1, self.ttl, len(value)) + value
                count += 1
        code = 0 if name in self.names else 3
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0)
        return head + query[12:at + 5] + records
