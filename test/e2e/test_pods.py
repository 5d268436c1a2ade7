"""Pods on a real cluster: they run, end, restart and are deleted as on any node."""

import json
import re
import time

import pytest

from conftest import ROOT
from kube import condition_of, container_of, find_condition, pod, run, terminated_of, wait_until


def test_hello_runs_to_completion(kube, cluster):
    kube.apply(pod("hello", cluster.push("actor"), "print", "hello", "world"))
    its = kube.wait_phase("hello", "Succeeded")
    ended = terminated_of(its)
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["containerID"].startswith("skiff://")
    assert container_of(its)["imageID"].startswith(f"{cluster.registry}/actor@sha256:")
    assert kube.logs("hello") == "hello world\n"
    assert its["status"]["qosClass"] == "BestEffort"
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert kube.wait_event("hello", reason)


def test_exit_codes_are_the_guests(kube, cluster):
    image = cluster.push("actor")
    for code in (3, 130, 255):
        kube.apply(pod(f"exit-{code}", image, "exit", code))
    for code in (3, 130, 255):
        its = kube.wait_phase(f"exit-{code}", "Failed")
        assert terminated_of(its)["exitCode"] == code
        assert terminated_of(its)["reason"] == "Error"


@pytest.mark.parametrize("engine", ["wasmtime", "pulley"])
def test_a_trap_shows_its_reason_and_backtrace(kube, cluster, engine):
    kube.apply(pod("trap", cluster.push("actor"), "trap", runtimeClassName=engine))
    its = kube.wait_phase("trap", "Failed")
    assert terminated_of(its)["exitCode"] == 134
    assert "unreachable" in terminated_of(its)["message"]
    # Who called whom, by the names that the guest's functions have in its source; the innermost first.
    frames = re.findall(r"^ *\d+: actor\.wasm!(\S+) @ 0x", terminated_of(its)["message"], re.M)
    own = ["verb_trap", "run_script", "main", "_start"]
    assert [name for name in frames if name in own] == own, terminated_of(its)
    for text in ("unreachable", *own):
        assert text in kube.describe("trap")


def test_a_memory_limit_is_oomkilled(kube, cluster):
    kube.apply(pod("grow", cluster.push("actor"), "grow", "64",
                   resources={"limits": {"memory": "16Mi"}}))
    its = kube.wait_phase("grow", "Failed")
    ended = terminated_of(its)
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled"), ended
    assert "OOMKilled" in kube.describe("grow")


def test_a_missing_image_waits_and_can_be_deleted(kube, cluster):
    kube.apply(pod("missing", f"{cluster.registry}/nothing:1"))
    waiting = kube.wait_waiting("missing", "ErrImagePull", "ImagePullBackOff")
    assert "nothing:1" in waiting["message"], waiting
    kube.wait_waiting("missing", "ImagePullBackOff")
    assert kube.wait_event("missing", "Failed")
    kube("delete", "pod", "missing", "--timeout=20s")


def test_restarts_with_back_off(kube, cluster):
    kube.apply(pod("again", cluster.push("actor"), "exit", "1", restartPolicy="Always"))
    its = kube.wait_pod("again", lambda p: container_of(p) and
                        container_of(p)["restartCount"] >= 1 and
                        (container_of(p)["state"].get("waiting") or {}).get("reason") ==
                        "CrashLoopBackOff", 60)
    waiting = container_of(its)["state"]["waiting"]
    assert waiting["message"].startswith("back-off 10s restarting failed container=main pod=again_")
    assert container_of(its)["lastState"]["terminated"]["exitCode"] == 1
    assert kube.wait_event("again", "BackOff")
    kube("delete", "pod", "again", "--timeout=20s")


def test_init_containers_run_in_order(kube, cluster):
    image = cluster.push("actor")
    its = pod("init", image, "read", "/shared/note", volumeMounts=[{"name": "shared",
                                                                  "mountPath": "/shared"}],
              volumes=[{"name": "shared", "emptyDir": {}}])
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    its["spec"]["initContainers"] = [
        {"name": "one", "image": image, "args": ["write", "/shared/note", "one"],
         "volumeMounts": mounts},
        {"name": "two", "image": image, "args": ["append", "/shared/note", " two"],
         "volumeMounts": mounts}]
    kube.apply(its)
    done = kube.wait_phase("init", "Succeeded")
    assert kube.logs("init").split() == ["one", "two"]
    assert [s["name"] for s in done["status"]["initContainerStatuses"]] == ["one", "two"]
    assert condition_of(done, "Initialized") == "True"


def test_deployment_of_20_becomes_available_and_scales_to_0(kube, cluster):
    template = pod("x", cluster.push("sleeper"), restartPolicy="Always")
    template["metadata"] = {"labels": {"app": "fleet"}}
    kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fleet"},
                "spec": {"replicas": 20, "selector": {"matchLabels": {"app": "fleet"}},
                         "template": {k: template[k] for k in ("metadata", "spec")}}})
    kube("wait", "deployment/fleet", "--for=condition=Available", "--timeout=60s", timeout=70)
    wait_until(lambda: kube.get("deployment", "fleet")["status"].get("availableReplicas") == 20, 30,
               "20 available")
    kube("scale", "deployment/fleet", "--replicas=0")
    wait_until(lambda: not kube.pods("app=fleet"), 30, "no pod left")


def test_job_with_completions_succeeds(kube, cluster):
    template = pod("x", cluster.push("actor"), "print", "done")
    kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"},
                "spec": {"completions": 4, "parallelism": 2, "template": {"spec": template["spec"]}}})
    kube("wait", "job/job", "--for=condition=Complete", "--timeout=60s", timeout=70)
    assert kube.get("job", "job")["status"]["succeeded"] == 4


def test_a_job_that_fails_says_so_with_its_guests_code(kube, cluster):
    for code in (3, 130):
        template = pod("x", cluster.push("actor"), "exit", code)
        kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"job-{code}"},
                    "spec": {"backoffLimit": 0, "template": {"spec": template["spec"]}}})
    for code in (3, 130):
        kube("wait", f"job/job-{code}", "--for=condition=Failed", "--timeout=60s", timeout=70)
        job = kube.get("job", f"job-{code}")
        failed = find_condition(job, "Failed")
        assert (failed["status"], failed["reason"]) == ("True", "BackoffLimitExceeded")
        assert job["status"]["failed"] == 1 and not job["status"].get("active")
        its, = kube.pods(f"batch.kubernetes.io/job-name=job-{code}")
        assert its["status"]["phase"] == "Failed"
        assert terminated_of(its)["exitCode"] == code
        assert container_of(its)["restartCount"] == 0


def test_active_deadline_fails_the_pod(kube, cluster):
    kube.apply(pod("late", cluster.push("sleeper"), activeDeadlineSeconds=2))
    its = kube.wait_phase("late", "Failed")
    assert its["status"]["reason"] == "DeadlineExceeded"


def test_stop_is_quick_for_a_guest_that_does_not_handle_it(kube, cluster):
    its = pod("stop", cluster.push("sleeper"))
    its["spec"]["terminationGracePeriodSeconds"] = 30
    kube.apply(its)
    kube.wait_ready("stop")
    # Far less than the 30 s of its grace period.
    kube("delete", "pod", "stop", "--timeout=10s")


def test_stop_file_gives_a_guest_its_grace_period(kube, cluster):
    its = pod("graceful", cluster.push("actor"), "print", "up", ";", "wait-file",
              "/run/skiff/terminating", ";", "print", "bye", ";", "exit", "7",
              metadata={"annotations": {"skiff/stop": "file"}, "finalizers": ["test.skiff/keep"]})
    its["spec"]["terminationGracePeriodSeconds"] = 30
    kube.apply(its)
    kube.wait_ready("graceful")
    kube("delete", "pod", "graceful", "--wait=false")
    done = kube.wait_phase("graceful", "Failed")
    assert terminated_of(done)["exitCode"] == 7
    kube("patch", "pod", "graceful", "--type=merge", "-p", json.dumps(
        {"metadata": {"finalizers": None}}))
    kube.wait_gone("graceful")


def stopping(name, image, *args, grace):
    """A pod that stays after its deletion, so that its end can be looked at."""
    its = pod(name, image, *args, metadata={"finalizers": ["test.skiff/keep"]})
    its["spec"]["terminationGracePeriodSeconds"] = grace
    return its


def end_of(kube, name):
    """How a pod's container ended after its deletion, and after how many seconds."""
    begun = time.monotonic()
    kube("delete", "pod", name, "--wait=false")
    its = kube.wait_phase(name, "Succeeded", "Failed")
    took = time.monotonic() - begun
    kube("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    kube.wait_gone(name)
    return terminated_of(its), took


def test_a_guest_that_handles_stopping_ends_as_it_likes_within_its_grace_period(kube, cluster):
    image = cluster.push("graceful")
    kube.apply(stopping("obeys", image, 9, 2, grace=30), stopping("dawdles", image, 9, 60, grace=2))
    for name in ("obeys", "dawdles"):
        kube.wait_ready(name)
    kube.wait_logs("obeys", "up\n")
    follower = kube.start("logs", "-f", "obeys")
    ended, took = end_of(kube, "obeys")
    assert (ended["exitCode"], ended["reason"]) == (9, "Error"), ended
    # Its hour's sleep was cut short, its two seconds' farewell was not.
    assert follower.communicate(timeout=20)[0] == "up\nasked to stop in nap 1\ndone\n"
    assert 2 <= took < 15, took
    ended, took = end_of(kube, "dawdles")
    assert ended["exitCode"] == 137, ended
    assert 2 <= took < 15, took


def test_termination_message_comes_from_the_file(kube, cluster):
    kube.apply(pod("message", cluster.push("actor"), "write", "/dev/termination-log", "farewell"))
    its = kube.wait_phase("message", "Succeeded")
    assert terminated_of(its)["message"].strip() == "farewell"


def test_what_is_not_offered_yet_waits_and_names_the_field(kube, cluster):
    kube.apply(pod("shared", cluster.push("sleeper"), shareProcessNamespace=True))
    waiting = kube.wait_waiting("shared", "CreateContainerConfigError")
    assert "shareProcessNamespace" in waiting["message"]
    kube("delete", "pod", "shared", "--timeout=20s")


def test_components_and_go_run_like_c(kube, cluster):
    component = cluster.push("actor-component")
    kube.apply(pod("component", component, "print", "from", "a component", ";", "env", "CREW", ";",
                   "exit", "0", env=[{"name": "CREW", "value": "two"}]),
               pod("fails", component, "eprint", "aye", ";", "exit", "3"),
               pod("traps", component, "trap"), pod("go", cluster.push("hello-go")),
               pod("python", cluster.push("python-component")))
    for name in ("component", "go", "python"):
        its = kube.wait_phase(name, "Succeeded", "Failed", seconds=90)
        assert (its["status"]["phase"], terminated_of(its)["exitCode"]) == ("Succeeded", 0), name
        assert kube.logs(name)
    assert kube.logs("component") == "from a component\nCREW=two\n"
    its = kube.wait_phase("fails", "Failed")
    # Through the adapter of preview 1 a component can only say that it failed.
    assert terminated_of(its)["exitCode"] == 1 and kube.logs("fails") == "aye\n"
    its = kube.wait_phase("traps", "Failed")
    assert terminated_of(its)["exitCode"] == 134
    assert "unreachable" in terminated_of(its)["message"]


@pytest.mark.long
def test_rust_runs_like_c(kube, cluster):
    run([ROOT / "guests/build", "--rust"], timeout=1200)
    kube.apply(pod("rust", cluster.push("hello-rust")))
    its = kube.wait_phase("rust", "Succeeded", "Failed", seconds=60)
    assert terminated_of(its)["exitCode"] == 0 and kube.logs("rust").startswith("hello ")
