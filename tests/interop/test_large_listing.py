"""A listing of 100,000 entries is made as it is asked for, and fills its replies; version 6 tells where it ends."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.support.dialect import Dialect
from tests.support.rawsftp import Code, Type, string
from tests.support.stdio import StdioServer

SIX = Dialect(6)
ENTRIES = 100_000
HELD = 4 << 20
"""Bytes; all entries at once would take some 60 MiB as values, 13 MiB as packets."""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A directory of 100,000 names for one object."""
    directory = tmp_path / "large"
    directory.mkdir()
    (tmp_path / "object").touch()
    first = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(ENTRIES):
            os.symlink("x", f"a name like others {number:06}", dir_fd=first)
    finally:
        os.close(first)
    return directory


def test_a_large_directory_is_listed_in_full_replies_without_holding_it(large: Path) -> None:
    found, sizes = 0, []
    with StdioServer(RootedFileSystem(str(large))) as server:
        client = server.client.init()
        handle = client.ask(Type.OPENDIR, string(b"/")).handle
        tracemalloc.start()
        try:
            while (reply := client.ask(Type.READDIR, string(handle))).type == Type.NAME:
                sizes.append(len(reply.body))
                found += int.from_bytes(reply.body[:4], "big")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert reply.code == Code.EOF
    assert found == ENTRIES + 2
    assert peak < HELD
    assert all(30_000 < size < 34_000 for size in sizes[:-1]), "replies are filled, and no client's limit is passed"


@pytest.mark.parametrize("entries", [0, 1, 129, 2000])
def test_the_last_names_of_version_6_say_that_they_are_the_last(tmp_path: Path, entries: int) -> None:
    for number in range(entries):
        (tmp_path / f"a name like others {number:06}").touch()
    with StdioServer(RootedFileSystem(str(tmp_path)), Settings(protocol_version=6)) as server:
        client = server.client.init(6)
        handle = client.ask(Type.OPENDIR, string(b"/")).handle
        ends = []
        while (reply := client.ask(Type.READDIR, string(handle))).type == Type.NAME:
            cursor = reply.cursor(Type.NAME)
            for _ in range(cursor.u32()):
                cursor.string()
                SIX.read_attributes(cursor)
            ends.append(cursor.data[cursor.position :])
    assert reply.code == Code.EOF
    assert ends == [b""] * (len(ends) - 1) + [b"\x01"]
