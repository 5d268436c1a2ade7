"""Servers that send back what comes, by TCP and UDP: python echo_servers.py ADDRESS:PORT... Prints a line when all listen."""

import selectors
import socket
import sys

selector = selectors.DefaultSelector()
for target in sys.argv[1:]:
    address, port = target.rsplit(":", 1)
    address = address.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        one = socket.socket(family, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, int(port)))
        if kind == socket.SOCK_STREAM:
            one.listen(64)
        selector.register(one, selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        one = key.fileobj
        try:
            if one.type == socket.SOCK_DGRAM:
                data, peer = one.recvfrom(2048)
                one.sendto(data, peer)
            else:
                peer, _ = one.accept()
                with peer:
                    peer.settimeout(3)
                    peer.sendall(peer.recv(2048))
        except OSError:
            pass
