"""The life of a server and of its connections."""

from __future__ import annotations

import logging
import random
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from libsshd import HostKey, SFTPServer, SFTPServerError
from libsshd.events import EVENTS, Connected, ConnectionRequest, Disconnected
from tests.contract.covering import covers
from tests.contract.support_life import Follower, Record, gone, make, polite, polling, session
from tests.support.command import wait_until
from tests.support.hostile import Peer, password_request
from tests.support.rawsftp import CREAT, WRITE, Code, Type, string
from tests.support.sshwire import Gone

Start = Callable[..., SFTPServer]
UNKNOWN_CONNECTION = 126


@pytest.fixture
def start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Start]:
    """Starts servers, in which nothing may end in an exception."""
    with ExitStack() as stack, caplog.at_level(logging.INFO, "libsshd"):
        yield lambda **settings: stack.enter_context(make(settings.pop("root", tmp_path), **settings))
    crashes = [record for record in caplog.get_records("call") if record.exc_info]
    assert not crashes, f"{crashes[0].getMessage()}: {crashes[0].exc_text or crashes[0].exc_info}"


@pytest.fixture
def server(start: Start) -> SFTPServer:
    return start()


def code_of(act: Callable[[], object]) -> int | None:
    """The code of the error that it raises."""
    try:
        act()
    except SFTPServerError as error:
        return error.code
    return None


def refused(server: SFTPServer) -> bool:
    """Whether nobody listens."""
    try:
        socket.create_connection(("127.0.0.1", server.local_port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


def host_key_of(server: SFTPServer) -> bytes:
    with Peer(server.local_port) as peer:
        return peer.connect().host_key


# --- listening ---


@covers("StartListening", "StopListening", "Listening")
def test_stopped_and_started_again_while_connections_carry_on(server: SFTPServer) -> None:
    port = server.local_port
    with Peer(port) as early:
        raw = session(early)
        server.stop_listening()
        assert code_of(lambda: setattr(server, "local_port", port)) is None, "it does not listen any more"
        assert refused(server)
        assert server.local_port == port, "it stays to be seen"
        raw.stat(b"/")
        server.start_listening()
        assert server.local_port == port
        raw.stat(b"/")
        with Peer(port) as newcomer:
            session(newcomer).stat(b"/")
            assert server.sftp_connection_count == 2


@covers("Listening")
def test_listening_may_be_assigned_and_the_value_it_has_changes_nothing(start: Start) -> None:
    server = start()
    server.listening = True
    assert not refused(server)
    assert code_of(server.start_listening) == 104
    server.listening = False
    server.listening = False
    assert refused(server)
    server.Listening = True  # type: ignore[attr-defined]
    with Peer(server.local_port) as peer:
        session(peer)


@covers("StartListening")
def test_what_is_changed_counts_for_connections_that_come_later(server: SFTPServer, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "f").touch()
    server.root_directory = str(tmp_path / "old")
    with Peer(server.local_port) as early:
        raw = session(early)
        server.root_directory = str(tmp_path / "new")
        server.host_keys = [HostKey.generate("ed25519")]
        server.ssh_encryption_algorithms = "aes128-gcm@openssh.com"
        assert [name for name, *_ in raw.listing(b"/")] == [b".", b".."]
        with Peer(server.local_port) as late:
            assert b"f" in [name for name, *_ in session(late).listing(b"/")]
            assert late.host_key != early.host_key


@pytest.mark.parametrize("polled", [False, True])
@covers("Error")
def test_what_cannot_be_served_is_an_error_event_and_the_listener_lives(
    start: Start, tmp_path: Path, polled: bool
) -> None:
    server = start(process_idle_events=not polled)
    record = Record(server, "Error")
    with polling(server):
        server.root_directory = str(tmp_path / "no such directory")
        with Peer(server.local_port) as peer:
            assert peer.end_of_stream()
        assert record.wait_for("Error").error_code == 2001
        server.root_directory, server.host_keys = str(tmp_path), []
        with Peer(server.local_port) as peer:
            assert peer.end_of_stream()
        assert record.wait_for("Error", 2).error_code == 1301
        assert record.of("Error")[1].connection_id == -1
        server.host_keys = [HostKey.generate()]
        with Peer(server.local_port) as peer:
            session(peer)


def test_a_change_in_the_midst_of_connections_is_never_lost(server: SFTPServer) -> None:
    """Two threads make what connections begin with, while what is set changes."""
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            with suppress(OSError, Gone), Peer(server.local_port) as peer:
                peer.greet()

    with ThreadPoolExecutor(2) as pool:
        knocking = [pool.submit(knock) for _ in range(2)]
        for turn in range(40):
            server.server_ssh_version_string = f"SSH-2.0-turn{turn}"
            with Peer(server.local_port) as peer:
                assert peer.greet().server_version == b"SSH-2.0-turn%d" % turn
        over.set()
        assert [done.result(20) for done in knocking] == [None, None]


@covers("Shutdown")
def test_shutdown_closes_the_socket_and_tells_every_client(server: SFTPServer) -> None:
    record = Record(server, "Disconnected")
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        session(first)
        second.login()
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(server.shutdown)
            assert first.end().text == second.end().text == b"The server is shutting down"
            first.close()
            second.close()
            ending.result(20)
    assert refused(server)
    assert gone(server)
    assert [(e.status_code, e.description) for e in record.of("Disconnected")] == [(0, "OK")] * 2


def test_a_drain_goes_on_beside_a_server_that_was_started_again(server: SFTPServer, tmp_path: Path) -> None:
    with Peer(server.local_port) as early:
        raw = session(early)
        handle = raw.open(b"/f", CREAT | WRITE)
        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(server.shutdown, 60.0)
            wait_until(lambda: not server.listening, "the drain")
            server.start_listening()
            with Peer(server.local_port) as late:
                other = session(late)
                assert raw.write(handle, 0, b"x") == Code.OK
                raw.post(Type.CLOSE, string(handle))
                early.end()
                early.close()
                draining.result(20)
                other.stat(b"/")
                assert server.listening
    assert (tmp_path / "f").read_bytes() == b"x"


def test_a_polled_server_drains_while_it_is_polled(start: Start, tmp_path: Path) -> None:
    server = start(process_idle_events=False)
    record = Record(server)
    with polling(server), Peer(server.local_port) as peer:
        raw = session(peer)
        handle = raw.open(b"/f", CREAT | WRITE)
        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(server.shutdown, 60.0)
            wait_until(lambda: not server.listening, "the drain")
            assert raw.write(handle, 0, b"x") == Code.OK
            raw.post(Type.CLOSE, string(handle))
            peer.end()
            peer.close()
            draining.result(20)
        record.wait_for("Disconnected")
    assert (tmp_path / "f").read_bytes() == b"x"


@covers("Reset")
def test_reset_ends_everything_and_leaves_the_defaults(server: SFTPServer) -> None:
    record = Record(server, "Disconnected")
    with Peer(server.local_port) as peer:
        session(peer)
        server.config("DirListBufferSize=7")
        server.alt_ssh_cert_count = 2
        server.keyboard_interactive_prompt_count = 3
        with polite(peer):
            server.reset()
    assert len(record.events) == 1, "handlers stay attached"
    assert not server.listening
    assert (server.local_port, server.root_directory, server.local_host) == (22, "", "")
    assert server.config("DirListBufferSize") == "0"
    assert server.host_keys == []
    assert server.alt_ssh_cert_count == server.keyboard_interactive_prompt_count == 0
    server.local_port = 0
    assert code_of(server.start_listening) == 1301


# --- methods inside handlers ---


def restart(server: SFTPServer) -> None:
    server.stop_listening()
    server.start_listening()


def shut_down_and_start(server: SFTPServer) -> None:
    server.shutdown()
    server.start_listening()


def hang_up(server: SFTPServer, number: int) -> None:
    server.sftp_connections[number].connected = False


ENDING: dict[str, Callable[[SFTPServer, int], object]] = {
    "disconnect": lambda server, number: server.disconnect(number),
    "connected": hang_up,
    "shutdown": lambda server, _: server.shutdown(),
    "drain": lambda server, _: server.shutdown(5.0),
    "shutdown and start": lambda server, _: shut_down_and_start(server),
    "reset": lambda server, _: server.reset(),
}
HARMLESS: dict[str, Callable[[SFTPServer, int], object]] = {
    "config": lambda server, number: server.config(f"DirListBufferSize[{number}]=3"),
    "read config": lambda server, number: server.config(f"ConnectionUID[{number}]"),
    "exchange_keys": lambda server, number: server.exchange_keys(number),
    "stop_listening": lambda server, _: server.stop_listening(),
    "restart": lambda server, _: restart(server),
    "do_events": lambda server, _: server.do_events(),
    "attach": lambda server, _: server.on_log.add(lambda _: None),
    "set": lambda server, _: setattr(server, "root_directory", server.root_directory),
}
STATES = ("Connected", "SSHUserAuthRequest", "GetAttributes", "SSHStatus", "Disconnected")


def visit(server: SFTPServer) -> bool:
    """Logs in, asks for something twice, as what is owed comes before the end, and goes; whether it got that far."""
    with Follower(server.local_port) as peer:
        try:
            raw = session(peer)
            raw.stat(b"/")
            raw.stat(b"/")
        except (Gone, OSError):
            return False
        return True


@pytest.mark.parametrize("polled", [False, True], ids=["at once", "polled"])
@pytest.mark.parametrize("name", [*ENDING, *HARMLESS])
@covers("Shutdown", "Disconnect", "Reset", "StartListening", "StopListening", "Config", "ExchangeKeys")
def test_a_handler_may_call_any_method(start: Start, name: str, polled: bool) -> None:
    method = (ENDING | HARMLESS)[name]
    for state in STATES:
        server = start(process_idle_events=not polled)
        outcomes: list[BaseException | None] = []

        def once(e: Any, server: SFTPServer = server, outcomes: list[BaseException | None] = outcomes) -> None:
            if not outcomes:
                outcomes.append(None)
                try:
                    method(server, e.connection_id)
                except BaseException as error:  # noqa: BLE001 - it is looked at
                    outcomes[0] = error

        server.hook(next(event for event in EVENTS if event.__name__ == state)).add(once)
        with polling(server) if polled else nullcontext():
            served = visit(server)
            wait_until(lambda: bool(outcomes), f"{state}")  # noqa: B023
            assert outcomes == [None], state
            assert served == (name in HARMLESS or state == "Disconnected"), state
            wait_until(lambda: gone(server), f"the end in {state}")  # noqa: B023
        assert server.listening == (name not in ("shutdown", "drain", "reset", "stop_listening")), state
        if server.listening:
            with polling(server):
                assert visit(server)


@pytest.mark.parametrize("polled", [False, True], ids=["at once", "polled"])
def test_a_handler_of_connection_request_may_call_shutdown_and_start(start: Start, polled: bool) -> None:
    server = start(process_idle_events=not polled)
    calls: list[str] = []
    record = Record(server, "Connected")

    @server.on_connection_request
    def once(e: ConnectionRequest) -> None:
        calls.append(e.address)
        if len(calls) == 1:
            shut_down_and_start(server)

    with polling(server):
        assert not visit(server)
        assert record.events == [], "who was told to end does not begin"
        assert visit(server)


def test_shutdown_in_a_handler_ends_serve_forever(start: Start) -> None:
    for polled in (False, True):
        server = start(process_idle_events=not polled)
        record = Record(server, "Disconnected")
        server.on_get_attributes = lambda _, server=server: server.shutdown()
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        visit(server)
        serving.join(20)
        assert not serving.is_alive()
        record.wait_for("Disconnected")


# --- calls from any thread ---


@pytest.mark.parametrize("polled", [False, True], ids=["at once", "polled"])
def test_calls_from_many_threads_while_clients_work(start: Start, polled: bool) -> None:
    server = start(process_idle_events=not polled)
    over = threading.Event()

    def someone() -> int:
        return random.choice([connection.id for connection in server.sftp_connections] or [0])

    calls: list[Callable[[], object]] = [
        lambda: server.config(f"DirListBufferSize[{someone()}]=5"),
        lambda: server.config("LogLevel=3"),
        lambda: server.disconnect(someone()),
        lambda: server.exchange_keys(someone()),
        lambda: setattr(server, "on_get_attributes", lambda _: None),
        lambda: setattr(server, "on_get_attributes", None),
        lambda: server.on_log.add(lambda _: None) if len(server.on_log.handlers) < 9 else server.on_log.replace(None),
        lambda: [connection.remote_host for connection in server.sftp_connections],
        lambda: server.sftp_connections[someone()].state.update(x=1),
        lambda: setattr(server, "root_directory", server.root_directory),
        lambda: restart(server) if random.random() < 0.1 else None,
        lambda: setattr(server.sftp_connections[someone()], "timeout", 30),
    ]

    def hammer(seed: int) -> None:
        for number in range(150):
            with suppress(SFTPServerError):
                calls[(number * 7 + seed) % len(calls)]()
            threading.Event().wait(0.001)

    def work() -> int:
        done = 0
        while not over.is_set():
            with suppress(Gone, OSError), Follower(server.local_port) as peer:
                raw = session(peer)
                for _ in range(20):
                    raw.stat(b"/")
                    done += 1
        return done

    with polling(server) if polled else nullcontext(), ThreadPoolExecutor(12) as pool:
        working = [pool.submit(work) for _ in range(4)]
        for done in [pool.submit(hammer, seed) for seed in range(8)]:
            done.result(60)
        over.set()
        assert sum(done.result(30) for done in working) > 0
        if not server.listening:
            server.start_listening()
        server.on_get_attributes = None
        assert visit(server)
        wait_until(lambda: gone(server), "the end of all")


def test_handlers_that_several_threads_add_are_all_there(server: SFTPServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(server.on_log.add, lambda _: None) for _ in range(400)]:
            done.result(20)
    assert len(server.on_log.handlers) == 400


# --- numbers ---


@covers("SFTPConnectionCount", "SFTPConnectionConnected", "ConnectionUID")
def test_a_number_is_the_lowest_free_one_and_uids_are_never_used_again(server: SFTPServer) -> None:
    uids: set[str] = set()
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(server.local_port)).login() for _ in range(3)]
        assert server.sftp_connection_count == len(server.sftp_connections) == 3
        uids.update(server.config(f"ConnectionUID[{number}]") for number in range(3))
        peers[1].close()
        wait_until(lambda: not server.sftp_connections[1].connected, "the end of the second")
        wait_until(lambda: code_of(lambda: server.sftp_connections[1].remote_host) == 126, "a free number")
        assert server.sftp_connection_count == 3
        assert [connection.id for connection in server.sftp_connections] == [0, 2]
        assert [server.SFTPConnectionConnected[n] for n in range(4)] == [  # type: ignore[attr-defined]
            True, False, True, False,
        ]  # fmt: skip
        stack.enter_context(Peer(server.local_port)).login()
        stack.enter_context(Peer(server.local_port)).login()
        assert [connection.id for connection in server.sftp_connections] == [0, 1, 2, 3]
        uids.update(server.config(f"ConnectionUID[{number}]") for number in (1, 3))
    assert len(uids) == 5
    wait_until(lambda: server.sftp_connection_count == 0, "the end of all")


@covers("SFTPConnectionConnected", "Disconnect")
def test_connected_false_is_disconnect_and_true_is_nothing(server: SFTPServer) -> None:
    record = Record(server, "Disconnected")
    for end in (ENDING["disconnect"], ENDING["connected"]):
        with Peer(server.local_port) as peer:
            raw = session(peer)
            server.sftp_connections[0].connected = True
            raw.stat(b"/")
            end(server, 0)
            assert not server.sftp_connections[0].connected
            assert peer.end().text == b"The server closes the connection"
        wait_until(lambda: gone(server), "the end")
    assert [(e.status_code, e.description) for e in record.of("Disconnected")] == [(0, "OK")] * 2


def set_connected(server: SFTPServer, value: bool) -> None:
    server.sftp_connections[5].connected = value


@pytest.mark.parametrize(
    "act",
    [
        lambda server: server.disconnect(5),
        lambda server: server.disconnect(-1),
        lambda server: server.exchange_keys(5),
        lambda server: server.set_file_list(5, "a"),
        lambda server: server.config("ConnectionUID[5]"),
        lambda server: server.config("DirListBufferSize[5]=1"),
        lambda server: server.sftp_connections[5].remote_host,
        lambda server: server.sftp_connections[5].remote_port,
        lambda server: server.SFTPConnectionLocalAddress[5],
        lambda server: server.sftp_connections[5].state,
        lambda server: set_connected(server, True),
        lambda server: set_connected(server, False),
    ],
)
@covers("Disconnect", "ExchangeKeys", "Config")
def test_an_unknown_number_is_error_126(server: SFTPServer, act: Callable[[SFTPServer], object]) -> None:
    assert code_of(lambda: act(server)) == UNKNOWN_CONNECTION


def test_inside_disconnected_the_number_is_still_readable_and_not_given_to_another(server: SFTPServer) -> None:
    hold, seen = threading.Event(), []

    @server.on_disconnected
    def slow(e: Disconnected) -> None:
        connection = server.sftp_connections[e.connection_id]
        seen.append((e.connection_id, connection.user, connection.connected, connection.state.get("x")))
        hold.wait(20)

    with Peer(server.local_port) as first:
        first.login()
        server.sftp_connections[0].state["x"] = 1
    wait_until(lambda: bool(seen), "the end of the first")
    with Peer(server.local_port) as second:
        second.login()
        assert [connection.id for connection in server.sftp_connections] == [0, 1]
        hold.set()
    assert seen[0] == (0, "alice", False, 1)


def test_inside_disconnected_it_is_too_late_for_another_root(server: SFTPServer) -> None:
    codes: list[int | None] = []

    @server.on_disconnected
    def late(e: Disconnected) -> None:
        codes.append(code_of(lambda: setattr(server.sftp_connections[e.connection_id], "user_root_directory", "/a")))

    assert visit(server)
    wait_until(lambda: gone(server), "the end")
    assert codes == [UNKNOWN_CONNECTION]


def test_the_state_of_a_connection_is_not_that_of_the_next(server: SFTPServer) -> None:
    for _ in range(2):
        with Peer(server.local_port) as peer:
            peer.login()
            assert server.sftp_connections[0].state == {}
            server.sftp_connections[0].state["user"] = "alice"
            assert server.sftp_connections[0].state == {"user": "alice"}
        wait_until(lambda: gone(server), "the end")


# --- how connections begin and end ---


@covers("ConnectionRequest", "Connected", "SSHStatus", "Disconnected")
def test_the_events_of_a_connection_come_in_order(server: SFTPServer) -> None:
    order = ["ConnectionRequest", "Connected", "SSHStatus", "SSHUserAuthRequest", "DirList", "Disconnected"]
    record = Record(server, *order)
    with Peer(server.local_port) as peer:
        session(peer).listing(b"/")
        request: ConnectionRequest = record.of("ConnectionRequest")[0]
        assert (request.address, request.port) == peer.sock.getsockname()
        connected: Connected = record.of("Connected")[0]
        assert (connected.connection_id, connected.status_code, connected.description) == (0, 0, "OK")
    ended: Disconnected = record.wait_for("Disconnected")
    assert (ended.connection_id, ended.status_code, ended.description) == (0, 0, "OK")
    assert list(dict.fromkeys(record.names)) == order


@covers("ConnectionRequest")
def test_who_is_not_accepted_is_hung_up_on_and_nothing_else_fires(server: SFTPServer) -> None:
    record = Record(server, "ConnectionRequest", "Connected", "Disconnected", "Error")

    @server.on_connection_request
    def deny(e: ConnectionRequest) -> None:
        e.accept = False

    with Peer(server.local_port) as peer:
        assert peer.end_of_stream()
    wait_until(lambda: not server._hub.connections, "the end")
    assert record.names == ["ConnectionRequest"]
    assert server.sftp_connection_count == 0


def reset_connection(peer: Peer) -> None:
    peer.login()
    peer.reset()


def leave(peer: Peer) -> None:
    peer.login()
    peer.close()


def say_goodbye(peer: Peer) -> None:
    peer.login().send(b"\x01" + b"\0\0\0\x0b" + string(b"bye") + string(b""))
    peer.end_of_stream()


def say_nonsense(peer: Peer) -> None:
    peer.login().send(b"\x5a" + b"\xff\xff\xff\xff")
    peer.end()


def say_nothing(peer: Peer) -> None:
    peer.end_of_stream()


@pytest.mark.parametrize(
    ("act", "code"),
    [(leave, 0), (say_goodbye, 0), (reset_connection, 10054), (say_nonsense, 10053), (say_nothing, 10060)],
)
@covers("Disconnected")
def test_disconnected_tells_how_it_ended(start: Start, act: Callable[[Peer], None], code: int) -> None:
    server = start(login_timeout=0.5) if act is say_nothing else start()
    record = Record(server, "Connected", "Disconnected")
    with Peer(server.local_port) as peer:
        act(peer)
    event = record.wait_for("Disconnected")
    assert event.status_code == code
    assert event.description.startswith(f"[{code}] " if code else "OK")
    assert len(event.description) > len("[10053] ") or not code
    assert record.names == ["Connected", "Disconnected"]


@covers("Connected")
def test_a_client_that_is_gone_already_is_a_failed_connected_and_no_disconnected(start: Start) -> None:
    for polled in (False, True):
        server = start(process_idle_events=not polled)
        record = Record(server, "Connected", "Disconnected")
        hold = threading.Event()
        server.on_connection_request = lambda _, hold=hold: hold.wait(20)
        with polling(server):
            with Peer(server.local_port) as peer:
                wait_until(lambda: bool(server._hub.connections), "a connection")  # noqa: B023
                peer.reset()
            hold.set()
            event = record.wait_for("Connected")
            assert event.status_code == 10057
            assert event.description.startswith("[10057] ")
            wait_until(lambda: gone(server), "the end")  # noqa: B023
        assert record.names == ["Connected"]


@covers("Connected")
def test_a_handler_of_connected_that_raises_ends_the_connection_in_order(
    tmp_path: Path,
) -> None:
    with make(tmp_path) as server:
        record = Record(server, "Connected", "Disconnected", "Error")

        @server.on_connected
        def fail(e: Connected) -> None:
            raise RuntimeError("broken")

        with Peer(server.local_port) as peer:
            assert peer.end_of_stream()
        record.wait_for("Disconnected")
        assert record.names == ["Connected", "Error", "Disconnected"]
        assert "broken" in record.of("Error")[0].description


@covers("Error", "Disconnected")
def test_too_many_failed_logins_are_error_1300(start: Start) -> None:
    server = start(max_auth_attempts=2)
    record = Record(server, "Error", "Disconnected")
    with Peer(server.local_port) as peer:
        peer.connect().service()
        for _ in range(2):
            peer.send(password_request(b"alice", b"wrong"))
        assert peer.end().reason == 14
    record.wait_for("Disconnected")
    assert [(e.connection_id, e.error_code) for e in record.of("Error")] == [(0, 1300)]


# --- talk about a connection ---


@covers("ExchangeKeys", "SSHStatus")
def test_an_exchange_of_keys_is_told_of_and_the_session_goes_on(server: SFTPServer) -> None:
    record = Record(server, "SSHStatus")
    with Peer(server.local_port) as peer:
        raw = session(peer)
        record.events.clear()
        server.exchange_keys(0)
        peer.await_kexinit()
        peer.send_kexinit()
        peer.finish_exchange()
        raw.stat(b"/")
    messages = [e.message for e in record.events]
    assert "Exchange of keys begun by the server" in messages
    assert any(message.startswith("Keys exchanged by") for message in messages)
    assert {e.connection_id for e in record.events} == {0}


@covers("Log")
def test_log_fires_for_messages_at_or_below_the_level(server: SFTPServer) -> None:
    for level in range(4):
        record = Record(server, "Log")
        server.log_level = level
        visit(server)
        wait_until(lambda: gone(server), "the end")
        assert {e.log_level for e in record.events} == set(range(1, level + 1))
        assert {e.connection_id for e in record.events} <= {-1, 0}
        server.on_log = None


# --- sockets accepted elsewhere ---


def test_a_socket_of_socketserver_is_served(tmp_path: Path) -> None:
    server = make(tmp_path)

    class Front(socketserver.TCPServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            server.serve_socket(request)
            self.shutdown_request(request)

    with Front(("127.0.0.1", 0), socketserver.BaseRequestHandler) as front, ThreadPoolExecutor(1) as pool:
        served = pool.submit(front.handle_request)
        with Peer(front.server_address[1]) as peer:
            raw = session(peer)
            served.result(20)
            raw.stat(b"/")
            assert server.sftp_connections[0].remote_host == "127.0.0.1"
            assert not server.listening
            with polite(peer):
                server.shutdown()


@pytest.mark.parametrize("polled", [False, True], ids=["at once", "polled"])
def test_one_end_of_a_socket_pair_is_served_also_after_shutdown(tmp_path: Path, polled: bool) -> None:
    server = make(tmp_path, process_idle_events=not polled)
    record = Record(server, "ConnectionRequest")
    with polling(server):
        for turn in range(2):
            ours, theirs = socket.socketpair()
            server.serve_socket(theirs)
            assert theirs.fileno() == -1, "it belongs to the server"
            with peer_on(ours) as peer:
                raw = session(peer)
                raw.stat(b"/")
                assert server.sftp_connections[0].remote_host == ""
                assert server.sftp_connections[0].local_address == ""
                with polite(peer):
                    server.shutdown()
            wait_until(lambda: gone(server), f"the end of turn {turn}")
    assert [(e.address, e.port) for e in record.events] == [("", 0)] * 2


def peer_on(sock: socket.socket) -> Peer:
    """A client on a socket that is connected."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        peer = Peer(door.getsockname()[1])
    peer.sock.close()
    peer.sock = sock
    return peer


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(("settings", "code"), [({"host_keys": []}, 1301), ({"root_directory": "/missing"}, 2001)])
def test_a_socket_is_closed_when_the_server_cannot_be_offered(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket], settings: dict[str, Any], code: int
) -> None:
    server = make(tmp_path)
    for name, value in settings.items():
        setattr(server, name, value)
    ours, theirs = pair
    assert code_of(lambda: server.serve_socket(theirs)) == code
    assert theirs.fileno() == -1
    assert ours.recv(1) == b""
    assert not server._hub.connections


def test_a_socket_that_is_not_connected_is_closed_and_an_error(tmp_path: Path) -> None:
    server, sock = make(tmp_path), socket.socket()
    assert code_of(lambda: server.serve_socket(sock)) == 10057
    assert sock.fileno() == -1
    assert code_of(lambda: server.serve_socket(sock)) == 10009, "it is closed"


def test_a_socket_beyond_the_limit_is_closed(tmp_path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    server = make(tmp_path, max_connections=1)
    ours, theirs = socket.socketpair()
    with ours, peer_on(pair[0]) as peer:
        server.serve_socket(pair[1])
        peer.login()
        server.serve_socket(theirs)
        assert ours.recv(1) == b""
        with polite(peer):
            server.shutdown()
