"""check-file in its three names, md5-hash in its two."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from libsshd import events as e
from libsshd.constants import Status
from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.contract.support_files import Diary, Site, status
from tests.support.command import wait_until
from tests.support.place import noise
from tests.support.rawsftp import READ, WRITE, Code, Cursor, RawSFTP, Reply, Type, string, u32, u64
from tests.support.stdio import StdioServer

DATA = noise(300_000)
EVERY: dict[bytes, Callable[[bytes], bytes]] = {
    name: lambda data, name=name: hashlib.new(name.decode(), data, usedforsecurity=False).digest()
    for name in (b"md5", b"sha1", b"sha224", b"sha256", b"sha384", b"sha512")
} | {b"crc32": lambda data: zlib.crc32(data).to_bytes(4, "big")}
HUGE = 1 << 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """/file has DATA."""
    path = tmp_path / "served"
    path.mkdir()
    (path / "file").write_bytes(DATA)
    return path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.write("file", DATA)
        yield opened


def fields(algorithms: bytes, start: int = 0, length: int = 0, block: int = 0) -> bytes:
    return string(algorithms) + u64(start) + u64(length) + u32(block)


def check(raw: RawSFTP, handle: bytes, algorithms: bytes, start: int = 0, length: int = 0, block: int = 0) -> Reply:
    return raw.extend(b"check-file-handle", string(handle), fields(algorithms, start, length, block))


def check_name(raw: RawSFTP, path: bytes, algorithms: bytes = b"sha256") -> Reply:
    return raw.extend(b"check-file-name", string(path), fields(algorithms))


def told(reply: Reply) -> tuple[bytes, bytes]:
    """The algorithm that was used, and the hashes."""
    cursor = Cursor(reply.extended)
    return cursor.string(), cursor.data[cursor.position :]


# --- check-file ---


@pytest.mark.parametrize("name", EVERY)
def test_each_algorithm_hashes_the_file(name: bytes, raw: RawSFTP) -> None:
    expected = name, EVERY[name](DATA)
    assert told(check(raw, raw.open(b"/file"), name)) == expected
    assert told(check_name(raw, b"/file", name)) == expected


def test_the_older_name_is_part_of_its_reply(raw: RawSFTP) -> None:
    reply = raw.extend(b"check-file", string(raw.open(b"/file")), fields(b"md5"))
    assert (
        reply.extended == string(b"check-file") + string(b"md5") + hashlib.md5(DATA, usedforsecurity=False).digest()
    )


@pytest.mark.parametrize(
    ("preferred", "used"),
    [
        (b"sha1,md5", b"sha1"),
        (b"md5,sha1", b"md5"),
        (b"blake9,,MD5,crc32,md5", b"crc32"),
        (b"x@y.z,sha512", b"sha512"),
    ],
)
def test_the_first_algorithm_that_is_known_is_used(preferred: bytes, used: bytes, raw: RawSFTP) -> None:
    assert told(check(raw, raw.open(b"/file"), preferred)) == (used, EVERY[used](DATA))


@pytest.mark.parametrize("algorithms", [b"", b",", b"sha3-256", b"SHA1", b"md5 ", b"\xff"])
def test_what_is_known_is_said_when_nothing_else_helps(algorithms: bytes, raw: RawSFTP) -> None:
    code, text = status(check(raw, raw.open(b"/file"), algorithms))
    assert (code, text) == (Code.FAILURE, "Known algorithms are sha512, sha384, sha256, sha224, sha1, md5, crc32")


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 0), (1, 0), (0, 1), (100, 200_000), (0, 300_000), (299_999, 5), (300_000, 0), (0, 2**64 - 1)],
)  # fmt: skip
def test_a_range_is_hashed_as_far_as_there_is_data(start: int, length: int, raw: RawSFTP) -> None:
    piece = DATA[start : start + length] if length else DATA[start:]
    assert told(check(raw, raw.open(b"/file"), b"sha256", start, length)) == (b"sha256", EVERY[b"sha256"](piece))


@pytest.mark.parametrize("start", [300_001, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_range_behind_the_end_is_none(start: int, raw: RawSFTP) -> None:
    reply = check(raw, raw.open(b"/file"), b"md5", start)
    assert status(reply) == (Code.FAILURE, "The range begins behind the end of the file")


@pytest.mark.parametrize("block", [256, 1000, 100_000, 150_000, 299_999, 300_000, 300_001, 2**32 - 1])
@pytest.mark.parametrize(("start", "length"), [(0, 0), (7, 250_000)])
def test_each_block_has_its_hash(start: int, length: int, block: int, raw: RawSFTP) -> None:
    piece = DATA[start : start + length] if length else DATA[start:]
    hashes = [EVERY[b"crc32"](piece[at : at + block]) for at in range(0, len(piece), block)]
    assert told(check(raw, raw.open(b"/file"), b"crc32", start, length, block)) == (b"crc32", b"".join(hashes))


@pytest.mark.parametrize("block", [1, 255])
def test_blocks_are_not_too_small(block: int, raw: RawSFTP) -> None:
    reply = check(raw, raw.open(b"/file"), b"md5", block=block)
    assert status(reply) == (Code.FAILURE, "A block has at least 256 bytes")


def test_nothing_has_one_hash_and_no_blocks(raw: RawSFTP, root: Path) -> None:
    (root / "empty").touch()
    handle = raw.open(b"/empty")
    assert told(check(raw, handle, b"md5")) == (b"md5", EVERY[b"md5"](b""))
    assert told(check(raw, handle, b"md5", block=256)) == (b"md5", b"")


def test_hashes_that_no_reply_holds_are_refused_before_the_work(raw: RawSFTP, root: Path) -> None:
    os.truncate(root / "file", HUGE)
    handle = raw.open(b"/file")
    for block in (256, HUGE // 4081):
        reply = check(raw, handle, b"sha512", block=min(block, 2**32 - 1))
        assert status(reply) == (Code.FAILURE, "A reply holds at most 4080 hashes; take larger blocks")
    most = check(raw, handle, b"sha512", length=4080 * 256, block=256)
    assert told(most) == (b"sha512", EVERY[b"sha512"](DATA[:256]) + told(most)[1][64:])
    assert len(told(most)[1]) == 4080 * 64


def test_only_readable_files_are_hashed(raw: RawSFTP, root: Path) -> None:
    written = raw.open(b"/file", WRITE)
    assert status(check(raw, written, b"md5")) == (Code.PERMISSION_DENIED, "The file is not open for reading")
    directory = raw.ask(Type.OPENDIR, string(b"/")).handle
    assert [check(raw, handle, b"md5").code for handle in (directory, b"99", b"")] == [Code.FAILURE] * 3
    assert [check_name(raw, path).code for path in (b"/missing", b"/")] == [Code.NO_SUCH_FILE, Code.FAILURE]


def test_hashing_by_name_leaves_no_handle(server: StdioServer, raw: RawSFTP) -> None:
    for _ in range(300):  # more than there may be
        assert check_name(raw, b"/file").type == Type.EXTENDED_REPLY
        assert check_name(raw, b"/file", b"?").code == Code.FAILURE


def test_a_read_only_server_hashes(root: Path) -> None:
    with RootedFileSystem(str(root)) as fs, StdioServer(fs, Settings(read_only=True)) as server:
        assert told(check_name(server.client.init(), b"/file", b"md5")) == (b"md5", EVERY[b"md5"](DATA))


def test_paramiko_checks_a_file(site: Site) -> None:
    with site.sftp().open("/file") as file:
        assert file.check("sha256") == hashlib.sha256(DATA).digest()
        assert file.check("sha1,md5", 10, 1000, 300) == b"".join(
            hashlib.sha1(DATA[at : min(at + 300, 1010)], usedforsecurity=False).digest()
            for at in range(10, 1010, 300)
        )
        with pytest.raises(OSError, match="Known algorithms are"):
            file.check("whirlpool")


# --- md5-hash ---


def md5(raw: RawSFTP, handle: bytes, start: int, length: int, quick: bytes) -> Reply:
    return raw.extend(b"md5-hash-handle", string(handle), u64(start), u64(length), string(quick))


@pytest.mark.parametrize(("start", "length"), [(0, 0), (5, 0), (5, 100), (5, 2048), (5, 2049), (0, 400_000)])
@pytest.mark.parametrize("quick", [False, True])
def test_md5_of_a_range_with_and_without_the_quick_check(quick: bool, start: int, length: int, raw: RawSFTP) -> None:
    piece = DATA[start : start + length] if length else DATA[start:]
    known = EVERY[b"md5"](piece[:2048]) if quick else b""
    digest = string(EVERY[b"md5"](piece))
    assert md5(raw, raw.open(b"/file"), start, length, known).extended == string(b"md5-hash-handle") + digest
    by_name = raw.extend(b"md5-hash", string(b"/file"), u64(start), u64(length), string(known))
    assert by_name.extended == string(b"md5-hash") + digest


@pytest.mark.parametrize("wrong", [bytes(16), b"x", bytes(300)])
def test_a_file_that_begins_otherwise_is_not_hashed(wrong: bytes, raw: RawSFTP) -> None:
    assert md5(raw, raw.open(b"/file"), 0, 0, wrong).extended == string(b"md5-hash-handle") + string(b"")


# --- nobody waits ---


def test_a_client_that_goes_away_ends_the_work(server: StdioServer, raw: RawSFTP, root: Path) -> None:
    os.truncate(root / "file", HUGE)
    handle = raw.open(b"/file")
    file = server.session.file(handle)
    raw.post(Type.EXTENDED, string(b"check-file-handle"), string(handle), fields(b"sha512"))
    wait_until(lambda: file.bytes_read > 0, "the work has begun")
    server.socket.close()
    server.ending()
    assert file.bytes_read < HUGE


@pytest.mark.parametrize("end", ["hang up", "shut down"])
def test_the_work_over_ssh_ends_with_its_connection_or_server(end: str, site: Site) -> None:
    os.truncate(site.root / "file", HUGE)
    began = threading.Event()
    site.server.on_file_hash = lambda _: began.set()
    transport = site.login()
    site.raw(transport).post(Type.EXTENDED, string(b"check-file-name"), string(b"/file"), fields(b"md5"))
    assert began.wait(20)
    transport.close() if end == "hang up" else site.server.shutdown()
    wait_until(lambda: not len(site.server.sftp_connections), "the connection has ended")


def test_others_go_on_meanwhile(site: Site) -> None:
    """Hashing holds up nobody but its own connection."""
    os.truncate(site.root / "file", HUGE)
    busy: list[paramiko.Transport] = [site.login() for _ in range(3)]
    for transport in busy:
        site.raw(transport).post(Type.EXTENDED, string(b"check-file-name"), string(b"/file"), fields(b"sha512"))
    other = site.raw()
    assert [other.ask(Type.REALPATH, string(b".")).names[0][0] for _ in range(50)] == [b"/"] * 50
    for transport in busy:
        transport.close()


# --- handlers ---


def test_the_events_of_a_hash(site: Site) -> None:
    raw = site.raw()
    handle = raw.open(b"/file")
    diary = Diary(site.server, e.FileHash, e.FileOpen, e.FileClose)
    check(raw, handle, b"x,sha1", 1, 2, 300)
    assert diary.names == ["FileHash before", "FileHash after"]
    told_before = diary.one("FileHash before")
    assert {name: told_before[name] for name in ("path", "handle", "algorithm")} == {
        "path": "/file", "handle": handle.decode(), "algorithm": "sha1"
    }  # fmt: skip
    assert [told_before[name] for name in ("file_offset", "length", "block_size")] == [1, 2, 300]
    diary.entries.clear()
    check_name(raw, b"/file")
    assert diary.names == ["FileOpen before", "FileOpen after", "FileHash before", "FileHash after", "FileClose"]
    assert diary.one("FileHash before")["handle"] == ""
    assert [diary.one("FileOpen before")[name] for name in ("flags", "desired_access")] == [READ, 1]


@pytest.mark.parametrize("kind", [e.FileHash, e.FileOpen])
def test_a_handler_denies_a_hash(kind: type[e.BeforeAndAfter], site: Site) -> None:
    site.server.hook(kind).add(lambda event: setattr(event, "status_code", Status.PERMISSION_DENIED))
    raw = site.raw()
    assert check_name(raw, b"/file").code == Code.PERMISSION_DENIED
    assert raw.extend(b"md5-hash", string(b"/file"), u64(0), u64(0), string(b"")).code == Code.PERMISSION_DENIED


def test_what_is_hashed_goes_through_the_handlers_of_read(site: Site) -> None:
    raw = site.raw()
    (connection,) = site.server.sftp_connections
    handle = raw.open(b"/file")
    site.server.on_file_read = lambda _: setattr(connection, "file_data", bytes(len(connection.file_data)))
    expected = b"md5", EVERY[b"md5"](bytes(len(DATA)))
    assert told(check(raw, handle, b"md5")) == told(check_name(raw, b"/file", b"md5")) == expected
    site.server.on_file_read = lambda event: setattr(event, "status_code", Status.PERMISSION_DENIED)
    assert check(raw, handle, b"md5").code == Code.PERMISSION_DENIED


def test_handlers_that_are_the_file_system_give_what_is_hashed(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False) as site:
        site.server.on_file_open = lambda _: None
        raw = site.raw()
        (connection,) = site.server.sftp_connections
        handle = raw.open(b"/file")
        assert check(raw, handle, b"md5").code == Code.OP_UNSUPPORTED

        @site.server.on_file_read
        def give(event: e.FileRead) -> None:
            connection.file_data = b"made up"[event.file_offset :]
            event.status_code = Status.OK

        assert (
            told(check(raw, handle, b"md5"))
            == told(check_name(raw, b"/x", b"md5"))
            == (b"md5", EVERY[b"md5"](b"made up"))
        )
        block = check(raw, handle, b"crc32", block=256)
        assert told(block) == (b"crc32", EVERY[b"crc32"](b"made up"))
