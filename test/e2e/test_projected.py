"""Projected identities: trust bundles and certificates of pods (contract row 69). The test is the signer."""

import base64
import datetime
import json
import subprocess

import pytest

from kube import pod, wait_until

SIGNER = "skiff.example/signer"
SOON = 10


def openssl(*words, data=None):
    done = subprocess.run(["openssl", *map(str, words)], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A key and a certificate that sign."""
    folder = tmp_path_factory.mktemp("authority")
    key, certificate = folder / "ca.key", folder / "ca.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 10,
            "-subj", "/CN=authority", "-keyout", key, "-out", certificate)
    return key, certificate


def anchor(name):
    """A self-signed certificate."""
    return openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 10,
                   "-subj", f"/CN={name}", "-keyout", "/dev/null").decode()


@pytest.fixture
def bundles(kube):
    """Makes ClusterTrustBundles that end with the test."""
    made = []

    def make(name, bundle, signer=None, **labels):
        spec = {"trustBundle": bundle, **({"signerName": signer} if signer else {})}
        kube.apply({"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
                    "metadata": {"name": name, "labels": labels}, "spec": spec})
        made.append(name)

    yield make
    for name in made:
        kube("delete", "clustertrustbundle", name, check=False)


def holder(name, image, *sources, **spec):
    """A pod that holds, with the sources projected at /v."""
    return pod(name, image, "hold", volumeMounts=[{"name": "v", "mountPath": "/v"}],
               volumes=[{"name": "v", "projected": {"sources": list(sources)}}], **spec)


def trust(path, **source):
    return {"clusterTrustBundle": {"path": path, **source}}


@pytest.fixture
def read(inside):
    return lambda name, path: inside(name, "cat", path)


def certificates(text):
    end = "-----END CERTIFICATE-----\n"
    return sorted(part + end for part in text.split(end) if part.strip())


def test_trust_bundles_by_name_and_by_signer(kube, cluster, bundles, read):
    """Row 69: by name or signer and labels; each certificate once; live."""
    one, two, three = anchor("one"), anchor("two"), anchor("three")
    mine = f"{kube.namespace}.example/roots"
    at = mine.replace("/", ":")
    bundles(f"{kube.namespace}-plain", "# a comment\n" + one + two)
    bundles(f"{at}:live", one + two, mine, stage="live")
    bundles(f"{at}:more", two + three, mine, stage="live")
    bundles(f"{at}:test", three, mine, stage="test")
    live = {"signerName": mine, "labelSelector": {"matchLabels": {"stage": "live"}}}
    kube.apply(holder("trusting", cluster.push("actor"), trust("named.pem", name=f"{kube.namespace}-plain"),
                      trust("signed.pem", **live),
                      trust("all.pem", signerName=mine, labelSelector={}),
                      trust("none.pem", signerName=mine, optional=True),
                      trust("absent.pem", name="absent", optional=True)))
    kube.wait_ready("trusting")
    assert certificates(read("trusting", "/v/named.pem")) == sorted([one, two])
    assert certificates(read("trusting", "/v/signed.pem")) == sorted([one, two, three])
    assert certificates(read("trusting", "/v/all.pem")) == sorted([one, two, three])
    assert read("trusting", "/v/none.pem") == "" == read("trusting", "/v/absent.pem")
    bundles(f"{kube.namespace}-plain", three)
    wait_until(lambda: certificates(read("trusting", "/v/named.pem")) == [three], SOON,
               lambda: f"the new bundle is shown: {kube.describe('trusting')}")


def test_a_missing_trust_bundle_keeps_the_pod_from_starting(kube, cluster, bundles, read):
    """Row 69: a bundle that is not optional; the pod starts when it comes."""
    name = f"{kube.namespace}-late"
    kube.apply(holder("waiting", cluster.push("actor"), trust("x.pem", name=name)),
               holder("nobody", cluster.push("actor"), trust("x.pem", signerName="none.example/x", labelSelector={})))
    assert name in kube.wait_event("waiting", "FailedMount")["message"]
    assert "none.example/x" in kube.wait_event("nobody", "FailedMount")["message"]
    one = anchor("late")
    bundles(name, one)
    kube.wait_ready("waiting", seconds=SOON)
    assert certificates(read("waiting", "/v/x.pem")) == [one]


class Signer:
    """Answers the PodCertificateRequests of a namespace."""

    def __init__(self, kube, authority, folder):
        self.kube, self.authority, self.folder = kube, authority, folder

    def request(self, number=0):
        """The request, as soon as it is there."""

        def look():
            items = self.kube.get("podcertificaterequests")["items"]
            items.sort(key=lambda item: item["metadata"]["creationTimestamp"])
            return items[number] if len(items) > number else None

        return wait_until(look, SOON, "a PodCertificateRequest")

    def answer(self, request, kind, **status):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        status["conditions"] = [{"type": kind, "status": "True", "reason": "Tested", "message": "by the test",
                                 "lastTransitionTime": now}]
        self.kube("patch", "podcertificaterequest", request["metadata"]["name"], "--subresource=status",
                  "--type=merge", "-p", json.dumps({"status": status}))

    def issue(self, request):
        """Signs; returns the chain."""
        proof = self.folder / "proof.der"
        proof.write_bytes(base64.b64decode(request["spec"]["stubPKCS10Request"]))
        key, certificate = self.authority
        signed = openssl("x509", "-req", "-inform", "DER", "-in", proof, "-CA", certificate, "-CAkey", key,
                         "-days", 1, "-set_serial", 7).decode()
        dates = openssl("x509", "-noout", "-startdate", "-enddate", data=signed.encode()).decode()
        first, last = (datetime.datetime.strptime(line.split("=")[1], "%b %d %H:%M:%S %Y %Z")
                       for line in dates.splitlines())

        def text(time):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ")

        self.answer(request, "Issued", certificateChain=signed, notBefore=text(first), notAfter=text(last),
                    beginRefreshAt=text(first + datetime.timedelta(hours=12)))
        return signed


@pytest.fixture
def signer(kube, authority, tmp_path):
    return Signer(kube, authority, tmp_path)


def certified(name, image, **source):
    its = {"signerName": SIGNER, "keyType": "ECDSAP256", "credentialBundlePath": "bundle.pem",
           "maxExpirationSeconds": 2 * 86400, **source}
    return holder(name, image, {"podCertificate": its})


def test_a_pod_gets_a_certificate_from_the_clusters_signer(kube, cluster, node, signer, read):
    """Row 69: key, proof and request are the node's, the certificate the signer's; the bundle holds both."""
    kube.apply(certified("known", cluster.push("actor"), userAnnotations={"skiff.example/why": "test"},
                         keyPath="key.pem", certificateChainPath="chain.pem"))
    request = signer.request()
    its = kube.pod("known")
    account = kube.get("serviceaccount", "default")
    spec = request["spec"]
    assert (spec["signerName"], spec["podName"], spec["podUID"]) == (SIGNER, "known", its["metadata"]["uid"])
    assert (spec["serviceAccountName"], spec["serviceAccountUID"]) == ("default", account["metadata"]["uid"])
    assert spec["nodeName"] == node and spec["unverifiedUserAnnotations"] == {"skiff.example/why": "test"}
    assert request["metadata"]["ownerReferences"][0]["uid"] == its["metadata"]["uid"]
    assert its["status"]["phase"] == "Pending"
    chain = signer.issue(request)
    kube.wait_ready("known", seconds=SOON)
    key = read("known", "/v/key.pem")
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    assert read("known", "/v/chain.pem") == chain
    assert read("known", "/v/bundle.pem") == key + chain
    # The key is the one that was certified.
    public = openssl("pkey", "-pubout", data=key.encode())
    assert public == openssl("x509", "-noout", "-pubkey", data=chain.encode())


def test_a_refused_certificate_is_told_and_the_pod_does_not_start(kube, cluster, signer):
    """Row 69: Denied is for good."""
    kube.apply(certified("unknown", cluster.push("actor")))
    signer.answer(signer.request(), "Denied")
    assert kube.wait_event("unknown", "FailedMount", "was denied by the signer")
    assert len(kube.get("podcertificaterequests")["items"]) == 1
    kube("delete", "pod", "unknown", "--timeout=20s")
