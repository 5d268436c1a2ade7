"""`skiff check`: what keeps a machine from being a node, found before it joins."""

import json
import os
import socket

import pytest

from kube import run


@pytest.fixture
def check(skiff, tmp_path):
    """`skiff check` of a machine without a cluster: its findings by name, and its exit code."""
    def call(*words, standalone=True):
        flags = ["--standalone"] if standalone else []
        done = run([skiff, "check", *flags, "-o", "json", "--root-dir", tmp_path / "root", "--run-dir",
                    tmp_path / "run", "--pod-log-dir", tmp_path / "logs", "--port", "10460", "--healthz-port", "0",
                    "--kubeconfig", tmp_path / "none", "--bootstrap-kubeconfig", tmp_path / "none", *words],
                   check=False)
        assert done.returncode in (0, 1), done.stderr
        document = json.loads(done.stdout)
        for finding in document["findings"]:
            assert finding["detail"] and bool(finding["remedy"]) == (finding["verdict"] != "ok"), finding
        assert (done.returncode == 1) == (document["verdict"] == "fail")
        return {f["check"]: f for f in document["findings"]}, done.returncode

    return call


def test_a_good_machine_passes(check):
    found, code = check()
    assert code == 0, [f for f in found.values() if f["verdict"] == "fail"]
    assert found["engine: skiff-engine"]["verdict"] == "ok"
    assert found["kernel: pidfd_open"]["verdict"] == "ok"


def test_faults_are_named(check, tmp_path):
    with socket.create_server(("0.0.0.0", 10460)):
        found, code = check()
    assert code == 1 and found["network: port"]["verdict"] == "fail"
    assert f"pid {os.getpid()}" in found["network: port"]["detail"]

    found, code = check("--engine-path", "/bin/true")
    assert code == 1 and "version unknown" in found["engine: skiff-engine"]["detail"]

    root = tmp_path / "root"
    root.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "noexec,mode=700", "none", root])
    try:
        found, code = check()
        assert code == 1 and "noexec" in found["disk: rootDir"]["detail"]
    finally:
        run(["umount", root])
    os.chmod(root, 0o777)
    found, code = check()
    assert code == 1 and "others may write" in found["disk: rootDir"]["detail"]


def test_a_node_without_credentials_is_told_how_to_join(check):
    found, code = check(standalone=False)
    assert code == 1
    assert "skiff node join" in found["identity: bootstrap kubeconfig"]["remedy"]
    assert "cluster: API server" not in found


def test_people_get_lines_and_colour_on_a_terminal_only(skiff, tmp_path):
    words = [skiff, "check", "--standalone", "--port", "10461", "--root-dir", tmp_path]
    plain = run(words, check=False).stdout
    assert "\x1b" not in plain and "ok    kernel: seccomp: filters are there\n" in plain
    shown = run(["script", "-qec", " ".join(str(word) for word in words), "/dev/null"], check=False)
    assert "\x1b[32mok  \x1b[0m  kernel: seccomp" in shown.stdout


def test_a_joined_node_and_its_api_server_are_well(skiff, cluster, node, run_dir, tmp_path):
    """In the network namespace of a node that runs; then with credentials of another node, and of nobody."""
    folder = cluster.node_folder(node)

    def at_the_node(*words, name=node):
        done = run(["nsenter", f"--net=/run/netns/{cluster.env['CLUSTER_NETNS']}n1", skiff, "check", "-o", "json",
                    "--config", f"{folder}/config.yaml", "--root-dir", f"{folder}/root", "--run-dir", run_dir,
                    "--node-name", name, "--bootstrap-kubeconfig", f"{folder}/bootstrap.kubeconfig", *words],
                   check=False)
        assert done.stdout, done.stderr
        findings = json.loads(done.stdout)["findings"]
        # Of several of one name the worst.
        return {f["check"]: f for f in sorted(findings, key=lambda f: ["ok", "warn", "fail"].index(f["verdict"]))}

    good = at_the_node("--kubeconfig", f"{folder}/kubeconfig")
    bad = {name: f for name, f in good.items() if f["verdict"] == "fail"}
    assert not bad, bad
    assert "accepted; the Node exists" in good["cluster: credentials"]["detail"]
    assert good["time: clock"]["verdict"] == "ok" and "v1.37" in good["cluster: API server"]["detail"]
    assert "served by skiff" in good["network: port"]["detail"]

    other = at_the_node("--kubeconfig", f"{folder}/kubeconfig", name="somebody-else")
    assert other["identity: client certificate"]["verdict"] == "warn"
    assert other["cluster: credentials"]["verdict"] == "fail"

    text = (folder / "kubeconfig").read_text()
    wrong = tmp_path / "kubeconfig"
    wrong.write_text(text.replace(cluster.env["SERVER"], cluster.env["SERVER"].rsplit(":", 1)[0] + ":1"))
    os.chmod(wrong, 0o644)
    away = at_the_node("--kubeconfig", str(wrong))
    assert away["cluster: API server"]["verdict"] == "fail"
    assert "others may read" in away["identity: file mode"]["detail"]
