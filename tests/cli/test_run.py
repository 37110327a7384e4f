"""`libsshd run`: what it prints, whom it lets in, how it ends, and what it says when it cannot start."""

import json
import os
import pwd
import resource
import select
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import paramiko
import pytest

from tests.cli.conftest import PROGRAM, Command, Running
from tests.support.command import DEADLINE, wait_until
from tests.support.server import first_line, make_key

FOR_EVER = "100000"  # seconds: outlasts the deadline of every test
OWN_NAME = pwd.getpwuid(os.geteuid()).pw_name


@contextmanager
def session(port: int, user: str, password: str) -> Iterator[paramiko.SFTPClient]:
    """Log in and open SFTP."""
    with closing(paramiko.Transport(("127.0.0.1", port))) as transport:
        transport.connect(username=user, password=password)
        client = transport.open_sftp_client()
        assert client is not None
        yield client


def is_refused(client: paramiko.SFTPClient, path: str) -> bool:
    """Whether a new file cannot be opened; one that can is removed again."""
    try:
        client.open(path, "w").close()
    except OSError:
        return True
    client.remove(path)
    return False


def sftp(line: str, home: Path, batch: str) -> "subprocess.CompletedProcess[str]":
    """Run the line that was to be pasted, with a batch of commands and without the settings of this machine."""
    settings = "-F none -o UserKnownHostsFile=known -o StrictHostKeyChecking=accept-new -b -"
    return subprocess.run(
        shlex.split(line.replace("sftp", f"sftp {settings}", 1)),
        input=batch,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


# --- what it prints ---


def test_without_options_the_current_directory_is_served_to_oneself(command: Command) -> None:
    (command.home / "file").write_text("content")
    running = command.serve()
    password = running.greeting("password")
    assert running.url == f"sftp://{OWN_NAME}@127.0.0.1:{running.port}"
    assert running.greeting("serving") == str(command.home)
    assert running.greeting("host key").startswith("SHA256:")
    assert running.greeting("connect") == f"sftp -P {running.port} {OWN_NAME}@127.0.0.1"
    with session(running.port, OWN_NAME, password) as client:
        assert client.open("/file").read() == b"content"
    assert running.stop() == 0


def test_the_default_port_is_2222(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command.run("run", "--port", str(taken.getsockname()[1]))
    assert "is in use" in done.stderr
    process, log = command.begin(["run"])
    line = first_line(process, DEADLINE)
    if line:
        assert line.endswith(b"@127.0.0.1:2222\n")
    else:
        assert "port 2222 on 127.0.0.1 is in use" in log.read_text()


def test_a_made_up_password_is_new_each_time(command: Command) -> None:
    first, second = command.serve(), command.serve()
    assert first.greeting("password") != second.greeting("password")
    assert len(first.greeting("password")) == 23


def test_a_given_password_is_not_shown(command: Command) -> None:
    (command.home / "secret").write_text("from-the-file\n")
    (command.home / "secret").chmod(0o600)
    for options, password in {
        ("--password", "given-here"): "given-here",
        ("--password-file", "secret"): "from-the-file",
    }.items():
        running = command.serve("--user", "bob", *options)
        with session(running.port, "bob", password) as client:
            assert "secret" in client.listdir("/")
        assert running.stop() == 0
        assert password not in running.log()
        assert "password  " not in running.log()


def test_a_password_can_come_through_a_pipe(command: Command) -> None:
    line = f"exec {shlex.join(PROGRAM)} run --port 0 --password-file <(echo secret) --user bob"
    with subprocess.Popen(
        ["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=command.environment, bufsize=0
    ) as process:
        try:
            port = int(first_line(process, DEADLINE).rpartition(b":")[2])
            with session(port, "bob", "secret"):
                pass
        finally:
            process.terminate()


def test_keys_alone_make_no_password_and_the_pasted_line_logs_in(command: Command) -> None:
    make_key(command.home / "my key", ["-t", "ed25519"])
    running = command.serve("--user", "a b", "--authorized-keys", "my key.pub")
    assert "password" not in running.log()
    line = running.greeting("connect")
    assert "-i 'my key'" in line
    done = sftp(line, command.home, "ls /\n")
    assert (done.returncode, "/my\\ key.pub" in done.stdout or "/my key.pub" in done.stdout) == (0, True), done
    with pytest.raises(paramiko.AuthenticationException), session(running.port, "a b", "x"):
        pass
    assert running.stop() == 0


def test_keys_of_several_files_all_count(command: Command) -> None:
    options = []
    for name in ("one", "two"):
        make_key(command.home / name, ["-t", "ed25519"])
        (command.home / f"{name}.pub").rename(command.home / f"{name}.keys")
        options += ["--authorized-keys", f"{name}.keys"]
    running = command.serve("--user", "bob", *options)
    for name in ("one", "two"):
        line = f"{running.greeting('connect')}".replace("sftp", f"sftp -i {name} -o IdentitiesOnly=yes", 1)
        assert sftp(line, command.home, "ls /\n").returncode == 0
    assert "-i" in running.greeting("with a key")


def test_several_host_keys_are_all_shown(command: Command) -> None:
    options = []
    for key_type in ("ed25519", "ecdsa", "rsa"):
        command.run("hostkey", key_type, "--type", key_type)
        options += ["--host-key", key_type]
    running = command.serve(*options)
    assert running.greeting("host key").endswith("(ssh-ed25519)")
    assert running.greeting("host key 2").endswith("(ecdsa-sha2-nistp256)")
    assert running.greeting("host key 3").endswith("(ssh-rsa)")
    assert not (command.home / ".local").exists()


def test_the_url_is_percent_encoded_and_brackets_an_ipv6_address(command: Command) -> None:
    running = command.serve("--host", "::1", "--user", "a@b ü")
    assert running.url == f"sftp://a%40b%20%C3%BC@[::1]:{running.port}"


def test_a_server_on_every_address_says_how_it_is_reached(command: Command) -> None:
    running = command.serve("--host", "0.0.0.0")  # noqa: S104
    assert running.url == f"sftp://{OWN_NAME}@0.0.0.0:{running.port}"
    assert running.greeting("connect").endswith("@127.0.0.1")
    assert "this one's name" in running.greeting("elsewhere")


def test_in_json_every_line_is_an_object_and_the_greeting_is_one_of_them(command: Command) -> None:
    running = command.serve("--log-format", "json", "--log-level", "error", "--user", "bob")
    (greeting,) = [json.loads(line) for line in running.log().splitlines()]
    assert greeting["event"] == "serving"
    with session(running.port, "bob", greeting["password"]):
        pass
    assert running.stop() == 0
    assert len([json.loads(line) for line in running.log().splitlines()]) == 1


def limits_of_a_server(command: Command, soft: int, hard: int, *options: str) -> tuple[tuple[int, int], str]:
    """The descriptor limits of a server that began with these, and what it logged."""
    line = f"ulimit -Sn {soft}; ulimit -Hn {hard}; exec {shlex.join([*PROGRAM, 'run', '--port', '0', *options])}"
    with subprocess.Popen(
        ["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=command.environment, bufsize=0
    ) as process:
        assert process.stderr is not None
        try:
            assert first_line(process, DEADLINE).startswith(b"sftp://")
            limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        finally:
            process.terminate()
        return limits, process.stderr.read().decode()


def test_the_descriptor_limit_is_raised_to_what_the_system_grants(command: Command) -> None:
    limits, log = limits_of_a_server(command, 100, 300, "--max-connections", "70")
    assert limits == (300, 300)
    assert "descriptor limit" not in log


def test_connections_that_need_more_get_it_from_root_and_else_it_is_said_how_many_will_do(command: Command) -> None:
    limits, log = limits_of_a_server(command, 100, 300, "--max-connections", "200")
    said = [line for line in log.splitlines() if "descriptor limit" in line]
    if limits == (300, 300):
        assert len(said) == 1
        assert said[0].endswith("event=descriptors limit=300 needed=664 connections=78")
    else:
        assert (limits, said) == ((664, 664), [])


def opened(client: paramiko.SFTPClient, path: str) -> paramiko.SFTPFile | None:
    """None when the server has too many."""
    try:
        return client.open(path)
    except OSError as error:
        assert "Too many open files" in str(error)
        return None


def test_files_that_one_client_holds_open_leave_descriptors_for_others(command: Command, tmp_path: Path) -> None:
    root = tmp_path / "held"
    root.mkdir()
    (root / "f").touch()
    options = ["--max-connections", "20", "--user", "bob", "--password", "secret", "--root", str(root)]
    line = f"ulimit -n 300; exec {shlex.join([*PROGRAM, 'run', '--port', '0', *options])}"
    with subprocess.Popen(
        ["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=command.environment, bufsize=0
    ) as process:
        try:
            port = int(first_line(process, DEADLINE).rpartition(b":")[2])
            with session(port, "bob", "secret") as client:
                held = list(islice(iter(lambda: opened(client, "/f"), None), 250))
                assert 100 < len(held) < 250
                with session(port, "bob", "secret") as other:
                    assert other.listdir("/") == ["f"]
        finally:
            process.terminate()


# --- the log ---


def records(running: Running, event: str) -> list[dict[str, object]]:
    """The log's objects with that event."""
    lines = [json.loads(line) for line in running.log().splitlines()]
    return [line for line in lines if line.get("event") == event]


def test_login_open_close_failure_and_logout_are_one_line_each(command: Command) -> None:
    running = command.serve("--user", "bob", "--password", "secret", "--log-format", "json")
    with session(running.port, "bob", "secret") as client:
        with client.open("/new\nname", "w") as file:
            file.write(b"12345")
        with pytest.raises(FileNotFoundError):
            client.remove("/missing")
    wait_until(lambda: bool(records(running, "logout")), "the logout in the log")
    counts = {event: len(records(running, event)) for event in ("login", "open", "close", "failed", "logout")}
    assert counts == {"login": 1, "open": 1, "close": 1, "failed": 1, "logout": 1}
    assert records(running, "login")[0]["user"] == "bob"
    (closed,) = records(running, "close")
    assert (closed["path"], closed["read"], closed["written"]) == ("/new\nname", 0, 5)
    assert isinstance(closed["seconds"], float)
    assert records(running, "failed")[0]["path"] == "/missing"
    assert "secret" not in running.log()


def test_a_file_name_cannot_forge_a_line_of_the_log(command: Command) -> None:
    running = command.serve("--user", "bob", "--password", "secret")
    with session(running.port, "bob", "secret") as client:
        client.open("/x\n1970-01-01T00:00:00.000Z info login user=root", "w").close()
    wait_until(lambda: "event=close" in running.log(), "the close in the log")
    assert not any(line.startswith("1970") for line in running.log().splitlines())
    assert r"/x\n1970" in running.log()


def test_a_probe_that_never_speaks_is_logged_at_debug_level_only(command: Command) -> None:
    quiet, chatty = command.serve("--log-level", "info"), command.serve("--log-level", "debug")
    before = quiet.log()
    for running in (quiet, chatty):
        for _ in range(3):
            socket.create_connection(("127.0.0.1", running.port)).close()
    wait_until(lambda: chatty.log().count(" debug ") >= 3, "the probes in the log")
    assert quiet.stop() == 0
    assert all("stop" in line for line in quiet.log().removeprefix(before).splitlines())


# --- limits and access ---


def test_read_only_changes_nothing(command: Command) -> None:
    (command.home / "file").write_text("content")
    running = command.serve("--user", "bob", "--password", "x", "--read-only", "--root", ".")
    assert running.greeting("access") == "read-only"
    with session(running.port, "bob", "x") as client:
        with pytest.raises(OSError):
            client.open("/file", "w")
        with pytest.raises(OSError):
            client.mkdir("/folder")
        assert client.open("/file").read() == b"content"


def test_denied_requests_are_refused(command: Command) -> None:
    (command.home / "file").write_text("content")
    running = command.serve("--user", "bob", "--password", "x", "--deny-requests", "remove,rmdir")
    with session(running.port, "bob", "x") as client:
        with pytest.raises(OSError, match="remove"):
            client.remove("/file")
        assert client.open("/file").read() == b"content"


def test_of_a_list_of_allowed_requests_nothing_else_is_answered(command: Command) -> None:
    running = command.serve("--user", "bob", "--password", "x", "--allow-requests", "realpath,stat")
    with session(running.port, "bob", "x") as client:
        assert client.stat("/").st_mode
        with pytest.raises(OSError, match="opendir"):
            client.listdir("/")


@pytest.mark.parametrize("option", ["--deny-requests", "--allow-requests"])
def test_a_request_that_does_not_exist_is_an_error_that_tells_where_the_names_are(
    option: str, command: Command
) -> None:
    done = command.run("run", "--port", "0", "--password", "x", option, "delete")
    expected = f"libsshd: {option}: 'delete' is no request; libsshd sftp-server -Q requests lists what is\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_a_setting_with_such_a_request_is_an_error_that_tells_the_names(command: Command) -> None:
    done = command.run("run", "--port", "0", "--password", "x", "--set", "DenyRequests=delete")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'delete' is no request; there are open, close, " in done.stderr


def test_connections_above_the_limit_are_turned_away(command: Command) -> None:
    running = command.serve("--user", "bob", "--password", "x", "--max-connections", "1")
    address = ("127.0.0.1", running.port)
    with session(running.port, "bob", "x"), socket.create_connection(address, timeout=DEADLINE) as surplus:
        assert surplus.recv(1000) == b""


def test_a_startup_above_the_limit_makes_the_oldest_go(command: Command) -> None:
    running = command.serve("--max-startups", "2")
    peers = [socket.create_connection(("127.0.0.1", running.port), timeout=DEADLINE) for _ in range(3)]
    while peers[0].recv(1000):
        pass
    assert all(peer.recv(4) == b"SSH-" for peer in peers[1:])
    for peer in peers:
        peer.close()


# --- how it ends ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_idle_server_with_status_0(number: signal.Signals, command: Command) -> None:
    running = command.serve()
    assert running.stop(number) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))


def test_after_a_signal_an_open_file_may_be_finished_but_none_opened(command: Command) -> None:
    running = command.serve("--user", "bob", "--password", "x", "--drain-timeout", FOR_EVER)
    with session(running.port, "bob", "x") as client:
        file = client.open("/file", "w")
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "event=stopping" in running.log(), "the server stopping")
        wait_until(lambda: is_refused(client, "/other"), "a file that cannot be opened")
        file.write(b"content")
        file.close()
        assert running.process.wait(DEADLINE) == 0
    assert (command.home / "file").read_bytes() == b"content"
    assert not (command.home / "other").exists()


def test_the_drain_timeout_ends_the_wait_for_clients(command: Command) -> None:
    running = command.serve("--user", "bob", "--password", "x", "--drain-timeout", "0.1")
    with session(running.port, "bob", "x") as client:
        file = client.open("/file", "w")
        assert running.stop() == 0
        del file


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_wait_for_clients(second: signal.Signals, command: Command) -> None:
    running = command.serve("--user", "bob", "--password", "x", "--drain-timeout", FOR_EVER)
    with session(running.port, "bob", "x") as client:
        file = client.open("/file", "w")
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "event=stopping" in running.log(), "the server stopping")
        assert running.process.poll() is None
        assert running.stop(second) == 0
        del file


def test_a_reader_that_leaves_after_the_first_line_does_not_end_the_server(command: Command) -> None:
    process, log = command.begin(["run", "--port", "0", "--user", "bob", "--password", "x"])
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(b":")[2])
    process.stdout.close()
    with session(port, "bob", "x") as client:
        client.listdir("/")
    process.terminate()
    assert process.wait(DEADLINE) == 0
    assert "Traceback" not in log.read_text()


def test_an_address_that_cannot_be_written_ends_the_server(command: Command) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "run", "--port", "0"],
            env=command.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert done.stderr.splitlines()[-1] == "libsshd: standard output cannot be written: No space left on device"
    assert done.returncode == 2


def test_without_standard_error_clients_are_served_all_the_same(command: Command) -> None:
    line = f"exec {shlex.join(PROGRAM)} run --port 0 --user bob --password x 2>&-"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, env=command.environment, bufsize=0) as process:
        try:
            port = int(first_line(process, DEADLINE).rpartition(b":")[2])
            with session(port, "bob", "x") as client:
                client.listdir("/")
        finally:
            process.terminate()
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], DEADLINE)
        assert (bool(ready), process.stdout.read()) == (True, b"")
    assert process.returncode == 0


# --- what it cannot do ---


def impossible(home: Path) -> dict[tuple[str, ...], str]:
    """Make files that must not be used; return options and what is said about them."""
    for name, mode in {"open": 0o644, "empty": 0o600, "lines": 0o600, "keys": 0o666, "nokeys": 0o600}.items():
        (home / name).write_text({"empty": "", "lines": "a\nb\n"}.get(name, "text"))
        (home / name).chmod(mode)
    make_key(home / "private", ["-t", "ed25519"])
    return {
        ("--root", "missing"): "the root missing does not exist",
        ("--root", "lines"): "the root lines is not a directory",
        ("--root", "lines/under"): "the root lines/under cannot be served: Not a directory",
        ("--root", "a" * 300): f"the root {'a' * 300} cannot be served: File name too long",
        ("--root", "two\nlines"): r"the root two\nlines does not exist",
        ("--host", "host.invalid"): "Cannot listen on host.invalid:",
        ("--host", "192.0.2.1"): "192.0.2.1 is not an address of this machine; choose one by --host",
        ("--user", ""): "the user name cannot be used: it must have between 1 and 1024 bytes, not 0",
        ("--password", ""): "the password cannot be used: it must have between 1 and 1024 bytes, not 0",
        (
            "--password",
            "x" * 1025,
        ): "the password cannot be used: it must have between 1 and 1024 bytes, not 1025",
        ("--password-file", "missing"): "the password file missing cannot be read: No such file or directory",
        ("--password-file", "."): "the password file . cannot be read: Is a directory",
        ("--password-file", "open"): "open can be opened by others (mode 0644); use: chmod 600 open",
        ("--password-file", "empty"): "the password file empty is empty",
        ("--password-file", "lines"): "the password file lines must hold one line, the password",
        (
            "--authorized-keys",
            "missing",
        ): "the authorized keys missing cannot be read: No such file or directory",
        ("--authorized-keys", "keys"): "keys can be changed by others (mode 0666); use: chmod 600 keys",
        ("--authorized-keys", "empty"): "there is no usable public key in empty",
        ("--authorized-keys", "private"): "private holds a private key; give the public one",
    }


def test_what_cannot_be_served_is_one_sentence_and_status_2(command: Command) -> None:
    for options, sentence in impossible(command.home).items():
        done = command.run("run", "--port", "0", *options)
        assert (options, done.returncode, done.stdout) == (options, 2, "")
        assert done.stderr.startswith(f"libsshd: {sentence}")
        assert done.stderr.count("\n") == 1


def test_a_busy_port_is_one_sentence_and_status_2(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command.run("run", "--port", str(port))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"libsshd: port {port} on 127.0.0.1 is in use by another program; choose one by --port (0: any free one)\n"
    )


def test_two_host_keys_of_one_type_are_one_sentence_and_status_2(command: Command) -> None:
    for name in ("one", "two"):
        command.run("hostkey", name)
    done = command.run("run", "--port", "0", "--host-key", "one", "--host-key", "two")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("libsshd: ")
    assert done.stderr.count("\n") == 1
