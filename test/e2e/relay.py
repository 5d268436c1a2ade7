"""A TCP relay, or an HTTP proxy that knows CONNECT: python relay.py PORT [HOST:PORT]. One line for each connection."""

import socket
import sys
import threading


def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def read_head(client):
    head = b""
    while b"\r\n\r\n" not in head and len(head) < 1 << 16:
        piece = client.recv(4096)
        if not piece:
            raise OSError("no request")
        head += piece
    return head.split(b"\r\n", 1)[0].decode()


def serve(client, target):
    try:
        line = f"to {target}" if target else read_head(client)
        host, port = (target or line.split()[1]).rsplit(":", 1)
        server = socket.create_connection((host, int(port)))
        if not target:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    except OSError:
        client.close()
        return
    print(line, flush=True)
    threading.Thread(target=pump, args=(server, client), daemon=True).start()
    pump(client, server)


def main():
    listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
    target = sys.argv[2] if len(sys.argv) > 2 else None
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, target), daemon=True).start()


main()
