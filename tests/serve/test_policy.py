"""Which requests are answered: DenyRequests and AllowRequests, as `sftp-server -P` and `-p` of OpenSSH."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from libsshd import SFTPServerError
from libsshd import events as e
from libsshd.constants import RealpathControl, Status
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.policy import NAMES, policy_of
from libsshd.settings import Settings
from libsshd.wire import messages as m
from tests.contract.support_files import Diary, Site
from tests.support.rawsftp import NO_ATTRIBUTES, READ, Code, RawSFTP, Type, string, u32, u64
from tests.support.stdio import StdioServer

from .asking import CREAT, R, W, rooted

Connect = Callable[..., RawSFTP]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """A client of a server that has one file: `connect(deny_requests="remove")`."""
    (tmp_path / "file").write_bytes(b"content")
    with ExitStack() as stack:

        def begin(**settings: Any) -> RawSFTP:
            fs = stack.enter_context(RootedFileSystem(str(tmp_path)))
            return stack.enter_context(StdioServer(fs, Settings(allow_links=True, **settings))).client.init()

        yield begin


def refused(client: RawSFTP, request: Type, *fields: bytes) -> bytes:
    """The text of the refusal."""
    cursor = client.ask(request, *fields).cursor(Type.STATUS)
    assert cursor.u32() == Code.PERMISSION_DENIED
    return cursor.string()


def test_a_denied_request_is_refused_by_name_and_the_others_are_not(connect: Connect, tmp_path: Path) -> None:
    client = connect(deny_requests="remove, rmdir")
    assert refused(client, Type.REMOVE, string(b"/file")) == b"This server does not take remove requests"
    assert (tmp_path / "file").exists()
    assert client.ask(Type.MKDIR, string(b"/folder"), NO_ATTRIBUTES).code == Code.OK
    refused(client, Type.RMDIR, string(b"/folder"))
    assert client.stat(b"/folder").permissions


def test_what_is_not_allowed_is_denied(connect: Connect) -> None:
    client = connect(allow_requests="stat,lstat")
    assert client.stat(b"/file").size == 7
    refused(client, Type.REALPATH, string(b"."))
    refused(client, Type.REMOVE, string(b"/file"))


def test_what_is_denied_is_denied_even_if_it_is_allowed(connect: Connect) -> None:
    client = connect(allow_requests="stat,lstat", deny_requests="stat")
    refused(client, Type.STAT, string(b"/file"))
    assert client.ask(Type.LSTAT, string(b"/file")).attributes.size == 7


def test_requests_that_the_core_would_answer_by_itself_are_denied(connect: Connect, tmp_path: Path) -> None:
    refused(connect(deny_requests="open"), Type.OPEN, string(b"/file"), u32(READ), NO_ATTRIBUTES)
    client = connect(deny_requests="read,write,close")
    handle = client.open(b"/file", 0x03)
    refused(client, Type.READ, string(handle), u64(0), u32(7))
    refused(client, Type.WRITE, string(handle), u64(0), string(b"x"))
    refused(client, Type.CLOSE, string(handle))
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_denied_extension_is_neither_announced_nor_answered(connect: Connect) -> None:
    assert b"statvfs@openssh.com" in connect().extensions
    client = connect(deny_requests="statvfs")
    assert b"statvfs@openssh.com" not in client.extensions
    assert b"fstatvfs@openssh.com" in client.extensions
    assert client.extend(b"statvfs@openssh.com", string(b"/")).code == Code.PERMISSION_DENIED


def test_what_a_denied_request_does_is_not_to_be_had_by_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with rooted(tmp_path, deny_requests="read") as sftp:
        handle = sftp.handle(b"/file", R)
        hashes = m.CheckFileHandle(1, handle, (b"md5",), 0, 1, 0), m.CheckFileName(1, b"/file", (b"md5",), 0, 1, 0)
        digests = m.Md5HashHandle(1, handle, 0, 1, b""), m.Md5Hash(1, b"/file", 0, 1, b"")
        assert {sftp.code(request) for request in (*hashes, *digests)} == {Status.PERMISSION_DENIED}
    with rooted(tmp_path, deny_requests="write") as sftp:
        source, target = sftp.handle(b"/file", R), sftp.handle(b"/target", W | CREAT)
        assert sftp.code(m.CopyData(1, source, 0, 0, target, 0)) == Status.PERMISSION_DENIED
        assert sftp.code(m.CopyFile(1, b"/file", b"/copy", overwrite=False)) == Status.PERMISSION_DENIED
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"file": b"content", "target": b""}
    with rooted(tmp_path, deny_requests="stat") as sftp:
        assert sftp.code(m.Realpath(1, b"/file", RealpathControl.STAT_ALWAYS)) == Status.PERMISSION_DENIED
        assert sftp.attributes(m.Realpath(1, b"/file", RealpathControl.STAT_IF)) == m.Attributes()


def test_what_is_no_request_is_announced_whatever_is_allowed(connect: Connect) -> None:
    client = connect(allow_requests="stat")
    assert set(client.extensions) == {b"symlink-order@rjk.greenend.org.uk"}


def test_read_only_announces_no_extension_that_it_always_refuses(connect: Connect) -> None:
    client = connect(read_only=True)
    assert b"hardlink@openssh.com" not in client.extensions
    assert b"limits@openssh.com" in client.extensions
    answer = client.extend(b"hardlink@openssh.com", string(b"/file"), string(b"/other"))
    assert answer.code == Code.PERMISSION_DENIED


def test_a_handler_is_not_asked_about_what_is_denied_and_cannot_permit_it(tmp_path: Path) -> None:
    with Site(tmp_path, deny_requests="remove,open") as site:
        site.write("file")
        diary = Diary(site.server, e.FileOpen, e.FileRemove)
        raw = site.raw()
        refused(raw, Type.REMOVE, string(b"/file"))
        refused(raw, Type.OPEN, string(b"/file"), u32(READ), NO_ATTRIBUTES)
        assert diary.names == []


def test_a_handler_that_comes_later_does_not_lift_the_denial(tmp_path: Path) -> None:
    with Site(tmp_path, deny_requests="remove") as site:
        site.write("file")
        raw = site.raw()
        Diary(site.server, e.FileRemove)
        refused(raw, Type.REMOVE, string(b"/file"))


def test_a_change_of_the_policy_counts_for_connections_that_come_later(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.write("file")
        early = site.raw()
        site.server.config("DenyRequests=stat")
        assert early.stat(b"/file").size == 7
        refused(site.raw(), Type.STAT, string(b"/file"))


@pytest.mark.parametrize(
    "settings", [Settings(deny_requests="remove,delete"), Settings(allow_requests="delete")], ids=["deny", "allow"]
)
def test_a_name_that_is_no_request_is_an_error_that_tells_the_names(settings: Settings) -> None:
    with pytest.raises(
        SFTPServerError, match=r"Requests: 'delete' is no request; there are open, close, .*posix-rename, "
    ) as caught:
        policy_of(settings)
    assert caught.value.code == 10022


def test_a_server_with_such_a_name_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SFTPServerError, match="DenyRequests"), Site(tmp_path, deny_requests="delete"):
        pass


def test_every_request_and_extension_has_a_name_that_the_lists_take() -> None:
    assert not policy_of(Settings(deny_requests=",".join(NAMES))).denied ^ set(NAMES)
    assert policy_of(Settings(allow_requests=",".join(NAMES))).denied == set()
