"""Web servers on the cluster's machine, for probes and guests to ask."""

import contextlib
import http.server
import ssl
import threading

from kube import run


def make_certificate(folder, name, *options):
    """`folder/NAME.pem` and its key `folder/NAME.key`."""
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / f"{name}.key",
         "-out", folder / f"{name}.pem", "-subj", f"/CN={name}", "-days", "2", *options])


@contextlib.contextmanager
def https_server(address, folder, name):
    """With a certificate of make_certificate(); gives (port, requests)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    with plain_server(address, context) as its:
        yield its


@contextlib.contextmanager
def plain_server(address, context=None):
    """Gives (port, requests)."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, dict(self.headers)))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()
