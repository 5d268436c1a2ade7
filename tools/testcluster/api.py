"""A minimal client of the test cluster's API server (the admin's certificate, JSON only)."""

import http.client
import json
import ssl
import time

from .proc import ClusterError


class Api:
    """Opens one connection per request: simple, and right across restarts of the server."""

    def __init__(self, pki_folder, address, port=6443):
        self._address, self._port = address, port
        self._tls = ssl.create_default_context(cafile=f"{pki_folder}/ca.crt")
        self._tls.load_cert_chain(f"{pki_folder}/admin.crt", f"{pki_folder}/admin.key")

    def call(self, method, path, body=None, timeout=5):
        """Returns (status, decoded JSON or text); raises OSError when there is no answer."""
        connection = http.client.HTTPSConnection(self._address, self._port, context=self._tls,
                                                 timeout=timeout)
        try:
            connection.request(method, path, body=json.dumps(body) if body else None,
                               headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def is_ready(self):
        try:
            return self.call("GET", "/readyz", timeout=2)[0] == 200
        except OSError:
            return False

    def find(self, path):
        """The object at `path`, None when it is not there (or the server is not)."""
        try:
            status, body = self.call("GET", path)
        except OSError:
            return None
        return body if status == 200 else None

    def delete(self, path):
        try:
            self.call("DELETE", path)
        except OSError:
            pass


def wait_until(condition, seconds, what, still_possible=lambda: None):
    """Polls `condition`; `still_possible` raises when waiting longer makes no sense."""
    deadline = time.monotonic() + seconds
    while not condition():
        still_possible()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def is_node_ready(api, name):
    node = api.find(f"/api/v1/nodes/{name}")
    conditions = (node or {}).get("status", {}).get("conditions", [])
    return any(its["type"] == "Ready" and its["status"] == "True" for its in conditions)
