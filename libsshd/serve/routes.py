"""Which function answers a request: the plain operation, the one with its event around it, or a refusal."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from libsshd import events as e
from libsshd._native import Watch
from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.events import EventHooks
from libsshd.wire import messages as m

from . import account, copying, hashing, space, watched
from .operations import OPERATIONS
from .policy import Policy

if TYPE_CHECKING:
    from .session import Session

Answer = Callable[["Session", Any], bytes]

WATCHED: dict[type, tuple[type[e.Event], Answer]] = {
    m.Open: (e.FileOpen, watched.open_file),
    m.Close: (e.FileClose, watched.close),
    m.Read: (e.FileRead, watched.read),
    m.Write: (e.FileWrite, watched.write),
    m.Lstat: (e.GetAttributes, watched.lstat),
    m.Fstat: (e.GetAttributes, watched.fstat),
    m.Setstat: (e.SetAttributes, watched.setstat),
    m.Fsetstat: (e.SetAttributes, watched.fsetstat),
    m.Opendir: (e.DirList, watched.opendir),
    m.Remove: (e.FileRemove, watched.remove),
    m.Mkdir: (e.DirCreate, watched.mkdir),
    m.Rmdir: (e.DirRemove, watched.rmdir),
    m.Realpath: (e.ResolvePath, watched.realpath),
    m.Stat: (e.GetAttributes, watched.stat),
    m.Rename: (e.FileRename, watched.rename),
    m.PosixRename: (e.FileRename, watched.rename),
    m.Readlink: (e.LinkRead, watched.readlink),
    m.Symlink: (e.LinkCreate, watched.symlink),
    m.Statvfs: (e.SpaceQuery, watched.statvfs),
    m.Fstatvfs: (e.SpaceQuery, watched.fstatvfs),
    m.Hardlink: (e.LinkCreate, watched.hardlink),
    m.Fsync: (e.FileSync, watched.fsync),
    m.Block: (e.FileLock, watched.block),
    m.Unblock: (e.FileUnlock, watched.unblock),
    m.Lsetstat: (e.SetAttributes, watched.lsetstat),
    m.ExpandPath: (e.ResolvePath, account.expand_path),
    m.HomeDirectory: (e.ResolvePath, account.home_directory),
    m.MakeTempFolder: (e.DirCreate, account.make_temp_folder),
    m.CopyData: (e.FileCopy, copying.copy_data),
    m.CopyFile: (e.FileCopy, copying.copy_file),
    m.CheckFile: (e.FileHash, hashing.check_file),
    m.CheckFileName: (e.FileHash, hashing.check_file_name),
    m.CheckFileHandle: (e.FileHash, hashing.check_file_handle),
    m.Md5Hash: (e.FileHash, hashing.md5_hash),
    m.Md5HashHandle: (e.FileHash, hashing.md5_hash_handle),
    m.SpaceAvailable: (e.SpaceQuery, space.space_available),
    m.Extended: (e.Extended, watched.extended),
}
_BESIDES: dict[type, type[e.Event]] = {
    m.Open: e.FileLock,
    m.Realpath: e.GetAttributes,
}
"""Events that a request may fire besides its own."""
_LINKS = (m.Symlink, m.Hardlink)
_UNATTENDED = (
    m.Close, m.Realpath, m.Readdir, m.Limits, m.ExpandPath, m.HomeDirectory, m.UsersGroupsById, m.GetTempFolder,
    m.VersionSelect, m.VendorId, m.FilenameTranslationControl,
    m.CopyData, m.CopyFile, m.CheckFile, m.CheckFileName, m.CheckFileHandle, m.Md5Hash, m.Md5HashHandle,
    m.Ranges,
)  # fmt: skip
"""What works without a handler of its own event although there is no root directory, or knows what it needs."""
_WATCHES = {
    m.Open: Watch.OPEN,
    m.Close: Watch.CLOSE,
    m.Read: Watch.READ,
    m.Write: Watch.WRITE,
}
"""What C answers by itself unless it is told not to."""


def _unsupported(_: "Session", __: Any) -> bytes:
    raise StatusError(Status.OP_UNSUPPORTED)


def _no_links(_: "Session", __: Any) -> bytes:
    raise StatusError(Status.PERMISSION_DENIED, "Links cannot be made here")


def _denied(name: str) -> Answer:
    def answer(_: "Session", __: Any) -> bytes:
        raise StatusError(Status.PERMISSION_DENIED, f"This server does not take {name} requests")

    return answer


class Routes:
    """Which function answers a request, and which requests C must leave to Python: as handlers are attached now."""

    __slots__ = ("answers", "watch")

    def __init__(self, hooks: EventHooks, policy: Policy, *, event_mode: bool, allow_links: bool) -> None:
        self.answers: dict[type, Answer] = {
            request: _denied(operation.name)
            if operation.name in policy.denied
            else self._choose(request, operation.answer, hooks, event_mode, allow_links)
            for request, operation in OPERATIONS.items()
        }
        self.watch = Watch.NOTHING
        for request, bit in _WATCHES.items():
            if self.answers[request] is not OPERATIONS[request].answer:
                self.watch |= bit

    @staticmethod
    def _choose(request: type, answer: Answer, hooks: EventHooks, event_mode: bool, allow_links: bool) -> Answer:
        event, around = WATCHED.get(request, (None, answer))
        if event is not None and hooks.hook(event):
            return around
        besides = _BESIDES.get(request)
        if besides is not None and hooks.hook(besides) and (request in _UNATTENDED or not event_mode):
            return around
        if event_mode and request not in _UNATTENDED:
            return _unsupported
        return _no_links if request in _LINKS and not allow_links else answer
