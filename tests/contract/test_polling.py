"""ProcessIdleEvents and do_events()."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from libsshd import SFTPServer, SSHUserAuthRequest, Status
from libsshd.constants import FileType
from libsshd.events import (
    ConnectionRequest,
    DirList,
    Disconnected,
    FileOpen,
    FileRead,
    FileWrite,
    GetAttributes,
)
from tests.contract.covering import covers
from tests.contract.support_life import Record, gone, make, polite, poll_until, polling, session, sftp
from tests.support.command import end, wait_until
from tests.support.hostile import Peer, password_request
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, WRITE, Attributes, Code, RawSFTP, Type, string
from tests.support.sshwire import Message

TOO_LATE = "The server did not answer in time"
TIMED_OUT = 10060
Start = Callable[..., SFTPServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server that has to be polled, unless told otherwise."""
    with ExitStack() as stack:

        def begin(root: Path | None = tmp_path, **settings: Any) -> SFTPServer:
            settings.setdefault("process_idle_events", False)
            return stack.enter_context(make(root, **settings))

        yield begin


class Files(dict[str, bytearray]):
    """Handlers that are a file system of one directory."""

    def __init__(self, server: SFTPServer) -> None:
        self.handles: dict[str, str] = {}
        self.server = server
        server.on_file_open = self.open_file
        server.on_file_write = self.write
        server.on_file_read = self.read
        server.on_dir_list = self.list_names
        server.on_get_attributes = self.attributes
        server.on_set_attributes = lambda _: None

    def open_file(self, e: FileOpen) -> None:
        if e.flags & CREAT:
            self[e.path] = bytearray()
        if e.path not in self:
            e.status_code = Status.NO_SUCH_FILE
        self.handles[e.handle] = e.path

    def write(self, e: FileWrite) -> None:
        data = self.server.sftp_connections[e.connection_id].file_data
        self[self.handles[e.handle]][e.file_offset : e.file_offset + len(data)] = data

    def read(self, e: FileRead) -> None:
        part = self[self.handles[e.handle]][e.file_offset : e.file_offset + e.length]
        self.server.sftp_connections[e.connection_id].file_data = bytes(part)

    def list_names(self, e: DirList) -> None:
        self.server.set_file_list(e.connection_id, "\r\n".join(path.lstrip("/") for path in self))

    def attributes(self, e: GetAttributes) -> None:
        if e.path in self:
            e.file_type, e.file_size = FileType.REGULAR, len(self[e.path])
        elif e.path == "/":
            e.file_type = FileType.DIRECTORY
        else:
            e.status_code = Status.NO_SUCH_FILE


def attempt_wrong_password(server: SFTPServer) -> None:
    with Peer(server.local_port) as peer:
        peer.connect().service()
        assert peer.attempt(password_request(b"alice", b"wrong")) == Message.USERAUTH_FAILURE
        peer.send(password_request(b"alice", b"wrong"))
        peer.end()


def do_everything(raw: RawSFTP) -> None:
    """A request of every kind that has a documented event, and a handle that is left open."""
    handle = raw.open(b"/f", CREAT | WRITE)
    assert raw.write(handle, 0, b"abc") == Code.OK
    assert raw.shut(handle) == Code.OK
    assert raw.read(raw.open(b"/f"), 0, 3).data == b"abc"
    assert raw.ask(Type.MKDIR, string(b"/d"), NO_ATTRIBUTES).code == Code.OK
    assert raw.listing(b"/")
    assert raw.ask(Type.RMDIR, string(b"/d")).code == Code.OK
    assert raw.ask(Type.RENAME, string(b"/f"), string(b"/g")).code == Code.OK
    assert raw.ask(Type.SETSTAT, string(b"/g"), Attributes(permissions=0o600).encode()).code == Code.OK
    assert raw.stat(b"/g").size == 3
    assert raw.ask(Type.REALPATH, string(b".")).names[0][0] == b"/"
    assert raw.ask(Type.REMOVE, string(b"/g")).code == Code.OK


ALL_EVENTS = {
    "ConnectionRequest", "Connected", "Disconnected", "SSHStatus", "SSHUserAuthRequest", "Log", "Error", "DirCreate",
    "DirList", "DirRemove", "FileOpen", "FileClose", "FileRead", "FileWrite", "FileRemove", "FileRename",
    "GetAttributes", "SetAttributes", "ResolvePath", "FileAborted",
}  # fmt: skip


# --- handlers run inside do_events() ---


@covers("DoEvents", "ProcessIdleEvents")
def test_polled_every_handler_runs_on_the_thread_that_polls_and_one_at_a_time(start: Start) -> None:
    server = start(max_auth_attempts=2)
    record = Record(server)

    def work() -> None:
        with Peer(server.local_port) as peer:
            do_everything(session(peer))

    with polling(server) as poller, ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work), pool.submit(attempt_wrong_password, server)]:
            done.result(60)
        record.wait_for("Disconnected", 2)
        record.wait_for("FileAborted")
    assert set(record.names) >= ALL_EVENTS
    assert record.threads == {poller}
    assert record.together == 1


@covers("DoEvents")
def test_polled_nothing_runs_before_do_events_and_one_client_after_the_other_is_served(start: Start) -> None:
    server = start()
    record = Record(server)
    with ThreadPoolExecutor(2) as pool:
        peers = [Peer(server.local_port) for _ in range(2)]
        logins = [pool.submit(session, peer) for peer in peers]
        wait_until(lambda: len(server._hub.connections) == 2, "two connections that wait")
        assert record.names == []
        poll_until(server, lambda: all(login.done() for login in logins), "two sessions")
        assert [login.result().stream.remote for login in logins]  # type: ignore[attr-defined]
        for peer in peers:
            peer.close()
    poll_until(server, lambda: gone(server), "the end of both")
    assert record.threads == {threading.get_ident()}
    assert record.together == 1


@covers("SelectWaitMillis")
def test_do_events_waits_select_wait_millis_and_no_longer_than_until_something_happens(start: Start) -> None:
    server = start(select_wait_millis=0)
    server.do_events()
    server.config("SelectWaitMillis=600000")
    seen: list[ConnectionRequest] = []
    server.on_connection_request = seen.append
    with Peer(server.local_port):
        server.do_events()
        assert len(seen) == 1


def test_do_events_inside_a_handler_returns_at_once(start: Start) -> None:
    server = start(select_wait_millis=600_000)
    calls: list[str] = []

    @server.on_get_attributes
    def nested(e: GetAttributes) -> None:
        server.do_events()
        calls.append(e.path)

    with polling(server), Peer(server.local_port) as peer:
        raw = session(peer)
        raw.stat(b"/")
        assert calls == ["/"]
        server.select_wait_millis = 10
        raw.stat(b"/")


def test_two_threads_that_poll_still_run_one_handler_at_a_time(start: Start) -> None:
    server = start()
    record = Record(server)

    def work() -> None:
        with Peer(server.local_port) as peer:
            raw = session(peer)
            for _ in range(30):
                raw.stat(b"/")

    with polling(server) as first, polling(server) as second, ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work) for _ in range(3)]:
            done.result(60)
        record.wait_for("Disconnected", 3)
    assert record.together == 1
    assert record.threads <= {first, second}


def test_a_whole_session_of_sftp_against_one_thread_and_a_dict(start: Start, tmp_path: Path) -> None:
    """Upload, list and download; there is no root directory."""
    server = start(None)
    Files(server)
    content = bytes(range(256)) * 1000
    (tmp_path / "up").write_bytes(content)
    process = sftp(server, tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"put {tmp_path}/up /a\nls -l /\nget /a {tmp_path}/down\n".encode())
    process.stdin.close()
    try:
        poll_until(server, lambda: process.poll() is not None, "the end of sftp")
        said = process.stdout.read().decode()
        assert process.returncode == 0, said
        assert f"{len(content)}" in said
        assert (tmp_path / "down").read_bytes() == content
    finally:
        end(process)


def test_serve_forever_polls_and_tells_how_the_last_connection_ended(start: Start) -> None:
    server = start(select_wait_millis=600_000)
    record = Record(server)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with Peer(server.local_port) as peer:
        session(peer).stat(b"/")
        with polite(peer):
            server.shutdown()
    serving.join(20)
    assert not serving.is_alive()
    assert record.threads == {serving.ident}
    assert record.names[-1] in ("Disconnected", "Log")
    assert len(record.of("Disconnected")) == 1


def test_serve_forever_leaves_no_event_behind(start: Start) -> None:
    """Of two connections the second ends while the handler about the first still runs, and then all is over."""
    server = start()
    begun, hold = threading.Event(), threading.Event()
    ends: list[int] = []

    @server.on_disconnected
    def slow(e: Disconnected) -> None:
        ends.append(e.connection_id)
        begun.set()
        hold.wait(30)

    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        first.login()
        second.login()
        with polite(first, second):
            server.disconnect(0)
            assert begun.wait(20)
            server.shutdown()
            hold.set()
    serving.join(20)
    assert not serving.is_alive()
    assert ends == [0, 1]


# --- nobody polls ---


LAST_WORDS = {
    "ConnectionRequest": ["Error"],
    "Connected": ["Connected", "Error", "Disconnected"],
    "SSHUserAuthRequest": ["Error", "Disconnected"],
    "GetAttributes": ["Error", "Disconnected"],
}
"""What the program hears at its next do_events(), by the event that nobody took."""


@pytest.mark.parametrize("state", LAST_WORDS)
@covers("DoEvents", "Error")
def test_a_client_that_the_program_does_not_answer_is_told_so(start: Start, tmp_path: Path, state: str) -> None:
    server = start(default_timeout=1)
    record = Record(server, state, "Error", "Disconnected")
    process = sftp(server, tmp_path)
    try:
        if state == "GetAttributes":
            poll_until(server, lambda: any(c.user for c in server.sftp_connections), "somebody who is logged in")
            record.events.clear()
        said = process.communicate(b"ls -l /\n", timeout=30)[0].decode()
    finally:
        end(process)
    assert TOO_LATE in said
    assert record.names == [], "nothing runs elsewhere"
    wait_until(lambda: not server._hub.connections, "the end of its thread")
    poll_until(server, lambda: gone(server), "the end")
    assert record.names == LAST_WORDS[state]
    for event in record.of("Error"):
        assert event.error_code == TIMED_OUT
    for event in record.of("Disconnected"):
        assert (event.connection_id, event.status_code) == (0, TIMED_OUT)
    assert record.threads == {threading.get_ident()}


def test_clients_are_accepted_however_long_the_program_does_not_poll(start: Start) -> None:
    server = start(default_timeout=1)
    server.on_connection_request = lambda _: None
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(server.local_port)) for _ in range(20)]
        for peer in peers:
            peer.greet()
            assert peer.end().text == TOO_LATE.encode()


def test_a_late_answer_lets_nobody_in(start: Start) -> None:
    server = start(default_timeout=1)
    hold = threading.Event()
    record = Record(server, "Error", "Disconnected")

    @server.on_ssh_user_auth_request
    def slow(e: SSHUserAuthRequest) -> None:
        hold.wait(30)
        e.accept = True

    with polling(server):
        with Peer(server.local_port) as peer:
            peer.connect().service().send(password_request(b"alice", b"wrong"))
            assert peer.end().text == TOO_LATE.encode()
        hold.set()
        record.wait_for("Disconnected")
    assert record.names == ["Error", "Disconnected"]


def test_a_late_answer_of_a_file_event_changes_nothing(start: Start, tmp_path: Path) -> None:
    server = start(default_timeout=1)
    hold = threading.Event()
    server.on_file_remove = lambda _: hold.wait(30)
    (tmp_path / "f").write_bytes(b"1")
    with polling(server):
        with Peer(server.local_port) as peer:
            session(peer).post(Type.REMOVE, string(b"/f"))
            assert peer.end().text == TOO_LATE.encode()
        hold.set()
        wait_until(lambda: gone(server), "the end")
    assert (tmp_path / "f").exists()


def test_the_timeout_of_a_connection_is_its_patience(start: Start) -> None:
    server = start(default_timeout=600)
    server.on_get_attributes = lambda _: None
    with Peer(server.local_port) as peer:
        with polling(server):
            raw = session(peer)
        server.sftp_connections[0].timeout = 1
        raw.post(Type.STAT, string(b"/"))
        assert peer.end().text == TOO_LATE.encode()


def test_disconnect_ends_the_wait_for_a_program_that_does_not_poll(start: Start) -> None:
    server = start()
    record = Record(server, "Disconnected", "Error", "GetAttributes")
    with Peer(server.local_port) as peer:
        with polling(server):
            raw = session(peer)
        raw.post(Type.STAT, string(b"/"))
        wait_until(lambda: bool(server._dispatcher._waiting), "an event that waits")
        server.disconnect(0)
        gone_with = peer.end()
    assert gone_with.text == b"The server closes the connection"
    poll_until(server, lambda: gone(server), "the end")
    assert [(e.status_code, e.description) for e in record.of("Disconnected")] == [(0, "OK")]
    assert record.names == ["Disconnected"]


@pytest.mark.parametrize("state", ["ConnectionRequest", "Connected", "SSHUserAuthRequest"])
def test_shutdown_does_not_wait_for_a_program_that_does_not_poll(start: Start, state: str) -> None:
    """Which is the one that calls it."""
    server = start()
    record = Record(server, "ConnectionRequest", "Connected", "Disconnected")
    with Peer(server.local_port) as peer:
        if state == "SSHUserAuthRequest":
            poll_until(server, lambda: "Connected" in record.names, "a connection")
            peer.connect().service().send(password_request(b"alice", b"wrong"))
        elif state == "Connected":
            poll_until(server, lambda: "ConnectionRequest" in record.names, "a connection")
        wait_until(lambda: bool(server._dispatcher._waiting), "an event that waits")
        with polite(peer):
            server.shutdown()
        assert not server._hub.connections
    server.do_events()
    assert record.names.count("Connected") == record.names.count("Disconnected") == (state != "ConnectionRequest")


# --- handlers run at once ---


@covers("ProcessIdleEvents")
def test_not_polled_handlers_of_different_connections_run_at_the_same_time(start: Start) -> None:
    server = start(process_idle_events=True)
    both = threading.Barrier(2, timeout=20)

    @server.on_get_attributes
    def meet(e: GetAttributes) -> None:
        both.wait()

    def work() -> int | None:
        with Peer(server.local_port) as peer:
            return session(peer).stat(b"/").permissions

    with ThreadPoolExecutor(2) as pool:
        assert all(done.result(60) for done in [pool.submit(work), pool.submit(work)])


def test_not_polled_do_events_runs_no_handler(start: Start) -> None:
    server = start(process_idle_events=True)
    record = Record(server)
    with polling(server) as poller, Peer(server.local_port) as peer:
        do_everything(session(peer))
    record.wait_for("Disconnected")
    assert poller not in record.threads


@covers("ProcessIdleEvents")
def test_the_mode_may_change_while_clients_work(start: Start) -> None:
    server = start(process_idle_events=True)
    record = Record(server, "GetAttributes", "Disconnected")
    with Peer(server.local_port) as peer:
        raw = session(peer)
        raw.stat(b"/")
        at_once = set(record.threads)
        server.process_idle_events = False
        with polling(server) as poller:
            record.threads.clear()
            raw.stat(b"/")
        assert record.threads == {poller}
        request = raw.post(Type.STAT, string(b"/"))
        wait_until(lambda: bool(server._dispatcher._waiting), "an event that waits")
        record.threads.clear()
        server.config("ProcessIdleEvents=True")
        assert raw.reply().id == request
        assert record.threads == at_once
    record.wait_for("Disconnected")


def test_what_a_program_has_not_polled_is_told_when_handlers_run_at_once_again(start: Start) -> None:
    server = start()
    record = Record(server, "Disconnected")
    with polling(server), Peer(server.local_port) as peer:
        session(peer)
    with Peer(server.local_port) as peer:
        with polling(server):
            session(peer)
        server.disconnect(0)
        peer.end()
    wait_until(lambda: not server._hub.connections, "the end of its thread")
    told = len(record.events)
    server.process_idle_events = True
    record.wait_for("Disconnected", told + 1)
    wait_until(lambda: gone(server), "a number that is free")


def test_a_slow_handler_of_what_concerns_nobody_does_not_stop_the_accepting(start: Start) -> None:
    server = start(process_idle_events=True, max_connections=1)
    hold = threading.Event()

    @server.on_log
    def slow(e: Any) -> None:
        if "too many" in e.message:
            hold.wait(30)

    with Peer(server.local_port) as first:
        session(first)
        for _ in range(5):
            with Peer(server.local_port) as surplus:
                assert surplus.end_of_stream()
    hold.set()
