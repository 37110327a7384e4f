"""The engine over two descriptors, without SSH."""

from ._core import ffi, lib
from .sftp import EventKind, EventView, Sftp, check


class Pipe(EventView):
    """SFTP over `input` and `output` (descriptors, which stay the caller's)."""

    __slots__ = ("_p", "sftp")

    def __init__(self, input: int, output: int, ok: bytes, eof: bytes) -> None:
        super().__init__()
        pipe = lib.sshd_pipe_new(input, output, ok, len(ok), eof, len(eof))
        if pipe == ffi.NULL:
            raise MemoryError
        self._p = ffi.gc(pipe, lib.sshd_pipe_free)
        self.sftp = Sftp(self, lib.sshd_pipe_sftp(self._p))

    def next(self, reply: bytes = b"") -> EventKind:
        """Queues `reply` and waits for the next event. Raises OSError when reading or writing fails."""
        check(lib.sshd_pipe_next(self._p, reply, len(reply), self._e))
        return EventKind(self._e.kind)

    def flush(self) -> None:
        """Writes out what is queued. Raises OSError."""
        check(lib.sshd_pipe_flush(self._p))
