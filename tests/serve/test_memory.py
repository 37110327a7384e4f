"""Sessions over a tree in memory: what needs more than names of the file system behind it."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator

import paramiko
import pytest

from libsshd import HostKey, SFTPServerError, testing
from libsshd.constants import Status
from libsshd.fs.memory import MemoryFileSystem
from libsshd.server import SFTPServer
from libsshd.settings import Settings
from libsshd.testing import Server
from libsshd.wire import messages as m
from libsshd.wire.buffer import u32, u64
from tests.testing.clients import failure_of, sftp

from .asking import APPEND, CREAT, EXCLUSIVE, SHARED, TEXT, TRUNC, Asked, R, W

HANDLE, STATUS = 102, 101


@pytest.fixture
def fs() -> MemoryFileSystem:
    made = MemoryFileSystem()
    made["file"] = b"0123456789"
    return made


@pytest.fixture
def asked(fs: MemoryFileSystem) -> Iterator[Asked]:
    with Asked(fs) as session:
        yield session


def opened(session: Asked, path: bytes, flags: int) -> bytes:
    reply = session.ask(m.Open(1, path, flags, m.Attributes()))
    assert reply.type == HANDLE, reply
    return reply.body[4:]


def status_of(session: Asked, request: object) -> int:
    reply = session.ask(request)
    assert reply.type == STATUS, reply
    return int.from_bytes(reply.body[:4], "big")


def test_locks_keep_other_sessions_off(fs: MemoryFileSystem, asked: Asked) -> None:
    with Asked(fs) as other:
        mine, theirs = opened(asked, b"/file", R | W), opened(other, b"/file", R | W)
        assert status_of(asked, m.Block(1, mine, 0, 5, EXCLUSIVE)) == Status.OK
        assert status_of(other, m.Block(1, theirs, 3, 5, SHARED)) == Status.BYTE_RANGE_LOCK_REFUSED
        assert status_of(asked, m.Unblock(1, mine, 0, 5)) == Status.OK
        assert status_of(other, m.Block(1, theirs, 3, 5, SHARED)) == Status.OK


@pytest.mark.parametrize("quota", [None, 1 << 20])
def test_files_are_copied_with_and_without_a_quota(fs: MemoryFileSystem, asked: Asked, quota: int | None) -> None:
    fs.quota = quota
    source, target = opened(asked, b"/file", R), opened(asked, b"/copy", W | CREAT)
    assert status_of(asked, m.CopyData(1, source, 2, 5, target, 0)) == Status.OK
    assert status_of(asked, m.CopyFile(1, b"/file", b"/whole", False)) == Status.OK
    assert status_of(asked, m.CopyFile(1, b"/file", b"/whole", False)) != Status.OK
    assert fs["copy"] == b"23456"
    assert fs["whole"] == b"0123456789"
    assert fs.lstat(b"/whole").permissions == fs.lstat(b"/file").permissions


def test_a_copy_of_what_is_produced_is_made(fs: MemoryFileSystem, asked: Asked) -> None:
    fs.produce("made", 300_000, lambda offset, length: bytes((offset + at) % 251 for at in range(length)))
    assert status_of(asked, m.CopyFile(1, b"/made", b"/copy", False)) == Status.OK
    assert fs["copy"] == fs["made"]
    handle = opened(asked, b"/made", R)
    assert status_of(asked, m.Write(1, handle, 0, b"x")) != Status.OK
    assert asked.ask(m.Open(1, b"/made", W, m.Attributes())).type == HANDLE, "it may be opened"
    assert status_of(asked, m.Write(1, opened(asked, b"/made", W), 0, b"x")) == Status.PERMISSION_DENIED
    opened(asked, b"/made", W | TRUNC)
    assert fs["made"] == b""


def test_text_is_for_files_of_which_a_descriptor_tells_all(fs: MemoryFileSystem, asked: Asked) -> None:
    fs.produce("made", 100, lambda offset, length: bytes(length))
    assert status_of(asked, m.Open(1, b"/made", R | TEXT, m.Attributes())) == Status.OP_UNSUPPORTED
    handle = opened(asked, b"/file", R | TEXT)
    assert status_of(asked, m.Close(1, handle)) == Status.OK
    fs.quota = 100
    assert status_of(asked, m.Open(1, b"/new", W | CREAT | TEXT, m.Attributes())) == Status.OP_UNSUPPORTED


def test_a_produced_file_is_all_data_for_whoever_asks_for_ranges(fs: MemoryFileSystem, asked: Asked) -> None:
    fs.produce("made", 100, lambda offset, length: bytes(length))
    reply = asked.ask(m.Ranges(1, opened(asked, b"/made", R), 10, 90))
    assert reply.body == u32(1) + u64(10) + u64(90) + b"\x01"


def test_a_quota_is_the_end_of_a_disk(fs: MemoryFileSystem, asked: Asked) -> None:
    fs.quota = 15
    handle = opened(asked, b"/new", W | CREAT)
    assert status_of(asked, m.Write(1, handle, 0, b"abcdefgh")) == Status.NO_SPACE_ON_FILESYSTEM
    assert fs["new"] == b"abcde"
    assert status_of(asked, m.Write(1, handle, 0, b"ABC")) == Status.OK
    assert status_of(asked, m.Close(1, handle)) == Status.NO_SPACE_ON_FILESYSTEM, "the first error stays"
    more = opened(asked, b"/file", W | APPEND)
    assert status_of(asked, m.Write(1, more, 0, b"x")) == Status.NO_SPACE_ON_FILESYSTEM


@pytest.mark.parametrize("mode", ["atomic", "atomic-keep"])
def test_uploads_get_their_name_when_they_are_complete(fs: MemoryFileSystem, mode: str) -> None:
    with Asked(fs, Settings(upload_mode=mode)) as asked:
        handle = opened(asked, b"/file", W | TRUNC)
        assert status_of(asked, m.Write(1, handle, 0, b"new")) == Status.OK
        assert fs["file"] == b"0123456789"
        assert status_of(asked, m.Close(1, handle)) == Status.OK
        assert fs.tree() == {"file": b"new"}
        opened(asked, b"/cut", W | CREAT)
    left = {".libsshd-partial-cut": b""} if mode == "atomic-keep" else {}
    assert fs.tree() == {"file": b"new", **left}


def test_handles_of_directories_have_attributes(fs: MemoryFileSystem, asked: Asked) -> None:
    fs.make_directory("d", mode=0o700)
    handle = asked.ask(m.Opendir(1, b"/d")).body[4:]
    assert asked.ask(m.Fstat(1, handle)).type == 105
    assert asked.codec.told.permissions == 0o040700
    assert asked.ask(m.Fstatvfs(1, handle)).type == 201
    assert status_of(asked, m.Fsetstat(1, handle, m.Attributes(permissions=0o755))) == Status.OK
    assert fs.lstat(b"/d").permissions == 0o040755
    assert status_of(asked, m.Close(1, handle)) == Status.OK


# --- as the file system of a server ---


@pytest.fixture
def server() -> Iterator[Server]:
    with testing.server({"home/bob/f": b"bob's", "home/carol/f": b"carol's"}) as started:
        yield started


def test_a_user_may_have_a_root_of_his_own(server: Server) -> None:
    @server.server.on_connected
    def narrow(e: object) -> None:
        connection = server.server.sftp_connections[e.connection_id]  # type: ignore[attr-defined]
        connection.user_root_directory = "/home/bob"

    with sftp(server) as client:
        assert client.listdir("/") == ["f"]
        assert client.open("/f").read() == b"bob's"
        client.symlink("/../../home/carol/f", "/out")
        assert "No such file" in failure_of(client.stat, "/out")


def test_a_user_may_be_kept_in_his_home(server: Server) -> None:
    @server.server.on_ssh_user_auth_request.add
    def narrow(e: object) -> None:
        e.home_dir = "/home/bob"  # type: ignore[attr-defined]

    @server.server.on_connected
    def restrict(e: object) -> None:
        server.server.sftp_connections[e.connection_id].restrict_user_to_home_dir = True  # type: ignore[attr-defined]

    with sftp(server) as client:
        assert client.listdir(".") == ["f"]
        assert client.open("/home/bob/f").read() == b"bob's"
        assert "Permission denied" in failure_of(client.stat, "/home/carol/f")
        client.symlink("../carol/f", "/home/bob/out")
        assert "Permission denied" in failure_of(client.stat, "/home/bob/out")


def test_c_leaves_to_python_what_a_descriptor_does_not_tell(fs: MemoryFileSystem) -> None:
    """Without the harness, which has everything pass through Python."""
    fs.produce("made", 1000, lambda offset, length: b"\x07" * length)
    fs.quota = 1015  # what is produced counts, too
    server = SFTPServer(file_system=fs, local_host="127.0.0.1", local_port=0, host_keys=[HostKey.generate()])
    server.on_ssh_user_auth_request = lambda e: setattr(e, "accept", True)
    with server, paramiko.Transport(("127.0.0.1", server.local_port)) as transport:
        transport.connect(username="bob", password="any")
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        with client.open("/made") as made:
            assert made.read() == b"\x07" * 1000
        file = client.open("/new", "wb", bufsize=0)
        assert "No space left" in failure_of(file.write, b"abcdefgh")
        with client.open("/file") as old:
            assert old.read() == b"0123456789"
    assert fs["new"] == b"abcde"


def test_there_is_one_file_system_or_the_other(tmp_path: object) -> None:
    server = SFTPServer(file_system=MemoryFileSystem(), root_directory=str(tmp_path), local_port=0)
    server.host_keys = [HostKey.generate()]
    with pytest.raises(SFTPServerError) as caught:
        server.start_listening()
    assert caught.value.code == 10022


def test_real_clients_at_once_share_the_tree(server: Server) -> None:
    def work(number: int) -> None:
        with sftp(server) as client:
            for step in range(20):
                with client.open(f"/{number}-{step}", "wb") as file:
                    file.write(b"%d" % number * 1000)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(server.fs[f"{number}-19"] == b"%d" % number * 1000 for number in range(4))


def test_a_download_larger_than_memory_takes_none(server: Server) -> None:
    size = 100 * 2**30
    server.fs.produce("big", size, lambda offset, length: os.urandom(8) * (length // 8 + 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with sftp(server) as client, client.open("/big", bufsize=0) as file:
        assert file.stat().st_size == size
        for offset in range(0, size, size // 200):
            file.seek(offset)
            assert len(file.read(100_000)) == 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_million_names_are_listed(server: Server) -> None:
    """Counted over a session without SSH, which is not what this is about."""
    fs = MemoryFileSystem()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fs.fill("d", 1_000_000)
    with Asked(fs) as asked:
        handle = asked.ask(m.Opendir(1, b"/d")).body[4:]
        count = 0
        while (reply := asked.ask(m.Readdir(1, handle))).type == 104:
            count += int.from_bytes(reply.body[:4], "big")
    assert count == 1_000_002
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 * 1024


def test_a_client_may_resume_its_upload(server: Server) -> None:
    with sftp(server) as client:
        with client.open("/f", "wb") as file:
            file.write(b"first ")
        with client.open("/f", "ab") as file:
            file.write(b"second")
        with client.open("/f", "r+b") as file:
            file.seek(0)
            file.write(b"FIRST")
        assert client.open("/f").read() == b"FIRST second"
        assert isinstance(client, paramiko.SFTPClient)
