"""Volumes of a pod that runs: what changes in the API is seen by the guest, whole and soon (contract rows 29, 30, 33)."""

import os

import pytest

from kube import pod, wait_until

# Far below the 60 to 90 seconds in which a kubelet reads again: only a watch is so fast.
SOON = 10


def mounts(**paths):
    return [{"name": name, "mountPath": path} for name, path in paths.items()]


def watcher(name, image, volume, **spec):
    """A pod that holds, with `volume` at /v."""
    return pod(name, image, "hold", volumeMounts=mounts(v="/v"),
               volumes=[{"name": "v", **volume}], **spec)


@pytest.fixture
def folder(kube, cluster, node):
    """The volume `v` of a pod on the machine."""

    def find(name, plugin):
        uid = kube.pod(name)["metadata"]["uid"]
        return cluster.node_folder(node) / f"root/pods/{uid}/volumes/kubernetes.io~{plugin}/v"

    return find


@pytest.fixture
def shows(inside):
    """Waits until the guest sees `text` in a file."""

    def wait(name, path, text):
        wait_until(lambda: text in inside(name, "cat", path), SOON,
                   lambda: f"{path} of {name} shows {text}: {kube.describe(name)}")

    return wait


def config_map(name, data, **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data, **more}


def secret(name, data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def test_configmap_and_secret_updates_are_reflected(kube, cluster, folder, shows):
    """Row 29: one rename of `..data` shows the whole new payload; what is gone is gone."""
    kube.apply(config_map("config", {"keep": "one", "gone": "x"}), secret("secret", {"word": "one"}))
    image = cluster.push("actor")
    kube.apply(watcher("map", image, {"configMap": {"name": "config"}}),
               watcher("hush", image, {"secret": {"secretName": "secret"}}))
    for name in ("map", "hush"):
        kube.wait_ready(name)
    shows("map", "/v/keep", "one")
    version = (folder("map", "configmap") / "..data").readlink()
    kube("patch", "configmap", "config", "--type=merge", "-p",
         '{"data": {"keep": "two", "gone": null, "new": "three"}}')
    kube.apply(secret("secret", {"word": "two"}))
    shows("map", "/v/keep", "two")
    shows("map", "/v/new", "three")
    shows("hush", "/v/word", "two")
    at = folder("map", "configmap")
    assert not (at / "gone").exists() and not (at / version).exists()
    assert (at / "..data").readlink() != version


def test_downward_api_follows_labels_and_annotations(kube, cluster, shows):
    """Row 29: the downward API volume of a running pod."""
    items = [{"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}}
             for name in ("labels", "annotations")]
    kube.apply(watcher("down", cluster.push("actor"), {"downwardAPI": {"items": items}},
                       metadata={"labels": {"crew": "one"}, "annotations": {"note": "one"}}))
    kube.wait_ready("down")
    shows("down", "/v/labels", 'crew="one"')
    kube("label", "pod", "down", "crew=two", "--overwrite")
    kube("annotate", "pod", "down", "note=two", "--overwrite")
    shows("down", "/v/labels", 'crew="two"')
    shows("down", "/v/annotations", 'note="two"')


def test_optional_objects_may_come_and_go(kube, cluster, shows, inside):
    """Row 29: optional sources, alone and projected, that appear, change and vanish."""
    image = cluster.push("actor")
    kube.apply(watcher("alone", image, {"configMap": {"name": "late", "optional": True}}),
               watcher("part", image, {"projected": {"sources": [
                   {"configMap": {"name": "late", "optional": True}},
                   {"secret": {"name": "never", "optional": True}}]}}))
    for name in ("alone", "part"):
        kube.wait_ready(name)
        assert inside(name, "ls", "/v").split() == []
    kube.apply(config_map("late", {"key": "here"}))
    for name in ("alone", "part"):
        shows(name, "/v/key", "here")
    kube("delete", "configmap", "late")
    for name in ("alone", "part"):
        wait_until(lambda name=name: inside(name, "ls", "/v").split() == [], SOON,
                   lambda name=name: f"nothing is left in {name}: {kube.describe(name)}")


def test_a_missing_configmap_starts_the_pod_as_soon_as_it_comes(kube, cluster):
    """Row 29: `FailedMount` until then; Row 26: the same for a variable."""
    image = cluster.push("actor")
    kube.apply(pod("mounted", image, "read", "/v/x", volumeMounts=mounts(v="/v"),
                   volumes=[{"name": "v", "configMap": {"name": "late"}}]),
               pod("variable", image, "env", "X", env=[{"name": "X", "valueFrom": {
                   "configMapKeyRef": {"name": "late", "key": "x"}}}]))
    assert 'configmap "late" not found' in kube.wait_event("mounted", "FailedMount")["message"]
    kube.wait_waiting("variable", "CreateContainerConfigError")
    kube.apply(config_map("late", {"x": "here"}))
    for name in ("mounted", "variable"):
        kube.wait_phase(name, "Succeeded", seconds=SOON)
        assert "here" in kube.logs(name)


def test_an_immutable_object_that_was_made_anew_is_read_by_new_pods(kube, cluster, shows):
    """Row 30: immutable objects are watched no longer."""
    image = cluster.push("actor")
    kube.apply(config_map("fixed", {"key": "one"}, immutable=True))
    kube.apply(watcher("old", image, {"configMap": {"name": "fixed"}}))
    kube.wait_ready("old")
    shows("old", "/v/key", "one")
    kube("delete", "configmap", "fixed")
    kube.apply(config_map("fixed", {"key": "two"}, immutable=True))
    kube.apply(watcher("new", image, {"configMap": {"name": "fixed"}}))
    kube.wait_ready("new")
    shows("new", "/v/key", "two")


def test_a_subpath_gets_no_updates(kube, cluster, shows, inside):
    """Row 29: a mount of one file stays what it was when the container started."""
    kube.apply(config_map("config", {"file": "one", "other": "one"}))
    its = pod("part", cluster.push("actor"), "hold",
              volumeMounts=[{"name": "v", "mountPath": "/one", "subPath": "file"},
                            {"name": "v", "mountPath": "/all"}],
              volumes=[{"name": "v", "configMap": {"name": "config"}}])
    kube.apply(its)
    kube.wait_ready("part")
    kube.apply(config_map("config", {"file": "two", "other": "two"}))
    shows("part", "/all/file", "two")
    assert inside("part", "cat", "/one").strip() == "one"


def test_mounts_nest_in_each_other(kube, cluster, shows, inside):
    """Row 33: a volume in another one's mount, a single file over a file, files of the node in a mounted /etc."""
    kube.apply(config_map("config", {"keep": "one", "file": "from the map\n"}))
    its = pod("nest", cluster.push("actor"), "write", "/etc/app/data/x", "deep", ";", "read",
              "/etc/app/file", ";", "hold",
              volumeMounts=[{"name": "map", "mountPath": "/etc/app"},
                            {"name": "data", "mountPath": "/etc/app/data"},
                            {"name": "map", "mountPath": "/work/over", "subPath": "file"},
                            {"name": "data", "mountPath": "/work"},
                            {"name": "etc", "mountPath": "/etc"}],
              volumes=[{"name": "map", "configMap": {"name": "config"}},
                       {"name": "etc", "configMap": {"name": "config"}},
                       {"name": "data", "emptyDir": {}}])
    kube.apply(its)
    kube.wait_ready("nest")
    wait_until(lambda: "from the map" in kube.logs("nest"), SOON, lambda: kube.describe("nest"))
    kube.apply(config_map("config", {"keep": "two", "file": "changed"}))
    shows("nest", "/etc/app/keep", "two")
    shows("nest", "/etc/keep", "two")
    # The update left the mounts in the volume alone.
    shows("nest", "/etc/app/data/x", "deep")
    shows("nest", "/work/x", "deep")
    shows("nest", "/work/over", "from the map")
    assert "nest" in inside("nest", "cat", "/etc/hosts")


def by_expression(name, image, expression, *args, **spec):
    return pod(name, image, *args, volumeMounts=[{"name": "v", "mountPath": "/v", "subPathExpr": expression}],
               volumes=[{"name": "v", "emptyDir": {}}], **spec)


def field(name, path):
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def test_subpathexpr_is_expanded_from_the_variables(kube, cluster, folder):
    """Row 33: subPathExpr with `$(VAR)`."""
    kube.apply(by_expression("expand", cluster.push("actor"), "logs/$(POD)", "write", "/v/x", "1", ";", "hold",
                             env=[field("POD", "metadata.name")]))
    kube.wait_ready("expand")
    wait_until((folder("expand", "empty-dir") / "logs/expand/x").exists, SOON, "the file is in its folder")


def test_subpathexpr_that_leads_outside_is_refused_until_it_is_mended(kube, cluster):
    """Row 33: an absolute path and `..` wait with CreateContainerConfigError; a changed annotation mends it."""
    image = cluster.push("actor")
    kube.apply(by_expression("absolute", image, "$(AT)", "hold", env=[{"name": "AT", "value": "/tmp"}]),
               by_expression("outside", image, "$(AT)", "hold", env=[{"name": "AT", "value": ".."}]),
               by_expression("unknown", image, "$(NONE)", "hold"),
               by_expression("later", image, "$(AT)/$(POD)", "hold",
                             env=[field("AT", "metadata.annotations['at']"), field("POD", "metadata.name")]))
    for name, word in (("absolute", "absolute path"), ("outside", "'..'"), ("unknown", "NONE"),
                       ("later", "absolute path")):
        assert word in kube.wait_waiting(name, "CreateContainerConfigError")["message"]
        assert word in kube.wait_event(name, "Failed")["message"]
    kube("annotate", "pod", "later", "at=here")
    kube.wait_ready("later", seconds=SOON)


def test_modes_of_files_are_as_specified(kube, cluster, folder, inside):
    """Row 29: defaultMode, the mode of an item, and what fsGroup adds."""
    kube.apply(config_map("config", {"a": "1", "b": "2"}))
    source = {"configMap": {"name": "config", "defaultMode": 0o400,
                            "items": [{"key": "a", "path": "a"}, {"key": "b", "path": "in/b", "mode": 0o640}]}}
    image = cluster.push("actor")
    kube.apply(watcher("plain", image, source),
               watcher("group", image, source, securityContext={"runAsUser": 1000},
                       **{"hostname": "group"}))
    its = watcher("shared", image, source)
    its["spec"]["securityContext"] = {"runAsUser": 1000, "fsGroup": 2000}
    kube.apply(its)
    kube.wait_ready("plain")
    kube.wait_ready("shared")

    def modes(name):
        at = folder(name, "configmap")
        return [((at / path).stat().st_mode & 0o777, (at / path).stat().st_gid) for path in ("a", "in/b")]

    assert [mode for mode, _ in modes("plain")] == [0o400, 0o640]
    assert [mode for mode, _ in modes("shared")] == [0o440, 0o640]
    assert all(gid % 65536 == 2000 for _, gid in modes("shared"))
    # A user that is neither root nor of the group may not read what only the owner may.
    assert inside("shared", "cat", "/v/a").strip() == "1"
    kube.wait_ready("group")
    assert inside("group", "cat", "/v/a") == ""


def test_a_sized_emptydir_in_memory_is_full_at_its_limit(kube, cluster, folder):
    """Row 32: medium Memory is a tmpfs of sizeLimit, or of the pod's memory limit if that is less."""
    image = cluster.push("actor")
    kube.apply(watcher("small", image, {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}),
               watcher("pod", image, {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                       resources={"limits": {"memory": "48Mi"}}))
    for name, size in (("small", 1 << 20), ("pod", 48 << 20)):
        kube.wait_ready(name)
        its = os.statvfs(folder(name, "empty-dir"))
        assert its.f_blocks * its.f_frsize == size
