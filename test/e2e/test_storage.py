"""Volumes that the pod does not make itself: claims, images, and files of variables (contract rows 61, 67, 68)."""

import io
import json
import os
import pathlib
import tarfile

import pytest

from kube import pod, wait_until

SOON = 15


def mounts(**paths):
    return [{"name": name, "mountPath": path} for name, path in paths.items()]


@pytest.fixture
def storage(kube):
    """Makes PersistentVolumes that end with the test."""
    made = []

    def make(name, **spec):
        kube.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"],
                             "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "by-hand", **spec}})
        made.append(name)

    yield make
    for name in made:
        kube("delete", "persistentvolume", name, "--wait=false", check=False)


def claim(name, volume, **spec):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "by-hand", "volumeName": volume,
                     "resources": {"requests": {"storage": "1Gi"}}, **spec}}


def claiming(name, image, its_claim, *script, **spec):
    # nodeName: the scheduler would keep a pod whose claim is not bound.
    source = {"claimName": its_claim, **spec.pop("claim", {})}
    return pod(name, image, *script, volumeMounts=mounts(v="/v"),
               volumes=[{"name": "v", "persistentVolumeClaim": source}], **spec)


def here(node):
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}


def test_claims_of_hostpath_and_local_volumes_outlive_their_pods(kube, cluster, node, storage, files):
    """Row 61: what one pod writes the next one reads; a read-only claim is read-only."""
    folder = pathlib.Path(files)
    image = cluster.push("actor")
    for kind, source in (("hostpath", {"hostPath": {"path": str(folder / "hostpath"), "type": "DirectoryOrCreate"}}),
                         ("local", {"local": {"path": str(folder / "local")}, "nodeAffinity": here(node)})):
        if kind == "local":
            (folder / kind).mkdir()
        volume = f"{kube.namespace}-{kind}"
        storage(volume, **source)
        kube.apply(claim(kind, volume))
        kube.apply(claiming(f"{kind}-one", image, kind, "write", "/v/x", "kept"))
        kube.wait_phase(f"{kind}-one", "Succeeded")
        kube.apply(claiming(f"{kind}-two", image, kind, "read", "/v/x"),
                   claiming(f"{kind}-closed", image, kind, "write", "/v/y", "no", claim={"readOnly": True}))
        kube.wait_phase(f"{kind}-two", "Succeeded")
        assert "kept" in kube.logs(f"{kind}-two")
        kube.wait_phase(f"{kind}-closed", "Failed")
        assert not (folder / kind / "y").exists()
        kube("delete", "pod", f"{kind}-one", f"{kind}-two", f"{kind}-closed", "--timeout=20s")
        assert (folder / kind / "x").read_text().strip() == "kept"


def test_a_pod_waits_until_its_claim_is_bound(kube, cluster, node, storage, files):
    """Row 61: the kubelet's words until then; no need to make the pod anew."""
    volume = f"{kube.namespace}-late"
    kube.apply(claim("late", volume))
    kube.apply(claiming("waiting", cluster.push("actor"), "late", "write", "/v/x", "1", nodeName=node))
    message = kube.wait_event("waiting", "FailedMount")["message"]
    assert f"error processing PVC {kube.namespace}/late: PVC is not bound" in message, message
    assert kube.pod("waiting")["status"]["phase"] == "Pending"
    storage(volume, hostPath={"path": str(files)})
    kube.wait_phase("waiting", "Succeeded", seconds=60)
    assert (pathlib.Path(files) / "x").exists()


def test_volumes_that_cannot_be_used_here_are_named(kube, cluster, node, storage, files):
    """Row 61: another node's volume, a missing folder, a kind that is not offered, no such claim."""
    image = cluster.push("actor")
    elsewhere = here("some-other-node")
    cases = {"elsewhere": ({"local": {"path": str(files)}, "nodeAffinity": elsewhere}, "node affinity"),
             "nofolder": ({"local": {"path": f"{files}/none"}, "nodeAffinity": here(node)}, f"{files}/none"),
             "foreign": ({"nfs": {"server": "192.0.2.1", "path": "/x"}}, "nfs kind")}
    for name, (source, _) in cases.items():
        storage(f"{kube.namespace}-{name}", **source)
        kube.apply(claim(name, f"{kube.namespace}-{name}"))
        kube.apply(claiming(name, image, name, "hold", nodeName=node))
    kube.apply(claiming("absent", image, "absent", "hold", nodeName=node))
    for name, word in [*((name, word) for name, (_, word) in cases.items()), ("absent", "not found")]:
        assert kube.wait_event(name, "FailedMount", word)
    kube("delete", "pod", *cases, "absent", "--timeout=30s")


def test_a_local_volume_is_given_to_fsgroup(kube, cluster, node, storage, files):
    """Row 61, row 51: fsGroup on a local volume, the group of a volume's annotation on top."""
    folder = pathlib.Path(files) / "local"
    folder.mkdir(mode=0o700)
    (folder / "old").write_text("old\n")
    os.chmod(folder / "old", 0o600)
    volume = f"{kube.namespace}-group"
    storage(volume, local={"path": str(folder)}, nodeAffinity=here(node))
    kube("annotate", "persistentvolume", volume, "pv.beta.kubernetes.io/gid=3000")
    kube.apply(claim("group", volume))
    its = claiming("group", cluster.push("actor"), "group", "read", "/v/old", ";", "write", "/v/new", "1", ";", "hold")
    its["spec"]["securityContext"] = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}
    kube.apply(its)
    kube.wait_ready("group")
    wait_until((folder / "new").exists, SOON, lambda: kube.describe("group"))
    wait_until(lambda: "old" in kube.logs("group"), SOON, lambda: kube.describe("group"))
    assert folder.stat().st_gid == 2000 and (folder / "old").stat().st_mode & 0o777 == 0o660
    made = (folder / "new").stat()
    assert (made.st_uid, made.st_gid) == (1000, 2000)
    user = kube.pod("group")["status"]["containerStatuses"][0]["user"]["linux"]
    assert 3000 in user["supplementalGroups"]


def tar_of(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def push_image(push, reference, *layers):
    """An ordinary Linux image of these layers (path → bytes)."""
    registry = push.Registry(reference)
    parts = []
    for files in layers:
        content = tar_of(files)
        parts.append({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": registry.publish_blob(content),
                      "size": len(content)})
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                         "rootfs": {"type": "layers", "diff_ids": [p["digest"] for p in parts]}}).encode()
    registry.publish_manifest({"schemaVersion": 2, "mediaType": push.MANIFEST, "config": {
        "mediaType": push.IMAGE_CONFIG, "digest": registry.publish_blob(config), "size": len(config)},
        "layers": parts}, registry.tag)
    return reference


def push_artifact(push, reference, **files):
    """Files as `oras push` sends them."""
    registry = push.Registry(reference)
    layers = [{"mediaType": "application/octet-stream", "digest": registry.publish_blob(content), "size": len(content),
               "annotations": {"org.opencontainers.image.title": name.replace("__", "/")}}
              for name, content in files.items()]
    registry.publish_manifest({
        "schemaVersion": 2, "mediaType": push.MANIFEST, "artifactType": "application/vnd.example.model",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": registry.publish_blob(b"{}"), "size": 2},
        "layers": layers}, registry.tag)
    return reference


def with_image(name, image, reference, *script, policy=None, mount=None, **spec):
    source = {"reference": reference, **({"pullPolicy": policy} if policy else {})}
    return pod(name, image, *script, volumeMounts=[{"name": "v", "mountPath": "/v", **(mount or {})}],
               volumes=[{"name": "v", "image": source}], **spec)


def test_an_image_is_a_volume(kube, cluster, push_tool):
    """Row 67: layers over each other, read-only, subPath, and artifacts."""
    actor = cluster.push("actor")
    kitten = push_image(push_tool, f"{cluster.registry}/kitten:1",
                        {"data.json": b"old", "etc/os-release": b"NAME=kitten"}, {"data.json": b'{"purr": true}'})
    model = push_artifact(push_tool, f"{cluster.registry}/model:1", weights=b"0.5", vocabulary__en=b"boat")
    kube.apply(with_image("whole", actor, kitten, "read", "/v/data.json", ";", "read", "/v/etc/os-release", ";",
                          "write", "/v/x", "no", policy="Always"),
               with_image("part", actor, kitten, "read", "/v/os-release", mount={"subPath": "etc"}),
               with_image("files", actor, model, "read", "/v/weights", ";", "read", "/v/vocabulary/en"),
               with_image("module", actor, actor, "ls", "/v"))
    kube.wait_phase("whole", "Failed")
    told = kube.logs("whole")
    assert '{"purr": true}' in told and "NAME=kitten" in told and "write /v/x: " in told
    for name, words in (("part", ["NAME=kitten"]), ("files", ["0.5", "boat"]), ("module", ["actor.wasm"])):
        kube.wait_phase(name, "Succeeded")
        told = kube.logs(name)
        assert all(word in told for word in words), told
    assert kube.wait_event("whole", "Pulled", "kitten")
    kube("delete", "pod", "whole", "part", "files", "module", "--timeout=20s")


def test_pull_errors_of_an_image_volume_are_the_containers(kube, cluster, push_tool):
    """Row 67: ErrImagePull, then ImagePullBackOff; ErrImageNeverPull; a missing subPath."""
    actor = cluster.push("actor")
    kitten = push_image(push_tool, f"{cluster.registry}/kitten:2", {"data.json": b"1"})
    kube.apply(with_image("absent", actor, f"{cluster.registry}/nothing:1", "hold"),
               with_image("never", actor, f"{cluster.registry}/nothing:1", "hold", policy="Never"),
               with_image("nowhere", actor, kitten, "hold", mount={"subPath": "none"}))
    kube.wait_waiting("absent", "ErrImagePull")
    assert kube.wait_event("absent", "Failed", "nothing:1")
    kube.wait_waiting("absent", "ImagePullBackOff")
    kube.wait_waiting("never", "ErrImageNeverPull")
    assert "none does not exist" in kube.wait_waiting("nowhere", "CreateContainerConfigError")["message"]
    kube("delete", "pod", "absent", "never", "nowhere", "--timeout=20s")


def from_file(name, key, **more):
    return {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": "made", "path": "vars.env", "key": key, **more}}}


def filing(name, image, text, *variables):
    """A pod whose init container writes `text` into vars.env; its main container shows its environment."""
    its = pod(name, image, "environ", env=list(variables), volumes=[{"name": "made", "emptyDir": {}}])
    its["spec"]["initContainers"] = [{"name": "writer", "image": image, "args": ["write", "/made/vars.env", text],
                                      "volumeMounts": mounts(made="/made")}]
    return its


def test_variables_come_from_a_file_of_an_init_container(kube, cluster):
    """Row 68: EnvFiles."""
    image = cluster.push("actor")
    text = "# made by writer\nCOLOUR='blue $X'\nTEXT='two\nlines'  # why\n"
    kube.apply(filing("filed", image, text, from_file("A", "COLOUR"), from_file("B", "TEXT"),
                      {"name": "C", "value": "$(A)!"}, from_file("D", "NONE", optional=True)))
    kube.wait_phase("filed", "Succeeded")
    told = kube.logs("filed")
    assert "A=blue $X\n" in told and "B=two\nlines\n" in told and "C=blue $X!\n" in told
    assert "D=" not in told


def test_files_of_variables_that_are_wrong_are_told(kube, cluster):
    """Row 68: what is wrong and where; a missing key."""
    image = cluster.push("actor")
    kube.apply(filing("wrong", image, "COLOUR=blue", from_file("A", "COLOUR")),
               filing("lacking", image, "COLOUR='blue'", from_file("A", "SIZE")))
    for name, word in (("wrong", "line 1: the value does not stand in single quotes"), ("lacking", '"SIZE" not found')):
        wait_until(lambda name=name: [s for s in kube.pod(name)["status"].get("containerStatuses", [])
                                      if s["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"],
                   SOON, lambda name=name: kube.describe(name))
        status = kube.pod(name)["status"]["containerStatuses"][0]["state"]["waiting"]
        assert word in status["message"], status
