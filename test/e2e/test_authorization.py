"""Rows 46 and 47 of the contract: who may do what at port 10250, every path by every verb for every kind of caller.

What is expected is written here from the contract (§3), not taken from the node.
"""

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess

import pytest

VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
         "HEAD": "", "OPTIONS": ""}  # the last two are no verb that a role could name
ALL = {(verb, resource) for verb in VERBS.values() if verb
       for resource in ("proxy", "healthz", "pods", "configz", "stats", "metrics", "log", "checkpoint", "statusz")}
# Who calls, and what the cluster lets him do with this node: pairs of verb and subresource. None: nobody knows him.
CALLERS = {
    "nobody": None,
    "impostor": None,  # a certificate of system:masters by another authority
    "expired": None,  # the same by the right one, until yesterday
    "forger": None,  # a token that nobody issued
    "visitor": set(),
    "reader": {("get", "proxy")},
    "watcher": {("get", name) for name in ("healthz", "pods", "configz", "stats", "metrics")},
    "scraper": {("get", "metrics")},  # by the token of a service account
    "sailor": {("get", "proxy"), ("create", "proxy")},
    "admiral": ALL,
}
# The first part of a path: any of these subresources lets in. Everything else is `proxy`.
FINE = {"healthz": {"healthz", "proxy"}, "pods": {"pods", "proxy"}, "runningpods": {"pods", "proxy"},
        "configz": {"configz", "proxy"}, "stats": {"stats"}, "metrics": {"metrics"}, "logs": {"log"},
        "checkpoint": {"checkpoint"}, "statusz": {"statusz"}, "flagz": {"configz"}}
ACTING = {"exec", "attach", "portForward", "run"}
READABLE = ["/healthz", "/healthz/ping", "/healthz/log", "/healthz/syncloop", "/pods", "/runningpods/",
            "/stats/summary", "/stats/summary?only_cpu_and_memory=true", "/metrics", "/metrics/cadvisor",
            "/metrics/resource", "/metrics/probes", "/metrics/slis", "/configz"]
OTHERS = ["/", "/nothing", "/pods/more", "/logs/", "/logs/syslog", "/statusz", "/flagz", "/debug/pprof/heap",
          "/debug/flags/v", "/containerLogs", "/skiff/images", "/api/v1/nodes"]


def may(rights, method, path):
    """Whether the contract lets a known caller in."""
    verb, first = VERBS[method], path.split("?")[0].split("/")[1]
    if not any((verb, name) in rights for name in FINE.get(first, {"proxy"})):
        return False
    return not (method == "GET" and first in ACTING) or ("create", "proxy") in rights


def certificate_of(folder, authority, name, organization=None, days=1):
    """A client certificate and its key as files."""
    subject = (f"/O={organization}" if organization else "") + f"/CN={name}"
    files = [folder / f"{name}.{end}" for end in ("crt", "key", "csr")]
    certificate, key, request = files
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", request, "-subj", subject], check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key",
                    "-set_serial", "4711", "-days", str(days), "-out", certificate], check=True, capture_output=True)
    return certificate, key


class Caller:
    """One kind of client of port 10250."""

    def __init__(self, address, files=None, token=None):
        self.address = address
        self.context = ssl._create_unverified_context()
        if files:
            self.context.load_cert_chain(*files)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.connection = None

    def plain(self, method, path, headers=()):
        """The status, over a connection that is kept as long as the node keeps it."""
        for fresh in (False, True):
            if self.connection is None or fresh:
                self.connection = http.client.HTTPSConnection(self.address, 10250, context=self.context, timeout=20)
            try:
                self.connection.request(method, path, headers={**self.headers, **dict(headers)})
                answer = self.connection.getresponse()
                answer.read()
                return answer.status
            except (http.client.RemoteDisconnected, ConnectionError):
                assert not fresh, (method, path)
        return None

    def upgrade(self, method, path, headers):
        """The status of a request that wants another protocol, on a connection of its own."""
        return self.raw(f"{method} {path}", {"Host": "node", "Connection": "Upgrade", **self.headers, **headers})

    def raw(self, line, headers):
        head = f"{line} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        with socket.create_connection((self.address, 10250), timeout=20) as tcp, \
                self.context.wrap_socket(tcp, server_hostname="node") as tls:
            tls.sendall(head.encode("latin-1"))
            answer = tls.recv(4096)
        return int(answer.split(b" ", 2)[1])


def spdy(protocol):
    return {"Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}


def websocket(protocol):
    return {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": protocol,
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}


@pytest.fixture
def callers(kube, cluster, node, tmp_path, grants):
    address = kube.address_of(node)
    authority = f"{cluster.env['CLUSTER_DIR']}/pki/ca"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", tmp_path / "other.key", "-out", tmp_path / "other.crt", "-days", "2", "-subj",
                    "/CN=other"], check=True, capture_output=True)
    masters = "system:masters"
    its = {"nobody": Caller(address),
           "impostor": Caller(address, certificate_of(tmp_path, tmp_path / "other", "impostor", masters)),
           "expired": Caller(address, certificate_of(tmp_path, authority, "expired", masters, days=-1)),
           "forger": Caller(address, token="bm9ib2R5.aXNzdWVk.aXQ")}
    for name, rights in CALLERS.items():
        if rights is None:
            continue
        if name == "scraper":
            its[name] = Caller(address, token=kube.token_of(name))
            grants.to_account(name, rights)
            continue
        user = f"{name}-{kube.namespace}"
        its[name] = Caller(address, certificate_of(tmp_path, authority, user))
        if rights:
            grants.to_user(user, rights)
    return its


@pytest.fixture
def place(kube, boat):
    """Of a pod that runs, in paths."""
    return f"{kube.namespace}/boat"


def acting_paths(place):
    return [f"/exec/{place}/main?command=true&output=1", f"/attach/{place}/main?output=1", f"/portForward/{place}"]


def judge(name, method, path, status, is_let_in):
    """One line about what is not as specified, or nothing."""
    if CALLERS[name] is None:
        expected, fits = "401", status == 401
    elif may(CALLERS[name], method, path):
        expected, fits = "to be let in", is_let_in(status)
    else:
        expected, fits = "403", status == 403
    return [] if fits else [f"{name}: {method} {path.split('?')[0]}: {status}, not {expected}"]


def test_every_path_by_every_verb_for_every_caller(callers, place):
    wrong = []
    paths = [*READABLE, *OTHERS, *acting_paths(place), f"/containerLogs/{place}/main", f"/run/{place}/main?cmd=true"]
    for name, caller in callers.items():
        for path in paths:
            for method in VERBS:
                readable = method == "GET" and (path in READABLE or path.startswith("/containerLogs/"))
                wrong += judge(name, method, path, caller.plain(method, path), lambda status: (
                    status == 200 if readable else status not in (401, 403)))
    assert not wrong, json.dumps(wrong, indent=1)


def test_upgrades_need_what_their_request_needs(callers, place):
    """exec, attach and port-forward by SPDY and WebSocket: switched for those who may, refused before for the others."""
    wrong = []
    for name, caller in callers.items():
        for path in acting_paths(place):
            forward = path.startswith("/portForward")
            kinds = [("POST", path, spdy("portforward.k8s.io" if forward else "v4.channel.k8s.io")),
                     ("GET", path, spdy("portforward.k8s.io" if forward else "v4.channel.k8s.io")),
                     ("GET", path + ("?port=80" if forward else ""),
                      websocket("v4.channel.k8s.io"))]
            for method, target, headers in kinds:
                status = caller.upgrade(method, target, headers)
                wrong += judge(name, f"{method}", target, status, lambda status: status == 101)
        # Headers of an upgrade change nothing where there is nothing to upgrade to.
        for path in ("/pods", "/metrics", "/nothing"):
            for headers in (spdy("v4.channel.k8s.io"), websocket("v4.channel.k8s.io")):
                status = caller.upgrade("GET", path, headers)
                expected = 404 if path == "/nothing" else 200
                wrong += judge(name, "GET", path, status, lambda status: status == expected)
    assert not wrong, json.dumps(wrong, indent=1)


def test_strangers_are_refused_before_anything_is_read(callers, place):
    """What a stranger sends is not parsed: whatever it is, the answer is the same."""
    head = {"Host": "node"}
    for name in ("nobody", "impostor", "expired", "forger"):
        caller = callers[name]
        for line in ("GET /%zz", "GET //pods", "GET /pods/%2e%2e/metrics", "POST /exec/../..", "BREW /pods",
                     "GET /containerLogs/a/b/c?tailLines=-1&sinceSeconds=x", "GET /" + "x" * 8000):
            assert caller.raw(line, {**head, **caller.headers}) == 401, (name, line[:40])
        spdy_head = {**head, "Connection": "Upgrade", "Upgrade": "SPDY/3.1", **caller.headers}
        assert caller.raw(f"POST /exec/{place}/main?command=true", spdy_head) == 401
        # Of a body that is announced nothing is waited for.
        assert caller.raw("POST /stats/summary", {**head, "Content-Length": "1000000", **caller.headers}) == 401
