"""Modes, owners and ids as a pod's guest sees them (docs/guest-api.md), and who it is made to be (contract row 51)."""

import os

import pytest

from kube import pod, terminated_of


def mounttest(name, cluster, *flags, **rest):
    return pod(name, cluster.push("mounttest"), *flags, **rest)


def said(kube, name):
    kube.wait_phase(name, "Succeeded")
    return kube.logs(name)


def test_a_secrets_files_have_their_modes(kube, cluster):
    kube("create", "secret", "generic", "keys", "--from-literal=a=one", "--from-literal=b=two")
    secret = {"secretName": "keys", "defaultMode": 0o440,
              "items": [{"key": "a", "path": "a"}, {"key": "b", "path": "sub/b", "mode": 0o400}]}
    its = mounttest("modes", cluster, "--file_mode=/keys/a", "--file_perm=/keys/sub/b", "--fs_type=/keys",
                    "--file_owner=/keys/a", "--file_content=/keys/sub/b",
                    volumeMounts=[{"name": "keys", "mountPath": "/keys"}],
                    volumes=[{"name": "keys", "secret": secret}])
    kube.apply(its)
    lines = said(kube, "modes").splitlines()
    assert lines == ['mount type of "/keys": tmpfs', 'mode of file "/keys/a": -r--r-----',
                     'perms of file "/keys/sub/b": -r--------', 'owner UID of "/keys/a": 0',
                     'owner GID of "/keys/a": 0', 'content of file "/keys/sub/b": two']


def test_an_emptydir_takes_files_of_any_mode(kube, cluster):
    shown = {"0644": "-rw-r--r--", "0666": "-rw-rw-rw-", "0777": "-rwxrwxrwx"}
    cases = {f"empty-{user}-{medium.lower() or 'default'}-{mode}": (user, medium, mode)
             for user in (0, 1001) for medium in ("", "Memory") for mode in shown}
    for name, (user, medium, mode) in cases.items():
        its = mounttest(name, cluster, "--fs_type=/v", f"--new_file_{mode}=/v/f", "--file_perm=/v/f",
                        "--file_owner=/v/f", "--file_mode=/v",
                        volumeMounts=[{"name": "v", "mountPath": "/v"}],
                        volumes=[{"name": "v", "emptyDir": {"medium": medium}}])
        its["spec"]["securityContext"] = {"runAsUser": user}
        kube.apply(its)
    for name, (user, medium, mode) in cases.items():
        told = said(kube, name)
        assert f'perms of file "/v/f": {shown[mode]}\n' in told and f'owner UID of "/v/f": {user}\n' in told, told
        assert ('mount type of "/v": tmpfs\n' in told) or not medium, told
        assert 'mode of file "/v": drwxrwxrwx\n' in told, told


def test_a_guest_knows_who_it_is(kube, cluster):
    its = pod("who", cluster.push("toolbox"), "sh", "-c", "id; id -G; touch /v/f; stat -c '%a %u:%g' /v /v/f",
              securityContext={"runAsGroup": 3000},
              volumeMounts=[{"name": "v", "mountPath": "/v"}], volumes=[{"name": "v", "emptyDir": {}}])
    its["spec"]["securityContext"] = {"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [4000]}
    kube.apply(its)
    lines = said(kube, "who").splitlines()
    # The volume is the group's, and what is made in it inherits that.
    assert lines == ["uid=1000 gid=3000 groups=3000,2000,4000", "3000 2000 4000", "2777 0:2000", "644 1000:2000"]


def test_foreign_files_are_seen_with_their_owners(kube, cluster, files):
    own = os.path.join(files, "own")
    with open(own, "w") as out:
        out.write("x")
    os.chown(own, 1000, 1000)
    os.chmod(own, 0o640)
    volume = {"volumeMounts": [{"name": "h", "mountPath": "/h"}],
              "volumes": [{"name": "h", "hostPath": {"path": str(files)}}]}
    script = "stat -c '%a %u %g' /h/own; chmod 4755 /h/own; echo $?; chmod 600 /h/own; stat -c %a /h/own"
    its = pod("owners", cluster.push("toolbox"), "sh", "-c", script, **volume)
    its["spec"]["securityContext"] = {"runAsUser": 1000}
    kube.apply(its)
    told = said(kube, "owners").splitlines()
    assert told[0] == "640 1000 1000" and told[-2:] == ["1", "600"], told
    assert any("setuid and setgid bits cannot be set" in line for line in told)
    assert os.stat(own).st_mode & 0o7777 == 0o600
    # Another user sees the same and changes nothing.
    its = pod("stranger", cluster.push("toolbox"), "chmod", "0777", "/h/own", **volume)
    its["spec"]["securityContext"] = {"runAsUser": 1001}
    kube.apply(its)
    kube.wait_phase("stranger", "Failed")
    # Who may not read a file cannot name it for a change, either.
    assert "Permission denied" in kube.logs("stranger")


@pytest.mark.parametrize("name, context, text", [
    ("image-is-root", {"runAsNonRoot": True}, "container has runAsNonRoot and image will run as root"),
    ("asks-for-root", {"runAsNonRoot": True, "runAsUser": 0}, "container's runAsUser breaks non-root policy"),
])
def test_row_51_run_as_non_root_is_held(kube, cluster, name, context, text):
    kube.apply(pod(name, cluster.push("actor"), "exit", "0", securityContext=context))
    waiting = kube.wait_waiting(name, "CreateContainerConfigError")
    uid = kube.pod(name)["metadata"]["uid"]
    namespace = kube.pod(name)["metadata"]["namespace"]
    assert waiting["message"] == f'{text} (pod: "{name}_{namespace}({uid})", container: main)'
    assert kube.wait_event(name, "Failed")["message"].endswith(waiting["message"])
    kube("delete", "pod", name, "--timeout=20s")


def test_row_51_a_user_that_is_not_root_runs(kube, cluster):
    kube.apply(pod("sailor", cluster.push("toolbox"), "id", "-u",
                   securityContext={"runAsNonRoot": True, "runAsUser": 1234}))
    assert said(kube, "sailor") == "1234\n"


@pytest.mark.parametrize("name, path", [("plain", "/dev/termination-custom-log"), ("relative", "log/last"),
                                        ("winding", "/a/../b//c/")])
def test_a_termination_message_path_of_any_form(kube, cluster, name, path):
    at = {"plain": path, "relative": "/log/last", "winding": "/b/c"}[name]
    kube.apply(pod(f"message-{name}", cluster.push("actor"), "write", at, "DONE",
                   terminationMessagePath=path, securityContext={"runAsUser": 10000}))
    its = kube.wait_phase(f"message-{name}", "Succeeded")
    assert terminated_of(its)["message"].strip() == "DONE"


def test_a_termination_message_path_that_is_the_root_is_named(kube, cluster):
    kube.apply(pod("message-root", cluster.push("actor"), "exit", "0", terminationMessagePath="/"))
    waiting = kube.wait_waiting("message-root", "CreateContainerConfigError")
    assert waiting["message"].startswith("terminationMessagePath '/' of container main is no place for a file"), waiting
    kube("delete", "pod", "message-root", "--timeout=20s")
