"""The toolbox (guests/toolbox): its shell and tools against Debian's own, its limits, its network."""

import base64
import http.server
import io
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile
import threading

import pytest

from conftest import ROOT
from kube import run

CASES = pathlib.Path(__file__).with_name("toolbox_cases.txt")
ENVIRONMENT = {"HOME": "/root", "PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
# Runs every script in a folder of its own: one start of the engine for all of them.
RUN_ALL = """\
export HOME=/root; mkdir -p /tmp
i=0; while [ $i -lt %d ]; do
  (cd /t/work/$i; unset OLDPWD; x=$(cat /t/scripts/$i; echo x)
   sh -c "${x%%x}" </dev/null >/t/out/$i 2>/t/err/$i; echo $? >/t/status/$i)
  i=$((i+1))
done
"""


def cases():
    found = []
    for line in CASES.read_text().splitlines():
        if line.startswith("$ "):
            found.append(line[2:])
        elif line.startswith("> "):
            found[-1] += "\n" + line[2:]
    return found


@pytest.fixture(scope="module")
def root_dir(tmp_path_factory):
    """Compiled modules are shared by the tests of this file."""
    return tmp_path_factory.mktemp("toolbox-root")


@pytest.fixture(params=["toolbox", "toolbox-component"])
def guest(request):
    return ROOT / f"build/guests/{request.param}.wasm"


@pytest.fixture
def box(guest, skiff, root_dir, files):
    """Runs a tool in a container whose /t is the test's folder."""
    def call(*words, stdin="", flags=(), text=True, timeout=120):
        return subprocess.run(
            [skiff, "run", "-q", "-i", "--root-dir", root_dir, "-v", f"{files}:/t", *flags, guest, *words],
            input=stdin, capture_output=True, text=text, timeout=timeout)
    return call


def debian_answers(script, folder):
    """What dash says: output with the folder's name taken out, and status."""
    folder.mkdir()
    done = subprocess.run(["/usr/bin/dash", "-c", script], cwd=folder, capture_output=True, timeout=30,
                          stdin=subprocess.DEVNULL, env={**ENVIRONMENT, "PWD": str(folder)})
    shutil.rmtree(folder)
    return done.stdout.replace(str(folder).encode(), b"HERE"), done.returncode


@pytest.mark.parametrize("guest, runtime", [
    ("toolbox", "wasmtime"), ("toolbox", "pulley"), ("toolbox", "wasmi"),
    ("toolbox-component", "wasmtime"), ("toolbox-component", "pulley"),
], indirect=["guest"])
def test_scripts_end_as_debians_shell_ends_them(box, files, tmp_path_factory, runtime):
    scripts = cases()
    assert len(scripts) > 250
    there = tmp_path_factory.mktemp("debian")
    for name in ("scripts", "work", "out", "err", "status"):
        (files / name).mkdir()
        os.chmod(files / name, 0o777)
    for number, script in enumerate(scripts):
        (files / "scripts" / str(number)).write_text(script)
        (files / "work" / str(number)).mkdir()
        os.chmod(files / "work" / str(number), 0o777)
    (files / "all").write_text(RUN_ALL % len(scripts))
    done = box("sh", "/t/all", flags=("--runtime", runtime))
    assert done.returncode == 0, done.stderr
    wrong = []
    for number, script in enumerate(scripts):
        want = debian_answers(script, there / "work")
        output = (files / "out" / str(number)).read_bytes()
        got = (output.replace(f"/t/work/{number}".encode(), b"HERE"),
               int((files / "status" / str(number)).read_text()))
        if got != want:
            error = (files / "err" / str(number)).read_text(errors="replace")
            wrong.append(f"{script}\n  want {want}\n  got  {got}\n  {error}")
    assert not wrong, "\n".join(wrong)


def test_sanitizers_find_nothing(tmp_path):
    """The same sources outside Wasm, where memory that is not theirs is seen."""
    program = tmp_path / "sh"
    run(["clang-22", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
         "-DTOOLBOX_CHECKED", "-D_GNU_SOURCE", "-o", program, *(ROOT / "guests/toolbox").glob("*.c")],
        timeout=300)
    for script in cases():
        folder = tmp_path / "work"
        folder.mkdir()
        done = subprocess.run([program, "-c", script], cwd=folder, capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL, env={**ENVIRONMENT, "PWD": str(folder)})
        assert b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr, \
            (script, done.stderr.decode(errors="replace")[-3000:])
        shutil.rmtree(folder)


LONG_LOOP = """\
f() { local a=$1; x=$(echo $a$pad | cut -c 1-10); }
pad=$(printf '%08000d' 0); i=0
while [ $i -lt 5000 ]; do
  f $i; y=$x$pad; (z=$y; cd /); eval "w=\\$y"; read l <<E
$w
E
  i=$((i+1))
done; echo $i"""


def test_a_long_loop_needs_no_more_memory(box):
    # 8 KB lost a turn would be 40 MB.
    done = box("sh", "-c", LONG_LOOP, flags=("-m", "16m"))
    assert (done.returncode, done.stdout) == (0, "5000\n"), done.stderr


@pytest.mark.parametrize("words, status, output", [
    (("sh", "-c", "echo $0 $1; exit 5", "name", "a b"), 5, "name a b\n"),
    (("/bin/echo", "by", "path"), 0, "by path\n"),
    (("toolbox", "echo", "by", "name"), 0, "by name\n"),
    (("test", "-d", "/nosuch"), 1, ""),
    (("nosuch",), 127, ""),
])
def test_the_first_word_decides(box, words, status, output):
    done = box(*words)
    assert (done.returncode, done.stdout) == (status, output), done.stderr
    assert status != 127 or done.stderr == "sh: nosuch: not found\n"


def test_it_starts_in_the_working_directory(box, files):
    (files / "here").mkdir(mode=0o777)
    assert box("pwd", flags=("-w", "/t/here")).stdout == "/t/here\n"
    assert box("pwd").stdout == "/\n"


def test_a_script_from_standard_input(box):
    done = box("sh", stdin="echo one\nread x\nfor read\necho \"$x\"; exit 3\n")
    assert (done.returncode, done.stdout) == (3, "one\nfor read\n"), done.stderr


@pytest.mark.parametrize("script, status, told", [
    ("f() { f; }; f", 2, "nested more than 400 deep"),
    ("f() { echo ${x:-\"$(f)\"}; }; f", 0, "nested more than 400 deep"),
    ("echo 'sh ./s' > s; sh ./s", 2, "nested more than 400 deep"),
    ("eval " + "'{ '" * 300, 2, "nested more than 100 deep"),
    ("echo $((" + "(" * 300 + "1" + ")" * 300 + "))", 2, "nested too deep"),
    ("while :; do echo 12345678901234567890; done | head -n 1", 0, "holds at most 33554432 bytes"),
    ("x=a; while :; do x=$x$x; done", 2, "longer than 16777216 bytes"),
    ("set -- $(seq 200000)", 2, "more than 100000 words"),
    ("echo a | grep -E 'a{255}{255}'", 2, "10000 repetitions"),
    ("sleep 1 &", 2, "no processes in Wasm"),
    ("echo x >&9", 2, "bad descriptor"),
])
def test_limits_are_named(box, script, status, told):
    done = box("sh", "-c", f"cd /; {script}")
    assert done.returncode == status and told in done.stderr, (done.returncode, done.stderr[-500:])


def test_ls_shows_modes_and_owners(box, files):
    (files / "note").write_text("12345")
    (files / "note").chmod(0o640)
    os.chown(files / "note", 1001, 1002)
    os.utime(files / "note", (0, 0))
    assert "-rw-r----- 1 1001 1002 5 Jan  1  1970 note\n" in box("ls", "-l", "/t").stdout
    done = box("ls", "-la", "/")
    assert done.returncode == 0 and " ..\n" in done.stdout, done.stderr


def test_stat_tells_kinds_and_filesystems(box, files):
    os.mkfifo(files / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(files / "socket"))
    listener.close()
    assert box("stat", "-c", "%F", "/t/pipe", "/t/socket").stdout == "fifo\nsocket\n"
    # The root of a module without layers is Skiff's own tmpfs.
    assert box("stat", "-f", "-c", "%T", "/").stdout == "tmpfs\n"
    done = box("stat", "/t/pipe")
    assert "(0644/prw-r--r--)  Uid: (    0/ UNKNOWN)" in done.stdout, done


def test_names_of_ids_are_the_containers(box, files):
    (files / "etc").mkdir()
    (files / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nbroken\nsailor:x:1001:1002::/:\n")
    (files / "etc/group").write_text("crew:x:1002:\n")
    (files / "note").write_text("")
    os.chown(files / "note", 1001, 1002)
    script = "whoami; ls -l /t/note | cut -d' ' -f3,4; stat -c '%U %G' /t/note; find /t -user sailor; id"
    named = box("sh", "-c", script, flags=("-v", f"{files}/etc/passwd:/etc/passwd:ro",
                                           "-v", f"{files}/etc/group:/etc/group:ro"))
    assert named.stdout == "root\nsailor crew\nsailor crew\n/t/note\nuid=0(root) gid=0 groups=0\n", named
    bare = box("sh", "-c", "id; whoami")
    assert (bare.returncode, bare.stdout) == (1, "uid=0 gid=0 groups=0\n")
    assert bare.stderr == "whoami: /etc/passwd has no name for user 0\n"


@pytest.mark.parametrize("mode, path, told", [
    ("4755", "/t/mine", "setuid and setgid bits cannot be set in a Wasm container"),
    ("g+s", "/t/mine", "setuid and setgid bits cannot be set in a Wasm container"),
    ("0600", "/t/others", "Operation not permitted"),
    ("0600", "/t/up", "Operation not permitted"),
    ("0600", "/t/pipe", "Not supported"),
    ("0600", "/ro/mine", "Read-only file system"),
])
def test_chmod_says_why_not(box, files, mode, path, told):
    (files / "mine").write_text("")
    (files / "others").write_text("")
    os.chown(files / "others", 1001, 1001)
    os.symlink("../../../../etc/passwd", files / "up")
    os.mkfifo(files / "pipe")
    before = (os.stat("/etc/passwd").st_mode, (files / "mine").stat().st_mode, (files / "others").stat().st_mode)
    done = box("chmod", mode, path, flags=("-v", f"{files}:/ro:ro"))
    assert done.returncode == 1 and told in done.stderr, done
    assert before == (os.stat("/etc/passwd").st_mode, (files / "mine").stat().st_mode,
                      (files / "others").stat().st_mode)


def test_rights_are_the_kernels_answer(box, files):
    (files / "others").write_text("")
    (files / "others").chmod(0o600)
    os.chown(files / "others", 1001, 1001)
    (files / "mine").write_text("")
    (files / "mine").chmod(0o600)
    script = "for f in /t/others /t/mine /ro/mine; do for r in r w x; do test -$r $f && printf $r; done; echo; done"
    done = box("sh", "-c", script, flags=("-v", f"{files}:/ro:ro"))
    # No capability: user 0 of the container reads no foreign file.
    assert done.stdout == "\nrw\nr\n", done


def test_tar_keeps_modes(box, files):
    sent = io.BytesIO()
    with tarfile.open(fileobj=sent, mode="w") as tar:
        for name, mode in (("run", 0o755), ("key", 0o600), ("all", 0o666), ("suid", 0o4755)):
            member = tarfile.TarInfo(name)
            member.mode = mode
            tar.addfile(member)
    modes = {name: (0o755, 0o600, 0o644, 0o755)[i] for i, name in enumerate(("run", "key", "all", "suid"))}
    done = box("tar", "-xmf", "-", "--no-same-permissions", "--no-same-owner", "-C", "/t",
               stdin=sent.getvalue(), text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert {name: (files / name).stat().st_mode & 0o7777 for name in modes} == modes
    assert box("tar", "-xpf", "-", "-C", "/t", stdin=sent.getvalue(), text=False).returncode == 0
    assert (files / "all").stat().st_mode & 0o7777 == 0o666
    os.chown(files / "key", 0, 1002)
    packed = box("tar", "cf", "-", "-C", "/t", "key", text=False, stdin=b"").stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        member = tar.getmember("key")
        assert (member.mode, member.uid, member.gid) == (0o600, 0, 1002)


@pytest.mark.parametrize("runtime", ["wasmtime", "pulley", "wasmi"])
def test_mounttest_prints_what_upstreams_tests_read(skiff, root_dir, files, runtime):
    words = ["--fs_type=/t", "--new_file_0666=/t/new", "--file_perm=/t/new", "--file_mode=/t", "--file_owner=/t/new",
             "--file_content_in_loop", "/t/new"]
    os.chmod(files, 0o1777)
    done = run([skiff, "run", "-q", "--root-dir", root_dir, "--runtime", runtime, "-v", f"{files}:/t",
                ROOT / "build/guests/mounttest.wasm", "mounttest", *words], check=False)
    filesystem = run(["stat", "-f", "-c", "%T %t", files]).stdout.split()
    kind = filesystem[0] if filesystem[0] == "tmpfs" else str(int(filesystem[-1], 16))
    content = "content of file \"/t/new\": mount-tester new file\n\n"
    assert (done.returncode, done.stdout) == (0, (
        f"mount type of \"/t\": {kind}\n{content}mode of file \"/t\": dtrwxrwxrwx\n"
        "perms of file \"/t/new\": -rw-rw-rw-\nowner UID of \"/t/new\": 0\n"
        f"owner GID of \"/t/new\": 0\n{content}")), done.stderr
    assert (files / "new").stat().st_mode & 0o777 == 0o666
    done = run([skiff, "run", "-q", "--root-dir", root_dir, "--runtime", runtime,
                ROOT / "build/guests/mounttest.wasm", "--file_mode=/no", "--fs_type=/no"], check=False)
    assert (done.returncode, done.stdout) == (1, (
        'error from statfs("/no"): No such file or directory\nerror from Stat("/no"): No such file or directory\n'))


@pytest.mark.parametrize("runtime", ["wasmtime", "pulley"])
def test_a_component_of_03_asks_the_same(skiff, root_dir, files, runtime):
    (files / "note").write_text("")
    (files / "note").chmod(0o604)
    os.chown(files / "note", 1001, 1002)
    done = run([skiff, "run", "-q", "--root-dir", root_dir, "--runtime", runtime, "-v", f"{files}:/t",
                ROOT / "build/guests/metadata-03.wasm", "/t/note", "/nosuch"], check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].startswith("604 1001 1002 "), done
    assert lines[1:] == ["error 7", "0 0"]


def archive(**members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=members.pop("format", tarfile.PAX_FORMAT)) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_unpacks_what_kubectl_cp_sends(box, files, format):
    name = "/".join(["d" * 60] * (2 if format == tarfile.USTAR_FORMAT else 4)) + "/" + "f" * 80
    sent = archive(format=format, **{name: b"inside", "plain": bytes(range(256)) * 300})
    done = box("tar", "-xmf", "-", "--no-same-permissions", "--no-same-owner", "-C", "/t", stdin=sent,
               text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (files / name).read_bytes() == b"inside"
    assert (files / "plain").read_bytes() == bytes(range(256)) * 300


def test_tar_packs_what_kubectl_cp_wants(box, files):
    (files / "d" / ("e" * 90)).mkdir(parents=True)
    (files / "d" / ("e" * 90) / ("f" * 90)).write_bytes(b"x" * 1000)
    os.symlink("nowhere", files / "d" / "link")
    done = box("tar", "cf", "-", "/t/d", text=False, stdin=b"")
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        names = {member.name: member for member in tar}
        assert names[f"t/d/{'e' * 90}/{'f' * 90}"].size == 1000
        assert names["t/d/link"].linkname == "nowhere" and names["t/d"].isdir()


@pytest.mark.parametrize("sent, told", [
    (archive(**{"../up": b"x"}), "names .."),
    (archive(a=b"x" * 5000)[:3000], "in the middle of a file"),
    (b"no archive at all" * 100, "no tar archive"),
    (base64.b64decode("H4sIAAAAAAAAAwMAAAAAAAAAAAA=") + bytes(600), "compressed"),
])
def test_tar_names_what_is_wrong(box, files, sent, told):
    done = box("tar", "xf", "-", "-C", "/t", stdin=sent, text=False)
    assert done.returncode == 2 and told in done.stderr.decode(), done.stderr
    assert not (files.parent / "up").exists()


def test_a_core_module_says_that_it_has_no_sockets(skiff, root_dir):
    done = run([skiff, "run", "-q", "--root-dir", root_dir, ROOT / "build/guests/toolbox.wasm", "wget",
                "http://127.0.0.1/"], check=False)
    assert done.returncode == 1 and "no sockets" in done.stderr


# ---- the network: by the peer, which gives a guest the machine's own ----

class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/moved":
            return self.answer(302, b"", location="/page")
        if self.path == "/chunks":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for part in (b"one ", b"two " * 30000, b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            return None
        return self.answer(200 if self.path == "/page" else 404, b"a page\n")

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def online(skiff, root_dir):
    """Runs a script of the component with the machine's network."""
    words = [skiff, "run", "-q", "-i", "--root-dir", root_dir, ROOT / "build/guests/toolbox-component.wasm"]

    def call(script, stdin=""):
        return run([*words, "sh", "-c", script], check=False, timeout=60, input=stdin)
    call.words = words
    return call


@pytest.fixture(scope="module")
def pages():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path, status, output", [
    ("/page", 0, "a page\n"),
    ("/moved", 0, "a page\n"),
    ("/chunks", 0, "one " + "two " * 30000),
    ("/nosuch", 8, ""),
])
def test_wget_fetches(online, pages, path, status, output):
    done = online(f"wget -q -O - {pages}{path}")
    assert (done.returncode, done.stdout) == (status, output), done.stderr


def test_nslookup_tells_addresses(online):
    assert "127.0.0.1" in online("nslookup localhost").stdout.splitlines()
    assert online("nslookup 127.0.0.9").stdout == "127.0.0.9\n"
    done = online("nslookup nosuch.invalid")
    assert done.returncode == 1 and "nosuch.invalid: " in done.stderr, done.stderr


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize("command, status, told", [
    ("wget -O - https://example.com/", 1, "no TLS"),
    ("wget -O - http://127.0.0.1:{free}/", 4, "connection refused"),
    ("wget -T 1 -O - http://127.0.0.1:{silent}/", 4, "timed out"),
    ("nc -z 127.0.0.1 {free}", 1, "connection refused"),
    ("nc 127.0.0.1 70000", 2, "1 to 65535"),
])
def test_network_failures_are_named(online, command, status, told):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = online(command.format(free=free_port(), silent=silent.getsockname()[1]))
    assert done.returncode == status and told in done.stderr, done.stderr


def test_nc_sends_and_receives(online):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def echo_upper():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data.upper())
        for script, stdin in (("echo from a pipe | nc 127.0.0.1 {}", ""), ("nc 127.0.0.1 {}", "from a pipe\n")):
            thread = threading.Thread(target=echo_upper, daemon=True)
            thread.start()
            done = online(script.format(server.getsockname()[1]), stdin)
            thread.join(10)
            assert (done.returncode, done.stdout) == (0, "FROM A PIPE\n"), done.stderr


def test_a_writer_that_nobody_reads_ends(online):
    process = subprocess.Popen([*online.words, "sh", "-c", "while :; do echo line; done"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (141, b"")
    process.stderr.close()


def test_nc_listens(online):
    for _ in range(5):  # another process may take the port in between
        port = free_port()
        process = subprocess.Popen([*online.words, "nc", "-l", "-v", "-p", str(port)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        connection = None
        while connection is None and process.poll() is None:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            except ConnectionRefusedError:
                continue
        if connection:
            break
        process.communicate()
    with connection:
        connection.sendall(b"to the listener\n")
        connection.shutdown(socket.SHUT_WR)
        output, _ = process.communicate(b"", timeout=30)
    assert (process.returncode, output) == (0, b"to the listener\n")
