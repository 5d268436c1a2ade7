"""Raw clients of port 10250, for what kubectl cannot be made to do: WebSockets by hand, connections cut abruptly."""

import base64
import json
import os
import socket
import ssl
import struct
import urllib.parse


class Refused(Exception):
    """Another answer than 101; `status` is its code."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


class Kubelet:
    """Port 10250 of a node, as the API server or as the bearer of a token sees it."""

    def __init__(self, address, folder, token=None):
        self.address, self.token = address, token
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        if token is None:
            self.tls.load_cert_chain(f"{folder}/pki/apiserver-kubelet-client.crt",
                                     f"{folder}/pki/apiserver-kubelet-client.key")

    def connect(self):
        its = socket.create_connection((self.address, 10250), timeout=30)
        return self.tls.wrap_socket(its)

    def upgrade(self, method, path, headers):
        """The connection after a 101, what came after its head, and the head's fields."""
        its = self.connect()
        lines = [f"{method} {path} HTTP/1.1", "Host: node", "Connection: Upgrade",
                 *(f"{name}: {value}" for name, value in headers)]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        its.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            part = its.recv(65536)
            assert part, "the node hung up"
            received += part
        head, rest = received.split(b"\r\n\r\n", 1)
        status, *fields = head.decode().split("\r\n")
        fields = dict(field.lower().split(": ", 1) for field in fields)
        if " 101 " not in status:
            missing = int(fields.get("content-length", 0)) - len(rest)
            while missing > 0:
                part = its.recv(missing)
                missing -= len(part)
                rest += part
            its.close()
            raise Refused(int(status.split()[1]), rest.decode())
        return its, rest, fields

    def websocket(self, path, protocol=None):
        headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                   ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode())]
        if protocol:
            headers.append(("Sec-WebSocket-Protocol", protocol))
        its, rest, fields = self.upgrade("GET", path, headers)
        assert fields.get("sec-websocket-protocol") == (protocol.lower() if protocol else None)
        return WebSocket(its, rest)


class WebSocket:
    """The client's end."""

    def __init__(self, connection, received=b""):
        self.connection, self.received = connection, received

    def send(self, payload, opcode=2):
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.connection.sendall(head + mask + masked)

    def take(self, size):
        while len(self.received) < size:
            part = self.connection.recv(65536)
            if not part:
                raise EOFError
            self.received += part
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def receive(self):
        """The next message: opcode and payload."""
        first, size = self.take(2)
        assert first & 0x80 and not size & 0x80
        if size == 126:
            size, = struct.unpack("!H", self.take(2))
        elif size == 127:
            size, = struct.unpack("!Q", self.take(8))
        return first & 15, self.take(size)

    def messages(self):
        """Payloads up to the node's close frame, which is answered."""
        while True:
            opcode, payload = self.receive()
            if opcode == 8:
                self.send(payload[:2], opcode=8)
                return
            if opcode == 9:
                self.send(payload, opcode=10)
            else:
                yield payload

    def cut(self):
        """Goes without a word: the kernel sends a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def exec_path(namespace, pod, command, container="main", **streams):
    """The path of an exec: `streams` are input, output, error, tty."""
    query = [(name, 1) for name in streams] + [("command", word) for word in command]
    return f"/exec/{namespace}/{pod}/{container}?{urllib.parse.urlencode(query)}"


def outcome(websocket, decode=bytes):
    """Reads a remote command to its end: stdout, stderr, the error channel's text."""
    channels = {1: b"", 2: b"", 3: b""}
    for message in websocket.messages():
        message = decode(message)
        channels[message[0]] += message[1:]
    return channels[1], channels[2], channels[3].decode()


def from_base64(message):
    return bytes([message[0] - ord("0")]) + base64.b64decode(message[1:])


def exit_code(status):
    """Of a v4 or v5 status."""
    status = json.loads(status)
    if status["status"] == "Success":
        return 0
    assert status["reason"] == "NonZeroExitCode", status
    return int(next(c["message"] for c in status["details"]["causes"] if c["reason"] == "ExitCode"))
