"""Rules: what they are about, how often, and how faults stand around each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from libsshd import testing
from libsshd.testing import Rules, Server
from libsshd.testing.rule import matches
from tests.testing.clients import failure_of, sftp


@pytest.fixture
def server() -> Iterator[Server]:
    with testing.server(files={"a.csv": b"0123456789", "d/b.txt": b"x"}, users={"bob": "pw"}) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[paramiko.SFTPClient]:
    with sftp(server) as opened:
        yield opened


def outcomes(client: paramiko.SFTPClient, times: int, path: str = "/a.csv") -> str:
    """Which of so many STATs went well."""
    found = ""
    for _ in range(times):
        try:
            client.stat(path)
            found += "+"
        except OSError:
            found += "-"
    return found


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, "------"),
        ({"nth": 3}, "++-+++"),
        ({"nth": 3, "times": 2}, "++--++"),
        ({"times": 2}, "--++++"),
        ({"nth": 5, "times": 9}, "++++--"),
        ({"probability": 0.0}, "++++++"),
        ({"path": "*.csv"}, "------"),
        ({"path": "*.txt"}, "++++++"),
        ({"path": "/a.csv"}, "------"),
        ({"user": "tester"}, "------"),
        ({"user": "bob"}, "++++++"),
        ({"connection": 1}, "------"),
        ({"connection": 2}, "++++++"),
    ],
)
def test_a_rule_is_about_what_it_says_and_as_often(
    server: Server, client: paramiko.SFTPClient, selection: dict[str, Any], expected: str
) -> None:
    rule = server.faults.on("STAT", **selection).fail()
    assert outcomes(client, 6) == expected
    assert rule.fired == expected.count("-")


def test_chance_is_the_same_in_every_run(server: Server, client: paramiko.SFTPClient) -> None:
    found = []
    for seed in (1, 1, 2):
        server.faults.clear()
        server.faults.on("STAT", probability=0.5, seed=seed).fail()
        found.append(outcomes(client, 30))
    assert found[0] == found[1] != found[2]
    assert 5 < found[0].count("-") < 25


def test_users_and_connections_are_told_apart(server: Server, client: paramiko.SFTPClient) -> None:
    server.faults.on("STAT", user="bob").fail()
    server.faults.on("LSTAT", connection=2).fail()
    with sftp(server, user="bob", password="pw") as other:
        assert outcomes(other, 1) == "-"
        assert "Failure" in failure_of(other.lstat, "/")
    assert outcomes(client, 1) == "+"
    client.lstat("/")


def test_files_are_counted_as_they_are_opened(server: Server, client: paramiko.SFTPClient) -> None:
    server.faults.on("CLOSE", upload=2).fail(message="second upload")
    server.faults.on("READ", download=2).fail(message="second download")
    first, second = client.open("/1", "wb"), client.open("/2", "wb")
    first.close()
    second.close()  # paramiko does not tell
    assert [record.message for record in server.log.of("CLOSE")] == ["Success", "second upload"]
    with client.open("/a.csv") as one, client.open("/a.csv") as other:
        assert one.read() == b"0123456789"
        assert "second download" in failure_of(other.read)


def test_an_offset_is_one_that_a_request_covers(server: Server, client: paramiko.SFTPClient) -> None:
    server.faults.on("WRITE", offset=5).fail()
    with client.open("/f", "wb", bufsize=0) as file:
        file.write(b"01234")
        file.seek(5)
        assert "Failure" in failure_of(file.write, b"56789")
        file.seek(6)
        file.write(b"6789")


def test_rename_is_posix_rename_too(server: Server, client: paramiko.SFTPClient) -> None:
    server.faults.on("rename", path="*.csv").fail()
    assert "Failure" in failure_of(client.posix_rename, "/a.csv", "/c.csv")
    assert "Failure" in failure_of(client.rename, "/d/b.txt", "/b.csv"), "either path counts"
    client.posix_rename("/d/b.txt", "/d/c.txt")


def test_the_first_fault_and_the_first_rule_are_outermost(server: Server, client: paramiko.SFTPClient) -> None:
    order: list[str] = []

    def note(text: str) -> Any:
        def around(_: object, proceed: Any) -> Any:
            order.append(text)
            reply = proceed()
            order.append(f"/{text}")
            return reply

        return around

    server.faults.on("STAT").call(note("a")).call(note("b"))
    server.faults.on("STAT").call(note("c"))
    client.stat("/")
    assert order == ["a", "b", "c", "/c", "/b", "/a"]
    assert server.log.of("STAT").last.faults == ("call", "call", "call")


def test_a_rule_ends_when_it_is_removed(server: Server, client: paramiko.SFTPClient) -> None:
    rule = server.faults.on("STAT").fail()
    assert outcomes(client, 1) == "-"
    server.faults.remove(rule)
    assert outcomes(client, 1) == "+"
    assert list(server.faults) == []


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("/in/a.csv", "*.csv", True),
        ("/in/a.csv", "a.csv", True),
        ("/in/a.csv", "in", False),
        ("/in/a.csv", "/in/*", True),
        ("/in/a.csv", "in/*.csv", True),
        ("/deep/in/a.csv", "in/*.csv", True),
        ("/deep/in/a.csv", "/in/*.csv", False),
        ("/in/A.csv", "a.csv", False),
    ],
)
def test_a_pattern_is_one_of_the_shell(text: str, pattern: str, expected: bool) -> None:
    assert matches(text, pattern) is expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"request": "REED"}, "there is no request 'REED'; there is READ"),
        ({"probability": 2}, "a probability is 0 to 1"),
        ({"nth": 0}, "are counted from 1"),
        ({"connection": 0}, "are counted from 1"),
    ],
)
def test_what_can_never_be_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Rules().on(**arguments)


def test_a_status_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'NO_SUCH' is no status; there are OK, EOF,"):
        Rules().on("STAT").fail("NO_SUCH")
    with pytest.raises(ValueError, match="no moment"):
        Rules().on("STAT").disconnect("later")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"on": "READ"}, 'a rule says under "do" which faults happen'),
        ({"do": {"fall": {}}}, "there is no fault 'fall'; there are bad_attributes,"),
        ({"do": {"call": {}}}, "there is no fault 'call'"),
        ({"on": "READ", "when": 1, "do": {"fail": {}}}, "a rule is wrong: .*when"),
        ({"do": {"delay": {}}}, "a rule is wrong: .*seconds"),
    ],
)
def test_a_rule_of_a_file_that_is_wrong_is_refused(rule: dict[str, Any], sentence: str) -> None:
    rules = Rules()
    with pytest.raises(ValueError, match=sentence):
        rules.add(rule)
    assert len(rules) == 0


def test_a_file_that_is_wrong_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text('[[rule]]\ndo.fail = {}\n[[rule]]\non = "REED"\ndo.fail = {}\n')
    rules = Rules()
    with pytest.raises(ValueError, match="REED"):
        rules.load(tmp_path / "rules")
    assert len(rules) == 0
    (tmp_path / "rules").write_text('[[rule]]\non = "stat"\nnth = 2\ndo.fail = { status = "permission-denied" }\n')
    rules.load(tmp_path / "rules")
    assert repr(*rules) == "<Rule on STAT: fail; matched 0, fired 0>"
