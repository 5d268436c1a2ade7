"""What `cmake --install` puts on a machine works from there."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ["bin/skiff", "libexec/skiff/skiff-engine", "lib/systemd/system/skiff.service",
         "share/skiff/cluster.yaml", "share/skiff/grafana-dashboard.json", "share/doc/skiff/README.md", "share/doc/skiff/LICENSE",
         "share/doc/skiff/docs/quick-start.md",
         "libexec/skiff/toolbox.wasm", "libexec/skiff/toolbox-component.wasm"]


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, **options)


@pytest.fixture(scope="module")
def installed(pytestconfig, tmp_path_factory):
    """The prefix of an installation below a DESTDIR, as a package is made."""
    build = ROOT / "build" / pytestconfig.getoption("--preset")
    if not (build / "bin/skiff").exists():
        pytest.skip(f"{build} holds no build")
    target = tmp_path_factory.mktemp("install")
    done = run("cmake", "--install", build, "--prefix", "/usr", "--strip",
               env=dict(os.environ, DESTDIR=str(target)))
    assert done.returncode == 0, done.stderr
    yield target / "usr"
    shutil.rmtree(target)


def test_the_files_are_where_they_belong(installed):
    for name in FILES:
        assert (installed / name).is_file(), name
    found = {str(file.relative_to(installed)) for file in installed.rglob("*") if file.is_file()}
    others = {name for name in found - set(FILES) if not name.startswith("share/doc/skiff/")}
    assert not others, "nothing else is installed"


def test_the_program_says_its_version_and_runs_a_guest(installed, tmp_path):
    done = run(installed / "bin/skiff", "version")
    assert done.returncode == 0 and done.stdout.startswith("skiff 0."), done
    guest = ROOT / "build/guests/actor.wasm"
    if not guest.exists():
        pytest.skip("the guests are not built")
    # The engine is found beside the program, wherever both are.
    done = run(installed / "bin/skiff", "run", "-q", "--root-dir", tmp_path, guest, "print", "ahoy",
               ";", "exit", "6")
    assert (done.returncode, done.stdout) == (6, "ahoy\n"), done.stderr


def unit_of(installed):
    """The unit's settings: name → values."""
    settings = {}
    for line in (installed / "lib/systemd/system/skiff.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            settings.setdefault(name, []).append(value)
    return settings


def test_the_unit_is_one_that_systemd_accepts(installed, tmp_path):
    settings = unit_of(installed)
    assert settings["KillMode"] == ["process"] and settings["Delegate"] == ["yes"]
    assert settings["Restart"] == ["always"]
    assert settings["ExecStart"][0].split()[0] == "/usr/bin/skiff"
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    # It wants the program to be there, so it is told where that lies now.
    text = (installed / "lib/systemd/system/skiff.service").read_text()
    unit = tmp_path / "skiff.service"
    unit.write_text(text.replace("/usr/bin/skiff", str(installed / "bin/skiff")))
    done = run("systemd-analyze", "verify", "--man=no", unit)
    told = [line for line in done.stderr.splitlines() if "skiff" in line]
    assert done.returncode == 0 and not told, done.stderr


def test_the_unit_starts_where_nobody_wrote_a_configuration_yet(installed):
    if pathlib.Path("/etc/skiff/config.yaml").exists():
        pytest.skip("this machine has a configuration")
    words = unit_of(installed)["ExecStart"][0].split()[1:]
    done = run(installed / "bin/skiff", *words, "--show-config")
    assert done.returncode == 0 and "healthzPort: 10248\n" in done.stdout, done
