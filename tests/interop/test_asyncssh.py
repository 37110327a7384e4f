"""asyncssh, whose client uses every extension it is offered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.support.connection import asyncssh_connection, asyncssh_options
from tests.support.place import MIB, Place, noise
from tests.support.server import Server

DEADLINE = 60.0
Work = Callable[[asyncssh.SFTPClient], Awaitable[None]]


def session(server: Server, work: Work, **options: Any) -> None:
    """Run `work` with an SFTP client, within the deadline."""

    async def whole() -> None:
        async with (
            asyncio.timeout(DEADLINE),
            asyncssh.connect(**{**asyncssh_options(server), **options}) as connection,
            connection.start_sftp_client() as sftp,
        ):
            await work(sftp)

    asyncio.run(whole())


def test_a_password_logs_in(running: Server) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        assert await sftp.realpath(".") == "/"

    session(running, work, client_keys=None, password=running.password)


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "mallory"}, {"password": ""}])
def test_a_wrong_password_or_name_is_refused(wrong: dict[str, str], running: Server) -> None:
    async def work(_: asyncssh.SFTPClient) -> None:
        pytest.fail("logged in")

    with pytest.raises(asyncssh.PermissionDenied):
        session(running, work, **{"client_keys": None, "password": running.password, **wrong})


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa"])
def test_every_key_type_logs_in(kind: str, running: Server) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        assert await sftp.realpath(".") == "/"

    session(running, work, client_keys=[str(running.keys.user[kind])])


@pytest.mark.parametrize(
    "cipher",
    ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"],
)
def test_keys_change_in_the_middle_of_transfers(cipher: str, running: Server, place: Place, tmp_path: Path) -> None:
    data = noise(4 * MIB + 9)
    (tmp_path / "source").write_bytes(data)

    async def work(sftp: asyncssh.SFTPClient) -> None:
        await sftp.put(tmp_path / "source", place.text("file"))
        await sftp.get(place.text("file"), tmp_path / "back")

    session(running, work, encryption_algs=[cipher], rekey_bytes=1 << 19)
    assert place.read("file") == (tmp_path / "back").read_bytes() == data


@pytest.mark.parametrize("requests", [1, 128])
@pytest.mark.parametrize("block", [1000, 32768, 261_120])
def test_blocks_and_requests_in_flight(
    block: int, requests: int, running: Server, place: Place, tmp_path: Path
) -> None:
    data = noise(300 * block // (300 if block > 1000 else 1) + 7)
    (tmp_path / "source").write_bytes(data)

    async def work(sftp: asyncssh.SFTPClient) -> None:
        source, file, back = tmp_path / "source", place.text("file"), tmp_path / "back"
        await sftp.put(source, file, block_size=block, max_requests=requests)
        await sftp.get(file, back, block_size=block, max_requests=requests)

    session(running, work)
    assert place.read("file") == (tmp_path / "back").read_bytes() == data


def test_trees_are_copied_with_their_attributes(running: Server, place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub/empty").mkdir(parents=True)
    (source / "sub/file").write_bytes(b"content")
    (source / "sub/file").chmod(0o640)
    os.utime(source / "sub/file", (1_000_000_001, 1_000_000_002))

    async def work(sftp: asyncssh.SFTPClient) -> None:
        await sftp.put(source, place.text("copy"), recurse=True, preserve=True)
        await sftp.get(place.text("copy"), tmp_path / "back", recurse=True, preserve=True)

    session(running, work)
    for root in (place.path / "copy", tmp_path / "back"):
        status = (root / "sub/file").stat()
        assert (status.st_mode & 0o7777, status.st_mtime, status.st_size) == (0o640, 1_000_000_002, 7)
        assert (root / "sub/empty").is_dir()


def test_links_are_copied_as_links(running: Server, place: Place, tmp_path: Path) -> None:
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/sub/link").symlink_to("../elsewhere")  # asyncssh follows none out of what it downloads

    async def work(sftp: asyncssh.SFTPClient) -> None:
        await sftp.put(tmp_path / "source", place.text("copy"), recurse=True)
        await sftp.get(place.text("copy"), tmp_path / "back", recurse=True)

    session(running, work)
    stored = [os.readlink(root / "sub/link") for root in (place.path / "copy", tmp_path / "back")]
    assert stored == ["../elsewhere", "../elsewhere"]


def test_every_request_and_extension(running: Server, place: Place) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        assert sftp.version == 3
        await sftp.chdir(place.remote.decode())
        await sftp.makedirs("a/b/c")
        async with sftp.open("a/file", "wb") as file:
            await file.write(b"0123456789")
            await file.fsync()
            await file.utime((1, 2))
            assert (await file.stat()).mtime == 2
            assert (await file.statvfs()).namemax == os.statvfs(place.path).f_namemax
        await sftp.link("a/file", "a/hard")
        await sftp.symlink("file", "a/soft")
        assert await sftp.readlink("a/soft") == "file"
        await sftp.truncate("a/file", 4)
        assert await sftp.getsize("a/hard") == 4
        await sftp.utime("a/soft", (5, 6), follow_symlinks=False)
        assert ((await sftp.lstat("a/soft")).mtime, (await sftp.stat("a/soft")).mtime != 6) == (6, True)
        with pytest.raises(asyncssh.SFTPFailure):
            await sftp.rename("a/file", "a/hard")
        await sftp.posix_rename("a/soft", "a/file")
        assert await sftp.islink("a/file")
        assert sorted(await sftp.glob("a/*")) == ["a/b", "a/file", "a/hard"]
        assert {entry.filename async for entry in sftp.scandir("a")} == {".", "..", "b", "file", "hard"}
        assert (await sftp.statvfs("a")).blocks == os.statvfs(place.path).f_blocks
        await sftp.rmtree("a")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.stat("a")

    session(running, work)
    assert place.names() == set()


def test_limits_are_taken_from_the_server(running: Server) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        limits = sftp.limits
        assert (limits.max_read_len, limits.max_write_len) == (261_120, 261_120)

    session(running, work)


def test_a_sparse_file_is_fetched_whole(running: Server, place: Place, tmp_path: Path) -> None:
    with open(place.local("sparse"), "wb") as stream:
        stream.write(b"head")
        stream.seek(3 * MIB)
        stream.write(b"tail")

    async def work(sftp: asyncssh.SFTPClient) -> None:
        await sftp.get(place.text("sparse"), tmp_path / "back")

    session(running, work)
    assert (tmp_path / "back").read_bytes() == b"head" + bytes(3 * MIB - 4) + b"tail"


def test_requests_of_many_tasks_share_a_channel(running: Server, place: Place) -> None:
    async def one(sftp: asyncssh.SFTPClient, number: int) -> None:
        path = place.text(f"file{number}")
        async with sftp.open(path, "wb") as file:
            await file.write(noise(10_000, number))
        await sftp.rename(path, path + ".done")
        async with sftp.open(path + ".done", "rb") as file:
            content: object = await file.read()
        assert content == noise(10_000, number)

    async def work(sftp: asyncssh.SFTPClient) -> None:
        await asyncio.gather(*(one(sftp, number) for number in range(150)))

    session(running, work)
    assert place.names() == {b"file%d.done" % number for number in range(150)}


def test_a_client_that_closes_at_once_is_no_accident(running: Server) -> None:
    async def whole() -> None:
        async with asyncio.timeout(DEADLINE):
            for _ in range(10):
                async with asyncssh_connection(running) as connection:
                    sftp = await connection.start_sftp_client()
                    sftp.exit()
            async with asyncssh_connection(running) as connection, connection.start_sftp_client() as sftp:
                assert await sftp.realpath(".") == "/"

    asyncio.run(whole())
