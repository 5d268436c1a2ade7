"""`kubectl attach`, `run -i` and `debug -it`: containers with `stdin`, `stdinOnce` and `tty`."""

import json
import select
import subprocess

from conftest import OWN_NODE
from kube import container_of, pod, terminated_of, wait_until
from machine import runner_of


def interactive(name, image, *args, tty=False, once=False, **spec):
    its = pod(name, image, *args, **spec)
    its["spec"]["containers"][0].update(stdin=True, stdinOnce=once, tty=tty)
    return its


def overrides(**spec):
    """For `kubectl run`: the pod is for the Skiff node."""
    return "--overrides=" + json.dumps({"spec": {"runtimeClassName": "wasmtime", **spec}})


def lines(process, count):
    return [process.stdout.readline() for _ in range(count)]


def test_attach_shows_what_a_container_writes_from_now_on(kube, cluster, transport):
    script = "echo early; while true; do echo tick; echo tock >&2; sleep 0.2; done"
    kube.apply(pod("clock", cluster.push("toolbox"), "sh", "-c", script))
    kube.wait_ready("clock")
    wait_until(lambda: "tick" in kube.logs("clock"), 20, "the first line")
    clients = [kube.start("attach", "clock") for _ in range(3)]
    for client in clients:
        assert set(lines(client, 3)) == {"tick\n"}
        client.kill()
        out, err = client.communicate(timeout=20)
        assert "early" not in out
        assert "tock" in err


def test_attach_ends_with_the_container_and_is_no_failure(kube, cluster, transport):
    script = "while read line; do echo got $line; [ $line = bye ] && exit 5; done"
    kube.apply(interactive("ends", cluster.push("toolbox"), "sh", "-c", script))
    kube.wait_ready("ends")
    client = kube.start("attach", "ends")
    # The input is another client's, and stays open behind it. Who attaches hears what comes from then on, so it is
    # said again until the client is there.
    said = 0
    while said == 0 or not select.select([client.stdout], [], [], 1)[0]:
        assert said < 20 and client.poll() is None
        kube("attach", "-i", "ends", stdin="one\n")
        said += 1
    kube("attach", "-i", "ends", stdin="bye\n")
    out, err = client.communicate(timeout=30)
    assert client.returncode == 0, err
    assert out.endswith("got one\ngot bye\n")
    assert terminated_of(kube.wait_phase("ends", "Failed"))["exitCode"] == 5
    assert kube.logs("ends") == "got one\n" * said + "got bye\n"


def test_run_i_passes_its_input_and_its_end(kube, cluster):
    done = kube("run", "piped", "-i", "--rm", "--quiet", "--restart=Never",
                f"--image={cluster.push('toolbox')}", overrides(), "--", "sh", "-c",
                "cat; echo closed", stdin="abcd1234\n", timeout=90)
    assert "abcd1234" in done.stdout
    assert "closed" in done.stdout
    kube.wait_gone("piped")


def test_run_leaves_an_input_open_that_is_not_once(kube, cluster):
    kube("run", "open", "-i", "--leave-stdin-open", "--restart=Never",
         f"--image={cluster.push('toolbox')}", overrides(), "--", "sh", "-c", "cat; echo closed",
         stdin="abcd1234\n", timeout=90)
    wait_until(lambda: "abcd1234" in kube.logs("open"), 20, "the input in the log")
    assert "closed" not in kube.logs("open")
    assert kube.pod("open")["status"]["phase"] == "Running"


def test_an_input_that_is_once_ends_when_its_client_is_gone(kube, cluster):
    kube.apply(interactive("once", cluster.push("toolbox"), "sh", "-c",
                           "while read line; do echo got $line; done; echo closed", once=True))
    kube.wait_ready("once")
    client = subprocess.Popen([kube.program, "-n", kube.namespace, "attach", "-i", "once"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                              env=kube.environ)
    client.stdin.write("here\n")
    assert client.stdout.readline() == "got here\n"
    assert "closed" not in kube.logs("once")
    client.kill()
    client.communicate()
    kube.wait_phase("once", "Succeeded")
    assert kube.logs("once") == "got here\nclosed\n"


def test_run_it_is_a_shell_on_a_terminal(kube, cluster, screen):
    its = screen("run", "shell", "-it", "--restart=Never", f"--image={cluster.push('toolbox')}",
                 overrides(), "--", "sh")
    its.prompt()
    its.type("echo $((40+2))\r")
    its.until("echo \\$\\(\\(40\\+2\\)\\)\r\n42\r\n")
    # The line discipline is the terminal's own: Ctrl-C drops a line, DEL a letter.
    its.type("echo wrong\x03echo righx\x7ft\r")
    assert "\r\nright\r\n" in its.until("\r\nright\r\n")
    its.type("exit 3\r")
    its.end()
    assert terminated_of(kube.wait_phase("shell", "Failed"))["exitCode"] == 3


def test_who_leaves_a_terminal_may_come_back(kube, cluster, screen):
    kube.apply(interactive("back", cluster.push("toolbox"), "sh", tty=True, once=True))
    kube.wait_ready("back")
    first = screen("attach", "-it", "back")
    first.prompt()
    first.type("a=kept; echo $a\r")
    first.until("kept\r\n\\$ ")
    first.process.kill()
    first.process.wait()
    again = screen("attach", "-it", "back")
    again.prompt()
    again.type("echo still $a\r")
    again.until("still kept\r\n")


def test_debug_it_enters_a_pod_that_runs(kube, cluster, screen):
    kube.apply(pod("boat", cluster.push("sleeper")))
    kube.wait_ready("boat")
    its = screen("debug", "-it", "boat", f"--image={cluster.push('toolbox')}", "--container=look",
                 "--", "sh")
    its.prompt()
    its.type("echo on $((1+1)) board\r")
    its.until("\r\non 2 board\r\n")
    its.type("exit\r")
    its.end()
    ended = kube.wait_pod("boat", lambda p: terminated_of_ephemeral(p))
    assert terminated_of_ephemeral(ended)["exitCode"] == 0
    assert ended["status"]["phase"] == "Running"


def terminated_of_ephemeral(its):
    for status in its["status"].get("ephemeralContainerStatuses", []):
        return status["state"].get("terminated")
    return None


def test_an_init_container_can_be_attached_to(kube, cluster):
    its = pod("first", cluster.push("toolbox"), "sh", "-c", "cat /data/word",
              volumes=[{"name": "data", "emptyDir": {}}],
              volumeMounts=[{"name": "data", "mountPath": "/data"}])
    its["spec"]["initContainers"] = [{
        "name": "ask", "image": cluster.push("toolbox"), "stdin": True, "stdinOnce": True,
        "args": ["sh", "-c", "cat > /data/word"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
    kube.apply(its)
    kube.wait_pod("first", lambda p: any("running" in s["state"] for s in
                                         p["status"].get("initContainerStatuses", [])))
    kube("attach", "-i", "first", "-c", "ask", stdin="ahoy\n")
    kube.wait_phase("first", "Succeeded")
    assert kube.logs("first", "-c", "main") == "ahoy\n"


def test_a_terminal_survives_sigkill_of_the_agent(kube_on, cluster, screen):
    kube = kube_on
    kube.apply(interactive("tough", cluster.push("toolbox"), "sh", tty=True,
                           nodeSelector={"kubernetes.io/hostname": OWN_NODE}),
               interactive("plain", cluster.push("toolbox"), "sh", "-c",
                           "while read line; do echo got $line; done; echo closed",
                           nodeSelector={"kubernetes.io/hostname": OWN_NODE}))
    kube.wait_ready("tough")
    kube.wait_ready("plain")
    before = runner_of(kube.pod("tough"))
    first = screen("attach", "-it", "tough")
    first.prompt()
    # It writes on while there is nobody to read it, more than any buffer holds.
    first.type("a=kept; sleep 1; i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done\r")
    first.until("\r\n")
    cluster.node("kill", OWN_NODE)
    first.end()
    cluster.node("start", OWN_NODE)
    wait_until(lambda: "\n19999\n" in kube.logs("tough"), 60, "the guest went on")
    again = screen("attach", "-it", "tough")
    again.prompt()
    again.type("echo still $a\r")
    again.until("still kept\r\n")
    kube("attach", "-i", "plain", stdin="one\n")
    wait_until(lambda: "got one" in kube.logs("plain"), 20, "input after the restart")
    assert "closed" not in kube.logs("plain")
    assert runner_of(kube.pod("tough")) == before
    assert container_of(kube.pod("tough"))["restartCount"] == 0
