"""ssh2-python: libssh2 itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import ssh2.exceptions
import ssh2.session
import ssh2.sftp as flags

from tests.support.client import Libssh2
from tests.support.connection import tcp
from tests.support.place import MIB, Place, noise
from tests.support.server import Server


@pytest.fixture
def sftp(running: Server) -> Iterator[Any]:
    sock, session = Libssh2(running).login()
    with sock:
        yield session.sftp_init()
        session.disconnect()


def test_a_password_logs_in(running: Server) -> None:
    with tcp(running) as sock:
        session = ssh2.session.Session()
        session.set_timeout(20_000)
        session.handshake(sock)
        assert set(session.userauth_list(running.user)) >= {"password", "publickey"}
        with pytest.raises(ssh2.exceptions.AuthenticationError):
            session.userauth_password(running.user, "wrong")
        session.userauth_password(running.user, running.password)
        assert session.userauth_authenticated()
        session.disconnect()


def listing(sftp: Any, path: str) -> set[bytes]:
    with sftp.opendir(path) as directory:
        return {name for _, name, _ in directory.readdir()}


def test_large_files_both_ways(sftp: Any, place: Place) -> None:
    data = noise(8 * MIB + 3)
    mode = flags.LIBSSH2_FXF_WRITE | flags.LIBSSH2_FXF_CREAT
    with sftp.open(place.text("file"), mode, 0o600) as file:
        file.write(data)
    assert place.read("file") == data
    with sftp.open(place.text("file"), flags.LIBSSH2_FXF_READ, 0) as file:
        assert b"".join(block for _, block in file) == data
    assert (place.path / "file").stat().st_mode & 0o777 == 0o600


def test_seek_fstat_and_fsync(sftp: Any, place: Place) -> None:
    place.write("file", b"0123456789")
    mode = flags.LIBSSH2_FXF_READ | flags.LIBSSH2_FXF_WRITE
    with sftp.open(place.text("file"), mode, 0) as file:
        file.seek64(4)
        file.write(b"XY")
        file.fsync()
        assert file.fstat().filesize == 10
        file.seek64(2)
        assert file.read(100)[1] == b"23XY6789"


def test_listings_and_a_missing_directory(sftp: Any, place: Place) -> None:
    """libssh2 takes an error of the first READDIR for an empty directory: OPENDIR itself must fail."""
    (place.path / "empty").mkdir()
    place.write("file", b"")
    assert listing(sftp, place.text("")) == {b".", b"..", b"empty", b"file"}
    assert listing(sftp, place.text("empty")) == {b".", b".."}
    with pytest.raises(ssh2.exceptions.SFTPProtocolError):
        sftp.opendir(place.text("missing"))
    assert sftp.last_error() == flags.LIBSSH2_FX_NO_SUCH_FILE if hasattr(flags, "LIBSSH2_FX_NO_SUCH_FILE") else True


def test_a_long_directory(sftp: Any, place: Place) -> None:
    for number in range(1500):
        place.write(f"a-file-{number:05}", b"")
    assert listing(sftp, place.text("")) == place.names() | {b".", b".."}


def test_changes(sftp: Any, place: Place) -> None:
    sftp.mkdir(place.text("dir"), 0o750)
    assert (place.path / "dir").stat().st_mode & 0o777 == 0o750
    place.write("file", b"content")
    sftp.rename(place.text("file"), place.text("dir/moved"))
    sftp.symlink("moved", place.text("dir/link"))
    assert os.readlink(place.path / "dir/link") == "moved"
    assert sftp.realpath(place.text("dir/../dir")) == place.text("dir")
    attributes = sftp.stat(place.text("dir/link"))
    assert (attributes.filesize, sftp.lstat(place.text("dir/link")).filesize) == (7, 5)
    attributes.permissions = 0o640
    sftp.setstat(place.text("dir/moved"), attributes)
    assert (place.path / "dir/moved").stat().st_mode & 0o777 == 0o640
    assert sftp.statvfs(place.text("dir")).f_blocks == os.statvfs(place.path).f_blocks
    sftp.unlink(place.text("dir/link"))
    sftp.unlink(place.text("dir/moved"))
    sftp.rmdir(place.text("dir"))
    assert place.names() == set()
