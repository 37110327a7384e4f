"""Sockets that listen, and the options of those that were accepted."""

import contextlib
import errno
import logging
import multiprocessing
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from libsshd import SFTPServerError
from libsshd.serve import sockets
from tests.support import seccomp

IPV4, IPV6, BOTH = sockets.IPV4_ONLY, sockets.IPV6_ONLY, sockets.BOTH
SOCKET, BIND = 41, 49  # calls of x86-64


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextlib.contextmanager
def listening(
    host: str = "", port: int = 0, *, use_ipv6: int = IPV4, exclusive: bool = True
) -> Iterator[list[socket.socket]]:
    opened = sockets.listen(host, port, backlog=8, use_ipv6=use_ipv6, exclusive=exclusive)
    with contextlib.ExitStack() as stack:
        for sock in opened:
            stack.enter_context(sock)
        yield opened


def code_of(call: Callable[[], object]) -> int:
    with pytest.raises(SFTPServerError) as caught:
        call()
    return caught.value.code


def code_of_listening(host: str = "", port: int = 0, *, use_ipv6: int = IPV4, exclusive: bool = True) -> int:
    return code_of(lambda: sockets.listen(host, port, backlog=8, use_ipv6=use_ipv6, exclusive=exclusive))


def greet(sock: socket.socket, host: str) -> str:
    """Connects to the port at another address; the peer as the listening side sees it."""
    sock.settimeout(10)
    with socket.create_connection((host, sock.getsockname()[1]), timeout=10):
        accepted, peer = sock.accept()
        accepted.close()
    return str(peer[0])


def is_refused(sock: socket.socket, host: str) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection((host, sock.getsockname()[1]), timeout=10).close()
        return False
    return True


# --- UseIPv6 ---


@needs_ipv6
def test_0_listens_on_ipv4_alone() -> None:
    with listening() as [sock]:
        assert greet(sock, "127.0.0.1") == "127.0.0.1"
        assert is_refused(sock, "::1")


@needs_ipv6
def test_1_listens_on_ipv6_alone() -> None:
    with listening(use_ipv6=IPV6) as [sock]:
        assert greet(sock, "::1") == "::1"
        assert is_refused(sock, "127.0.0.1")


@needs_ipv6
def test_2_listens_on_both_with_one_socket() -> None:
    with listening(use_ipv6=BOTH) as [sock]:
        assert greet(sock, "::1") == "::1"
        assert greet(sock, "127.0.0.1") == "::ffff:127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_host_is_an_address_or_a_name_and_nothing_else_is_open(host: str) -> None:
    with listening(host) as [sock]:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert greet(sock, "127.0.0.1") == "127.0.0.1"
        assert is_refused(sock, "127.0.0.2")


@needs_ipv6
@pytest.mark.parametrize("use_ipv6", [IPV6, BOTH])
def test_an_ipv6_address_is_listened_on_alone(use_ipv6: int) -> None:
    with listening("::1", use_ipv6=use_ipv6) as [sock]:
        assert greet(sock, "::1") == "::1"
    with listening("::", use_ipv6=use_ipv6) as [sock]:
        assert is_refused(sock, "127.0.0.1")


@pytest.mark.parametrize(("host", "use_ipv6"), [("::1", IPV4), ("127.0.0.1", IPV6)])
def test_an_address_of_the_other_kind_is_error_10047(host: str, use_ipv6: int) -> None:
    assert code_of_listening(host, use_ipv6=use_ipv6) == 10047


# --- names with several addresses ---


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that the name service gives two IPv4 addresses of this machine and one of IPv6."""

    real = socket.getaddrinfo

    def getaddrinfo(host: str, *details: Any, **more: Any) -> list[Any]:
        if host != "twins":
            return real(host, *details, **more)
        ends: list[tuple[int, tuple[object, ...]]] = [
            (socket.AF_INET6, ("::1", 0, 0, 0)),
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_INET, ("127.0.0.2", 0)),
            (socket.AF_INET, ("127.0.0.1", 0)),
        ]
        return [(family, socket.SOCK_STREAM, 0, "", end) for family, end in ends]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return "twins"


@needs_ipv6
@pytest.mark.parametrize(
    ("use_ipv6", "addresses"),
    [(IPV4, ["127.0.0.1", "127.0.0.2"]), (IPV6, ["::1"]), (BOTH, ["::1", "127.0.0.1", "127.0.0.2"])],
)
def test_every_address_of_a_name_is_listened_on_at_the_same_port(
    twins: str, use_ipv6: int, addresses: list[str]
) -> None:
    with listening(twins, use_ipv6=use_ipv6) as opened:
        assert [sock.getsockname()[0] for sock in opened] == addresses
        assert len({sock.getsockname()[1] for sock in opened}) == 1


def test_when_one_address_cannot_be_had_none_is_kept(twins: str) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        assert code_of_listening(twins, port) == 10048
        with listening("127.0.0.1", port):
            pass


def test_another_port_is_chosen_when_one_is_taken_at_the_second_address(
    twins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[object] = []

    class Crowded(socket.socket):
        """Somebody else was faster at the second address, once."""

        def bind(self, address: object) -> None:
            if isinstance(address, tuple) and address[0] == "127.0.0.2" and not refused:
                refused.append(address)
                raise OSError(errno.EADDRINUSE, "taken")
            super().bind(address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "socket", Crowded)
    with listening(twins) as opened:
        assert len(opened) == 2
    assert refused


# --- machines without IPv6 ---


def in_a_process_without_ipv6(denied: tuple[int, int, tuple[int, int]], scenario: Callable[[], None]) -> None:
    def body() -> None:
        seccomp.deny(*denied)
        scenario()

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join()
    assert process.exitcode == 0


IN_IPV6_FORM = 28  # size of its addresses
WITHOUT_IPV6 = [
    pytest.param((SOCKET, errno.EAFNOSUPPORT, (0, socket.AF_INET6)), id="not in the kernel"),
    pytest.param((BIND, errno.EADDRNOTAVAIL, (2, IN_IPV6_FORM)), id="no address"),
]
needs_filters = pytest.mark.skipif(not seccomp.SUPPORTED, reason="the filters name calls of x86-64")


@needs_filters
@pytest.mark.parametrize("denied", WITHOUT_IPV6)
def test_2_falls_back_to_ipv4_without_ipv6(denied: tuple[int, int, tuple[int, int]], twins: str) -> None:
    def scenario() -> None:
        with listening(use_ipv6=BOTH) as [sock]:
            assert sock.family == socket.AF_INET
            assert greet(sock, "127.0.0.1") == "127.0.0.1"
        with listening(twins, use_ipv6=BOTH) as opened:
            assert [sock.getsockname()[0] for sock in opened] == ["127.0.0.1", "127.0.0.2"]

    in_a_process_without_ipv6(denied, scenario)


@needs_filters
@pytest.mark.parametrize("denied", WITHOUT_IPV6)
def test_1_is_error_10047_without_ipv6(denied: tuple[int, int, tuple[int, int]]) -> None:
    def scenario() -> None:
        assert code_of_listening(use_ipv6=IPV6) == 10047

    in_a_process_without_ipv6(denied, scenario)


# --- ports and errors ---


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_port_is_free_again_at_once_although_its_connections_linger(exclusive: bool) -> None:
    with listening("127.0.0.1", exclusive=exclusive) as [sock]:
        port = sock.getsockname()[1]
        with socket.create_connection(sock.getsockname(), timeout=10) as client:
            accepted, _ = sock.accept()
            accepted.close()  # closes first and so is the one that lingers
            assert client.recv(1) == b""
    with listening("127.0.0.1", port, exclusive=exclusive):
        pass


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_a_port_is_shared_only_by_servers_that_both_want_to(first: bool, second: bool) -> None:
    with listening("127.0.0.1", exclusive=first) as [sock]:
        assert code_of_listening("127.0.0.1", sock.getsockname()[1], exclusive=second) == 10048


def test_servers_that_want_to_share_a_port() -> None:
    with listening("127.0.0.1", exclusive=False) as [one]:
        port = one.getsockname()[1]
        with listening("127.0.0.1", port, exclusive=False) as [other]:
            assert other.getsockname()[1] == port


@pytest.mark.parametrize(
    ("host", "port", "code"),
    [
        ("host.invalid", 0, 11001),
        ("a..b", 0, 11001),
        ("x" * 70, 0, 11001),
        ("192.0.2.1", 0, 10049),
        ("127.0.0.1", 65536, 10022),
        ("127.0.0.1", -1, 10022),
    ],
)
def test_what_cannot_be_listened_on_has_a_documented_code(host: str, port: int, code: int) -> None:
    assert code_of_listening(host, port) == code


def test_an_error_names_host_and_port() -> None:
    with pytest.raises(SFTPServerError) as caught:
        sockets.listen("::1", 22, backlog=8, use_ipv6=IPV4, exclusive=True)
    assert str(caught.value).startswith("[10047] Cannot listen on [::1]:22: ")


# --- options ---


@pytest.fixture
def accepted() -> Iterator[socket.socket]:
    with listening("127.0.0.1") as [sock], socket.create_connection(sock.getsockname(), timeout=10):
        end, _ = sock.accept()
        with end:
            yield end


def tune(
    sock: socket.socket, *, in_buffer: int = 0, out_buffer: int = 0, no_delay: bool = False,
    time: int = 0, interval: int = 0, count: int = 0,
) -> None:  # fmt: skip
    sockets.tune(
        sock,
        in_buffer=in_buffer,
        out_buffer=out_buffer,
        no_delay=no_delay,
        keep_alive_time_ms=time,
        keep_alive_interval_ms=interval,
        keep_alive_retry_count=count,
    )


def tcp(sock: socket.socket, option: int) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, option)


def sizes(sock: socket.socket) -> tuple[int, int]:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def keep_alive(sock: socket.socket) -> tuple[int, int, int]:
    return tcp(sock, socket.TCP_KEEPIDLE), tcp(sock, socket.TCP_KEEPINTVL), tcp(sock, socket.TCP_KEEPCNT)


def test_nothing_set_leaves_the_values_of_the_system(accepted: socket.socket) -> None:
    before = sizes(accepted), keep_alive(accepted)
    tune(accepted)
    assert (sizes(accepted), keep_alive(accepted)) == before


def test_tcp_keep_alive_is_always_on(accepted: socket.socket) -> None:
    tune(accepted)
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("no_delay", [True, False])
def test_no_delay_is_nagle_off_and_its_opposite_on(accepted: socket.socket, no_delay: bool) -> None:
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not no_delay)
    tune(accepted, no_delay=no_delay)
    assert bool(tcp(accepted, socket.TCP_NODELAY)) is no_delay


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(1, 1), (1000, 1), (1001, 2), (7_200_000, 7200), (10**12, 32767)]
)
def test_keep_alive_times_are_rounded_up_to_seconds(accepted: socket.socket, milliseconds: int, seconds: int) -> None:
    tune(accepted, time=milliseconds, interval=milliseconds)
    assert keep_alive(accepted)[:2] == (seconds, seconds)


@pytest.mark.parametrize(("count", "probes"), [(3, 3), (127, 127), (1000, 127)])
def test_the_number_of_probes_is_the_one_asked_for_or_the_greatest(
    accepted: socket.socket, count: int, probes: int
) -> None:
    tune(accepted, count=count)
    assert keep_alive(accepted)[2] == probes


def test_buffers_have_the_size_asked_for(accepted: socket.socket) -> None:
    tune(accepted, in_buffer=30_000, out_buffer=40_000)
    assert sizes(accepted) in {(30_000, 40_000), (60_000, 80_000)}, "Linux counts its own needs too"


@pytest.mark.parametrize("size", [-1, 2**31, 2**70])
def test_an_unusable_size_leaves_that_of_the_system(accepted: socket.socket, size: int) -> None:
    before = sizes(accepted)
    tune(accepted, in_buffer=size, out_buffer=size)
    assert sizes(accepted) == before


def test_the_sizes_in_effect_are_logged(accepted: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "libsshd")
    tune(accepted, in_buffer=30_000)
    [fields] = [getattr(record, "fields", {}) for record in caplog.records]
    assert (fields["in_buffer"], fields["out_buffer"]) == sizes(accepted)


def test_a_unix_socket_has_no_options_of_tcp() -> None:
    one, other = socket.socketpair()
    with one, other:
        tune(one, in_buffer=30_000, out_buffer=40_000, no_delay=True, time=1000, interval=1000, count=3)
        assert sizes(one) in {(30_000, 40_000), (60_000, 80_000)}


def test_a_closed_socket_is_no_error(accepted: socket.socket) -> None:
    accepted.close()
    tune(accepted, in_buffer=30_000, out_buffer=40_000, no_delay=True, time=1000, interval=1000, count=3)
