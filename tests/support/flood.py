"""Peers that hold places without a login: `python -m tests.support.flood PORT SILENT DRIPPING SOURCES SECONDS`.

A process of its own. Each peer comes from one of SOURCES loopback addresses, and again as soon as it is put out; a
line of stdout says when the first does. On a line of stdin nobody comes back any more, what is open stays so, and a
line of JSON answers. It ends with stdin, or after SECONDS.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from itertools import cycle
from typing import Any

from tests.support.command import end
from tests.support.rawsftp import string, u32
from tests.support.server import first_line
from tests.support.sshwire import HOST, Message, message

_BIND_ADDRESS_NO_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen by connect(2), where more of them are free."""
_DRIP = 0.5
"""Seconds between two bytes."""
_LINE = b"SSH-2.0-drip" + b"p" * 90 + b"\r\n"
_NAMES = [b"curve25519-sha256", b"ssh-ed25519", *[b"aes128-gcm@openssh.com"] * 2, *[b""] * 2, *[b"none"] * 2]
_OFFER = message(Message.KEXINIT, bytes(16), *map(string, [*_NAMES, b"", b""]), b"\0", u32(0))
_PADDING = 4 + -(5 + len(_OFFER) + 4) % 8
_KEXINIT = b"SSH-2.0-x\r\n" + u32(1 + len(_OFFER) + _PADDING) + bytes([_PADDING]) + _OFFER + bytes(_PADDING)
BEGINNINGS = {  # what is sent at once, and what byte by byte after it
    "a byte of the version now and then": (b"", _LINE),
    "half a version": (b"SSH-2.0-half", b""),
    "a version and nothing else": (b"SSH-2.0-x\r\n", b""),
    "a version and a packet byte by byte": (_KEXINIT[:30], _KEXINIT[30:-20]),
    "keys offered and nothing else": (_KEXINIT, b""),
}
_SILENT = (b"", b"")


class Peer:
    """One that holds a place."""

    def __init__(self, source: str, at_once: bytes, dripping: bytes) -> None:
        self.source = source
        self.at_once = at_once
        self.dripping = dripping
        self.dripped = 0
        self.sock = socket.socket()

    def connect(self, port: int) -> None:
        self.dripped = 0
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        self.sock.bind((self.source, 0))
        self.sock.connect_ex((HOST, port))

    def drip(self) -> None:
        with suppress(OSError):
            self.sock.send(self.dripping[self.dripped : self.dripped + 1])
            self.dripped += 1


class Flood:
    def __init__(self, port: int, silent: int, dripping: int, sources: int) -> None:
        addresses = [
            f"127.{1 + number // 65_000}.{number // 250 % 250}.{1 + number % 250}" for number in range(sources)
        ]
        kinds = [_SILENT] * silent + [
            kind for kind, _ in zip(cycle(BEGINNINGS.values()), range(dripping), strict=False)
        ]
        self.port = port
        self.peers = [Peer(source, *kind) for kind, source in zip(kinds, cycle(addresses), strict=False)]
        self.poller = select.epoll()
        self.open: dict[int, Peer] = {}
        self.connects = 0
        self.comes_back = True

    def connect(self, peer: Peer) -> None:
        peer.connect(self.port)
        self.connects += 1
        self.open[peer.sock.fileno()] = peer
        self.poller.register(peer.sock, select.EPOLLIN | (select.EPOLLOUT if peer.at_once else 0))

    def hear(self, fd: int, events: int) -> None:
        peer = self.open[fd]
        try:
            if events & select.EPOLLOUT:
                self.poller.modify(fd, select.EPOLLIN)
                peer.sock.send(peer.at_once)
            if events & ~select.EPOLLOUT and not peer.sock.recv(4096):
                raise ConnectionResetError
        except BlockingIOError:
            pass
        except OSError:
            self.poller.unregister(fd)
            del self.open[fd]
            peer.sock.close()
            if self.comes_back:
                if self.connects == len(self.peers):
                    print("the first one comes back", flush=True)
                self.connect(peer)

    def run(self, seconds: float) -> None:
        until, drips = time.monotonic() + seconds, time.monotonic() + _DRIP
        self.poller.register(sys.stdin, select.EPOLLIN)
        for peer in self.peers:
            self.connect(peer)
        while time.monotonic() < until:
            for fd, events in self.poller.poll(0.05, 512):
                if fd == sys.stdin.fileno():
                    if not sys.stdin.readline():
                        return
                    self.comes_back = False
                    print(json.dumps({"connects": self.connects, "open": len(self.open)}), flush=True)
                else:
                    self.hear(fd, events)
            if time.monotonic() >= drips:
                drips = time.monotonic() + _DRIP
                for peer in list(self.open.values()):
                    if peer.dripping:
                        peer.drip()


class Flooding:
    """The process, once it has begun."""

    def __init__(self, port: int, silent: int, dripping: int, sources: int, seconds: float) -> None:
        arguments = [str(number) for number in (port, silent, dripping, sources, seconds)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.flood", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        assert first_line(self.process, 30.0)

    def stop(self) -> dict[str, Any]:
        """Nobody comes back from now on; how often they had come, and how many are inside."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        said: dict[str, Any] = json.loads(first_line(self.process, 30.0))
        return said

    def __enter__(self) -> Flooding:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port, silent, dripping, sources = map(int, sys.argv[1:5])
    Flood(port, silent, dripping, sources).run(float(sys.argv[5]))


if __name__ == "__main__":
    main()
