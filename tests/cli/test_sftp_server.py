"""`libsshd sftp-server`: one session on standard input and output, with the options of OpenSSH's program."""

from __future__ import annotations

import ctypes
import logging
import os
import pwd
import signal
import stat
import subprocess
import sys
import syslog
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from libsshd._native import conceal
from libsshd.serve.policy import NAMES
from libsshd_cli import syslogging
from tests.cli.conftest import PROGRAM, Command
from tests.support.command import DEADLINE
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, READ, WRITE, Code, PipeStream, RawSFTP, Type, string, u32

INIT = b"\0\0\0\5\1\0\0\0\3"


class Session:
    """A running `sftp-server` in `directory`; its standard error goes to a file beside it."""

    def __init__(self, directory: Path, options: str, umask: str = "022") -> None:
        self.log_file = directory.parent / f"{directory.name}.stderr"
        program = " ".join(PROGRAM)
        script = f"umask {umask}; cd '{directory}'; exec {program} sftp-server {options} 2>'{self.log_file}'"
        self.stream = PipeStream(["sh", "-c", script])
        self.client = RawSFTP(self.stream)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.stream.process

    def log(self) -> list[str]:
        return self.log_file.read_text().splitlines()

    def finish(self) -> int:
        """The client sends no more; the exit status."""
        self.stream.input.close()
        return self.process.wait(DEADLINE)


Begin = Callable[..., Session]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where the server runs; it has one file."""
    directory = tmp_path / "here"
    directory.mkdir()
    (directory / "file").write_bytes(b"content")
    return directory


@pytest.fixture
def begin(here: Path) -> Iterator[Begin]:
    with ExitStack() as stack:

        def start(options: str = "", *, version: int = 3, **more: Any) -> Session:
            session = Session(here, options, **more)
            stack.callback(session.stream.abort)
            if version:
                session.client.init(version)
            return session

        yield start


def real(client: RawSFTP, path: bytes = b".") -> bytes:
    return client.ask(Type.REALPATH, string(path)).names[0][0]


def serve(*options: str, requests: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A conversation that is given in advance."""
    return subprocess.run(
        [*PROGRAM, "sftp-server", *options],
        input=requests,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )


# --- what is served ---


def test_the_client_starts_in_the_current_directory_and_sees_the_whole_file_system(begin: Begin, here: Path) -> None:
    client = begin().client
    assert real(client) == os.fsencode(here)
    assert client.stat(b"file").size == 7
    assert client.stat(b"/etc/passwd").size == os.stat("/etc/passwd").st_size


def test_with_a_root_nothing_else_is_there(begin: Begin, here: Path) -> None:
    client = begin("--root .").client
    assert real(client) == b"/"
    assert client.stat(b"file").size == 7
    assert client.ask(Type.STAT, string(b"/etc/passwd")).code == Code.NO_SUCH_FILE
    assert client.ask(Type.STAT, string(b"../../etc/passwd")).code == Code.NO_SUCH_FILE


def test_a_root_that_does_not_exist_is_one_sentence_and_status_2() -> None:
    done = serve("--root", "/nowhere")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"libsshd: the root /nowhere cannot be served: No such file or directory\n"


@pytest.mark.parametrize("start", ["%d", "~"])
def test_the_start_directory_can_be_the_home(start: str, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    monkeypatch.setenv("HOME", home)
    assert real(begin(f"-d '{start}'").client) == os.fsencode(os.path.realpath(home))


def test_the_start_directory_may_have_the_user_and_a_percent_sign_in_it(begin: Begin, here: Path) -> None:
    name = f"50%{pwd.getpwuid(os.getuid()).pw_name}"
    (here / name).mkdir()
    assert real(begin("-d 50%%%u").client) == os.fsencode(here / name)


@pytest.mark.parametrize("token", ["%x", "50%"])
def test_another_token_is_an_error(token: str) -> None:
    done = serve("-d", token)
    assert done.returncode == 2
    assert done.stderr.startswith(b"libsshd: -d knows %%, %d, %u, not %")


def test_a_start_directory_that_is_not_there_is_logged_and_the_current_one_is_used(begin: Begin, here: Path) -> None:
    session = begin("-e -d nowhere")
    assert real(session.client) == os.fsencode(here)
    assert session.log() == ['no such place to start path "nowhere" reason "No such file or directory"']


def test_with_a_root_the_start_directory_lies_in_it(begin: Begin) -> None:
    assert real(begin("--root / -d /usr/./lib").client) == b"/usr/lib"


@pytest.mark.parametrize(("options", "mode"), [("", 0o640), ("-u 0077", 0o600), ("-u 0", 0o666)])
def test_the_umask_is_the_inherited_one_or_that_of_u(options: str, mode: int, begin: Begin, here: Path) -> None:
    begin(options, umask="027").client.open(b"new", WRITE | CREAT)
    assert stat.S_IMODE((here / "new").stat().st_mode) == mode


@pytest.mark.parametrize("mask", ["8", "1000", "-1", "x", ""])
def test_a_umask_that_is_none_is_an_error(mask: str) -> None:
    done = serve(f"-u{mask}" if mask else "-u=")
    assert done.returncode == 2
    assert b"octal" in done.stderr


def test_read_only_changes_nothing(begin: Begin, here: Path) -> None:
    client = begin("-R").client
    assert client.ask(Type.REMOVE, string(b"file")).code == Code.PERMISSION_DENIED
    assert client.ask(Type.OPEN, string(b"new"), u32(WRITE | CREAT), NO_ATTRIBUTES).code == Code.PERMISSION_DENIED
    assert os.listdir(here) == ["file"]
    assert client.read(client.open(b"file", READ), 0, 10).data == b"content"


def test_requests_are_denied_and_allowed_by_name(begin: Begin) -> None:
    assert begin("-P remove").client.ask(Type.REMOVE, string(b"file")).code == Code.PERMISSION_DENIED
    client = begin("-p stat,remove -P remove").client
    assert client.stat(b"file").size == 7
    assert client.ask(Type.REMOVE, string(b"file")).code == Code.PERMISSION_DENIED
    assert client.ask(Type.REALPATH, string(b".")).code == Code.PERMISSION_DENIED


@pytest.mark.parametrize("option", ["-P", "-p"])
def test_a_name_that_is_no_request_is_an_error(option: str) -> None:
    done = serve(option, "open,delete")
    expected = f"libsshd: {option}: 'delete' is no request; libsshd sftp-server -Q requests lists what is\n"
    assert (done.returncode, done.stderr.decode()) == (2, expected)


def test_the_requests_are_listed_one_in_a_line(command: Command) -> None:
    done = command.run("sftp-server", "-Q", "requests")
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, list(NAMES), "")
    assert command.run("sftp-server", "-Q", "features").returncode == 2


def test_the_version_has_a_limit(begin: Begin) -> None:
    assert begin("--max-version 3", version=6).client.version == 3


def test_lines_end_as_on_this_system(begin: Begin) -> None:
    assert begin(version=6).client.extensions[b"newline"] == b"\n"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_symlink_has_openssh_s_order_unless_it_cannot_be_meant(version: int, begin: Begin, here: Path) -> None:
    client = begin(version=version).client
    assert client.ask(Type.SYMLINK, string(b"missing") + string(b"link")).code == Code.OK
    assert (here / "link").readlink() == Path("missing")


def test_words_that_are_no_options_are_ignored(begin: Begin) -> None:
    assert real(begin("-R -- host sftp").client)


# --- the end ---


def test_the_end_of_the_input_is_status_0(begin: Begin) -> None:
    assert begin(version=0).finish() == 0
    assert begin().finish() == 0


def test_the_end_of_the_input_inside_a_packet_is_status_0(begin: Begin) -> None:
    session = begin()
    session.client.literal(b"\0\0\0\5\1")
    assert session.finish() == 0


@pytest.mark.parametrize(
    ("requests", "status"),
    [(b"\0\0\0\0", 11), (INIT + b"\xff\xff\xff\xff", 11), (b"\0\0\0\5\3\0\0\0\1", 255), (INIT + INIT, 255)],
    ids=["length 0", "length too high", "no INIT", "second INIT"],
)
def test_what_is_no_sftp_has_a_status_of_its_own_and_a_line_in_the_log(requests: bytes, status: int) -> None:
    done = serve("-e", requests=requests)
    assert done.returncode == status
    assert done.stderr.startswith(b"bad message")


def test_a_client_that_takes_no_answers_is_status_0(begin: Begin) -> None:
    session = begin()
    session.stream.output.close()
    session.client.post(Type.REALPATH, string(b"."))
    assert session.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_at_the_start_lead_nowhere(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {' '.join(PROGRAM)} sftp-server {closed}"], timeout=DEADLINE, check=False
    )
    assert done.returncode == 0


def test_an_input_that_cannot_be_read_is_status_1(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as write_only:
        done = subprocess.run(
            [*PROGRAM, "sftp-server", "-e"], stdin=write_only, capture_output=True, timeout=DEADLINE, check=False
        )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b'reading or writing failed reason "Bad file descriptor"\n'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_what_was_open_is_logged(number: signal.Signals, begin: Begin, here: Path) -> None:
    session = begin("-e -l info")
    session.client.open(b"new", WRITE | CREAT)
    session.process.send_signal(number)
    assert session.process.wait(DEADLINE) == -number
    assert session.log()[-2].startswith(f'forced close "{here}/new" bytes read 0 written 0')
    assert session.log()[-1].startswith("session closed for local user ")


# --- the log ---


def test_a_session_leaves_the_lines_that_openssh_s_server_would(
    begin: Begin, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    session = begin("-el INFO")
    client = session.client
    handle = client.open(b"file", READ | WRITE)
    client.read(handle, 0, 4)
    client.write(handle, 7, b"more")
    client.shut(handle)
    client.ask(Type.REMOVE, string(b"missing"))
    client.ask(Type.MKDIR, string(b"/".join((os.fsencode(here), b"new"))), NO_ATTRIBUTES)
    client.ask(Type.RENAME, string(b"new"), string(b"newer"))
    assert session.finish() == 0
    user = pwd.getpwuid(os.getuid()).pw_name
    assert session.log() == [
        f"session opened for local user {user} from [192.0.2.1]",
        f'open "{here}/file" flags read,write',
        f'close "{here}/file" bytes read 4 written 4',
        'request failed request "remove" path "missing" status "NO_SUCH_FILE" reason "No such file or directory"',
        f'changed request "mkdir" path "{here}/new"',
        'changed request "rename" path "new" other "newer"',
        f"session closed for local user {user} from [192.0.2.1]",
    ]


def test_the_level_is_error_unless_l_says_more(begin: Begin) -> None:
    quiet = begin("-e")
    quiet.client.shut(quiet.client.open(b"file"))
    assert quiet.finish() == 0
    assert quiet.log() == []


def test_a_denied_request_is_logged_with_the_reason(begin: Begin) -> None:
    session = begin("-e -l verbose -P remove")
    session.client.ask(Type.REMOVE, string(b"file"))
    assert session.finish() == 0
    assert 'reason "This server does not take remove requests"' in session.log()[1]


def test_a_link_that_fails_is_logged_under_its_name(begin: Begin) -> None:
    session = begin("-e -l INFO")
    session.client.ask(Type.SYMLINK, string(b"anywhere") + string(b"file"))
    assert session.finish() == 0
    line = 'request failed request "symlink" path "file" status "FILE_ALREADY_EXISTS" reason "File already exists"'
    assert line in session.log()


def test_a_version_that_cannot_be_selected_is_logged_as_it_came(begin: Begin) -> None:
    session = begin("-e")
    session.client.ask(Type.EXTENDED, string(b"version-select") + string(b"x"))
    assert session.process.wait(DEADLINE) == 255
    assert session.log() == ["bad message reason \"version-select: 'x'\""]


def test_a_name_cannot_forge_a_line(begin: Begin) -> None:
    session = begin("-e -l info")
    session.client.ask(Type.REMOVE, string(b'a"\nsession closed\x1b'))
    assert session.finish() == 0
    assert len(session.log()) == 3
    assert 'path "a\\"\\nsession closed\\x1b"' in session.log()[1]


@pytest.mark.parametrize(
    "level", ["QUIET", "fatal", "Error", "INFO", "VERBOSE", "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3"]
)
def test_every_level_of_openssh_is_taken_in_any_case(level: str) -> None:
    assert serve("-e", "-l", level, requests=INIT).returncode == 0


@pytest.mark.parametrize("arguments", [["-l", "LOUD"], ["-f", "KERN"], ["--max-version", "7"], ["--unknown"]])
def test_what_is_unknown_is_one_sentence_and_status_2(arguments: list[str]) -> None:
    done = serve(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"libsshd sftp-server: ")
    assert done.stderr.count(b"\n") == 1


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("libsshd")
    state = found.handlers[:], found.level, found.propagate, logging.raiseExceptions
    yield found
    found.handlers[:], found.propagate = state[0], state[2]
    found.setLevel(state[1])
    logging.raiseExceptions = state[3]


@pytest.mark.parametrize(("facility", "number"), [("AUTH", syslog.LOG_AUTH), ("LOCAL7", syslog.LOG_LOCAL7)])
def test_without_e_lines_go_to_syslog_under_their_facility(
    facility: str, number: int, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, lines = [], []
    monkeypatch.setattr(syslog, "openlog", lambda *arguments: opened.append(arguments))
    monkeypatch.setattr(syslog, "syslog", lambda *arguments: lines.append(arguments))
    syslogging.configure("INFO", facility, to_stderr=False)
    logger.error("broken")
    logger.warning("odd")
    logger.info(
        "closed", extra={"fields": {"event": "close", "path": b"/a", "read": 1, "written": 2, "seconds": 0.1}}
    )
    logger.debug("hidden")
    assert opened == [("sftp-server", syslog.LOG_PID, number)]
    assert lines == [
        (syslog.LOG_ERR, "broken"),
        (syslog.LOG_WARNING, "odd"),
        (syslog.LOG_INFO, 'close "/a" bytes read 1 written 2'),
    ]


def test_nobody_listening_to_syslog_is_no_trouble() -> None:
    done = serve("-l", "DEBUG3", requests=INIT)
    assert (done.returncode, done.stderr) == (0, b"")


# --- the start ---

NOT_NEEDED = {
    "the command": {"concurrent", "datetime", "json", "shtab", "subprocess", "tempfile"},
    "logging": {"logging.handlers", "pickle"},
    "the server": {
        "asyncio",
        "cffi",
        "cryptography",
        "email",
        "hashlib",
        "http",
        "queue",
        "secrets",
        "ssl",
        "urllib",
    },
    "libsshd": {f"libsshd.{name}" for name in ("server", "connections", "hostkeys", "authentication", "admission")}
    | {f"libsshd.serve.{name}" for name in ("connection", "hub", "listener", "login")},
}


def test_a_start_loads_nothing_that_a_session_does_not_need(tmp_path: Path) -> None:
    script = (
        "import sys; before = set(sys.modules);"  # an editable installation has loaded this and that by now
        "from libsshd_cli.__main__ import main; status = main(['sftp-server']);"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=INIT, capture_output=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0
    loaded = set(done.stderr.decode().split())
    assert "libsshd.serve.session" in loaded
    assert loaded & set().union(*NOT_NEEDED.values()) == set()


# --- safety ---


def test_the_memory_of_the_process_can_be_kept_from_its_own_user() -> None:
    child = os.fork()
    if child == 0:
        get_dumpable = 3
        conceal()
        os._exit(ctypes.CDLL(None).prctl(get_dumpable, 0, 0, 0, 0))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can serve as another user")
def test_a_client_cannot_reach_the_memory_of_its_server() -> None:
    script = (  # whoever is nobody may not be able to load more of Python
        "import ctypes, os, sys, libsshd_cli.subsystem, libsshd_cli.__main__ as main;"
        "options = main.build_parser().parse_args(['sftp-server']);"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); ctypes.CDLL(None).prctl(4, 1, 0, 0, 0);"
        "sys.exit(options.command(options))"
    )
    stream = PipeStream([sys.executable, "-c", script])
    client = RawSFTP(stream).init()
    opened = client.ask(Type.OPEN, string(b"/proc/self/mem"), u32(READ), NO_ATTRIBUTES)
    assert opened.code in (Code.PERMISSION_DENIED, Code.NO_SUCH_FILE)
    stream.close()


def test_the_user_who_runs_it_is_at_home_where_it_starts(begin: Begin, here: Path) -> None:
    client, user = begin().client, pwd.getpwuid(os.getuid()).pw_name.encode()
    requests = [(b"expand-path@openssh.com", b"~" + user), (b"home-directory", user), (b"home-directory", b"")]
    told = [client.extend(name, string(argument)).names[0][0] for name, argument in requests]
    assert told == [os.fsencode(here)] * 3
    assert client.extend(b"home-directory", string(b"x" + user)).code == Code.FAILURE
