"""Assertions where a client does what is rare: renames to and fro, handles given twice, files without an end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from libsshd import testing
from libsshd.testing import Server
from tests.testing.clients import sftp

_HUGE = 100 * 2**30


@pytest.fixture
def server() -> Iterator[Server]:
    with testing.server(files={"f": b"content", "empty": b""}) as started:
        started.expect.within = 0.3
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[paramiko.SFTPClient]:
    with sftp(server) as opened:
        yield opened


def test_what_was_only_renamed_was_not_uploaded(server: Server, client: paramiko.SFTPClient) -> None:
    client.posix_rename("/f", "/g")
    client.posix_rename("/g", "/f")
    with pytest.raises(AssertionError, match="f was not written and closed"):
        server.expect.uploaded("f")


def test_an_upload_may_get_its_name_before_it_is_closed(server: Server, client: paramiko.SFTPClient) -> None:
    with client.open("/out.tmp", "wb") as file:
        file.write(b"abc")
        client.posix_rename("/out.tmp", "/out")
    server.expect.uploaded("out", b"abc")


def test_what_is_closed_after_its_name_went_to_another_is_not_that_one(
    server: Server, client: paramiko.SFTPClient
) -> None:
    client.posix_rename("/f", "/old")
    client.open("/f", "wb").close()
    with pytest.raises(AssertionError, match="old was not written and closed"):
        server.expect.uploaded("old")


def test_a_handle_given_twice_has_to_be_closed_twice(tmp_path: Path) -> None:
    with testing.server({"f": b""}, record=tmp_path / "r") as server, sftp(server) as client:
        client.open("/f").close()
    with testing.server(replay=tmp_path / "r") as server, sftp(server) as client:
        server.expect.within = 0.3
        client.open("/f").close()
        server.expect.no_open_handles()
        file = client.open("/f")
        assert len({getattr(record.reply, "handle", None) for record in server.log.of("OPEN")}) == 1
        with pytest.raises(AssertionError, match="never closed: /f"):
            server.expect.no_open_handles()
        file.close()
        server.expect.no_open_handles()


def test_a_file_without_an_end_is_not_made_to_know_its_length(server: Server, client: paramiko.SFTPClient) -> None:
    lengths: list[int] = []

    def produced(_: int, length: int) -> bytes:
        lengths.append(length)
        return bytes(length)

    server.fs.produce("huge", _HUGE, produced)
    with client.open("/huge", bufsize=0) as file:
        file.read(10)
    with pytest.raises(AssertionError, match=f"huge was not read to its end at {_HUGE}"):
        server.expect.downloaded("huge")
    assert max(lengths) < 2**20


def test_a_download_needs_a_file_that_was_opened(server: Server, client: paramiko.SFTPClient) -> None:
    with pytest.raises(AssertionError, match="there is no file none"):
        server.expect.downloaded("none")
    with pytest.raises(AssertionError, match="empty was not read"):
        server.expect.downloaded("empty")
    with client.open("/empty") as file:
        assert file.read() == b""
    server.expect.downloaded("empty")


def test_a_download_from_a_directory_is_seen_too(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    with testing.server(root_directory=str(tmp_path)) as server, sftp(server) as client:
        with client.open("/f") as file:
            file.read()
        server.expect.downloaded("f")


def test_names_of_any_bytes_can_be_printed(server: Server, client: paramiko.SFTPClient) -> None:
    with pytest.raises(FileNotFoundError):
        client.stat(b"/\xff\x1b[2J\n\xc3\xa4")
    (line,) = (line for line in str(server.log).splitlines() if "STAT" in line)
    assert "/\\xff\\x1b[2J\\nä " in line
    with pytest.raises(AssertionError, match=r"STAT came 1 times, first for /\\xff\\x1b") as failed:
        server.expect.not_requested("STAT")
    assert str(failed.value).encode()
