"""Every method of asyncssh's SFTP client, in versions 3 to 6: what it does to the disk of the server."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import asyncssh
import pytest
from asyncssh import constants as c

from tests.support.connection import asyncssh_options
from tests.support.place import Place, noise
from tests.support.rawsftp import DEADLINE
from tests.support.server import Server

SFTP: TypeAlias = Any  # an SFTPClient, whose own types have binary files return text
OLD, NEW = 1_000_000_000, 1_100_000_000  # times in seconds
IS_ROOT = os.geteuid() == 0
ANOTHER_ID = 12345 if IS_ROOT else os.getuid()
COVERED: set[str] = set()


@dataclass
class Speaker:
    """A client of one version, which the tests of that version share."""

    runner: asyncio.Runner
    connection: asyncssh.SSHClientConnection
    sftp: SFTP

    def run(self, work: Awaitable[None]) -> None:
        async def soon() -> None:
            async with asyncio.timeout(DEADLINE):
                await work

        self.runner.run(soon())


@pytest.fixture(scope="module", params=[3, 4, 5, 6])
def speaker(request: pytest.FixtureRequest, running: Server) -> Iterator[Speaker]:
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        connection, sftp = runner.run(begin(running, request.param))
        stack.callback(lambda: runner.run(connection.wait_closed()))
        stack.callback(connection.close)
        assert sftp.version == request.param
        yield Speaker(runner, connection, sftp)


async def begin(server: Server, version: int) -> tuple[asyncssh.SSHClientConnection, SFTP]:
    connection = await asyncssh.connect(**asyncssh_options(server))
    return connection, await connection.start_sftp_client(sftp_version=version)


@dataclass(frozen=True)
class Desk(Place):
    """A place on the server and, in `mine`, one of the client."""

    mine: Path


Work = Callable[[SFTP, Desk], Awaitable[None]]


def covers(*methods: str) -> Callable[[Work], Callable[..., None]]:
    """Makes a test of a coroutine function that is a check of these methods."""
    COVERED.update(methods)

    def wrap(work: Work) -> Callable[..., None]:
        @functools.wraps(work)
        def test(speaker: Speaker, place: Place, tmp_path: Path) -> None:
            speaker.run(work(speaker.sftp, Desk(place.path, place.remote, tmp_path)))

        test.__signature__ = inspect.signature(test, follow_wrapped=False)  # type: ignore[attr-defined]
        return test

    return wrap


def public(kind: type) -> set[str]:
    return {f"{kind.__name__}.{name}" for name, _ in inspect.getmembers_static(kind) if name[0] != "_"}


def test_no_method_is_left_untried() -> None:
    assert public(asyncssh.SFTPClient) | public(asyncssh.SFTPClientFile) == COVERED


def error_of(version: int, code: int) -> type[asyncssh.SFTPError]:
    """What the client raises for a status of version 6, of which older versions know only some."""
    known = {3: c.FX_OP_UNSUPPORTED, 4: c.FX_NO_MEDIA, 5: c.FX_LOCK_CONFLICT, 6: c.FX_NO_MATCHING_BYTE_RANGE_LOCK}
    if code > known[version]:
        return asyncssh.SFTPFailure
    return {
        c.FX_FILE_ALREADY_EXISTS: asyncssh.SFTPFileAlreadyExists,
        c.FX_DIR_NOT_EMPTY: asyncssh.SFTPDirNotEmpty,
    }[code]


# --- names ---


@covers("SFTPClient.encode", "SFTPClient.decode", "SFTPClient.basename", "SFTPClient.compose_path")
async def test_names_go_through_unchanged(sftp: SFTP, place: Desk) -> None:
    name = "naïve ☃"
    path = sftp.compose_path(sftp.encode(name), place.remote)
    async with sftp.open(path, "wb") as file:
        await file.write(b"x")
    assert place.names() == {name.encode()}
    assert [sftp.decode(sftp.basename(entry)) for entry in await sftp.glob(path)] == [name]


@covers("SFTPClient.chdir", "SFTPClient.getcwd", "SFTPClient.realpath")
async def test_paths_are_resolved(sftp: SFTP, place: Desk) -> None:
    assert await sftp.getcwd() == "/"
    place.write("file", b"12345")
    try:
        await sftp.chdir(place.remote)
        assert await sftp.getcwd() == place.remote.decode()
        assert await sftp.realpath("a/../file") == place.text("file")
        assert await sftp.realpath(".", "a", "..", "file") == place.text("file")
        if sftp.version == 5:
            return  # with `check`, the client asks for the attribute bits, and reads twice as many as the draft has
        for check in (c.FXRP_STAT_IF_EXISTS, c.FXRP_STAT_ALWAYS):
            found = await sftp.realpath("file", check=check)
            assert (found.filename, found.attrs.size) == (place.text("file"), 5)
        missing = await sftp.realpath("missing", check=c.FXRP_STAT_IF_EXISTS)
        assert (missing.filename, missing.attrs.size) == (place.text("missing"), None)
        with pytest.raises((asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)):
            await sftp.realpath("missing", check=c.FXRP_STAT_ALWAYS)
    finally:
        await sftp.chdir("/")


# --- attributes ---


@covers("SFTPClient.stat", "SFTPClient.lstat", "SFTPClientFile.stat")
async def test_attributes_are_those_of_the_disk(sftp: SFTP, place: Desk) -> None:
    remote = place.write("file", noise(3000))
    os.chmod(place.local("file"), 0o640)
    os.utime(place.local("file"), ns=(OLD * 10**9 + 123, NEW * 10**9 + 456))
    os.symlink("file", place.local("link"))
    status = os.stat(place.local("file"))
    async with sftp.open(remote, "rb") as file:
        found = [
            await sftp.stat(remote),
            await sftp.lstat(remote),
            await sftp.stat(place.at("link")),
            await file.stat(),
        ]
    for attrs in found:
        assert (attrs.type, attrs.size, stat.S_IMODE(attrs.permissions)) == (c.FILEXFER_TYPE_REGULAR, 3000, 0o640)
        assert (attrs.atime, attrs.mtime) == (OLD, NEW)
        if sftp.version == 3:
            assert (attrs.uid, attrs.gid) == (status.st_uid, status.st_gid)
        else:
            assert (attrs.atime_ns, attrs.mtime_ns) == (123, 456)
            assert attrs.owner
            assert attrs.group
        if sftp.version == 6:
            assert attrs.nlink in (1, None)
    for link in (await sftp.lstat(place.at("link")), await sftp.stat(place.at("link"), follow_symlinks=False)):
        assert (link.type, link.size) == (c.FILEXFER_TYPE_SYMLINK, 4)


@covers()
async def test_only_the_attributes_asked_for_are_sent(sftp: SFTP, place: Desk) -> None:
    remote = place.write("file", b"12345")
    if sftp.version > 3:
        attrs = await sftp.stat(remote, c.FILEXFER_ATTR_SIZE)
        assert (attrs.size, attrs.permissions, attrs.mtime, attrs.owner) == (5, None, None, None)
    if sftp.version == 6:
        attrs = await sftp.stat(remote, c.FILEXFER_ATTR_LINK_COUNT | c.FILEXFER_ATTR_ALLOCATION_SIZE)
        assert (attrs.nlink, attrs.size) == (1, None)
        assert attrs.alloc_size == os.stat(place.local("file")).st_blocks * 512


@covers(
    "SFTPClient.getsize", "SFTPClient.getatime", "SFTPClient.getatime_ns", "SFTPClient.getmtime",
    "SFTPClient.getmtime_ns", "SFTPClient.getcrtime", "SFTPClient.getcrtime_ns",
)  # fmt: skip
async def test_single_attributes(sftp: SFTP, place: Desk) -> None:
    remote = place.write("file", b"12345")
    os.utime(place.local("file"), ns=(OLD * 10**9 + 500_000_000, NEW * 10**9 + 250_000_000))
    parts = 0 if sftp.version == 3 else 1  # version 3 has whole seconds
    assert await sftp.getsize(remote) == 5
    assert await sftp.getatime(remote) == OLD + parts * 0.5
    assert await sftp.getmtime(remote) == NEW + parts * 0.25
    assert await sftp.getatime_ns(remote) == OLD * 10**9 + parts * 500_000_000
    assert await sftp.getmtime_ns(remote) == NEW * 10**9 + parts * 250_000_000
    created, exactly = await sftp.getcrtime(remote), await sftp.getcrtime_ns(remote)
    if sftp.version == 3:
        assert (created, exactly) == (None, None)
    else:
        assert created is not None
        assert exactly is not None
        assert abs(exactly / 1e9 - created) < 1e-3
        assert created > NEW


@covers("SFTPClient.exists", "SFTPClient.lexists", "SFTPClient.isdir", "SFTPClient.isfile", "SFTPClient.islink")
async def test_kinds_of_files(sftp: SFTP, place: Desk) -> None:
    place.write("file", b"")
    os.mkdir(place.local("dir"))
    os.symlink("missing", place.local("dangling"))
    os.mkfifo(place.local("fifo"))
    names = ("file", "dir", "dangling", "fifo", "missing")
    kinds = {
        name: [await ask(place.at(name)) for ask in (sftp.exists, sftp.lexists, sftp.isdir, sftp.isfile, sftp.islink)]
        for name in names
    }
    assert kinds == {
        "file": [True, True, False, True, False],
        "dir": [True, True, True, False, False],
        "dangling": [False, True, False, False, True],
        "fifo": [True, True, False, False, False],
        "missing": [False, False, False, False, False],
    }
    assert (await sftp.stat(place.at("fifo"))).type == (
        c.FILEXFER_TYPE_SPECIAL if sftp.version == 4 else c.FILEXFER_TYPE_FIFO
    )


@covers(
    "SFTPClient.setstat", "SFTPClient.chmod", "SFTPClient.chown", "SFTPClient.utime", "SFTPClient.truncate",
    "SFTPClientFile.setstat", "SFTPClientFile.chmod", "SFTPClientFile.chown", "SFTPClientFile.utime",
    "SFTPClientFile.truncate",
)  # fmt: skip
async def test_attributes_are_changed(sftp: SFTP, place: Desk) -> None:
    remote = place.write("file", b"0123456789")
    async with sftp.open(remote, "r+") as file:
        for setter, mode in ((functools.partial(sftp.setstat, remote), 0o600), (file.setstat, 0o606)):
            await setter(asyncssh.SFTPAttrs(permissions=mode))
            assert os.stat(place.local("file")).st_mode & 0o7777 == mode
        for chmod, mode in (
            (functools.partial(sftp.chmod, remote), 0o751),
            (file.chmod, 0o6755 if IS_ROOT else 0o700),
        ):
            await chmod(mode)
            assert os.stat(place.local("file")).st_mode & 0o7777 == mode
        for chown, number in ((functools.partial(sftp.chown, remote), ANOTHER_ID), (file.chown, os.getuid())):
            await chown(number, os.getgid())
            assert os.stat(place.local("file")).st_uid == number
        for utime, second in ((functools.partial(sftp.utime, remote), 5), (file.utime, 9)):
            await utime((second, second + 1))
            status = os.stat(place.local("file"))
            assert (status.st_atime, status.st_mtime) == (second, second + 1)
            await utime(ns=(second * 10**9 + 7, second * 10**9 + 8))
            status = os.stat(place.local("file"))
            parts = (7, 8) if sftp.version > 3 else (0, 0)
            assert (status.st_atime_ns % 10**9, status.st_mtime_ns % 10**9) == parts
        for truncate, size in ((functools.partial(sftp.truncate, remote), 7), (file.truncate, 3)):
            await truncate(size)
            assert place.read("file") == b"0123456789"[:size]


@covers()
async def test_a_link_itself_can_be_changed(sftp: SFTP, place: Desk) -> None:
    place.write("file", b"")
    os.utime(place.local("file"), (OLD, OLD))
    os.symlink("file", place.local("link"))
    await sftp.utime(place.at("link"), (5, 6), follow_symlinks=False)
    await sftp.chown(place.at("link"), ANOTHER_ID, os.getgid(), follow_symlinks=False)
    link, file = os.lstat(place.local("link")), os.stat(place.local("file"))
    assert (link.st_atime, link.st_mtime, link.st_uid) == (5, 6, ANOTHER_ID)
    assert (file.st_mtime, file.st_uid) == (OLD, os.getuid())


@covers()
async def test_owners_are_names_from_version_4_on(sftp: SFTP, place: Desk) -> None:
    remote = place.write("file", b"")
    if sftp.version == 3:
        return
    attrs = await sftp.stat(remote)
    await sftp.chown(remote, owner=attrs.owner, group=attrs.group)
    await sftp.chown(remote, owner=str(os.getuid()), group=str(os.getgid()))
    assert (os.stat(place.local("file")).st_uid, os.stat(place.local("file")).st_gid) == (os.getuid(), os.getgid())
    with pytest.raises(asyncssh.SFTPError) as failure:
        await sftp.chown(remote, owner="nobody by that name", group="nor that")
    if sftp.version >= 5:
        assert isinstance(failure.value, asyncssh.SFTPUnknownPrincipal)
        assert list(failure.value.unknown_names) == ["nobody by that name", "nor that"]


# --- files ---


@covers(
    "SFTPClient.open", "SFTPClientFile.read", "SFTPClientFile.write", "SFTPClientFile.seek", "SFTPClientFile.tell",
    "SFTPClientFile.close", "SFTPClientFile.handle", "SFTPClientFile.read_parallel",
)  # fmt: skip
async def test_files_are_opened_in_every_mode(sftp: SFTP, place: Desk) -> None:
    remote = place.at("file")
    async with sftp.open(remote, "xb") as file:
        assert await file.write(b"0123456789") == 10
    with pytest.raises(error_of(sftp.version, c.FX_FILE_ALREADY_EXISTS)):
        await sftp.open(remote, "xb")
    async with sftp.open(remote, "r+b") as file:
        assert file.handle
        await file.seek(2)
        await file.write(b"ab")
        assert await file.tell() == 4
        assert await file.read(3) == b"456"
        assert await file.read(2, 1) == b"1a"
        await file.write(b"Z", 9)
    assert place.read("file") == b"01ab45678Z"
    async with sftp.open(remote, "ab") as file:
        await file.write(b"end")
        await file.write(b".", 0)
    assert place.read("file") == b"01ab45678Zend."
    async with sftp.open(remote, "wb") as file:
        pass
    assert place.read("file") == b""
    data = noise(1_000_003)
    place.write("file", data)
    file = await sftp.open(remote, "rb")
    blocks = {offset: block async for offset, block in await file.read_parallel()}
    await file.close()
    assert b"".join(blocks[offset] for offset in sorted(blocks)) == data
    with pytest.raises((asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)):
        await sftp.open(place.at("missing"), "rb")
    async with sftp.open(place.at("mode"), "wb", asyncssh.SFTPAttrs(permissions=0o600)):
        assert os.stat(place.local("mode")).st_mode & 0o777 == 0o600


@covers("SFTPClient.open56")
async def test_files_are_opened_with_access_and_disposition(sftp: SFTP, place: Desk) -> None:
    remote = place.write("file", b"old")
    if sftp.version < 5:
        with pytest.raises(asyncssh.SFTPOpUnsupported):
            await sftp.open56(remote)
        return
    write = c.ACE4_WRITE_DATA | c.ACE4_WRITE_ATTRIBUTES
    with pytest.raises(asyncssh.SFTPFileAlreadyExists):
        await sftp.open56(remote, write, c.FXF_CREATE_NEW)
    for disposition in (c.FXF_OPEN_EXISTING, c.FXF_TRUNCATE_EXISTING):
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.open56(place.at("missing"), write, disposition)
    async with sftp.open56(remote) as file:
        assert await file.read() == "old"
        with pytest.raises(asyncssh.SFTPError):
            await file.write("x")
    for disposition, expected in (
        (c.FXF_OPEN_EXISTING, b"N"),
        (c.FXF_OPEN_OR_CREATE, b"N"),
        (c.FXF_TRUNCATE_EXISTING, b""),
        (c.FXF_CREATE_TRUNCATE, b""),
    ):
        place.write("file", b"0")
        async with sftp.open56(remote, write, disposition) as file:
            if expected:
                await file.write("N")
        assert place.read("file") == expected
    for flags in (c.FXF_APPEND_DATA, c.FXF_APPEND_DATA_ATOMIC):
        place.write("file", b"old")
        async with sftp.open56(remote, write | c.ACE4_APPEND_DATA, c.FXF_OPEN_OR_CREATE | flags) as file:
            await file.write("new")
        assert place.read("file") == b"oldnew"


@covers()
async def test_a_file_goes_when_it_is_closed(sftp: SFTP, place: Desk) -> None:
    if sftp.version < 6:
        return
    remote = place.write("file", b"x")
    async with sftp.open56(remote, c.ACE4_READ_DATA, c.FXF_OPEN_EXISTING | c.FXF_DELETE_ON_CLOSE) as file:
        assert await file.read() == "x"
    assert place.names() == set()
    os.symlink("missing", place.local("link"))
    with pytest.raises(asyncssh.SFTPLinkLoop):
        await sftp.open56(place.at("link"), c.ACE4_READ_DATA, c.FXF_OPEN_EXISTING | c.FXF_NOFOLLOW)


@covers("SFTPClientFile.lock", "SFTPClientFile.unlock")
async def test_ranges_are_locked_against_each_other(sftp: SFTP, place: Desk) -> None:
    remote = place.write("file", bytes(100))
    async with sftp.open(remote, "r+b") as one, sftp.open(remote, "r+b") as other:
        if sftp.version < 6:
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await one.lock(0, 10, c.FXF_BLOCK_WRITE)
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await one.unlock(0, 10)
            return
        advisory = c.FXF_BLOCK_ADVISORY
        await one.lock(0, 10, c.FXF_BLOCK_READ | c.FXF_BLOCK_WRITE | advisory)
        with pytest.raises(asyncssh.SFTPByteRangeLockRefused):
            await other.lock(5, 10, c.FXF_BLOCK_READ | c.FXF_BLOCK_WRITE | advisory)
        await other.lock(10, 10, c.FXF_BLOCK_READ | c.FXF_BLOCK_WRITE | advisory)
        with pytest.raises(asyncssh.SFTPNoMatchingByteRangeLock):
            await one.unlock(0, 9)
        await one.unlock(0, 10)
        await other.lock(0, 10, c.FXF_BLOCK_READ | c.FXF_BLOCK_WRITE | advisory)


@covers("SFTPClientFile.fsync", "SFTPClientFile.statvfs", "SFTPClient.statvfs", "SFTPClient.limits")
async def test_syncing_and_sizes_of_the_volume(sftp: SFTP, place: Desk) -> None:
    volume = os.statvfs(place.path)
    async with sftp.open(place.at("file"), "wb") as file:
        await file.write(b"x")
        await file.fsync()
        figures = [await file.statvfs(), await sftp.statvfs(place.remote)]
    for found in figures:
        assert (found.frsize, found.blocks, found.namemax) == (volume.f_frsize, volume.f_blocks, volume.f_namemax)
    assert (sftp.limits.max_read_len, sftp.limits.max_write_len) == (261_120, 261_120)


@covers("SFTPClientFile.request_ranges")
async def test_ranges_with_data_are_told(sftp: SFTP, place: Desk) -> None:
    with open(place.local("file"), "wb") as stream:
        stream.write(b"head")
        stream.seek(3 << 20)
        stream.write(b"tail")
    size = os.stat(place.local("file")).st_size
    async with sftp.open(place.at("file"), "rb") as file:
        ranges = [found async for found in file.request_ranges(0, size)]
    covered = [offset for offset, length in ranges for offset in range(offset, offset + length, 4096)]
    assert 0 in covered
    assert ranges[-1][0] + ranges[-1][1] == size
    assert sum(length for _, length in ranges) < size or not has_holes(place.local("file"))


def has_holes(path: bytes) -> bool:
    """The file system tells where nothing was written."""
    with open(path, "rb") as stream:
        return os.lseek(stream.fileno(), 0, os.SEEK_HOLE) < os.fstat(stream.fileno()).st_size


# --- directories ---


@covers("SFTPClient.mkdir", "SFTPClient.makedirs", "SFTPClient.rmdir", "SFTPClient.rmtree")
async def test_directories_come_and_go(sftp: SFTP, place: Desk) -> None:
    await sftp.mkdir(place.at("dir"), asyncssh.SFTPAttrs(permissions=0o700))
    assert os.stat(place.local("dir")).st_mode & 0o7777 == 0o700
    with pytest.raises(error_of(sftp.version, c.FX_FILE_ALREADY_EXISTS)):
        await sftp.mkdir(place.at("dir"))
    await sftp.makedirs(place.at("dir/a/b"))
    await sftp.makedirs(place.at("dir/a/b"), exist_ok=True)
    place.write("dir/a/file", b"")
    with pytest.raises(error_of(sftp.version, c.FX_DIR_NOT_EMPTY)):
        await sftp.rmdir(place.at("dir"))
    await sftp.rmdir(place.at("dir/a/b"))
    assert os.listdir(place.local("dir/a")) == [b"file"]
    await sftp.rmtree(place.at("dir"))
    assert place.names() == set()


@covers(
    "SFTPClient.listdir", "SFTPClient.readdir", "SFTPClient.scandir", "SFTPClient.glob", "SFTPClient.glob_sftpname"
)
async def test_listings_tell_names_and_attributes(sftp: SFTP, place: Desk) -> None:
    for number in range(300):
        place.write(f"file{number:03}", bytes(number))
    os.mkdir(place.local("dir"))
    names = {name.decode() for name in place.names()} | {".", ".."}
    assert set(await sftp.listdir(place.text(""))) == names
    entries = await sftp.readdir(place.text(""))
    assert {entry.filename for entry in entries} == names
    assert {entry.filename async for entry in sftp.scandir(place.text(""))} == names
    sizes = {str(entry.filename): entry.attrs.size for entry in entries}
    assert all(sizes[f"file{number:03}"] == number for number in range(300))
    kinds = {str(entry.filename): entry.attrs.type for entry in entries}
    assert (kinds["dir"], kinds["file001"]) == (c.FILEXFER_TYPE_DIRECTORY, c.FILEXFER_TYPE_REGULAR)
    assert sorted(await sftp.glob(place.text("file00?"))) == [place.text(f"file00{n}") for n in range(10)]
    found = await sftp.glob_sftpname(place.text("file29[89]"))
    assert sorted((str(entry.filename), entry.attrs.size) for entry in found) == [
        (place.text("file298"), 298), (place.text("file299"), 299),
    ]  # fmt: skip


# --- names and links ---


@covers("SFTPClient.rename", "SFTPClient.posix_rename", "SFTPClient.remove", "SFTPClient.unlink")
async def test_names_change_and_go(sftp: SFTP, place: Desk) -> None:
    place.write("a", b"a")
    place.write("b", b"b")
    with pytest.raises(error_of(sftp.version, c.FX_FILE_ALREADY_EXISTS)):
        await sftp.rename(place.at("a"), place.at("b"))
    assert (place.read("a"), place.read("b")) == (b"a", b"b")
    await sftp.rename(place.at("a"), place.at("c"))
    assert (place.names(), place.read("c")) == ({b"b", b"c"}, b"a")
    await sftp.rename(place.at("c"), place.at("b"), c.FXR_OVERWRITE)
    assert (place.names(), place.read("b")) == ({b"b"}, b"a")
    place.write("d", b"d")
    await sftp.posix_rename(place.at("d"), place.at("b"))
    assert (place.names(), place.read("b")) == ({b"b"}, b"d")
    await sftp.remove(place.at("b"))
    place.write("e", b"")
    await sftp.unlink(place.at("e"))
    assert place.names() == set()
    with pytest.raises(asyncssh.SFTPNoSuchFile):
        await sftp.remove(place.at("b"))


@covers("SFTPClient.symlink", "SFTPClient.readlink", "SFTPClient.link")
async def test_links(sftp: SFTP, place: Desk) -> None:
    place.write("file", b"x")
    await sftp.symlink("file", place.at("soft"))
    await sftp.symlink("missing/../there", place.at("dangling"))
    await sftp.link(place.at("file"), place.at("hard"))
    assert os.readlink(place.local("soft")) == b"file"
    assert os.readlink(place.local("dangling")) == b"missing/../there"
    assert os.stat(place.local("hard")).st_ino == os.stat(place.local("file")).st_ino
    assert await sftp.readlink(place.text("soft")) == "file"
    assert await sftp.readlink(place.at("dangling")) == b"missing/../there"
    with pytest.raises(asyncssh.SFTPError):
        await sftp.readlink(place.at("file"))


# --- transfers ---


def a_tree(root: Path) -> dict[str, bytes]:
    """Files of several sizes in directories, with modes and times of their own; returns what they hold."""
    content = {"empty": b"", "small": b"x" * 10, "sub/large": noise(700_001), "sub/deep/ü": "ünïcödé".encode()}
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        (root / name).chmod(0o640)
        os.utime(root / name, (OLD, NEW))
    return content


def same_tree(root: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        status = (root / name).stat()
        assert (root / name).read_bytes() == data
        assert (status.st_mode & 0o777, int(status.st_mtime)) == (0o640, NEW)
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == set(content)


@covers("SFTPClient.put", "SFTPClient.get", "SFTPClient.copy", "SFTPClient.supports_remote_copy")
async def test_trees_are_copied_in_every_direction(sftp: SFTP, place: Desk) -> None:
    content = a_tree(place.mine / "source")
    options: dict[str, Any] = {"preserve": True, "recurse": True}
    await sftp.put(place.mine / "source", place.text("up"), **options)
    same_tree(place.path / "up", content)
    await sftp.get(place.text("up"), place.mine / "down", **options)
    same_tree(place.mine / "down", content)
    await sftp.copy(place.text("up"), place.text("copy"), **options)
    same_tree(place.path / "copy", content)
    assert sftp.supports_remote_copy
    await sftp.copy(place.text("up"), place.text("there"), remote_only=True, **options)
    same_tree(place.path / "there", content)


@covers("SFTPClient.mput", "SFTPClient.mget", "SFTPClient.mcopy")
async def test_patterns_choose_what_is_copied(sftp: SFTP, place: Desk) -> None:
    for name in ("a.txt", "b.txt", "c.bin"):
        (place.mine / name).write_bytes(name.encode())
    for made in ("up", "copy"):
        os.mkdir(place.local(made))
    (place.mine / "down").mkdir()
    await sftp.mput(place.mine / "*.txt", place.text("up"))
    assert {name: place.read(f"up/{name}") for name in os.listdir(place.path / "up")} == {
        "a.txt": b"a.txt", "b.txt": b"b.txt",
    }  # fmt: skip
    await sftp.mget(place.text("up/?.txt"), place.mine / "down")
    assert {path.name: path.read_bytes() for path in (place.mine / "down").iterdir()} == {
        "a.txt": b"a.txt", "b.txt": b"b.txt",
    }  # fmt: skip
    await sftp.mcopy(place.text("up/b*"), place.text("copy"))
    assert (os.listdir(place.path / "copy"), place.read("copy/b.txt")) == (["b.txt"], b"b.txt")


@covers("SFTPClient.remote_copy")
async def test_the_server_copies_by_itself(sftp: SFTP, place: Desk) -> None:
    data = noise(500_000)
    place.write("source", data)
    await sftp.remote_copy(place.text("source"), place.text("whole"))
    assert place.read("whole") == data
    place.write("part", b"0" * 10)
    async with sftp.open(place.at("source"), "rb") as source, sftp.open(place.at("part"), "r+b") as target:
        await sftp.remote_copy(source, target, 100, 5, 3)
    assert place.read("part") == b"000" + data[100:105] + b"00"
    async with sftp.open(place.at("source"), "rb") as source, sftp.open(place.at("part"), "r+b") as target:
        await sftp.remote_copy(source, target, 400_000, 0, 0)
    assert place.read("part") == data[400_000:]


# --- sessions ---


COVERED.update({"SFTPClient.exit", "SFTPClient.wait_closed", "SFTPClient.version", "SFTPClient.logger"})


def test_a_session_ends_and_the_others_go_on(speaker: Speaker) -> None:
    async def work() -> None:
        another = await speaker.connection.start_sftp_client(sftp_version=speaker.sftp.version)
        assert another.version == speaker.sftp.version
        another.logger.debug("a word of the client's own")
        another.exit()
        await another.wait_closed()
        with pytest.raises((asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost)):
            await another.stat("/")
        assert await speaker.sftp.isdir("/")

    speaker.run(work())
