"""Extensions through clients that use them."""

from __future__ import annotations

import os
from pathlib import Path

import asyncssh

from tests.support.client import AsyncSSH, OpenSSH, sftp_quote
from tests.support.place import MIB, Place, noise
from tests.support.server import Server


def test_openssh_copies_on_the_server(running: Server, place: Place) -> None:
    data = noise(3 * MIB)
    source, copy = place.write("source", data), place.at("copy")
    OpenSSH(running).batch(b"cp " + sftp_quote(source) + b" " + sftp_quote(copy))
    assert place.read("copy") == data


def test_asyncssh_copies_on_the_server(running: Server, place: Place) -> None:
    data = noise(2 * MIB)
    source, copy = place.write("source", data), place.at("copy")

    async def work(sftp: asyncssh.SFTPClient) -> None:
        assert sftp.supports_remote_copy
        await sftp.remote_copy(source, copy)
        async with sftp.open(source, "rb") as read, sftp.open(copy, "r+b") as written:
            await sftp.remote_copy(read, written, src_offset=10, src_length=5, dst_offset=1)
        await sftp.copy(source, place.at("second"), remote_only=True)

    AsyncSSH(running).session(work)
    assert place.read("copy") == data[:1] + data[10:15] + data[6:]
    assert place.read("second") == data


def test_asyncssh_gets_a_sparse_file_as_one(running: Server, place: Place, tmp_path: Path) -> None:
    source, back = place.path / "sparse", tmp_path / "back"
    with source.open("wb") as stream:
        os.truncate(stream.fileno(), 1 << 40)
        for number in range(200):  # more than one reply has
            os.pwrite(stream.fileno(), b"data", number << 30)

    async def work(sftp: asyncssh.SFTPClient) -> None:
        async with sftp.open(place.at("sparse"), "rb") as file:
            found = [start async for start, _ in file.request_ranges(0, 1 << 40)]
            assert found == [number << 30 for number in range(200)]
        await sftp.get(place.at("sparse"), back)

    AsyncSSH(running).session(work)
    assert back.stat().st_blocks == source.stat().st_blocks
    with back.open("rb") as copy:
        assert [os.pread(copy.fileno(), 4, number << 30) for number in range(200)] == [b"data"] * 200
