"""The engine over two descriptors, without SSH."""

from errno import EINTR

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

    def wake_by(self, wake: int) -> None:
        """`next` returns with WAKE as long as there is something to read from the descriptor `wake`.

        With signal.set_wakeup_fd, no signal is missed that comes just before the waiting begins.
        """
        lib.sshd_pipe_wake_by(self._p, wake)

    def next(self, reply: bytes = b"") -> EventKind:
        """Queues `reply` and waits for the next event. Raises OSError when reading or writing fails.

        Handlers of signals run meanwhile, and what they raise comes out here.
        """
        result = lib.sshd_pipe_next(self._p, reply, len(reply), self._e)
        while result == -EINTR:
            result = lib.sshd_pipe_next(self._p, b"", 0, self._e)
        check(result)
        return EventKind(self._e.kind)

    def flush(self) -> None:
        """Writes out what is queued; as in `next`, handlers of signals run meanwhile. Raises OSError."""
        while (result := lib.sshd_pipe_flush(self._p)) == -EINTR:
            pass
        check(result)

    @property
    def hung_up(self) -> bool:
        """Whether nobody is left to read what is written."""
        return lib.sshd_pipe_hung_up(self._p) != 0  # type: ignore[no-any-return]
