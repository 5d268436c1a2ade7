"""Images as they are in registries: every format that is in use, and those that are not for everybody."""

import base64
import json
import os
import pathlib
import subprocess
import time
import urllib.request

import pytest

from conftest import ROOT
from fault_registry import TokenRegistry
from kube import container_of, pod, run, terminated_of, wait_until
from testcluster.nodes import config_text

NODE = "skiff-private"
HERE = {"nodeSelector": {"kubernetes.io/hostname": NODE}}
USER, PASSWORD = "captain", "ahoy"
# What `htpasswd -B` makes of it; the registry takes bcrypt only.
HTPASSWD = "captain:$2b$05$abcdefghijklmnopqrstuupc2Bh/BcdpJnf0yyNxNgehaXaZ8mK5m\n"

FORMATS = {"cncf": [], "runwasi": ["--format", "runwasi"],
           "krustlet": ["--format", "wasm-to-oci"], "wasmcloud": ["--format", "wasmcloud"],
           "index": ["--index", "linux/amd64,wasip1/wasm,linux/arm64"],
           "index-of-one": ["--index", "linux/wasm"],
           "compat": ["--format", "compat", "--entrypoint", "/actor.wasm"]}
SAY = ["args", ";", "env", "CREW", ";", "eprint", "aye", ";", "exit", "7"]


def said(argument_zero):
    words = [f"[{i}] {word}" for i, word in enumerate([argument_zero, *SAY])]
    return "\n".join([*words, "CREW=two", "aye"]) + "\n"


def speaker(name, image):
    return pod(name, image, *SAY, env=[{"name": "CREW", "value": "two"}])


def test_every_format_starts_and_starts_again_from_the_store(kube, cluster):
    images = {name: cluster.push("actor", f"format-{name}:1", *flags)
              for name, flags in FORMATS.items()}
    for turn, pulled in (("first", "Successfully pulled"), ("second", "already present")):
        kube.apply(*[speaker(f"{turn}-{name}", image) for name, image in images.items()])
        for name in images:
            its = kube.wait_phase(f"{turn}-{name}", "Failed")
            assert terminated_of(its)["exitCode"] == 7, terminated_of(its)
            zero = "/actor.wasm" if name == "compat" else f"format-{name}.wasm"
            assert sorted(kube.logs(f"{turn}-{name}").splitlines()) == sorted(
                said(zero).splitlines()), name
            reference, digest = cluster.pushed[f"format-{name}:1"]
            assert container_of(its)["imageID"] == f"{reference.rsplit(':', 1)[0]}@{digest}"
            assert pulled in kube.wait_event(f"{turn}-{name}", "Pulled")["message"], (name, turn)


def test_an_index_without_webassembly_is_a_linux_image(kube, cluster):
    image = cluster.push("hello", "linux-index:1", "--format", "linux", "--index",
                         "linux/amd64,linux/arm64")
    kube.apply(pod("linux", image))
    message = kube.wait_waiting("linux", "ErrImagePull", "ImagePullBackOff")["message"]
    assert "Linux image" in message and "linux/arm64" in message, message


def test_an_image_brings_its_environment_folder_and_entrypoint(kube, cluster):
    image = cluster.push(
        "actor", "furnished:1", "--format", "compat", "--entrypoint", "/actor.wasm", "--env",
        "CREW=two", "--env", "PORT=Lisbon", "--workdir", "/hold", "--cmd", "print", "--cmd",
        "from the image")
    kube.apply(
        pod("image", image), pod("args", image, "cwd", ";", "env", "CREW", "PORT", ";", "ls", "/"),
        pod("pod", image, "cwd", ";", "env", "CREW", "PORT", workingDir="/deck",
            env=[{"name": "PORT", "value": "Funchal"}]),
        pod("command", image, "args", command=["./actor.wasm"], workingDir="/"))
    for name in ("image", "args", "pod", "command"):
        kube.wait_phase(name, "Succeeded")
    assert kube.logs("image") == "from the image\n"
    lines = kube.logs("args").splitlines()
    assert lines[:3] == ["/hold", "CREW=two", "PORT=Lisbon"] and "actor.wasm" in lines
    assert kube.logs("pod").splitlines() == ["/deck", "CREW=two", "PORT=Funchal"]
    assert kube.logs("command").splitlines() == ["[0] ./actor.wasm", "[1] args"]


def test_an_entrypoint_with_a_function_calls_a_reactor(kube, cluster):
    image = cluster.push("dock", "dock:layered", "--format", "compat", "--entrypoint",
                         "/dock.wasm#arrive", "--env", "PORT=Lisbon")
    bare = cluster.push("dock")
    kube.apply(pod("image", image),
               pod("pod", image, command=["/dock.wasm#arrive"],
                   env=[{"name": "PORT", "value": "Faro"}]),
               pod("artifact", bare, command=["dock.wasm#arrive"]), pod("neither", bare))
    for name, port in (("image", "Lisbon"), ("pod", "Faro"), ("artifact", "?")):
        kube.wait_phase(name, "Succeeded")
        assert kube.logs(name) == f"arrived, flag up, PORT={port}\n"
    its = kube.wait_pod("neither", lambda p: terminated_of(p) or (
        container_of(p) or {}).get("state", {}).get("waiting", {}).get("reason", "")
        .endswith("Error"))
    assert "reactor" in json.dumps(its["status"]), its["status"]


def test_a_writable_layer_is_written_and_gone_with_its_container(kube, cluster):
    image = cluster.push("actor", "actor:layered", "--format", "compat", "--entrypoint",
                         "/actor.wasm")
    script = ["missing", "/mark", ";", "write", "/mark", "x", ";", "read", "/mark", ";", "exit",
              "3"]
    kube.apply(pod("twice", image, *script, restartPolicy="OnFailure"),
               pod("sealed", image, *script, securityContext={"readOnlyRootFilesystem": True}),
               pod("bare", cluster.push("actor"), *script))
    its = kube.wait_pod("twice", lambda p: container_of(p) and
                        container_of(p)["restartCount"] >= 1 and
                        "terminated" in container_of(p).get("lastState", {}))
    assert container_of(its)["lastState"]["terminated"]["exitCode"] == 3
    kube.wait_logs("twice", "x\n")
    its = kube.wait_phase("sealed", "Failed")
    assert terminated_of(its)["exitCode"] == 1 and "write /mark: Read-only" in kube.logs("sealed")
    its = kube.wait_phase("bare", "Failed")
    assert (terminated_of(its)["exitCode"], kube.logs("bare")) == (3, "x\n")
    kube("delete", "pod", "twice", "--timeout=20s")


def test_an_images_user_is_who_the_guest_is_on_disk(kube, cluster, files):
    folder = pathlib.Path(files) / "own"
    folder.mkdir(mode=0o700)
    os.chown(folder, 1000, 1000)
    volume = {"volumeMounts": [{"name": "d", "mountPath": "/d"}],
              "volumes": [{"name": "d", "hostPath": {"path": str(folder)}}]}
    layered = ["--format", "compat", "--entrypoint", "/actor.wasm"]
    sailor = cluster.push("actor", "sailor:1", *layered, "--user", "1000:1000")
    nameless = cluster.push("actor", "nameless:1", *layered, "--user", "bosun")
    kube.apply(pod("sailor", sailor, "write", "/d/log", "mine", **volume),
               pod("other", sailor, "write", "/d/log", "no", securityContext={"runAsUser": 1001},
                   **volume),
               pod("nameless", nameless))
    its = kube.wait_phase("sailor", "Succeeded", "Failed")
    assert its["status"]["phase"] == "Succeeded", kube.logs("sailor")
    assert ((folder / "log").stat().st_uid, (folder / "log").read_text()) == (1000, "mine\n")
    kube.wait_phase("other", "Failed")
    assert "EACCES" in kube.logs("other")
    message = kube.wait_waiting("nameless", "CreateContainerConfigError")["message"]
    assert "bosun" in message, message
    kube("delete", "pod", "nameless", "--timeout=20s")


class BasicRegistry:
    """Debian's docker-registry behind a password, holding what was copied to it."""

    def __init__(self, address, folder):
        self.name = f"{address}:{5400 + os.getpid() % 500}"
        (folder / "htpasswd").write_text(HTPASSWD)
        config = folder / "registry.yml"
        config.write_text(json.dumps({
            "version": "0.1", "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "auth": {"htpasswd": {"realm": "harbour", "path": str(folder / "htpasswd")}},
            "http": {"addr": self.name, "relativeurls": True}}))
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=self.log,
                                        stderr=self.log)
        wait_until(self.answers, 20, lambda: (folder / "log").read_text())

    def answers(self):
        try:
            urllib.request.urlopen(f"http://{self.name}/v2/", timeout=2)
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False

    def fill(self, source, name):
        run(["skopeo", "copy", "-q", "--preserve-digests", "--src-tls-verify=false",
             "--dest-tls-verify=false", "--dest-creds", f"{USER}:{PASSWORD}",
             f"docker://{source}", f"docker://{self.name}/{name}"])

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.log.close()


@pytest.fixture(scope="module")
def private(cluster, node, tmp_path_factory):
    """Image names in a registry with Basic and in one with Bearer authentication, and their node."""
    basic = BasicRegistry(cluster.machine, tmp_path_factory.mktemp("registry"))
    bearer = TokenRegistry(cluster.machine,
                           (ROOT / "build/guests/actor.wasm").read_bytes(), USER, PASSWORD)
    basic.fill(cluster.push("actor"), "good/x:1")
    config = tmp_path_factory.mktemp("node") / "config.yaml"
    config.write_text(config_text(basic.name, bearer.name))
    cluster.node("up", NODE, "--config", str(config))
    yield {"Basic": basic.name, "Bearer": bearer.name}
    cluster.node("down", NODE)
    basic.close()
    bearer.close()


def secret(name, registry, password):
    login = base64.b64encode(f"{USER}:{password}".encode()).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson", "stringData": {
                ".dockerconfigjson": json.dumps({"auths": {registry: {"auth": login}}})}}


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_private_image_is_for_those_who_hold_its_secret(kube, private, scheme):
    image = f"{private[scheme]}/good/x:1"

    def held(name, *secrets, **spec):
        return pod(name, image, "print", name, imagePullSecrets=[{"name": s} for s in secrets],
                   **HERE, **spec)

    def refused(name):
        waiting = kube.wait_waiting(name, "ErrImagePull", "ImagePullBackOff")
        assert any(word in waiting["message"] for word in ("401", "redentials", "uthori")), waiting
        assert kube.wait_event(name, "Failed")

    kube.apply(secret("good", private[scheme], PASSWORD),
               secret("wrong", private[scheme], "avast"))
    kube.apply(held("early"))
    refused("early")
    kube.apply(held("holder", "good"))
    kube.wait_phase("holder", "Succeeded")
    # It is on the node now, with IfNotPresent for everybody, and still not everybody's.
    kube.apply(held("stranger"), held("impostor", "wrong"), held("again", "good"),
               held("lacking", "absent"), held("never", imagePullPolicy="Never"))
    kube.wait_phase("again", "Succeeded")
    assert "already present" in kube.wait_event("again", "Pulled")["message"]
    for name in ("stranger", "impostor", "lacking"):
        refused(name)
    assert "absent" in kube.wait_event("lacking", "FailedToRetrieveImagePullSecret")["message"]
    message = kube.wait_waiting("never", "ErrImageNeverPull")["message"]
    assert "credentials" in message, message
    # A longer wait does not help them either.
    time.sleep(1)
    for name in ("early", "stranger", "impostor", "lacking", "never"):
        assert kube.pod(name)["status"]["phase"] == "Pending"
    kube("delete", "pods", "--all", "--timeout=30s")
