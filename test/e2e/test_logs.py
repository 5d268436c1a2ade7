"""kubectl logs with its options, the files behind it, and who may ask port 10250."""

import datetime
import re
import ssl
import urllib.error
import urllib.request

import pytest

from kube import container_of, lines_of, pod, run, wait_until

STAMPED = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) ")


def test_follow_with_timestamps_ends_with_the_container(kube, cluster, transport):
    kube.apply(pod("talk", cluster.push("actor"), "print", "one", ";", "sleep", "2", ";", "print",
                   "two", ";", "eprint", "three"))
    kube.wait_pod("talk", lambda p: container_of(p) and "running" in container_of(p)["state"])
    lines = kube.logs("talk", "-f", "--timestamps").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["one", "two", "three"]
    assert all(STAMPED.match(line) for line in lines), lines
    # And once more, after completion.
    assert kube.logs("talk", "-f") == "one\ntwo\nthree\n"


def test_tail_since_and_limit_bytes(kube, cluster):
    kube.apply(pod("lines", cluster.push("actor"), "print", "old", ";", "sleep", "4", ";", "print",
                   "a", ";", "print", "b", ";", "print", "c"))
    kube.wait_phase("lines", "Succeeded")
    assert kube.logs("lines", "--tail=2") == "b\nc\n"
    assert kube.logs("lines", "--tail=0") == ""
    assert kube.logs("lines", "--limit-bytes=5") == "old\na"
    first = kube.logs("lines", "--timestamps").split(" ", 1)[0]
    assert "old" in kube.logs("lines", f"--since-time={first}")
    second = kube.logs("lines", "--timestamps").splitlines()[1].split(" ", 1)[0]
    assert kube.logs("lines", f"--since-time={second}") == "a\nb\nc\n"
    wait_until(lambda: kube.logs("lines", "--since=1s") == "", 15, "nothing is that new")
    assert kube.logs("lines", "--since=1h") == "old\na\nb\nc\n"


def test_previous_shows_the_instance_before(kube, cluster):
    kube.apply(pod("again", cluster.push("actor"), "clock", ";", "exit", "1", restartPolicy="Always"))
    kube.wait_pod("again", lambda p: container_of(p) and container_of(p)["restartCount"] >= 1, 60)
    before = kube.logs("again", "--previous")
    now = wait_until(lambda: kube.logs("again"), 20, "the line of the instance that has just begun")
    assert before.strip().isdigit() and now.strip().isdigit(), (before, now)
    assert int(before) < int(now)
    kube("delete", "pod", "again", "--timeout=20s")


def test_previous_of_a_first_instance_is_refused(kube, cluster):
    kube.apply(pod("first", cluster.push("sleeper")))
    kube.wait_ready("first")
    done = kube("logs", "first", "--previous", check=False)
    assert done.returncode != 0
    assert "previous terminated container" in done.stderr and "not found" in done.stderr


def test_logs_of_a_waiting_container_say_so(kube, cluster):
    kube.apply(pod("waits", f"{cluster.registry}/nothing:2"))
    kube.wait_waiting("waits", "ErrImagePull", "ImagePullBackOff")
    done = kube("logs", "waits", check=False)
    assert done.returncode != 0 and "waiting to start" in done.stderr, done.stderr


def log_folder(cluster, kube, its):
    name = f"{kube.namespace}_{its['metadata']['name']}_{its['metadata']['uid']}"
    return cluster.node_folder(its["spec"]["nodeName"]) / "pods" / name / "main"


def numbers_of(lines):
    """What the actor's `flood` numbered them with."""
    assert all(len(line) == 99 for line in lines)  # its 100 bytes count the newline
    return [int(line[:9]) for line in lines]


def test_a_flood_is_rotated_and_followed_and_no_line_is_lost(kube, cluster, node):
    # 25 MB, 36 MB with stamps: four files of the default 10 MiB, one fewer than may be kept.
    kube.apply(pod("flood", cluster.push("actor"), "sleep", "1", ";", "flood", "250000", "100", ";",
                   "print", "last"))
    kube.wait_pod("flood", lambda p: container_of(p) and "running" in container_of(p)["state"])
    follower = kube.start("logs", "-f", "flood")
    followed = follower.communicate(timeout=120)[0].splitlines()
    assert followed[-1] == "last"
    assert numbers_of(followed[:-1]) == list(range(250000))
    its = kube.wait_phase("flood", "Succeeded", seconds=120)
    folder = log_folder(cluster, kube, its)
    wait_until(lambda: len([f for f in folder.iterdir() if ".log.2" in f.name]) == 3, 30,
               lambda: f"rotated files: {[f.name for f in folder.iterdir()]}")
    assert all(file.stat().st_size <= 10 << 20 for file in folder.iterdir())
    files = lines_of(folder)
    assert len(files) == 4 and files[-1].pop() == "last"
    assert numbers_of(sum(files, [])) == list(range(250000))
    # Unlike a kubelet's, whole logs are those of all files.
    assert kube.logs("flood").splitlines() == followed
    assert kube.logs("flood", "--tail=2").splitlines() == followed[-2:]


def test_a_flood_beyond_all_files_keeps_the_newest_lines(kube, cluster, small_logs):
    kube.apply(pod("flood", cluster.push("actor"), "flood", "30000", "100",
                   nodeSelector={"kubernetes.io/hostname": small_logs}))
    its = kube.wait_phase("flood", "Succeeded", seconds=60)
    folder = log_folder(cluster, kube, its)
    assert all(file.stat().st_size <= 256 << 10 for file in folder.iterdir())
    files = lines_of(folder)
    kept = numbers_of(sum(files, []))
    # Three files, two of them full: 143 bytes a line.
    assert len(files) == 3 and len(kept) > 2 * (250 << 10) // 146
    assert kept == list(range(30000 - len(kept), 30000))


@pytest.fixture(scope="module")
def small_logs(cluster, node):
    """A node whose containers keep three log files of 256 KiB."""
    cluster.node("up", "skiff-small-logs", "--", "--container-log-max-size", "256Ki",
                 "--container-log-max-files", "3")
    yield "skiff-small-logs"
    cluster.node("down", "skiff-small-logs")


def test_who_fills_a_log_faster_than_the_node_allows_waits_and_loses_nothing(kube, cluster, node):
    name = "skiff-paced-logs"
    cluster.node("up", name, "--", "--container-log-max-per-second", "256Ki")
    try:
        # 1,430,000 bytes with stamps, of which the first second's come at once.
        kube.apply(pod("flood", cluster.push("actor"), "flood", "10000", "100",
                       nodeSelector={"kubernetes.io/hostname": name}))
        its = kube.wait_phase("flood", "Succeeded", seconds=60)
        lines = kube.logs("flood", "--timestamps").splitlines()
        stamps = [line.split(" ", 1)[0] for line in (lines[0], lines[-1])]
        assert numbers_of([line.split(" ", 1)[1] for line in lines]) == list(range(10000))
        first, last = (datetime.datetime.fromisoformat(stamp[:26] + "+00:00") for stamp in stamps)
        assert (last - first).total_seconds() > 4, (stamps, its["status"])
    finally:
        kube("delete", "pod", "flood", "--timeout=20s")
        cluster.node("down", name)


def test_files_and_links_are_where_log_collectors_look(kube, cluster, node):
    kube.apply(pod("collect", cluster.push("actor"), "print", "out", ";", "eprint", "err"))
    its = kube.wait_phase("collect", "Succeeded")
    uid, container = its["metadata"]["uid"], container_of(its)["containerID"].split("//")[1]
    home = cluster.node_folder(its["spec"]["nodeName"])  # another node of this file may run, too
    file = home / "pods" / f"{kube.namespace}_collect_{uid}" / "main" / "0.log"
    lines = file.read_text().splitlines()
    assert [line.split(" ", 3)[1:] for line in lines] == [["stdout", "F", "out"],
                                                         ["stderr", "F", "err"]]
    link = home / "containers" / f"collect_{kube.namespace}_main-{container}.log"
    assert link.is_symlink() and link.resolve() == file.resolve()
    kube("delete", "pod", "collect", "--timeout=20s")
    wait_until(lambda: not file.exists() and not link.is_symlink(), 20, "the log is gone")


class Door:
    """Port 10250 of a node, asked directly."""

    def __init__(self, address):
        self.base = f"https://{address}:10250"

    def status(self, path, token=None, certificate=None):
        context = ssl._create_unverified_context()
        if certificate:
            context.load_cert_chain(*certificate)
        request = urllib.request.Request(self.base + path)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture
def door(kube, node):
    return Door(kube.address_of(node))


def test_port_10250_wants_to_know_who_asks(kube, door):
    assert door.status("/pods") == 401
    assert door.status("/pods", token="nonsense") == 401


def test_port_10250_asks_the_cluster_what_one_may(kube, door, grants):
    assert door.status("/pods", token=kube.token_of("visitor")) == 403
    grants.to_account("collector", {("get", "proxy")})
    assert door.status("/pods", token=kube.token_of("collector")) == 200


def test_a_certificate_of_another_authority_is_refused(kube, door, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "1", "-subj",
         "/O=system:masters/CN=impostor"])
    try:
        assert door.status("/pods", certificate=(certificate, key)) in (401, 403)
    except (ssl.SSLError, ConnectionError, urllib.error.URLError):
        pass  # refused in the handshake already


def test_health_needs_no_cluster(kube, cluster, node):
    done = run(cluster.inside("curl", "-sS", "-m", "10", "http://127.0.0.1:10248/healthz", node_number=1),
               check=False, timeout=20)
    assert done.stdout == "ok", done
