"""Volumes and environment: what a guest reads and writes, and who it is on disk."""

import base64
import json
import os
import pathlib

import pytest

from kube import pod, terminated_of, wait_until


def mounts(**paths):
    return [{"name": name, "mountPath": path} for name, path in paths.items()]


@pytest.fixture
def sources(kube):
    """A ConfigMap `config` and a Secret `secret`."""
    kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"},
                "data": {"colour": "blue", "UPPER": "case"},
                "binaryData": {"raw": base64.b64encode(b"\x00\x01bytes").decode()}},
               {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"},
                "stringData": {"word": "open sesame"}})
    return kube


def test_files_of_configmap_secret_and_downward_api(sources, cluster):
    kube = sources
    kube.apply(pod("reader", cluster.push("actor"), "read", "/c/colour", ";", "print", ";", "read",
                   "/s/word", ";", "print", ";", "read", "/d/labels", ";", "print", ";", "read",
                   "/d/name", ";", "print", ";", "read", "/d/memory", ";", "print", ";", "ls", "/c",
                   ";", "stat", "/c/raw", metadata={"labels": {"crew": "two"}},
                   resources={"limits": {"memory": "32Mi"}},
                   volumeMounts=mounts(c="/c", s="/s", d="/d"),
                   volumes=[{"name": "c", "configMap": {"name": "config"}},
                            {"name": "s", "secret": {"secretName": "secret"}},
                            {"name": "d", "downwardAPI": {"items": [
                                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                                {"path": "memory", "resourceFieldRef": {
                                    "containerName": "main", "resource": "limits.memory"}}]}}]))
    kube.wait_phase("reader", "Succeeded")
    told = kube.logs("reader")
    for part in ("blue", "open sesame", 'crew="two"', "reader", str(32 << 20), "raw", "UPPER"):
        assert part in told, told


def test_items_choose_keys_and_paths(sources, cluster):
    kube = sources
    kube.apply(pod("items", cluster.push("actor"), "read", "/c/deep/er", ";", "missing", "/c/UPPER",
                   volumeMounts=mounts(c="/c"), volumes=[{"name": "c", "configMap": {
                       "name": "config", "items": [{"key": "colour", "path": "deep/er"}]}}]))
    kube.wait_phase("items", "Succeeded")
    assert "blue" in kube.logs("items")


def test_projected_volume_brings_a_token_that_the_server_accepts(sources, cluster):
    kube = sources
    kube.apply(pod("projected", cluster.push("actor"), "read", "/p/token", ";", "print", ";", "ls",
                   "/p", volumeMounts=mounts(p="/p"), volumes=[{"name": "p", "projected": {
                       "sources": [{"serviceAccountToken": {"path": "token", "audience": "harbour",
                                                            "expirationSeconds": 600}},
                                   {"configMap": {"name": "config"}},
                                   {"secret": {"name": "secret"}},
                                   {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {
                                       "fieldPath": "metadata.namespace"}}]}}]}}]))
    its = kube.wait_phase("projected", "Succeeded")
    lines = kube.logs("projected").split()
    assert {"token", "colour", "word", "ns"} <= set(lines)
    claims = lines[0].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert claims["aud"] == ["harbour"]
    assert claims["kubernetes.io"]["pod"]["uid"] == its["metadata"]["uid"]
    review = kube("create", "-o", "json", "-f", "-", stdin=json.dumps(
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {"name": "x"},
         "spec": {"token": lines[0], "audiences": ["harbour"]}}))
    status = json.loads(review.stdout)["status"]
    assert status.get("authenticated"), status
    assert status["user"]["username"] == f"system:serviceaccount:{kube.namespace}:default"


def test_emptydir_is_shared_by_containers_and_gone_with_the_pod(kube, cluster, node):
    its = pod("share", cluster.push("actor"), "write", "/work/note", "from main", ";", "wait-text",
              "/work/answer", ";", "read", "/work/answer", ";", "hold", volumeMounts=mounts(work="/work"),
              volumes=[{"name": "work", "emptyDir": {}}])
    its["spec"]["containers"].append(
        {"name": "other", "image": cluster.push("actor"), "volumeMounts": mounts(work="/work"),
         "args": ["wait-text", "/work/note", ";", "read", "/work/note", ";", "write",
                  "/work/answer", "from other"]})
    kube.apply(its)
    # kubectl refuses logs of a container that has not started.
    kube.wait_phase("share", "Running")
    wait_until(lambda: "from other" in kube.logs("share", "-c", "main"), 30,
               lambda: kube.describe("share"))
    uid = kube.pod("share")["metadata"]["uid"]
    assert "from main" in kube.logs("share", "-c", "other")
    folder = cluster.node_folder(node) / "root/pods" / uid
    assert folder.exists()
    kube("delete", "pod", "share", "--timeout=20s")
    wait_until(lambda: not folder.exists(), 20, "the folder of the pod is gone")


def test_emptydir_in_memory_and_read_only_mounts(kube, cluster):
    image = cluster.push("actor")
    kube.apply(pod("memory", image, "write", "/m/x", "1", ";", "read", "/m/x",
                   volumeMounts=mounts(m="/m"),
                   volumes=[{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]),
               pod("read-only", image, "write", "/m/x", "1",
                   volumeMounts=[{"name": "m", "mountPath": "/m", "readOnly": True}],
                   volumes=[{"name": "m", "emptyDir": {}}]))
    kube.wait_phase("memory", "Succeeded")
    kube.wait_phase("read-only", "Failed")
    assert "write /m/x: Read-only file system" in kube.logs("read-only")


def write_to(kube, name, image, folder, user, text):
    kube.apply(pod(name, image, "append", "/data/log", text,
                   volumeMounts=mounts(data="/data"),
                   securityContext={"runAsUser": user} if user else {},
                   volumes=[{"name": "data", "hostPath": {"path": str(folder)}}]))
    return kube.wait_phase(name, "Succeeded", "Failed")["status"]["phase"]


def test_two_pods_in_turn_share_a_folder_of_uid_1000(kube, cluster, files):
    folder = pathlib.Path(files) / "own"
    folder.mkdir(mode=0o700)
    os.chown(folder, 1000, 1000)
    image = cluster.push("actor")
    assert write_to(kube, "first", image, folder, 1000, "one") == "Succeeded", kube.logs("first")
    assert write_to(kube, "second", image, folder, 1000, "two") == "Succeeded", kube.logs("second")
    assert (folder / "log").read_text() == "one\ntwo\n"
    assert (folder / "log").stat().st_uid == 1000
    for name, user in (("root", None), ("stranger", 1001)):
        assert write_to(kube, name, image, folder, user, "three") == "Failed"
        assert "EACCES" in kube.logs(name)
    assert (folder / "log").read_text() == "one\ntwo\n"


def test_fsgroup_lets_a_user_write_an_emptydir(kube, cluster):
    its = pod("group", cluster.push("actor"), "write", "/w/x", "1", ";", "read", "/w/x",
              volumeMounts=mounts(w="/w"), volumes=[{"name": "w", "emptyDir": {}}])
    its["spec"]["securityContext"] = {"runAsUser": 1000, "fsGroup": 2000}
    kube.apply(its)
    kube.wait_phase("group", "Succeeded")


def test_hostpath_types_are_checked(kube, cluster, files):
    path = pathlib.Path(files)
    (path / "file").write_text("text")
    image = cluster.push("actor")

    def its(name, kind, at):
        return pod(name, image, "stat", "/h", volumeMounts=mounts(h="/h"),
                   volumes=[{"name": "h", "hostPath": {"path": str(at), "type": kind}}])

    kube.apply(its("make", "DirectoryOrCreate", path / "new"), its("file", "File", path / "file"),
               its("absent", "Directory", path / "absent"))
    kube.wait_phase("make", "Succeeded")
    kube.wait_phase("file", "Succeeded")
    assert (path / "new").is_dir()
    assert "absent" in kube.wait_event("absent", "FailedMount")["message"]
    kube("delete", "pod", "absent", "--timeout=20s")


def test_every_source_of_the_environment(sources, cluster, node):
    kube = sources
    kube("create", "service", "clusterip", "harbour", "--tcp=80:8080")
    service = kube.get("service", "harbour")["spec"]["clusterIP"]

    def field(path):
        return {"fieldRef": {"fieldPath": path}}

    environment = [
        {"name": "LITERAL", "value": "one"}, {"name": "COMPOSED", "value": "$(LITERAL) and $$(X)"},
        {"name": "POD", "valueFrom": field("metadata.name")},
        {"name": "UID", "valueFrom": field("metadata.uid")},
        {"name": "NODE", "valueFrom": field("spec.nodeName")},
        {"name": "IP", "valueFrom": field("status.podIP")},
        {"name": "LABEL", "valueFrom": field("metadata.labels['crew']")},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory",
                                                           "divisor": "1Mi"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "colour"}}},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "word"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "nope", "key": "x",
                                                           "optional": True}}}]
    kube.apply(pod("env", cluster.push("actor"), "environ", ";", "print", "args:", "$(LITERAL)",
                   metadata={"labels": {"crew": "two"}}, env=environment,
                   envFrom=[{"prefix": "CM_", "configMapRef": {"name": "config"}}],
                   resources={"limits": {"memory": "24Mi", "cpu": "1500m"}}))
    its = kube.wait_phase("env", "Succeeded")
    told = dict(line.split("=", 1) for line in kube.logs("env").splitlines() if "=" in line)
    expected = {"LITERAL": "one", "COMPOSED": "one and $(X)", "POD": "env", "NODE": node,
                "UID": its["metadata"]["uid"], "IP": its["status"]["podIP"], "LABEL": "two",
                "MEM": "24", "CPU": "2", "COLOUR": "blue", "WORD": "open sesame",
                "CM_colour": "blue", "CM_UPPER": "case", "HOSTNAME": "env",
                "HARBOUR_SERVICE_HOST": service, "HARBOUR_SERVICE_PORT": "80"}
    assert {name: told.get(name) for name in expected} == expected
    assert "NONE" not in told and "KUBERNETES_SERVICE_HOST" in told
    assert "args: one" in kube.logs("env")


def test_a_missing_configmap_waits_and_starts_when_it_comes(kube, cluster):
    image = cluster.push("actor")
    kube.apply(pod("variable", image, "env", "X", env=[{"name": "X", "valueFrom": {
        "configMapKeyRef": {"name": "late", "key": "x"}}}]),
        pod("mounted", image, "read", "/c/x", volumeMounts=mounts(c="/c"),
            volumes=[{"name": "c", "configMap": {"name": "late"}}]))
    waiting = kube.wait_waiting("variable", "CreateContainerConfigError")
    assert waiting["message"] == 'configmap "late" not found', waiting
    assert "late" in kube.wait_event("mounted", "FailedMount")["message"]
    kube.wait_waiting("mounted", "ContainerCreating")
    kube("create", "configmap", "late", "--from-literal=x=here")
    for name in ("variable", "mounted"):
        its = kube.wait_phase(name, "Succeeded", seconds=150)
        assert terminated_of(its)["exitCode"] == 0
        assert "here" in kube.logs(name)


def test_hosts_and_resolver_files_are_the_pods(kube, cluster):
    its = pod("files", cluster.push("actor"), "read", "/etc/hosts", ";", "read", "/etc/resolv.conf",
              hostAliases=[{"ip": "192.0.2.9", "hostnames": ["lighthouse"]}],
              dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.53"], "searches": ["sea"]})
    kube.apply(its)
    kube.wait_phase("files", "Succeeded")
    told = kube.logs("files")
    for part in ("192.0.2.9\tlighthouse", "nameserver 192.0.2.53", "search sea"):
        assert part in told, told
