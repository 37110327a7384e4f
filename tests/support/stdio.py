"""A Session over a Pipe: the server's whole SFTP engine on two descriptors, without SSH."""

from __future__ import annotations

import os
import select
import socket
import threading
from types import TracebackType
from typing import Self

from libsshd._native import Pipe
from libsshd.fs.base import FileSystem
from libsshd.serve import stdio
from libsshd.serve.session import Session, context_without_server
from libsshd.serve.stdio import Ending, make_pipe, serve
from libsshd.settings import Settings
from tests.support.rawsftp import DEADLINE, RawSFTP


def make_session(pipe: Pipe, fs: FileSystem, settings: Settings | None = None) -> Session:
    return stdio.make_session(pipe, context_without_server(settings or Settings(allow_links=True), fs))


class SocketStream:
    """The client's end of a socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, data: bytes) -> None:
        self.sock.settimeout(DEADLINE)
        self.sock.sendall(data)

    def receive(self, limit: int, timeout: float) -> bytes:
        if not select.select([self.sock], [], [], timeout)[0]:
            raise TimeoutError(f"nothing within {timeout:g} s")
        try:
            return self.sock.recv(limit)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.sock.close()

    def abort(self) -> None:
        self.sock.close()


class StdioServer:
    """Serves one client over a socket pair, in a thread; input and output are the same socket.

    Leaving the `with` block hangs up, waits for the thread, and raises here what was raised there.
    """

    def __init__(
        self, fs: FileSystem, settings: Settings | None = None, *, blocking: bool = True, client_buffer: int = 0
    ) -> None:
        self._own, theirs = socket.socketpair()
        self._own.setblocking(blocking)
        if client_buffer:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, client_buffer)
        self.socket = theirs
        self.client = RawSFTP(SocketStream(theirs))
        self.pipe = make_pipe(self._own.fileno(), self._own.fileno())
        self.session = make_session(self.pipe, fs, settings)
        self._ending: Ending | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stdio-server", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._ending = serve(self.pipe, self.session)
        except BaseException as error:  # noqa: BLE001 -- raised again by `ending`
            self._error = error
        finally:
            self._own.shutdown(socket.SHUT_RDWR)

    def ending(self) -> Ending:
        """Waits for the end, which the client must have brought about."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the server does not end"
        if self._error is not None:
            raise self._error
        assert self._ending is not None
        return self._ending

    def finish(self) -> Ending:
        """The client sends no more; the ending of the server. Replies can still be read."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.ending()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
        try:
            self.ending()
        finally:
            self._own.close()


def serve_bytes(fs: FileSystem, requests: bytes, settings: Settings | None = None) -> tuple[Ending, bytes]:
    """Serves a whole conversation given in advance, without threads; the ending and all replies."""
    with Scratch(requests) as source, Scratch() as output:
        pipe = make_pipe(source.fd, output.fd)
        ending = serve(pipe, make_session(pipe, fs, settings))
        return ending, output.content()


class Scratch:
    """A file without a name, read from its beginning."""

    def __init__(self, content: bytes = b"") -> None:
        self.fd = os.memfd_create("scratch")
        with open(self.fd, "wb", closefd=False) as stream:
            stream.write(content)
        os.lseek(self.fd, 0, os.SEEK_SET)

    def content(self) -> bytes:
        with open(f"/proc/self/fd/{self.fd}", "rb") as stream:
            return stream.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
