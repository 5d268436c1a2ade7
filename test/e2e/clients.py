"""Client programs and libraries that others made, installed once into the cache outside the tree."""

import hashlib
import os
import pathlib
import shutil

from kube import run

# Debian 12's kubectl, the oldest that is packaged: 1.20, which knows SPDY alone.
OLD_KUBECTL = "kubernetes-client"


def installed(name, key, install):
    """A folder of the cache that install(folder) filled; made once for each key, which is bytes."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "skiff"
    folder = cache / f"clients-{name}-{hashlib.sha256(key).hexdigest()[:16]}"
    if not folder.exists():
        fresh = cache / f"{folder.name}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        install(fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(fresh)
    return folder


def unpack_package(folder):
    """Without installing it: a machine may have a newer kubectl in its place."""
    if run(["apt-get", "download", "-q", OLD_KUBECTL], cwd=folder, timeout=120, check=False).returncode != 0:
        run(["apt-get", "update", "-q"], timeout=300)
        run(["apt-get", "download", "-q", OLD_KUBECTL], cwd=folder, timeout=120)
    (package,) = folder.glob("*.deb")
    run(["dpkg-deb", "-x", package, folder])
    package.unlink()


def old_kubectl():
    """The path of a kubectl of 2020."""
    return str(installed("kubectl", OLD_KUBECTL.encode(), unpack_package) / "usr/bin/kubectl")
