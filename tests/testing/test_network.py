"""The network of the harness, between a plain client and a server that echoes."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from libsshd.testing.network import Network

DEADLINE = 20.0


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("libsshd-network")}


class Echo:
    """Both ends of a connection that the network carries."""

    def __init__(self, network: Network, stack: ExitStack) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.client = stack.enter_context(socket.create_connection(listening.getsockname()))
            accepted, _ = listening.accept()
        self.client.settimeout(DEADLINE)
        self.server = stack.enter_context(network.carry(accepted))
        self.server.settimeout(DEADLINE)

    def read(self, sock: socket.socket, length: int) -> bytes:
        data = b""
        while len(data) < length and (part := sock.recv(length - len(data))):
            data += part
        return data


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    before = len(os.listdir("/proc/self/fd"))
    yield made
    made.stop()
    assert threads() == set()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def stack(network: Network) -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_a_perfect_network_has_nothing_between(network: Network, stack: ExitStack) -> None:
    Echo(network, stack)
    assert threads() == set()


def test_what_is_sent_arrives_in_either_direction(network: Network, stack: ExitStack) -> None:
    network.live = True
    echo = Echo(network, stack)
    data = os.urandom(300_000)
    for source, target in ((echo.client, echo.server), (echo.server, echo.client)):
        sender = threading.Thread(target=source.sendall, args=(data,))
        sender.start()
        assert echo.read(target, len(data)) == data
        sender.join()


def test_an_end_is_passed_on_by_halves(network: Network, stack: ExitStack) -> None:
    network.live = True
    echo = Echo(network, stack)
    echo.client.sendall(b"question")
    echo.client.shutdown(socket.SHUT_WR)
    assert echo.read(echo.server, 100) == b"question"
    echo.server.sendall(b"answer")
    echo.server.close()
    assert echo.read(echo.client, 100) == b"answer"


def test_latency_holds_up_each_direction(network: Network, stack: ExitStack) -> None:
    network.latency = 0.1
    echo = Echo(network, stack)
    began = time.monotonic()
    echo.client.sendall(b"x")
    echo.read(echo.server, 1)
    assert time.monotonic() - began >= 0.1
    echo.server.sendall(b"y")
    echo.read(echo.client, 1)
    assert time.monotonic() - began >= 0.2


def test_latency_may_be_of_one_direction_alone_and_changes_what_runs(network: Network, stack: ExitStack) -> None:
    network.live = True
    echo = Echo(network, stack)
    network.set(latency=0.2, towards="client")
    began = time.monotonic()
    echo.server.sendall(b"y")
    echo.read(echo.client, 1)
    assert time.monotonic() - began >= 0.2


def test_a_connection_may_have_conditions_of_its_own(network: Network, stack: ExitStack) -> None:
    network.set(latency=0.3, connection=2)
    first, second = Echo(network, stack), Echo(network, stack)
    began = time.monotonic()
    second.client.sendall(b"x")
    first.client.sendall(b"x")
    first.read(first.server, 1)
    second.server.settimeout(0.01)
    with pytest.raises(TimeoutError):
        second.server.recv(1)
    second.server.settimeout(DEADLINE)
    second.read(second.server, 1)
    assert time.monotonic() - began >= 0.3
    network.set(latency=0.2, towards="server", connection=2)
    network.clear()
    assert network.latency == 0


def test_jitter_never_reorders(network: Network, stack: ExitStack) -> None:
    network.jitter = 0.05
    echo = Echo(network, stack)
    sent = bytes(range(40))
    echo.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in sent:
        echo.client.sendall(bytes([byte]))
    assert echo.read(echo.server, len(sent)) == sent


def test_a_narrow_band_takes_its_time(network: Network, stack: ExitStack) -> None:
    network.bandwidth = 100_000
    echo = Echo(network, stack)
    began = time.monotonic()
    echo.client.sendall(bytes(30_000))
    assert len(echo.read(echo.server, 30_000)) == 30_000
    assert time.monotonic() - began >= 0.29


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("after", [0, 1, 12_345])
def test_a_loss_comes_behind_exactly_so_many_bytes(network: Network, stack: ExitStack, how: str, after: int) -> None:
    network.lose(after=after, direction="to client", how=how)  # type: ignore[arg-type]
    echo = Echo(network, stack)
    sender = threading.Thread(target=send_what_goes, args=(echo.server, bytes(100_000)))
    sender.start()
    got = bytearray()
    try:
        while part := echo.client.recv(65536):
            got += part
        ended = "close"
    except ConnectionResetError:
        ended = "reset"
    assert (len(got), ended) == (after, how)
    sender.join(DEADLINE)
    assert not sender.is_alive()


def send_what_goes(sock: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        sock.sendall(data)


def test_a_loss_counts_both_directions_unless_one_is_named(network: Network, stack: ExitStack) -> None:
    network.lose(after=10, how="close")
    echo = Echo(network, stack)
    echo.client.sendall(b"12345")
    assert echo.read(echo.server, 5) == b"12345"
    echo.server.sendall(b"1234567890")
    assert echo.read(echo.client, 100) == b"12345"


def test_a_half_open_connection_is_silent_and_stays(network: Network, stack: ExitStack) -> None:
    network.half_open(after=3)
    echo = Echo(network, stack)
    echo.server.sendall(b"12345")
    assert echo.read(echo.client, 3) == b"123"
    echo.client.sendall(b"still heard")
    assert echo.read(echo.server, 11) == b"still heard"
    echo.client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        echo.client.recv(1)


def test_one_connection_is_lost_and_the_next_is_not(network: Network, stack: ExitStack) -> None:
    network.lose(connection=1, how="close")
    lost, kept = Echo(network, stack), Echo(network, stack)
    assert lost.client.recv(1) == b""
    kept.client.sendall(b"x")
    assert kept.server.recv(1) == b"x"


def test_what_is_cleared_is_not_lost(network: Network, stack: ExitStack) -> None:
    network.lose(after=1000)
    echo = Echo(network, stack)
    network.clear()
    echo.client.sendall(bytes(5000))
    assert len(echo.read(echo.server, 5000)) == 5000


def test_stop_ends_a_relay_whose_ends_take_nothing(network: Network, stack: ExitStack) -> None:
    network.live = True
    echo = Echo(network, stack)
    echo.client.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            echo.client.send(bytes(65536))
    network.stop()
    assert threads() == set()


@pytest.mark.parametrize("arguments", [{"latency": -1}, {"jitter": -1}, {"bandwidth": 0}, {"towards": "nobody"}])
def test_conditions_that_cannot_be_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"0 seconds|bandwidth is|towards is"):
        Network().set(**arguments)  # type: ignore[arg-type]
