"""Who may connect: lists, limits, and the handler that has the last word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import paramiko
import pytest

from libsshd import ConnectionRequest, Error, Event, SFTPServer
from tests.contract.conftest import Connect, Serve
from tests.contract.covering import covers
from tests.support.account import let_in
from tests.support.command import wait_until
from tests.support.hostile import Peer, password_request
from tests.support.sshwire import DEADLINE, HOST


def admits(server: SFTPServer, source: str = HOST) -> bool:
    """Whether a client from that address is greeted; else it must be hung up on without a word."""
    with socket.create_connection((HOST, server.local_port), timeout=DEADLINE, source_address=(source, 0)) as sock:
        try:
            greeting = sock.recv(8)
        except ConnectionResetError:
            greeting = b""
    assert greeting in (b"", b"SSH-2.0-")
    return bool(greeting)


@covers("AllowedClients")
@pytest.mark.parametrize("allowed", ["127.0.0.2", "10.0.0.1, 127.0.*.2", "localhost,127.0.0.2", "*.2"])
def test_who_is_not_on_the_list_is_not_served(serve: Serve, allowed: str) -> None:
    server = serve(allowed_clients=allowed)
    assert admits(server, "127.0.0.2")
    assert not admits(server, "127.0.0.3")


@covers("BlockedClients")
def test_who_is_blocked_is_not_served_though_it_is_allowed(serve: Serve) -> None:
    server = serve(allowed_clients="127.*", blocked_clients="127.0.0.2,127.0.0.3")
    assert admits(server, "127.0.0.4")
    assert not admits(server, "127.0.0.2")


@covers("AllowedClients", "BlockedClients")
def test_lists_count_for_an_ipv4_client_of_a_socket_for_both_kinds(serve: Serve) -> None:
    server = serve(use_ipv6=2, local_host="", allowed_clients="127.0.0.1,127.0.0.2", blocked_clients="127.0.0.2")
    assert admits(server)
    assert not admits(server, "127.0.0.2")


@covers("AllowedClients", "BlockedClients")
def test_a_list_that_changes_while_the_server_listens_counts_at_once(serve: Serve) -> None:
    server = serve()
    assert admits(server)
    server.config("BlockedClients=127.0.0.1")
    assert not admits(server)
    server.config("BlockedClients=")
    server.config("AllowedClients=127.0.0.9")
    assert not admits(server)


@covers("ConnectionRequest", "AllowedClients", "BlockedClients")
def test_the_handler_sees_what_the_lists_say_and_has_the_last_word(serve: Serve) -> None:
    server = serve(allowed_clients="127.0.0.1,127.0.0.2", blocked_clients="127.0.0.2")
    asked: list[tuple[str, bool]] = []

    @server.on_connection_request
    def other_way_round(e: ConnectionRequest) -> None:
        assert e.port > 0
        asked.append((e.address, e.accept))
        e.accept = not e.accept

    assert [admits(server, f"127.0.0.{number}") for number in (1, 2, 3)] == [False, True, True]
    assert asked == [("127.0.0.1", True), ("127.0.0.2", False), ("127.0.0.3", False)]


@covers("ConnectionRequest")
def test_nothing_else_fires_for_who_is_refused(serve: Serve) -> None:
    server = serve()
    heard: list[Event] = []
    for hook in (server.on_connected, server.on_disconnected, server.on_ssh_status, server.on_error):
        hook.add(heard.append)
    server.on_connection_request = lambda e: setattr(e, "accept", False)
    assert not admits(server)
    server.on_connection_request = None
    assert admits(server)
    wait_until(lambda: len(heard) >= 2, "the second client was heard of")
    assert {getattr(event, "connection_id", None) for event in heard} == {0}
    assert sum(type(event).__name__ == "Connected" for event in heard) == 1


@covers("ConnectionRequest", "Error")
def test_a_handler_that_raises_admits_nobody_and_is_told_about(serve: Serve) -> None:
    server = serve()
    errors: list[Error] = []
    server.on_error.add(errors.append)

    def fail(e: ConnectionRequest) -> None:
        raise RuntimeError("out of order")

    server.on_connection_request = fail
    assert not admits(server)
    assert [(error.connection_id, error.error_code) for error in errors] == [(-1, 2002)]
    assert "out of order" in errors[0].description
    server.on_connection_request = None
    assert admits(server)


@covers("ConnectionRequest")
def test_a_handler_that_takes_long_holds_up_nobody_else(serve: Serve, connect: Connect) -> None:
    server = serve(local_host="")
    go_on = threading.Event()

    def slow(e: ConnectionRequest) -> None:
        if e.address == "127.0.0.2":
            assert go_on.wait(DEADLINE)

    server.on_connection_request = slow
    with socket.create_connection((HOST, server.local_port), timeout=DEADLINE, source_address=("127.0.0.2", 0)) as s:
        connect(server)
        go_on.set()
        assert s.recv(8) == b"SSH-2.0-"


@covers("MaxConnections")
def test_a_client_beyond_the_limit_is_closed_at_once_and_a_line_says_so(serve: Serve) -> None:
    server = serve(max_connections=2)
    requests: list[str] = []
    said: list[tuple[int, str]] = []
    server.on_connection_request = lambda e: requests.append(e.address)
    server.on_log = lambda e: said.append((e.log_level, e.message))
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        first.connect()
        second.connect()
        assert not admits(server)
        assert len(requests) == 2, "nobody is asked about who cannot stay"
        wait_until(lambda: any("too many connections" in text for _, text in said), "a line in the log")
        assert [level for level, text in said if "too many connections" in text] == [1]
    wait_until(lambda: server.sftp_connection_count == 0, "both are gone")
    assert admits(server)
    server.stop_listening()
    server.max_connections = 1
    server.start_listening()
    with Peer(server.local_port) as only:
        only.connect()
        assert not admits(server)


@covers("ConnectionRequest")
def test_penalties_and_limits_of_a_source_are_off_unless_set(serve: Serve) -> None:
    server = serve(login_timeout=60.0)
    for _ in range(30):
        assert admits(server)


@covers("ConnectionRequest")
def test_a_source_with_a_penalty_is_turned_away_unless_the_handler_wants_it(serve: Serve) -> None:
    server = serve(penalty_no_auth=20.0)
    assert admits(server)
    wait_until(lambda: not server._hub.connections, "it has left without a login")
    assert not admits(server)
    assert admits(server, "127.0.0.2"), "others are not concerned"
    asked: list[tuple[str, bool]] = []

    @server.on_connection_request
    def everybody(e: ConnectionRequest) -> None:
        asked.append((e.address, e.accept))
        e.accept = True

    assert admits(server)
    assert admits(server, "127.0.0.3")
    assert asked == [("127.0.0.1", False), ("127.0.0.3", True)]


@covers("ConnectionRequest")
@pytest.mark.parametrize(
    ("penalty", "end"),
    [
        ("penalty_no_auth", lambda peer: peer.connect().service()),
        ("penalty_auth_failed", lambda peer: peer.connect().service().attempt(password_request(b"eve", b"guess"))),
        ("penalty_grace_exceeded", lambda peer: peer.connect().end()),
    ],
)
def test_each_way_not_to_log_in_has_its_penalty(serve: Serve, penalty: str, end: Callable[[Peer], object]) -> None:
    server = serve(login_timeout=0.7, **{penalty: 20.0})
    server.on_ssh_user_auth_request = lambda e: setattr(e, "accept", e.user == "alice")
    for other in {"penalty_no_auth", "penalty_auth_failed", "penalty_grace_exceeded"} - {penalty}:
        assert getattr(server, other) == 0
    with Peer(server.local_port) as peer:
        end(peer)
    wait_until(lambda: not server._hub.connections, "it has left")
    assert not admits(server)


@covers("ConnectionRequest")
def test_who_logs_in_gets_no_penalty(serve: Serve, connect: Connect) -> None:
    server = serve(penalty_no_auth=20.0, penalty_auth_failed=20.0)
    connect(server).close()
    wait_until(lambda: not server._hub.connections, "it has left")
    assert admits(server)


@covers("ConnectionRequest")
def test_a_source_has_so_many_start_ups_and_the_exempt_have_more(serve: Serve) -> None:
    server = serve(max_startups_per_source=2, exempt_clients="127.0.0.2")
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        first.connect()
        second.connect()
        assert not admits(server)
        assert admits(server, "127.0.0.2")
        server.on_connection_request = lambda e: setattr(e, "accept", True)
        assert admits(server)


@covers("SSHUserAuthRequest", "DefaultAuthMethods")
def test_nobody_is_in_without_a_handler_that_says_so(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.on_ssh_user_auth_request = None
    with pytest.raises(paramiko.AuthenticationException):
        connect(server)
    server.on_ssh_user_auth_request = let_in
    connect(server)
    server.default_auth_methods = "publickey"
    with pytest.raises(paramiko.BadAuthenticationType) as caught:
        connect(server)
    assert caught.value.allowed_types == ["publickey"]
