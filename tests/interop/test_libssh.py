"""ssh-python: libssh as a client, in small steps that other servers answer slowly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.connection import tcp
from tests.support.place import MIB, Place, noise
from tests.support.server import Server

library = pytest.importorskip("ssh.session", reason="ssh-python is not installed")
options = pytest.importorskip("ssh.options")
keys = pytest.importorskip("ssh.key")


@pytest.fixture
def sftp(running: Server) -> Iterator[Any]:
    with tcp(running) as sock:
        session = library.Session()
        session.options_set(options.USER, running.user)
        session.options_set(options.HOST, running.host)
        session.options_set_port(running.port)
        session.set_socket(sock)
        session.connect()
        session.userauth_publickey(keys.import_privkey_file(str(running.private_key)))
        client = session.sftp_new()
        client.init()
        yield client
        session.disconnect()


def test_20_mib_both_ways(sftp: Any, place: Place, tmp_path: Path) -> None:
    data = noise(20 * MIB + 1)
    with sftp.open(place.text("file"), os.O_WRONLY | os.O_CREAT, 0o644) as file:
        for start in range(0, len(data), 30_000):
            file.write(data[start : start + 30_000])
    assert place.read("file") == data
    with sftp.open(place.text("file"), os.O_RDONLY, 0) as file:
        assert b"".join(block for _, block in file) == data


def test_listing_and_attributes(sftp: Any, place: Place) -> None:
    place.write("file", b"12345")
    with sftp.opendir(place.text("")) as directory:
        found = {entry.name: entry.size for entry in directory}
    assert found[b"file"] == 5
    assert set(found) == {b".", b"..", b"file"}
    assert sftp.stat(place.text("file")).size == 5


def test_a_link_leads_where_it_shall(sftp: Any, place: Place) -> None:
    place.write("file", b"12345")
    sftp.symlink("file", place.text("link"))
    assert sftp.stat(place.text("link")).size == 5
    assert os.fsencode(sftp.readlink(place.text("link"))) == b"file"
