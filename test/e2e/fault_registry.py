"""A registry that answers what it is told to: for showing what a node makes of each failure.

It serves a good module under every name (it differs with the second part); the first part of a repository's name says what goes wrong:
`status-404/x`, `wrong-digest/x`, `truncated/x`, `flaky/x` (500 twice, then well), `good/x`.
"""

import base64
import collections
import hashlib
import http.server
import json
import threading
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = json.dumps({"created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip1",
                     "layerDigests": []}).encode()


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def manifest_of(module):
    return json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.wasm.config.v0+json",
                   "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [{"mediaType": "application/wasm", "digest": digest_of(module),
                    "size": len(module)}]}).encode()


class Registry:
    def __init__(self, address, module):
        self.module = module
        self.requests = collections.Counter()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                registry.answer(self)

            def do_HEAD(self):
                registry.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.name = f"{address}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def module_of(self, repository):
        """The module with a custom section that tells the repositories' second parts apart."""
        name = repository.encode()
        section = bytes([len(name)]) + name
        return self.module + b"\0" + bytes([len(section)]) + section

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        parts = request.path.split("/")
        if len(parts) < 5:
            return self.send(request, 200, b"{}", "application/json")
        fault, module = parts[2], self.module_of(parts[3])
        self.requests[f"{fault} {parts[-2]}"] += 1
        if fault.startswith("status-"):
            return self.fail(request, int(fault.split("-")[1]))
        if fault == "flaky" and self.requests[f"{fault} {parts[-2]}"] <= 2:
            return self.fail(request, 500)
        if parts[-2] == "manifests":
            return self.send(request, 200, manifest_of(module), MANIFEST)
        if parts[-1] == digest_of(CONFIG):
            return self.send(request, 200, CONFIG, "application/octet-stream")
        content = module
        if fault == "wrong-digest":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault == "truncated":
            return self.truncate(request, module)
        return self.send(request, 200, content, "application/octet-stream")

    def fail(self, request, status):
        words = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN",
                 429: "TOOMANYREQUESTS"}.get(status, "UNKNOWN")
        body = json.dumps({"errors": [{"code": words, "message": f"told to say {status}"}]})
        self.send(request, status, body.encode(), "application/json")

    def send(self, request, status, content, kind):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        if kind == MANIFEST:
            request.send_header("Docker-Content-Digest", digest_of(content))
        if status == 401:
            request.send_header("WWW-Authenticate", 'Basic realm="harbour"')
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    def truncate(self, request, module):
        """Promises everything, sends half, hangs up; every time."""
        start = 0
        if wanted := request.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(module) - start))
        if start:
            request.send_header("Content-Range",
                                f"bytes {start}-{len(module) - 1}/{len(module)}")
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(module[start:start + max(0, (len(module) // 2) - start)])
        request.close_connection = True


class TokenRegistry(Registry):
    """A registry whose blobs want a Bearer token, which its token service gives for a password."""

    def __init__(self, address, module, user, password):
        self.basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.tokens = {}
        super().__init__(address, module)

    def answer(self, request):
        if request.path.startswith("/token?"):
            return self.give_token(request)
        scope = f"repository:{'/'.join(request.path.split('/')[2:-2])}:pull"
        said = request.headers.get("Authorization", "")
        if self.tokens.get(said.removeprefix("Bearer ")) == scope:
            return super().answer(request)
        self.requests["challenges"] += 1
        body = b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
        request.send_response(401)
        request.send_header("WWW-Authenticate", f'Bearer realm="http://{self.name}/token",'
                            f'service="harbour",scope="{scope}"')
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body if request.command != "HEAD" else b"")

    def give_token(self, request):
        query = urllib.parse.parse_qs(request.path.split("?", 1)[1])
        self.requests["tokens"] += 1
        if request.headers.get("Authorization") != self.basic or query["service"] != ["harbour"]:
            # As most token services do: nobody in particular gets a token that opens nothing.
            token, scope = "anonymous", "nothing"
        else:
            token, scope = f"token-{len(self.tokens)}", query["scope"][0]
        self.tokens[token] = scope
        self.send(request, 200, json.dumps({"token": token, "expires_in": 60}).encode(),
                  "application/json")
