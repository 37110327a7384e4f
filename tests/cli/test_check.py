"""`libsshd check` and `libsshd bench`, against servers that are right, wrong, and silent."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd import testing
from libsshd.testing import Server
from libsshd_cli.checks import CHECKS
from libsshd_cli.measuring import MEASURES
from tests.cli.conftest import Command
from tests.support.command import DEADLINE, end

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server() -> Iterator[Server]:
    with testing.server() as started:
        yield started


@pytest.fixture
def run(command: Command, server: Server) -> Run:
    """Runs a command on the server whose host key is known, with the right password unless told otherwise."""

    def call(*arguments: str, password: str = server.password) -> "subprocess.CompletedProcess[str]":
        known = ("--known-hosts", str(server.known_hosts_file))
        return command.run(arguments[0], *known, *arguments[1:], server.url, LIBSSHD_PASSWORD=password)

    return call


def test_a_server_that_is_right_passes_every_check_and_is_left_as_it_was(run: Run, server: Server) -> None:
    server.fs["mine"] = b"x"
    done = run("check", "--json", "--listing", "50", "--size", "500000")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["name"]: row["outcome"] for row in found["checks"]} == {check.name: "ok" for check in CHECKS}
    assert (found["failed"], found["version"]) == ([], 3)
    assert found["server"] == "SSH-2.0-libsshd_0.1.0"
    assert found["host_key"] == f"ssh-ed25519 {server.host_key.fingerprint}"
    assert "posix-rename@openssh.com" in found["extensions"]
    assert server.fs.tree() == {"mine": b"x"}


def test_people_get_a_table(run: Run) -> None:
    done = run("check", "--only", "rename", "--only", "end")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "server: SSH-2.0-libsshd_0.1.0"
    assert [line.split()[0] for line in lines[-3:] if line] == ["rename", "end"] or "rename" in done.stdout
    assert "files can be renamed" in done.stdout
    assert "\x1b" not in done.stdout, "colours are for terminals"


@pytest.mark.parametrize(
    ("fault", "name", "sentence"),
    [
        ({"on": "WRITE", "do": {"corrupt": {}}}, "transfer", "another hash"),
        ({"on": "WRITE", "do": {"short_write": {}}}, "transfer", "came"),
        ({"on": "RENAME", "do": {"fail": {"message": "Not here"}}}, "rename", "FAILURE: Not here"),
        ({"on": "READDIR", "do": {"fail": {}}}, "listing", "FAILURE"),
        ({"on": "STAT", "do": {"skew_clock": {"seconds": 5}}}, "attributes", "the time of change was set"),
        ({"on": "STAT", "do": {"wrong_id": {}}}, "kinds", "an answer to request"),
        ({"on": "STAT", "do": {"bad_attributes": {}}}, "kinds", "past the end"),
        ({"on": "STAT", "do": {"disconnect": {}}}, "kinds", "the session broke"),
        ({"on": "OPEN", "nth": 20, "times": 999, "do": {"fail": {}}}, "handles", "FAILURE"),
    ],
)
def test_a_server_that_is_wrong_fails_the_check_that_is_about_it(
    run: Run, server: Server, fault: dict[str, object], name: str, sentence: str
) -> None:
    server.faults.add(fault)
    done = run("check", "--json", "--only", name)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["failed"] == [name]
    assert sentence in found["checks"][0]["text"]


def test_what_clients_do_not_rely_on_fails_nothing(run: Run, server: Server) -> None:
    server.faults.on("SYMLINK").fail("OP_UNSUPPORTED")
    done = run("check", "--json", "--only", "links")
    assert done.returncode == 0
    assert json.loads(done.stdout)["checks"][0]["outcome"] == "no"


def test_what_is_not_offered_is_skipped(command: Command) -> None:
    with testing.server(deny_requests="copy-data") as server:
        done = command.run(
            "check", "--json", "--only", "copy", server.url, "--insecure", LIBSSHD_PASSWORD=server.password
        )
        assert done.returncode == 0
        assert json.loads(done.stdout)["checks"][0]["outcome"] == "skipped"


def test_a_server_that_is_read_only_is_not_tried(command: Command) -> None:
    with testing.server(read_only=True) as server:
        done = command.run("check", server.url, "--insecure", LIBSSHD_PASSWORD=server.password)
        assert done.returncode == 2
        assert "no scratch directory can be made in ." in done.stderr


def test_the_scratch_directory_is_where_it_is_wanted(run: Run, server: Server) -> None:
    server.fs.make_directory("deep/down")
    assert run("check", "--directory", "deep/down", "--only", "rename").returncode == 0
    assert str(server.log.of("MKDIR").first.path).startswith("/deep/down/.libsshd-check-")
    assert "no scratch directory" in run("check", "--directory", "none").stderr


@pytest.mark.parametrize(
    ("arguments", "password", "sentence"),
    [
        ([], "wrong", "cannot log in"),
        (["--fingerprint", "SHA256:other"], "secret", "which is not the one asked for"),
        (["--known-hosts", "/dev/null"], "secret", "if it is right, add --fingerprint SHA256:"),
        (["--only", "nothing"], "secret", "there is no check 'nothing'; there are transfer, large"),
        (["--identity", "none"], "secret", "cannot log in"),
        (["--password-file", "none"], "secret", "the password file none cannot be read: No such file or directory"),
        (["--timeout", "-1"], "secret", "is not a number of seconds"),
    ],
)
def test_what_keeps_it_from_being_tried_is_one_sentence(
    run: Run, arguments: list[str], password: str, sentence: str
) -> None:
    done = run("check", *arguments, password=password)
    assert done.returncode == 2
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_another_key_than_the_known_one_is_a_warning(command: Command, server: Server, tmp_path: Path) -> None:
    with testing.server() as other:
        line = other.known_hosts_line.replace(f":{other.port} ", f":{server.port} ")
    (tmp_path / "known").write_text(line + "\n")
    done = command.run("check", server.url, "--known-hosts", str(tmp_path / "known"), LIBSSHD_PASSWORD="secret")
    assert done.returncode == 2
    assert "somebody may be in between" in done.stderr


def test_a_key_logs_in(command: Command, server: Server) -> None:
    done = command.run(
        "check", "--only", "rename", "--identity", str(server.private_key_file), "--insecure", server.url
    )
    assert done.returncode == 0, done.stderr
    assert server.log.of("LOGIN").last.details == (("method", "publickey"), ("outcome", "accepted"))


def test_without_any_way_to_log_in_it_says_what_to_do(command: Command, server: Server) -> None:
    done = command.run("check", "--insecure", server.url)
    assert done.returncode == 2
    assert "use --identity, --password-file or LIBSSHD_PASSWORD=" in done.stderr


@pytest.mark.parametrize("target", ["", "http://host", "sftp://", "host:99999", "bob@"])
def test_what_names_no_server_is_told(command: Command, target: str) -> None:
    done = command.run("check", target)
    assert done.returncode == 2
    assert "names no server" in done.stderr


def test_a_closed_port_and_a_silent_server_are_told_apart(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        silent = command.run("check", f"sftp://x@127.0.0.1:{port}", "--timeout", "0.5")
    closed = command.run("check", f"sftp://x@127.0.0.1:{port}", "--timeout", "0.5")
    assert (silent.returncode, closed.returncode) == (2, 2)
    assert "no answer within the time-out" in silent.stderr
    assert "Connection refused" in closed.stderr


def test_the_server_of_openssh_passes_every_check(command: Command, server: Server, tmp_path: Path) -> None:
    """It needs a directory for privilege separation and an absolute path; it runs as whoever runs the tests."""
    sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
    if sshd is None or os.geteuid() != 0:
        pytest.skip("OpenSSH's sshd is not installed, or may not be run by this user")
    Path("/run/sshd").mkdir(exist_ok=True)
    (tmp_path / "keys").write_text(server._accounts.key.public_line + "\n")
    host_key = tmp_path / "host"
    server.host_key.save(host_key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    argv = [
        sshd, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(host_key),
        "-o", "ListenAddress=127.0.0.1", "-o", f"AuthorizedKeysFile={tmp_path / 'keys'}", "-o", "StrictModes=no",
        "-o", "Subsystem=sftp internal-sftp", "-o", "PidFile=none", "-o", "UsePAM=no",
    ]  # fmt: skip
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        done = command.run(
            "check", "--json", f"sftp://root@127.0.0.1:{port}", "--identity", str(server.private_key_file),
            "--fingerprint", server.host_key.fingerprint, "--directory", str(tmp_path),
            "--listing", "50", "--size", "500000",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found = {row["name"]: row["outcome"] for row in json.loads(done.stdout)["checks"]}
        assert set(found.values()) <= {"ok", "skipped"}
        assert sorted(os.listdir(tmp_path)) == ["home", "host", "keys"]
    finally:
        end(process)


def wait_for(port: int) -> None:
    due = time.monotonic() + DEADLINE
    while True:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < due, "nobody listens"


def test_bench_measures_everything_and_leaves_nothing(run: Run, server: Server) -> None:
    arguments = ("--size", "300000", "--files", "3", "--logins", "2", "--repeat", "2")
    done = run("bench", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["measures"]
    assert [row["name"] for row in rows] == [measure.name for measure in MEASURES]
    assert all(0 < row["least"] <= row["median"] <= row["most"] for row in rows)
    assert server.fs.tree() == {}
    assert server.log.of("CONNECT").last.connection == 1 + 2 * 2
    table = run("bench", *arguments).stdout
    assert all(measure.name in table for measure in MEASURES)


def test_bench_tells_what_went_wrong(run: Run, server: Server) -> None:
    assert "sizes and numbers are 1 or more" in run("bench", "--repeat", "0").stderr
    server.faults.on("WRITE").disconnect()
    done = run("bench", "--size", "1000", "--files", "1", "--logins", "1", "--repeat", "1")
    assert done.returncode == 2
    assert "the server gave up" in done.stderr
