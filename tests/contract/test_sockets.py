"""Where the server listens, and the sockets of those who came."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import paramiko
import pytest

from libsshd import SFTPServer, SFTPServerError, UseIPv6
from tests.contract.conftest import Connect, Serve, sftp_of
from tests.contract.covering import covers
from tests.support.command import wait_until
from tests.support.hostile import Peer
from tests.support.sshwire import DEADLINE, HOST

OTHER_HOST = "127.0.0.5"
IPV6_HOST = "::1"


def answers(host: str, port: int) -> bool:
    """Whether an SSH server is there."""
    with suppress(ConnectionRefusedError), socket.create_connection((host, port), timeout=DEADLINE) as sock:
        return sock.recv(8) == b"SSH-2.0-"
    return False


def sockets_of_this_process() -> Iterator[socket.socket]:
    """Copies that share everything with the original but the descriptor."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with closing(socket.socket(fileno=os.dup(int(name)))) as sock:
                    yield sock


def listening_socket(port: int) -> socket.socket:
    for sock in sockets_of_this_process():
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and sock.getsockname()[1] == port:
            return sock.dup()
    raise AssertionError(f"nobody listens on {port}")


def accepted_socket(client: socket.socket) -> socket.socket:
    """The server's end of a connection."""
    for sock in sockets_of_this_process():
        with suppress(OSError):
            if sock.getpeername()[:2] == client.getsockname()[:2]:
                return sock.dup()
    raise AssertionError("there is no such connection")


def client_of(transport: paramiko.Transport) -> tuple[str, int]:
    """The client's own address."""
    assert isinstance(transport.sock, socket.socket)
    host, port, *_ = transport.sock.getsockname()
    return host, port


def error_of(action: Callable[[], object]) -> int:
    with pytest.raises(SFTPServerError) as caught:
        action()
    return caught.value.code


# --- the address ---


@covers("LocalHost")
def test_a_host_is_the_only_address_that_answers_and_none_is_all(serve: Serve) -> None:
    server = serve(local_host=OTHER_HOST)
    assert answers(OTHER_HOST, server.local_port)
    assert not answers(HOST, server.local_port)
    server = serve(local_host="")
    assert answers(OTHER_HOST, server.local_port)
    assert answers(HOST, server.local_port)
    assert server.local_host == ""


@covers("LocalPort")
def test_a_port_is_the_one_that_answers_and_0_becomes_one(serve: Serve) -> None:
    server = serve(local_port=0)
    port = server.local_port
    assert port > 0
    assert answers(HOST, port)
    server.stop_listening()
    assert server.local_port == port, "it is shown until it is assigned again"
    assert answers(HOST, serve(local_port=port).local_port)


@covers("LocalHost", "LocalPort", "MaxConnections")
def test_what_was_listened_with_cannot_change_until_the_server_stops(serve: Serve) -> None:
    server = serve()
    assert error_of(lambda: setattr(server, "LocalPort", 1)) == 106
    assert error_of(lambda: setattr(server, "LocalHost", "")) == 107
    assert error_of(lambda: setattr(server, "MaxConnections", 1)) == 108
    assert error_of(lambda: server.config("MaxConnections=1")) == 108
    server.stop_listening()
    server.local_port, server.local_host, server.max_connections = 0, "", 1


@covers("ConnectionBacklog")
@pytest.mark.parametrize("backlog", [5, 128])
def test_the_backlog_is_what_the_system_keeps_waiting(serve: Serve, backlog: int) -> None:
    server = serve(connection_backlog=backlog)
    with listening_socket(server.local_port) as sock:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    assert struct.unpack_from("5I I", info, 8)[5] == backlog, "of a listening socket, tcpi_sacked is its backlog"


@covers("Listening", "StartListening", "StopListening")
def test_listening_starts_and_stops_and_its_own_value_changes_nothing(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.listening = True
    assert error_of(server.start_listening) == 104
    transport = connect(server)
    server.listening = False
    assert not server.listening
    assert not answers(HOST, server.local_port)
    assert sftp_of(transport).listdir("/") == [], "who is in carries on"
    server.listening = False
    server.stop_listening()
    server.listening = True
    assert answers(HOST, server.local_port)


@covers("StartListening")
def test_an_address_that_cannot_be_had_has_a_documented_code(serve: Serve) -> None:
    taken = serve().local_port
    assert error_of(lambda: serve(local_port=taken)) == 10048
    assert error_of(lambda: serve(local_host="192.0.2.1")) == 10049
    assert error_of(lambda: serve(local_host="nobody.invalid")) in (11001, 11002)
    assert error_of(lambda: serve(local_host=IPV6_HOST)) == 10047


@covers("BindExclusively")
def test_a_port_is_shared_when_both_servers_say_so(serve: Serve) -> None:
    first = serve(bind_exclusively=False)
    second = serve(bind_exclusively=False, local_port=first.local_port)
    assert error_of(lambda: serve(local_port=first.local_port)) == 10048
    first.shutdown()
    assert answers(HOST, second.local_port)


# --- IPv6 ---


@covers("UseIPv6")
@pytest.mark.parametrize("use", UseIPv6)
def test_the_kinds_of_addresses_that_answer(serve: Serve, use: UseIPv6) -> None:
    server = serve(use_ipv6=use, local_host="")
    assert answers(HOST, server.local_port) is (use != UseIPv6.IPV6_ONLY)
    assert answers(IPV6_HOST, server.local_port) is (use != UseIPv6.IPV4_ONLY)


@covers("UseIPv6", "SFTPConnectionRemoteHost", "SFTPConnectionLocalAddress", "ConnectionRequest")
@pytest.mark.parametrize("host", [OTHER_HOST, IPV6_HOST])
def test_an_ipv4_client_of_a_socket_for_both_is_an_ipv4_client(serve: Serve, connect: Connect, host: str) -> None:
    server = serve(use_ipv6=UseIPv6.IPV6_AND_IPV4, local_host="")
    asked: list[str] = []
    server.on_connection_request = lambda e: asked.append(e.address)
    transport = connect(server, host=host)
    source = client_of(transport)[0]
    assert asked == [source]
    assert server.sftp_connections[0].remote_host == source
    assert server.sftp_connections[0].local_address == host


# --- who is connected ---


@covers(
    "SFTPConnectionCount", "SFTPConnectionConnected", "SFTPConnectionRemoteHost", "SFTPConnectionRemotePort",
    "SFTPConnectionLocalAddress", "SFTPConnectionProtocolVersion",
)  # fmt: skip
def test_a_connection_tells_where_from_and_where_to(serve: Serve, connect: Connect) -> None:
    server = serve(local_host="")
    transport = connect(server, source="127.0.0.2", host=OTHER_HOST)
    assert server.sftp_connection_count == len(server.sftp_connections) == 1
    connection = server.sftp_connections[0]
    assert connection.connected
    assert (connection.remote_host, connection.remote_port) == client_of(transport)
    assert connection.local_address == OTHER_HOST
    transport.open_sftp_client()
    assert connection.protocol_version == 3
    transport.close()
    wait_until(lambda: server.sftp_connection_count == 0, "the connection has ended")
    assert not server.sftp_connections[0].connected
    assert error_of(lambda: connection.remote_port) == 126


# --- what is set for each socket ---


def option(server: SFTPServer, level: int, name: int) -> int:
    """Of the server's end of a new connection."""
    with Peer(server.local_port) as peer, accepted_socket(peer.connect().sock) as sock:
        return sock.getsockopt(level, name)


@covers("TcpNoDelay")
def test_small_packets_leave_at_once_unless_they_shall_not(serve: Serve) -> None:
    server = serve()
    assert option(server, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    server.tcp_no_delay = False
    assert option(server, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0


@covers("InBufferSize", "OutBufferSize")
@pytest.mark.parametrize(("name", "kind"), [("InBufferSize", socket.SO_RCVBUF), ("OutBufferSize", socket.SO_SNDBUF)])
def test_a_buffer_size_counts_for_those_who_come_later(serve: Serve, name: str, kind: int) -> None:
    server = serve()
    usual = option(server, socket.SOL_SOCKET, kind)
    with Peer(server.local_port) as peer, accepted_socket(peer.connect().sock) as sock:
        server.config(f"{name}=65536")
        assert server.config(name) == "65536", "what was asked for, not what the system made of it"
        assert sock.getsockopt(socket.SOL_SOCKET, kind) == usual
        assert option(server, socket.SOL_SOCKET, kind) == 2 * 65536, "Linux doubles it"
    server.config(f"{name}=0")
    assert option(server, socket.SOL_SOCKET, kind) == usual


@covers("KeepAliveTime", "KeepAliveInterval", "KeepAliveRetryCount")
@pytest.mark.parametrize(
    ("name", "given", "kind", "effective"),
    [
        ("KeepAliveTime", 30_001, socket.TCP_KEEPIDLE, 31),
        ("KeepAliveInterval", 4_000, socket.TCP_KEEPINTVL, 4),
        ("KeepAliveRetryCount", 3, socket.TCP_KEEPCNT, 3),
    ],
)
def test_tcp_asks_for_signs_of_life_as_set(serve: Serve, name: str, given: int, kind: int, effective: int) -> None:
    server = serve()
    usual = option(server, socket.IPPROTO_TCP, kind)
    server.config(f"{name}={given}")
    assert option(server, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert option(server, socket.IPPROTO_TCP, kind) == effective != usual
    server.config(f"{name}=0")
    assert option(server, socket.IPPROTO_TCP, kind) == usual
