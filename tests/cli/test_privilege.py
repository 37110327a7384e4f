"""What `libsshd run` and `libsshd sftp-server` give up before they serve, seen from outside and from within."""

from __future__ import annotations

import errno
import os
import pwd
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from libsshd import HostKey, SFTPServer
from libsshd._native import landlock_version
from libsshd_cli import CommandError
from libsshd_cli.privilege import find_account
from tests.cli.conftest import Command, Running
from tests.cli.test_run import session
from tests.support import seccomp
from tests.support.command import DEADLINE
from tests.support.rawsftp import PipeStream, RawSFTP, Type, string
from tests.support.server import first_line

PROJECT = Path(__file__).parents[2]
NOBODY = pwd.getpwnam("nobody")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock of use")
LOGIN = ("--user", "bob", "--password", "secret")


def fields(pid: int) -> dict[str, str]:
    """What /proc tells of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def common() -> Iterator[Path]:
    """A directory that every user of this machine reaches and may write in; tmp_path is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


# --- what /proc shows ---


def test_nothing_is_gained_dumped_or_looked_into(command: Command) -> None:
    running = command.serve(*LOGIN)
    with session(running.port, "bob", "secret"):
        tasks = list(Path(f"/proc/{running.process.pid}/task").iterdir())
        assert len(tasks) > 2
        assert {fields(int(task.name))["NoNewPrivs"] for task in tasks} == {"1"}
    assert resource.prlimit(running.process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_the_subsystem_gives_up_the_same(tmp_path: Path) -> None:
    stream = PipeStream([sys.executable, "-m", "libsshd_cli", "sftp-server", "--root", str(tmp_path)])
    try:
        RawSFTP(stream).init()
        assert fields(stream.process.pid)["NoNewPrivs"] == "1"
        assert resource.prlimit(stream.process.pid, resource.RLIMIT_CORE) == (0, 0)
    finally:
        stream.abort()


def test_a_umask_can_be_set(command: Command) -> None:
    running = command.serve(*LOGIN, "--umask", "027")
    with session(running.port, "bob", "secret") as client:
        client.open("/file", "w").close()
    assert stat.S_IMODE((command.home / "file").stat().st_mode) == 0o640
    done = command.run("run", "--umask", "9")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'9' is not an octal number, 0 to 777" in done.stderr


# --- root ---


def test_root_is_warned_and_nobody_else(command: Command) -> None:
    log = command.serve().log()
    assert ("event=root" in log) == (os.geteuid() == 0)


def privileged_port() -> int:
    """A port below 1024 that is free."""
    for port in range(1023, 512, -1):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("every port below 1024 is taken or forbidden")


def serve_as_nobody(command: Command, root: Path, *options: str | Path) -> Running:
    return command.serve("--run-as", "nobody", "--root", root, *options)


@needs_root
def test_the_port_is_bound_and_the_keys_are_read_and_then_root_is_gone(command: Command, common: Path) -> None:
    (command.home / "password").write_text("secret\n")
    (command.home / "password").chmod(0o600)
    port = privileged_port()
    running = serve_as_nobody(command, common, "--port", str(port), "--password-file", "password")
    assert running.url == f"sftp://nobody@127.0.0.1:{port}"
    with session(port, "nobody", "secret") as client:
        client.open("/file", "w").close()
        told = fields(running.process.pid)
    made = (common / "file").stat()
    assert (made.st_uid, made.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert told["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert told["Gid"].split() == [str(NOBODY.pw_gid)] * 4
    groups = os.getgrouplist("nobody", NOBODY.pw_gid)
    assert sorted(map(int, told["Groups"].split())) == sorted(groups)
    assert {name: int(told[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {
        "CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0
    }  # fmt: skip
    assert "event=root" not in running.log()
    assert (command.home / ".local/state/libsshd/host_ed25519").stat().st_uid == 0
    assert running.stop() == 0


@needs_root
def test_who_serves_cannot_be_looked_into_by_its_own_user(command: Command, common: Path) -> None:
    running = serve_as_nobody(command, common)
    assert Path(f"/proc/{running.process.pid}/mem").stat().st_uid == 0
    assert fields(running.process.pid)["Uid"].split()[0] == str(NOBODY.pw_uid)


@needs_root
def test_files_with_secrets_may_belong_to_the_user_who_serves_and_to_nobody_else(
    command: Command, common: Path
) -> None:
    (command.home / "password").write_text("secret\n")
    (command.home / "password").chmod(0o600)
    os.chown(command.home / "password", NOBODY.pw_uid, -1)
    running = serve_as_nobody(command, common, "--password-file", "password")
    with session(running.port, "nobody", "secret"):
        pass
    os.chown(command.home / "password", NOBODY.pw_uid - 1, -1)
    done = command.run("run", "--run-as", "nobody", "--root", common, "--password-file", "password")
    assert (done.returncode, "belongs to another user" in done.stderr) == (2, True)


@needs_root
def test_a_root_the_user_cannot_have_is_one_sentence(command: Command) -> None:
    command.home.chmod(0o700)
    done = command.run("run", "--port", "0", "--run-as", "nobody", "--root", command.home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith("cannot be served: Permission denied")


@pytest.mark.parametrize("name", ["no-such-user", "4294967294", "99999999999999999999", "two\nlines", ""])
def test_a_user_that_is_unknown_is_one_sentence_and_nothing_is_made(command: Command, name: str) -> None:
    done = command.run("run", "--port", "0", "--run-as", name)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("libsshd: --run-as: this machine has no user '")
    assert list(command.home.iterdir()) == []


def test_root_is_no_user_to_become() -> None:
    for name in ("root", "0"):
        with pytest.raises(CommandError, match="name another user"):
            find_account(name)
    assert find_account(str(NOBODY.pw_uid)) == NOBODY


# --- programs that give up something themselves ---


HEAD = """
import os, sys
from libsshd_cli import privilege

def code(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return error.errno
    return 0
"""


def run(program: str, *arguments: str | Path) -> str:
    """What it prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(program), *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_root
def test_root_cannot_be_had_again() -> None:
    program = """
        privilege.drop_root(privilege.find_account("nobody"))
        def tries(what):
            try:
                what()
            except PermissionError:
                return
            sys.exit(f"{what} is possible")
        tries(lambda: os.setuid(0))
        tries(lambda: os.setgid(0))
        tries(lambda: os.setresuid(-1, 0, -1))
        tries(lambda: os.setgroups([0]))
        tries(lambda: os.chroot("/"))
    """
    run(program)


@needs_root
def test_where_root_would_stay_within_reach_nothing_is_served() -> None:
    program = """
        import ctypes
        ctypes.CDLL(None).prctl(28, 0b101)  # PR_SET_SECUREBITS: a change of user changes nothing else
        privilege.drop_capabilities = lambda: None  # the defence that comes first
        try:
            privilege.drop_root(privilege.find_account("nobody"))
        except privilege.CommandError as error:
            print(error)
    """
    assert "root cannot be given up for good here" in run(program)


@needs_landlock
def test_inside_the_root_everything_works_and_outside_nothing_opens(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_bytes(b"secret")
    program = """
        from errno import EACCES, EPERM, EXDEV
        os.chdir(sys.argv[1])
        privilege.confine("in", read_only=False, landlock=True)
        os.mkdir("in/a"), os.mkdir("in/b")
        open("in/a/f", "w").write("content")
        os.rename("in/a/f", "in/b/g")
        os.link("in/b/g", "in/a/h")
        os.symlink("../out/file", "in/link")
        os.truncate("in/a/h", 3)
        os.mkfifo("in/fifo"), os.rename("in/fifo", "in/a/fifo"), os.remove("in/a/fifo")
        assert open("in/b/g").read() == "con" and sorted(os.listdir("in/a")) == ["h"]
        outside = {
            "read": (open, "out/file"), "link": (open, "in/link"), "write": (open, "out/new", "w"),
            "list": (os.listdir, "out"), "remove": (os.remove, "out/file"), "make": (os.mkdir, "out/d"),
            "truncate": (os.truncate, "out/file", 0),
            "exec": (os.execv, sys.executable, [sys.executable, "-c", ""]),
        }
        wrong = {name: number for name, call in outside.items() if (number := code(*call)) != EACCES}
        assert not wrong, wrong
        assert code(os.rename, "in/b/g", "out/g") in (EXDEV, EACCES)
        assert code(os.link, "out/file", "in/stolen") in (EXDEV, EACCES)
        assert code(os.mknod, "in/null", 0o20600, os.makedev(1, 3)) in (EACCES, EPERM)
        assert code(os.execv, "in/b/g", ["g"]) == EACCES
        import pwd
        assert os.geteuid() != 0 or code(open, "/etc/shadow") == EACCES
        assert pwd.getpwuid(os.getuid()).pw_name
        open(os.devnull, "w").write("x")
    """
    run(program, tmp_path)


@needs_landlock
@pytest.mark.parametrize("version", range(2, landlock_version() + 1))
def test_every_version_of_landlock_is_made_use_of(tmp_path: Path, version: int) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    program = f"""
        from errno import EACCES
        os.chdir(sys.argv[1])
        privilege.landlock_version = lambda: {version}
        privilege.confine("in", read_only=False, landlock=True)
        open("in/f", "w").write("content")
        os.mkdir("in/d"), os.rename("in/f", "in/d/f")
        os.truncate("in/d/f", 0)
        assert code(open, "file") == EACCES
        assert code(os.truncate, "file", 0) == (EACCES if {version} >= 3 else 0)
        assert code(os.kill, os.getppid(), 0) == (1 if {version} >= 6 else 0)
    """
    run(program, tmp_path)


@needs_landlock
def test_a_root_that_is_read_only_cannot_be_written_even_by_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    program = """
        from errno import EACCES
        os.chdir(sys.argv[1])
        privilege.confine(".", read_only=True, landlock=True)
        assert open("file").read() == "content" and os.listdir(".") == ["file"]
        calls = (open, "file", "a"), (open, "new", "w"), (os.mkdir, "d"), (os.remove, "file"), (os.link, "file", "a")
        assert {code(*call) for call in calls} == {EACCES}
    """
    run(program, tmp_path)


# --- with clients ---

AS_NOBODY = """
    import libsshd_cli.serving, libsshd_cli.__main__ as command
    from libsshd_cli import privilege
    from tests.support import seccomp
    {preparation}
    privilege.load_everything()
    options = command.build_parser().parse_args(sys.argv[1:])  # whoever is nobody may not be able to load more
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
    sys.exit(options.command(options))
"""


def start(command: Command, program: str, *arguments: str | Path) -> tuple[subprocess.Popen[bytes], int, Path]:
    """A program that ends in the command: the process, its port, its log."""
    log = command.home / "stderr"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", "import os, sys\n" + textwrap.dedent(program), *arguments],
            cwd=PROJECT,
            env=command.environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
        )
    command.started.append(process)
    line = first_line(process, DEADLINE)
    assert line.startswith(b"sftp://"), log.read_text()
    return process, int(line.rpartition(b":")[2]), log


def outcome(call: Callable[[], object]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or -1
    return 0


@needs_landlock
@pytest.mark.parametrize("switch", [[], ["--no-landlock"]])
def test_what_would_escape_the_root_is_stopped_by_the_kernel(command: Command, switch: list[str]) -> None:
    """The root is the whole file system here, as if every check of ours had failed."""
    inside, outside = command.home / "in", command.home / "out"
    for path in (inside, outside):
        path.mkdir()
        (path / "file").write_bytes(b"content")
    program = f"""
        from libsshd_cli import privilege, serving
        from libsshd_cli.__main__ import main
        confine = privilege.confine
        privilege.confine = lambda root, **options: confine({str(inside)!r}, **options)
        sys.exit(main(sys.argv[1:]))
    """
    _, port, log = start(command, program, "run", "--port", "0", "--root", "/", *LOGIN, *switch)
    denied = 0 if switch else errno.EACCES
    with session(port, "bob", "secret") as client:
        assert client.open(f"{inside}/file").read() == b"content"
        assert outcome(lambda: client.open(f"{outside}/file").read()) == denied
        assert outcome(lambda: client.listdir(str(outside))) == denied
        assert outcome(lambda: client.open(f"{outside}/new", "w").close()) == denied
        assert outcome(lambda: client.mkdir(f"{outside}/d")) == denied
        assert outcome(lambda: client.remove(f"{outside}/file")) == denied
    assert ("event=landlock" in log.read_text()) == (not switch)


@pytest.mark.skipif(not seccomp.SUPPORTED, reason="the filters name calls of x86-64")
def test_a_kernel_without_landlock_serves_all_the_same_and_says_so(command: Command) -> None:
    program = f"""
        from tests.support import seccomp
        from libsshd_cli.__main__ import main
        seccomp.deny(444, {errno.ENOSYS})
        sys.exit(main(sys.argv[1:]))
    """
    _, port, log = start(command, program, "run", "--port", "0", "--root", command.home, *LOGIN)
    with session(port, "bob", "secret") as client:
        client.open("/file", "w").close()
    (line,) = [line for line in log.read_text().splitlines() if "event=landlock" in line]
    assert " warning " in line
    assert "reason=" in line


@needs_root
def test_modes_are_set_through_proc_where_it_is_closed_to_its_own_user(command: Command, common: Path) -> None:
    preparation = f"seccomp.deny(seccomp.FCHMODAT2, {errno.ENOSYS})"
    program = AS_NOBODY.format(preparation=preparation)
    options = ["--root", str(common), "--host-key", str(common / "key"), *LOGIN]
    command.run("hostkey", common / "key")
    os.chown(common / "key", NOBODY.pw_uid, NOBODY.pw_gid)
    process, port, log = start(command, program, "run", "--port", "0", *options)
    with session(port, "bob", "secret") as client:
        client.open("/file", "w").close()
        client.chmod("/file", 0o604)
    assert stat.S_IMODE((common / "file").stat().st_mode) == 0o604
    assert fields(process.pid)["Uid"].split()[0] == str(NOBODY.pw_uid)
    assert "event=root" not in log.read_text()


LOADED = """
    import threading
    from libsshd_cli import privilege
    from libsshd_cli.__main__ import main
    confine, known = privilege.confine, set()
    def note(*arguments, **options):
        assert threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1, "threads run already"
        confine(*arguments, **options)
        known.update(sys.modules)
    privilege.confine = note
    status = main(sys.argv[1:])
    late = set(sys.modules) - known
    print("loaded late:", *sorted(late), file=sys.stderr)
    sys.exit(status or len(late))
"""


def test_all_is_loaded_and_no_thread_runs_when_privileges_are_given_up(command: Command) -> None:
    process, port, log = start(
        command, LOADED, "run", "--port", "0", "--root", command.home, *LOGIN, "--log-level", "debug",
        "--set", "AllowedClients=127.0.0.1,localhost", "--drain-timeout", "1",
    )  # fmt: skip
    with pytest.raises(paramiko.AuthenticationException), session(port, "bob", "wrong"):
        pass
    with session(port, "bob", "secret") as client:
        odd = "/ä\n\x1b".encode() + b"\xff"
        with client.open(odd, "w") as file:
            file.write(b"content")
        client.stat(odd)
        assert outcome(lambda: client.open("/missing")) == errno.ENOENT
        client.rename(odd, "/b")
        client.listdir_attr("/")
        opened = client.open("/b")
        assert opened.check("sha256")
        opened.close()
    process.terminate()
    assert process.wait(DEADLINE) == 0, log.read_text()[-2000:]


def test_a_hash_is_there_although_python_is_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    stream = PipeStream([sys.executable, "-m", "libsshd_cli", "sftp-server", "--root", str(tmp_path)])
    try:
        client = RawSFTP(stream).init(6)
        reply = client.extend(b"check-file-name", string(b"/file") + string(b"sha256") + bytes(20))
        assert reply.type == Type.EXTENDED_REPLY
    finally:
        stream.abort()


# --- the component ---


def test_the_component_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    program = """
        import ctypes, resource, threading
        from pathlib import Path
        kept = ("Uid", "Gid", "Groups", "NoNewPrivs", "CapEff", "CapPrm", "CapBnd", "CapAmb", "Seccomp", "Umask")
        def state():
            lines = Path("/proc/self/status").read_text().splitlines()
            told = [line for line in lines if line.partition(":")[0] in kept]
            limits = [resource.getrlimit(number) for number in range(16)]
            return told, limits, ctypes.CDLL(None).prctl(3), os.stat("/proc/self/mem").st_uid, os.listdir("/proc")[0]
        before = state()
        from tests.contract.support_life import make, session
        from tests.support.hostile import Peer
        server = make(Path(sys.argv[1]))
        seen = []
        server.on_get_attributes = lambda _: seen.append((state(), os.system("exit 3")))
        server.start_listening()
        with Peer(server.local_port) as peer:
            session(peer).stat(b"/")
        server.shutdown()
        assert [now[:4] for now, _ in seen] == [before[:4]] and seen[0][1] == 3 << 8
        assert state()[:4] == before[:4]
    """
    run(program, tmp_path)


def test_an_address_that_is_bound_accepts_nobody_before_it_is_started(tmp_path: Path) -> None:
    server = SFTPServer(
        root_directory=str(tmp_path), local_host="127.0.0.1", host_keys=[HostKey.generate()], local_port=0
    )
    server.bind()
    port = server.local_port
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as early:
        assert not server.listening
        server.start_listening()
        assert server.local_port == port
        assert early.recv(4) == b"SSH-"
    server.shutdown()
    server.bind()
    server.stop_listening()
    assert outcome(lambda: socket.create_connection(("127.0.0.1", port))) == errno.ECONNREFUSED
