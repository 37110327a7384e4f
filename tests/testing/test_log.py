"""The log and the assertions on it, by what paramiko really asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import paramiko
import pytest

from libsshd import testing
from libsshd.constants import Status
from libsshd.testing import Server
from libsshd.wire.messages import Open, Rename
from libsshd.wire.replies import HandleReply, NameReply
from tests.testing.clients import sftp


@pytest.fixture
def server() -> Iterator[Server]:
    with testing.server(files={"in/a.csv": b"0123456789"}) as started:
        started.expect.within = 0.3
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[paramiko.SFTPClient]:
    with sftp(server) as opened:
        yield opened


def upload(client: paramiko.SFTPClient, path: str, content: bytes) -> None:
    with client.open(path, "wb") as file:
        file.write(content)


# --- records ---


def test_a_record_has_the_request_and_its_reply(server: Server, client: paramiko.SFTPClient) -> None:
    upload(client, "/in/../new", b"abc")
    opened, written, closed = server.log.of("OPEN", "WRITE", "CLOSE")
    assert (opened.path, opened.user, opened.connection, opened.channel) == ("/new", "tester", 1, 1)
    assert isinstance(opened.request, Open)
    assert isinstance(opened.reply, HandleReply)
    assert opened.status == Status.OK
    assert (written.path, written.offset, written.length, written.bytes) == ("/new", 0, 3, 3)
    assert written.handle == closed.handle == opened.reply.handle.decode()
    assert written.number + 1 == closed.number
    assert 0 <= opened.time <= closed.time


def test_failures_have_their_status_and_text(server: Server, client: paramiko.SFTPClient) -> None:
    with pytest.raises(FileNotFoundError):
        client.stat("/none")
    found = server.log.of("STAT").last
    assert (found.status, found.message) == (Status.NO_SUCH_FILE, "No such file or directory")


def test_steps_of_a_connection_are_there_too(server: Server) -> None:
    with sftp(server):
        pass
    server.log.wait_for("DISCONNECT")
    assert server.log.names == ["CONNECT", "LOGIN", "INIT", "DISCONNECT"]
    assert server.log[1].details == (("method", "password"), ("outcome", "accepted"))


def test_of_contents_only_the_beginning_is_kept(server: Server, client: paramiko.SFTPClient) -> None:
    upload(client, "/big", b"x" * 1_000_000)
    with client.open("/big") as file:
        file.read()
    for record in server.log.of("READ", "WRITE"):
        assert len(getattr(record.request, "data", b"")) <= 64
        assert len(getattr(record.reply, "data", b"")) <= 64
    assert server.log.of("WRITE").bytes == server.log.of("READ").bytes == 1_000_000


def test_of_a_listing_the_number_of_names_is_kept(server: Server, client: paramiko.SFTPClient) -> None:
    server.fs.fill("many", 500)
    client.listdir("/many")
    replies = server.log.of("READDIR", status=Status.OK)
    assert sum(record.entries for record in replies) == 502
    assert all(isinstance(record.reply, NameReply) and len(record.reply.entries) <= 64 for record in replies)


def test_the_newest_records_are_kept(server: Server, client: paramiko.SFTPClient) -> None:
    from libsshd.testing import log as module

    server.log._records = type(server.log._records)(maxlen=10)
    for _ in range(20):
        client.stat("/")
    assert len(server.log) == 10
    assert server.log.dropped > 0
    assert module._KEPT == 100_000


# --- selections ---


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (lambda log: log.of("stat"), 2),
        (lambda log: log.of("STAT", status=Status.OK), 1),
        (lambda log: log.of("STAT", "LSTAT"), 3),
        (lambda log: log.of(path="*.csv"), 4),
        (lambda log: log.of("RENAME"), 1),
        (lambda log: log.of("POSIX-RENAME"), 1),
        (lambda log: log.of("STAT", connection=2), 0),
        (lambda log: log.of("STAT", user="tester"), 2),
        (lambda log: log.of("STAT", where=lambda record: record.path == "/none"), 1),
        (lambda log: log.of("STAT")[:1], 1),
        (lambda log: log.all.of("LSTAT").of(path="/in/*"), 1),
    ],
)
def test_records_are_selected(
    server: Server, client: paramiko.SFTPClient, select: Callable[[object], object], expected: int
) -> None:
    client.stat("/in/a.csv")
    client.lstat("/in/a.csv")
    with pytest.raises(FileNotFoundError):
        client.stat("/none")
    client.posix_rename("/in/a.csv", "/in/b.csv")
    client.chmod("/in/b.csv", 0o600)
    assert len(select(server.log)) == expected  # type: ignore[arg-type]
    assert isinstance(server.log.of("RENAME").first.request, Rename)
    assert server.log.of("STAT", "POSIX-RENAME").paths == ["/in/a.csv", "/none"]


def test_a_request_that_does_not_exist_is_a_mistake(server: Server) -> None:
    with pytest.raises(ValueError, match="there is no request 'WRIT'; there is WRITE"):
        server.log.of("WRIT")


def test_waiting_ends_with_the_record_or_tells_what_there_is(server: Server, client: paramiko.SFTPClient) -> None:
    waiting = threading.Thread(target=lambda: [client.stat("/") for _ in range(3)])
    waiting.start()
    assert len(server.log.wait_for("STAT", count=3)) == 3
    waiting.join()
    with pytest.raises(TimeoutError, match=r"(?s)no 4 records of STAT within 0.01 seconds.*INIT"):
        server.log.wait_for("STAT", count=4, timeout=0.01)


def test_the_conversation_can_be_read(server: Server, client: paramiko.SFTPClient) -> None:
    server.faults.on("READ", nth=2).fail("PERMISSION_DENIED", "No")
    upload(client, "/b", b"x" * 100_000)
    with client.open("/b") as file, pytest.raises(PermissionError):
        file.read()
    lines = str(server.log).splitlines()
    shown = [" ".join(line.split()[3:]) for line in lines]
    assert shown == [
        "CONNECT",
        "LOGIN password accepted",
        "INIT -> VERSION 3",
        "OPEN /b write,creat,trunc -> HANDLE 1",
        "WRITE /b 4 times from 0 -> 100000 bytes",
        "CLOSE /b -> OK",
        "OPEN /b read -> HANDLE 2",
        "READ /b 0+8192 -> 8192 bytes",
        "READ /b 8192+8192 -> PERMISSION_DENIED: No (fail)",
        "CLOSE /b -> OK",
    ] or shown[2:] == [
        "INIT -> VERSION 3",
        *shown[3:],
    ]
    assert any("(fail)" in line for line in lines)
    assert any("4 times from 0" in line and "100000 bytes" in line for line in lines)


def test_a_long_conversation_is_shown_by_its_ends(server: Server, client: paramiko.SFTPClient) -> None:
    for number in range(150):
        client.mkdir(f"/{number}")
        client.stat("/")
    text = str(server.log)
    assert "more lines" in text
    assert "CONNECT" in text
    assert "/149" in text


# --- assertions ---


def test_an_upload_is_one_that_was_closed(server: Server, client: paramiko.SFTPClient) -> None:
    file = client.open("/out", "wb")
    file.write(b"abc")
    file.flush()
    with pytest.raises(AssertionError, match=r"(?s)out was not written and closed.*WRITE"):
        server.expect.uploaded("out", b"abc")
    file.close()
    server.expect.uploaded("out", b"abc")
    server.expect.uploaded("/out", "abc")
    with pytest.raises(AssertionError, match="from 1 on it has b'bc', wanted is b'x'"):
        server.expect.uploaded("out", b"ax")
    with pytest.raises(AssertionError, match=r"in/a.csv was not written"):
        server.expect.uploaded("in/a.csv")


def test_an_upload_may_have_got_its_name_later(server: Server, client: paramiko.SFTPClient) -> None:
    upload(client, "/out.tmp", b"abc")
    client.rename("/out.tmp", "/out")
    server.expect.uploaded("out", b"abc")
    server.expect.order("OPEN", "WRITE", "CLOSE", "RENAME")
    server.expect.order("open", "rename")
    with pytest.raises(AssertionError, match="RENAME before OPEN: not so"):
        server.expect.order("RENAME", "OPEN")


def test_what_comes_late_is_waited_for(server: Server, client: paramiko.SFTPClient) -> None:
    server.expect.within = 20
    late = threading.Thread(target=upload, args=(client, "/late", b"x"))
    expecting = threading.Thread(target=late.start)
    expecting.start()
    server.expect.uploaded("late", b"x")
    expecting.join()
    late.join()


def test_a_download_is_one_of_all_bytes(server: Server, client: paramiko.SFTPClient) -> None:
    with client.open("/in/a.csv", bufsize=0) as file:
        file.read(4)
        with pytest.raises(AssertionError, match="was not read to its end at 10"):
            server.expect.downloaded("in/a.csv")
        file.read(6)
    server.expect.downloaded("in/a.csv")
    server.expect.downloaded("in/a.csv", b"0123456789")


def test_handles_that_are_left_open_are_named(server: Server, client: paramiko.SFTPClient) -> None:
    file = client.open("/in/a.csv")
    with pytest.raises(AssertionError, match=r"never closed: /in/a.csv"):
        server.expect.no_open_handles()
    file.close()
    client.listdir("/")
    server.expect.no_open_handles()


def test_requests_are_counted(server: Server, client: paramiko.SFTPClient) -> None:
    client.stat("/")
    server.expect.requested("STAT")
    server.expect.requested("STAT", times=1, path="/")
    server.expect.not_requested("REMOVE")
    with pytest.raises(AssertionError, match="STAT was wanted 2 times, and came 1 times"):
        server.expect.requested("STAT", times=2)
    with pytest.raises(AssertionError, match="STAT came 1 times, first for /"):
        server.expect.not_requested("STAT")


def test_that_nothing_changed_is_about_what_went_well(server: Server, client: paramiko.SFTPClient) -> None:
    client.listdir("/")
    with pytest.raises(OSError, match="No such file"):
        client.remove("/none")
    server.expect.nothing_changed()
    client.mkdir("/d")
    with pytest.raises(AssertionError, match="MKDIR changed /d"):
        server.expect.nothing_changed()
    server.log.clear()
    client.open("/in/a.csv", "r+").close()
    with pytest.raises(AssertionError, match=r"OPEN changed /in/a.csv"):
        server.expect.nothing_changed()
