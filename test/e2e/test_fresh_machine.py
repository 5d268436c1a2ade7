"""The README's first command on a Debian 12 that has nothing but its base packages.

Takes half an hour: everything is installed, fetched and built anew, in a folder of its own.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from conftest import ROOT
from kube import run

MIRROR = "http://deb.debian.org/debian"
AUTHORITIES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture
def machine():
    """A Debian 12 as an installer leaves it, with this tree's last commit in /root/skiff."""
    if not shutil.which("debootstrap"):
        run(["apt-get", "update", "-q"], timeout=300)
        run(["apt-get", "install", "-qy", "--no-install-recommends", "debootstrap"], timeout=300)
    root = pathlib.Path(tempfile.mkdtemp(prefix="skiff-debian-", dir="/var/tmp"))
    try:
        run(["debootstrap", "bookworm", root, MIRROR], timeout=900)
        (root / "etc/apt/sources.list").write_text(
            f"deb {MIRROR} bookworm main\ndeb {MIRROR} bookworm-updates main\n"
            "deb http://deb.debian.org/debian-security bookworm-security main\n")
        # The network is this machine's, and so is who vouches for what is fetched through it.
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        vouchers = root / "usr/local/share/ca-certificates"
        vouchers.mkdir(parents=True, exist_ok=True)
        bundle = AUTHORITIES.read_text().split("-----END CERTIFICATE-----\n")
        for number, text in enumerate(bundle[:-1]):
            (vouchers / f"{number}.crt").write_text(text.lstrip() + "-----END CERTIFICATE-----\n")
        run(["git", "clone", "-q", "--depth", "1", f"file://{ROOT}", root / "root/skiff"])
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def on(root, command, timeout):
    """Runs a shell command there, with mounts and a process tree that end with it."""
    # Its root by pivot_root(2): in a chroot the kernel gives nobody a user namespace.
    inside = f"""
        set -e
        mount --rbind {root} {root}
        mount -t proc proc {root}/proc
        mount --rbind /sys {root}/sys
        mount --rbind /dev {root}/dev
        cd {root}
        mkdir -p .before
        pivot_root . .before
        umount --lazy /.before
        exec /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
            /bin/bash -c 'cd /root/skiff && {command}'
    """
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c",
                           inside], timeout=timeout, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          stdin=subprocess.DEVNULL)


@pytest.mark.long
def test_the_first_command_works_on_a_fresh_debian(machine):
    for tool in ("clang-22", "cargo", "rustc", "go", "cmake", "git", "curl"):
        assert not (machine / "usr/bin" / tool).exists(), "base packages only"
    done = on(machine, "./dev run", timeout=4500)
    assert done.returncode == 0, done.stdout[-8000:]
    for word in ("installing", "building (dev)", "Skiff: a pod of WebAssembly modules",
                 "crew       Ada and Grace", "west by north"):
        assert word in done.stdout, done.stdout[-8000:]
    # What was built stays built.
    again = on(machine, "./dev run", timeout=600)
    assert again.returncode == 0 and "installing" not in again.stdout, again.stdout[-8000:]
    assert os.path.exists(machine / "root/skiff/build/dev/bin/skiff-engine")
