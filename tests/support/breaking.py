"""A client whose connection breaks at a byte that was chosen before, in one of the ways in which networks break."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.support.hostile import Peer
from tests.support.sshwire import DEADLINE, HOST


class Broken(Exception):  # noqa: N818 -- what a test expects is no error
    """The fault has happened; the client can do nothing more."""


@dataclass
class Fault:
    """What happens, and after how many more bytes of which direction: "in" is from the server to the client."""

    kind: str
    direction: str
    after: int


class BreakingPeer(Peer):
    """`fault` is set when it may happen; until then this is an ordinary client. Who catches Broken calls `strike`."""

    fault: Fault | None = None

    def send_bytes(self, data: bytes) -> None:
        fault = self.fault
        if fault and fault.direction == "out":
            if len(data) >= fault.after:
                super().send_bytes(data[: fault.after])
                raise Broken
            fault.after -= len(data)
        super().send_bytes(data)

    def _recv(self) -> bytes:
        fault = self.fault
        if not (fault and fault.direction == "in"):
            return super()._recv()
        if fault.after == 0:
            raise Broken
        data = self.sock.recv(fault.after)
        fault.after -= len(data)
        return data

    def strike(self) -> None:
        """What happens to the connection; a socket that the server can still see stays open until `close`."""
        assert self.fault
        FAULTS[self.fault.kind](self.sock)

    def drain(self) -> None:
        """Of a client that sends nothing more: reads on."""
        if self.fault and self.fault.kind == "stall":
            drain(self.sock)


def disconnect(sock: socket.socket) -> None:
    sock.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def close_one_direction(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


def fall_silent(_: socket.socket) -> None:
    """Nobody tells the server."""


FAULTS: dict[str, Callable[[socket.socket], None]] = {
    "disconnect": disconnect,
    "reset": reset,
    "half-open": close_one_direction,
    "vanish": fall_silent,  # and reads nothing
    "stall": fall_silent,  # and reads on
}


def drain(sock: socket.socket) -> None:
    """Reads what came."""
    with suppress(OSError):
        while select.select([sock], [], [], 0)[0] and sock.recv(1 << 20):
            pass


class Relay:
    """Between a client and a server, on a thread: at the fault the client is cut off, and the server sees the fault.

    Without a fault it counts: `moved` has the bytes of each direction.
    """

    def __init__(self, port: int, fault: Fault | None) -> None:
        self.fault = fault
        self.moved = {"out": 0, "in": 0}
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._server = socket.create_connection((HOST, port), timeout=DEADLINE)
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._listener, self._listener.accept()[0] as client:
            client.settimeout(DEADLINE)
            ways = {client: ("out", self._server), self._server: ("in", client)}
            with suppress(OSError):
                while all(self._pass(sock, *ways[sock]) for sock in select.select([*ways], [], [], DEADLINE)[0]):
                    pass
        if self.fault:
            FAULTS[self.fault.kind](self._server)
        else:
            self._server.close()

    def _pass(self, source: socket.socket, direction: str, target: socket.socket) -> bool:
        """False when it is over, by an end or by the fault."""
        data = source.recv(1 << 16)
        if self.fault and self.fault.direction == direction:
            data = data[: self.fault.after - self.moved[direction]]
        self.moved[direction] += len(data)
        target.sendall(data)
        return bool(data)

    def join(self) -> None:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def drain(self) -> None:
        if self.fault and self.fault.kind == "stall":
            drain(self._server)

    def close(self) -> None:
        self._server.close()
