"""The harness as a command, for tests in other languages: a tree in memory, faults, a recording, remote control."""

import base64
import json
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
import pytest

from libsshd.testing import Recording
from tests.cli.conftest import Command, Running
from tests.support.command import DEADLINE

RULES = """
[[rule]]
on = "READ"
path = "*.bad"
do.fail = { status = "PERMISSION_DENIED", message = "By the file" }
"""
Ask = Callable[..., Any]


@contextmanager
def client(running: Running) -> Iterator[paramiko.SFTPClient]:
    with paramiko.Transport(("127.0.0.1", running.port)) as transport:
        transport.connect(username="tester", password="secret")
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        yield sftp


@pytest.fixture
def harness(command: Command) -> Callable[..., Running]:
    def start(*arguments: str) -> Running:
        return command.serve("--port", "0", "--user", "tester", "--password", "secret", *arguments)

    return start


@pytest.fixture
def ask(command: Command) -> Iterator[Ask]:
    """Sends one request to the control socket; the answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        lines: Any = None

        def send(do: str, **arguments: object) -> Any:
            nonlocal lines
            if lines is None:
                sock.connect(str(command.home / "control"))
                lines = sock.makefile("rb")
            sock.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            return json.loads(lines.readline())

        yield send
        if lines is not None:
            lines.close()


def test_a_tree_in_memory_is_served_and_nothing_is_on_the_disk(
    harness: Callable[..., Running], command: Command
) -> None:
    running = harness("--memory")
    assert running.greeting("serving") == "a tree in memory"
    with client(running) as sftp:
        with sftp.open("/f", "wb") as file:
            file.write(b"content")
        assert sftp.listdir("/") == ["f"]
    assert not (command.home / "f").exists()
    assert running.stop() == 0


def test_rules_come_from_a_file_and_work_on_a_directory_too(
    harness: Callable[..., Running], command: Command
) -> None:
    (command.home / "rules.toml").write_text(RULES)
    (command.home / "f.bad").write_bytes(b"x")
    running = harness("--faults", "rules.toml", "--record", "session.jsonl")
    with client(running) as sftp, sftp.open("/f.bad") as file, pytest.raises(PermissionError, match="By the file"):
        file.read()
    assert running.stop() == 0
    recorded = Recording.load(command.home / "session.jsonl").exchanges
    assert [one.request for one in recorded][:3] == ["INIT", "OPEN", "READ"]


def test_a_test_in_another_language_has_all_it_needs_at_the_socket(
    harness: Callable[..., Running], command: Command, ask: Ask
) -> None:
    running = harness("--memory", "--control", "control")
    assert stat.S_IMODE((command.home / "control").stat().st_mode) == 0o600
    assert ask("put", path="in/a.csv", text="1,2\n") == {"ok": True}
    assert ask("put", path="in/b", base64=base64.b64encode(b"\xff").decode()) == {"ok": True}
    assert ask("mkdir", path="out")["ok"]
    assert ask("fault", rule={"on": "READ", "path": "a.csv", "do": {"fail": {"message": "By hand"}}})["rules"] == 1
    with client(running) as sftp:
        with sftp.open("/in/a.csv") as file, pytest.raises(OSError, match="By hand"):
            file.read()
        assert ask("clear-faults")["ok"]
        with sftp.open("/in/b") as file:
            assert file.read() == b"\xff"
        with sftp.open("/out/c", "wb") as file:
            file.write(b"from the client")
    assert ask("wait", **{"for": "CLOSE"}, count=3, timeout=5)["ok"]
    assert ask("get", path="out/c")["text"] == "from the client"
    assert ask("tree")["files"] == {"in/a.csv": 4, "in/b": 1, "out/c": 15}
    (write,) = ask("log", of=["WRITE"])["records"]
    assert (write["path"], write["bytes"], write["status"]) == ("/out/c", 15, "OK")
    assert "By hand" in ask("conversation")["text"]
    assert ask("remove", path="in")["ok"]
    assert ask("errors")["errors"] == []
    assert ask("reset")["ok"]
    assert ask("tree")["files"] == {}
    assert ask("log")["records"] == []
    assert running.stop() == 0
    assert not (command.home / "control").exists()


def test_the_network_is_at_the_socket_too(harness: Callable[..., Running], ask: Ask) -> None:
    running = harness("--memory", "--control", "control")
    assert ask("network", lose={"after": 2000})["ok"]
    with pytest.raises((OSError, EOFError, paramiko.SSHException)), client(running) as sftp:
        sftp.listdir("/")
    assert ask("reset")["ok"]
    with client(running) as sftp:
        assert sftp.listdir("/") == []
        assert ask("rekey")["ok"]
        assert sftp.listdir("/") == []
        assert ask("drop")["ok"]
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):
            sftp.listdir("/")
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"do": "nothing"}, "there is no command 'nothing'; there are put, get,"),
        ({"do": "put", "path": "f"}, "text is missing"),
        ({"do": "put", "path": "f", "base64": "?"}, "base64"),
        ({"do": "get", "path": "none"}, "No such file"),
        ({"do": "fault", "rule": {"on": "REED", "do": {"fail": {}}}}, "there is no request 'REED'; there is READ"),
        ({"do": "fault", "rule": {"do": {"fall": {}}}}, "there is no fault 'fall'; there are"),
        ({"do": "fault", "rule": {"do": {"delay": {"minutes": 1}}}}, "minutes"),
        ({"do": "network", "latency": -1}, "0 seconds or more"),
        ({"do": "wait", "for": "CLOSE", "timeout": 0}, "no 1 records of CLOSE"),
        ({"do": "log", "of": ["NONE"]}, "there is no request"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    harness: Callable[..., Running], ask: Ask, request_: dict[str, Any], sentence: str
) -> None:
    harness("--memory", "--control", "control")
    answer = ask(**request_)
    assert answer["ok"] is False
    assert sentence in answer["error"]
    assert ask("tree")["ok"], "the next request is served"


def test_what_is_no_json_is_told(harness: Callable[..., Running], command: Command) -> None:
    harness("--memory", "--control", "control")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(str(command.home / "control"))
        with sock.makefile("rb") as lines:
            for line in (b"{\n", b"[]\n", b"7\n"):
                sock.sendall(line)
                assert json.loads(lines.readline())["ok"] is False


@pytest.mark.parametrize(
    ("arguments", "content", "sentence"),
    [
        (["--faults", "none.toml"], None, "none.toml cannot be used: No such file or directory"),
        (["--faults", "rules.toml"], "[[rule]]\non = 'REED'\n", "the faults in rules.toml are wrong"),
        (["--faults", "rules.toml"], "[[rule", "the faults in rules.toml are wrong"),
        (["--faults", "rules.toml"], "x = 1", "the faults in rules.toml are wrong: a file of faults consists of"),
        (["--record", "no/where"], None, "no/where cannot be used: No such file or directory"),
        (["--control", "no/where"], None, "no/where cannot be used: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_served(
    command: Command, arguments: list[str], content: str | None, sentence: str
) -> None:
    if content is not None:
        (command.home / "rules.toml").write_text(content)
    done = command.run("run", "--memory", "--port", "0", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.count("\n") <= 1


def test_a_socket_that_a_killed_server_left_is_in_nobodys_way(
    harness: Callable[..., Running], command: Command, ask: Ask
) -> None:
    first = harness("--memory", "--control", "control")
    first.process.kill()
    first.process.wait(DEADLINE)
    assert (command.home / "control").exists()
    second = harness("--memory", "--control", "control")
    assert ask("tree")["ok"]
    assert "cannot be used" in command.run("run", "--memory", "--port", "0", "--control", "control").stderr
    assert second.stop() == 0


def test_the_socket_does_not_take_the_place_of_a_file(command: Command) -> None:
    path: Path = command.home / "control"
    path.write_text("mine")
    assert "cannot be used" in command.run("run", "--memory", "--port", "0", "--control", "control").stderr
    assert path.read_text() == "mine"
