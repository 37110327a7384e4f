"""Servers that are asked many requests at once, and all that is behind the handles they give."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from libsshd.fs.base import FileSystem
from libsshd.settings import Settings
from libsshd.wire import messages as m
from tests.support import seccomp
from tests.support.rawsftp import PipeStream, RawSFTP, Type, u32, u64
from tests.support.stdio import StdioServer
from tests.wire.client_encoding import encode

VERSIONS = (3, 6)


@dataclass
class Literal:
    """A packet of this type, whose fields are given as bytes."""

    type: int
    body: bytes
    request_id: int = 0

    def encode(self) -> bytes:
        return bytes([self.type]) + u32(self.request_id) + self.body


class Asker:
    """A client of one server for each of some versions; `connect` begins a conversation with it."""

    def __init__(self, connect: Callable[[], RawSFTP], versions: Sequence[int] = VERSIONS) -> None:
        self.clients = {version: connect().init(version) for version in versions}
        assert [client.version for client in self.clients.values()] == list(versions)

    def ask(self, requests: Sequence[Any], version: int = 3) -> list[bytes]:
        """The packets that answer them, in that order; each carries its request's id."""
        client = self.clients[version]
        payloads = []
        for request in requests:
            request.request_id = client.next_id
            client.next_id += 1
            payloads.append(request.encode() if isinstance(request, Literal) else encode(request, version))
        client.post_all(payloads)
        answers = [client.packet() for _ in requests]
        for request, answer in zip(requests, answers, strict=True):
            assert int.from_bytes(answer[1:5], "big") == request.request_id
        return answers

    def explore(self, requests: Sequence[Any], version: int = 3) -> list[bytes]:
        """As `ask`, and then what is behind each handle: bytes or names, and attributes. What can be written is.

        Nothing stays open.
        """
        answers = self.ask(requests, version)
        handles = [answer[9:] for answer in answers if answer[0] == Type.HANDLE]
        further = []
        for handle in handles:
            further += [
                m.Read(0, handle, 0, 8192), m.Readdir(0, handle), m.Fstat(0, handle),
                m.Write(0, handle, 0, b"overwritten"), m.Close(0, handle),
            ]  # fmt: skip
        return answers + self.ask(further, version)

    def close(self) -> None:
        for client in self.clients.values():
            client.close()


def succeeded(answer: bytes) -> bool:
    return answer[0] != Type.STATUS or answer[5:9] == u32(0)


def traces(content: bytes, *names: bytes) -> list[bytes]:
    """What a reply holds that has looked at a file with this content, or at a directory with such a name.

    The names and the size must be like no other.
    """
    return [content[:32], u64(len(content)), hashlib.md5(content).digest(), *names]  # noqa: S324


def sftp_server(root: Path, *options: str) -> list[str]:
    """The command. Landlock would keep back what the resolving of paths lets through, and nobody would see it."""
    own = ["--root", str(root), "-d", "/", "--no-landlock"]
    return [sys.executable, "-m", "libsshd_cli", "sftp-server", *own, *options]


@contextmanager
def served(root: Path, *options: str, walk: bool = False) -> Iterator[Asker]:
    """Processes of `libsshd sftp-server`, which end as they should and have failed at nothing.

    They do not wait for the disk, which would be most of the time of what is uploaded.
    """
    if walk and not seccomp.SUPPORTED:
        pytest.skip("the filter that takes openat2 away names the calls of x86-64")
    missing = [*(["openat2"] if walk else []), *(["fsync"] if seccomp.SUPPORTED else [])]
    log = root.parent / f"{root.name}.log"
    command = sftp_server(root, "-e", *options)
    script = shlex.join(seccomp.without(missing, command))
    streams: list[PipeStream] = []

    def connect() -> RawSFTP:
        streams.append(PipeStream(["sh", "-c", f"exec {script} 2>>{shlex.quote(str(log))}"]))
        return RawSFTP(streams[-1])

    try:
        asker = Asker(connect)
        yield asker
        asker.close()
        assert [stream.process.returncode for stream in streams] == [0, 0]
    finally:
        for stream in streams:
            stream.abort()
    assert "Traceback" not in log.read_text(errors="replace")


@contextmanager
def in_process(
    fs: FileSystem, *, home: str = "", versions: Sequence[int] = VERSIONS, **settings: Any
) -> Iterator[Asker]:
    """Sessions of our own process; with a home that may not be left, as `fs` should be restricted to it."""
    wanted: dict[str, Any] = {"allow_links": True, "protocol_version": 6}
    with ExitStack() as stack:

        def connect() -> RawSFTP:
            server = stack.enter_context(StdioServer(fs, Settings(**(wanted | settings))))
            if home:
                server.session.context.home = server.session.context.confined = home.encode()
            return server.client

        yield Asker(connect, versions)
