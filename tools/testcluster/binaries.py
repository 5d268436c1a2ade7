"""Builds the control plane from test/cluster's Go module, once per go.mod and go.sum.

The result lives outside the tree, so a fresh clone builds nothing:
    ${XDG_CACHE_HOME:-~/.cache}/skiff/cluster-HASH/bin/{etcd,kube-apiserver,…,kubectl}
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess

from .proc import ClusterError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFAULT_VERSION = "1.37"
COMMANDS = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"]


def module_folder(version):
    """The Go module for a minor version: the present one, or a sibling for version skew."""
    name = "cluster" if version == DEFAULT_VERSION else f"cluster-{version}"
    folder = os.path.join(ROOT, "test", name)
    if not os.path.isfile(os.path.join(folder, "go.mod")):
        raise ClusterError(f"no test/{name}/go.mod: Kubernetes {version} is not one of ours")
    return folder


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "skiff")


def binaries_folder(version=DEFAULT_VERSION):
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        with open(os.path.join(module_folder(version), name), "rb") as file:
            digest.update(file.read())
    return os.path.join(cache_folder(), f"cluster-{digest.hexdigest()[:16]}", "bin")


def are_built(version=DEFAULT_VERSION):
    folder = binaries_folder(version)
    return all(os.access(os.path.join(folder, name), os.X_OK) for name in [*COMMANDS, "etcd"])


def _kubernetes_of(folder):
    """The version of Kubernetes that the module there requires."""
    with open(os.path.join(folder, "go.mod")) as file:
        found = re.search(r"^\s*(?:require\s+)?k8s\.io/kubernetes (v\S+)", file.read(), re.M)
    return found.group(1)


def _flags_for_version(full):
    major, minor = full.lstrip("v").split(".")[:2]
    values = {"gitVersion": full, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += [f"-X {package}.{name}={value}" for name, value in values.items()]
    return " ".join(flags)


def build(version=DEFAULT_VERSION, say=print):
    """Makes sure that the binaries exist and returns their folder."""
    target = binaries_folder(version)
    if are_built(version):
        return target
    os.makedirs(cache_folder(), exist_ok=True)
    with open(os.path.join(cache_folder(), "cluster-build.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not are_built(version):
            _build_into(target, version, say)
    return target


def build_own(name):
    """Makes sure that test/cluster/NAME is built beside the control plane; returns the program."""
    program = os.path.join(build(), name)
    with open(os.path.join(cache_folder(), "cluster-build.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(program, os.X_OK):
            go, environment = _go()
            _go_build(go, environment, module_folder(DEFAULT_VERSION), f"./{name}", program=program)
    return program


# Programs with a go.mod and go.sum of their own, in test/NAME, upstream ones and those made of upstream libraries: flags of
# `go build`, and the package.
TOOLS = {"metrics-server": ["sigs.k8s.io/metrics-server/cmd/metrics-server"],
         "flanneld": ["github.com/flannel-io/flannel"],
         "remotedialer": ["."],
         "kube-proxy": ["k8s.io/kubernetes/cmd/kube-proxy"],
         "kubelet": ["k8s.io/kubernetes/cmd/kubelet"],
         "coredns": ["."],
         "linux-pod": ["."],
         # Without the clouds' service discovery, which is most of it.
         "prometheus": ["-tags=remove_all_sd", "github.com/prometheus/prometheus/cmd/prometheus"]}
# Those with C sources.
NEED_C = ["flanneld"]
# Those that tell the cluster which version they are.
NEED_VERSION = ["kubelet"]

PLUGINS = "github.com/containernetworking/plugins/plugins"
CONTAINERD = "github.com/containerd/containerd/v2/cmd"
# Without storage that no test has, and without sending traces.
CONTAINERD_TAGS = "-tags=no_devmapper,no_zfs,no_tracing"

# The same for several programs of one module: to each its flags and package.
SETS = {"cni-plugins": {"bridge": [f"{PLUGINS}/main/bridge"],
                        "host-local": [f"{PLUGINS}/ipam/host-local"],
                        "portmap": [f"{PLUGINS}/meta/portmap"]},
        "containerd": {"containerd": [CONTAINERD_TAGS, f"{CONTAINERD}/containerd"],
                       "containerd-shim-runc-v2": [CONTAINERD_TAGS, f"{CONTAINERD}/containerd-shim-runc-v2"]}}


def _tool_folder(name, *sources):
    """Where the programs of test/NAME are kept, by what its go.mod, go.sum and these sources say."""
    digest = hashlib.sha256()
    for part in ["go.mod", "go.sum", *sources]:
        with open(os.path.join(ROOT, "test", name, part), "rb") as file:
            digest.update(file.read())
    return os.path.join(cache_folder(), f"{name}-{digest.hexdigest()[:16]}")


def build_set(name):
    """Makes sure that all programs of a module of SETS are built; returns their folder."""
    target = _tool_folder(name)
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(cache_folder(), "cluster-build.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for each, words in SETS[name].items():
            program = os.path.join(target, each)
            if not os.access(program, os.X_OK):
                go, environment = _go()
                _go_build(go, environment, os.path.join(ROOT, "test", name), *words, program=program)
    return target


def build_tool(name):
    """Makes sure that a program of TOOLS is built; returns it."""
    folder = os.path.join(ROOT, "test", name)
    sources = sorted(part for part in os.listdir(folder) if part.endswith(".go")) if TOOLS[name] == ["."] else []
    program = os.path.join(_tool_folder(name, *sources), name)
    os.makedirs(os.path.dirname(program), exist_ok=True)
    with open(os.path.join(cache_folder(), "cluster-build.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(program, os.X_OK):
            go, environment = _go()
            if name in NEED_C:
                environment["CGO_ENABLED"] = "1"
            words = list(TOOLS[name])
            if name in NEED_VERSION:
                words.insert(0, f"-ldflags={_flags_for_version(_kubernetes_of(folder))}")
            _go_build(go, environment, folder, *words, program=program)
    return program


def _go_build(go, environment, folder, *words, program):
    """`words`: flags, also `-ldflags`, and the package."""
    done = subprocess.run([go, "build", "-trimpath", "-ldflags", "-s -w", "-o", program + ".new", *words],
                          cwd=folder, env=environment)
    if done.returncode != 0:
        raise ClusterError(f"go build {words[-1]}: exit {done.returncode}")
    os.rename(program + ".new", program)


def _go():
    """The Go program and the environment to build in."""
    found = subprocess.run(["bash", os.path.join(ROOT, "tools", "toolchain.sh"), "go"],
                           stdout=subprocess.PIPE)
    if found.returncode != 0:
        raise ClusterError("no usable Go (see above)")
    environment = dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS="-mod=readonly")
    return found.stdout.decode().strip(), environment


def _build_into(target, version, say):
    go, environment = _go()
    full = _kubernetes_of(module_folder(version))
    say(f"building Kubernetes {full} and etcd (once; about ten minutes on two cores)")
    temporary = target + ".new"
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    packages = {name: f"k8s.io/kubernetes/cmd/{name}" for name in COMMANDS}
    packages["etcd"] = "go.etcd.io/etcd/server/v3"
    for count, (name, package) in enumerate(packages.items(), 1):
        say(f"  [{count}/{len(packages)}] {name}")
        done = subprocess.run(
            [go, "build", "-trimpath", "-ldflags", _flags_for_version(full),
             "-o", os.path.join(temporary, name), package],
            cwd=module_folder(version), env=environment)
        if done.returncode != 0:
            shutil.rmtree(temporary, ignore_errors=True)
            raise ClusterError(f"go build {package}: exit {done.returncode}")
    shutil.rmtree(target, ignore_errors=True)
    os.rename(temporary, target)
