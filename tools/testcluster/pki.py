"""The cluster's keys and certificates, made with the openssl command as an operator would."""

import base64
import hashlib
import json
import os
import subprocess

from .proc import check_call

DAYS = "30"
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _authority(folder, name):
    check_call("openssl", "req", "-x509", *KEY, "-keyout", f"{folder}/{name}.key",
               "-out", f"{folder}/{name}.crt", "-days", DAYS, "-subj", f"/CN={name}",
               "-addext", "basicConstraints=critical,CA:TRUE",
               "-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign")


def issue(folder, authority, name, subject, usage="clientAuth", names=None):
    """Writes `name`.key and `name`.crt signed by `authority`."""
    extra = ["-addext", f"subjectAltName={names}"] if names else []
    check_call("openssl", "req", "-x509", "-CA", f"{folder}/{authority}.crt",
               "-CAkey", f"{folder}/{authority}.key", *KEY, "-keyout", f"{folder}/{name}.key",
               "-out", f"{folder}/{name}.crt", "-days", DAYS, "-subj", subject,
               "-addext", "basicConstraints=critical,CA:FALSE",
               "-addext", "keyUsage=critical,digitalSignature",
               "-addext", f"extendedKeyUsage={usage}", *extra)


def create(folder, address, service_address):
    """Makes every key of the control plane below `folder` (mode 0700)."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    _authority(folder, "ca")
    _authority(folder, "front-proxy-ca")
    names = ",".join(["DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc",
                      "DNS:kubernetes.default.svc.cluster.local", "DNS:localhost",
                      f"IP:{address}", f"IP:{service_address}", "IP:127.0.0.1"])
    issue(folder, "ca", "apiserver", "/CN=kube-apiserver", "serverAuth", names)
    issue(folder, "ca", "apiserver-kubelet-client",
          "/O=system:masters/CN=kube-apiserver-kubelet-client")
    issue(folder, "front-proxy-ca", "front-proxy-client", "/CN=front-proxy-client")
    issue(folder, "ca", "admin", "/O=system:masters/CN=kubernetes-admin")
    issue(folder, "ca", "controller-manager", "/CN=system:kube-controller-manager")
    issue(folder, "ca", "scheduler", "/CN=system:kube-scheduler")
    check_call("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
               "-out", f"{folder}/sa.key")
    check_call("openssl", "ec", "-in", f"{folder}/sa.key", "-pubout", "-out", f"{folder}/sa.pub")


def authority_hash(folder):
    """`sha256:…` of the authority's public key, as `--ca-cert-hash` takes it."""
    public = subprocess.run(["openssl", "x509", "-in", f"{folder}/ca.crt", "-noout", "-pubkey"],
                            check=True, stdout=subprocess.PIPE).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public,
                         check=True, stdout=subprocess.PIPE).stdout
    return "sha256:" + hashlib.sha256(der).hexdigest()


def _encoded(path):
    with open(path, "rb") as file:
        return base64.b64encode(file.read()).decode()


def kubeconfig(folder, server, user):
    """A kubeconfig for the certificate `user`, with everything embedded."""
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "skiff",
        "clusters": [{"name": "skiff", "cluster": {
            "server": server, "certificate-authority-data": _encoded(f"{folder}/ca.crt")}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": _encoded(f"{folder}/{user}.crt"),
            "client-key-data": _encoded(f"{folder}/{user}.key")}}],
        "contexts": [{"name": "skiff", "context": {"cluster": "skiff", "user": user}}],
    }, indent=1) + "\n"
