"""Recordings, and both ways of playing them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from libsshd import testing
from libsshd.constants import Packet
from libsshd.testing import Recording, Server
from libsshd.testing.recording import content_masked, with_handles
from libsshd.wire.buffer import string, u8, u32, u64
from tests.testing.clients import failure_of, sftp

FILES = {"in/a.csv": b"0123456789", "in/b.csv": b"b"}


def work(client: paramiko.SFTPClient) -> dict[str, object]:
    """All kinds of requests; what they gave."""
    with client.open("/in/a.csv") as file:
        content = file.read()
    with client.open("/out", "wb") as file:
        file.write(b"new")
    client.posix_rename("/out", "/out2")
    return {
        "content": content,
        "names": sorted(client.listdir("/in")),
        "size": client.stat("/in/a.csv").st_size,
        "missing": failure_of(client.stat, "/none"),
    }


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "session.jsonl"
    with testing.server(FILES, record=path) as server, sftp(server) as client:
        work(client)
    return path


@pytest.fixture
def other() -> Iterator[Server]:
    with testing.server(FILES) as server:
        yield server


def differences(recording: Path, server: Server, **options: bool) -> list[str]:
    found = testing.rerun(recording, server.host, server.port, server.user, server.password, **options)
    return [f"{one.request} {one.path}" for one in found]


def test_a_replay_answers_the_same_again_and_again(recorded: Path) -> None:
    with testing.server(FILES) as server, sftp(server) as client:
        expected = work(client)
    with testing.server(replay=recorded) as server:
        for _ in range(2):
            with sftp(server) as client:
                assert work(client) == expected
        assert server.fs.tree() == {}
        assert server.log.of("READ").first.path is None, "there is no file behind the handle"


def test_what_was_never_asked_fails_the_test(recorded: Path) -> None:
    with (
        pytest.raises(AssertionError, match="not in the recording: STAT /other"),
        testing.server(replay=recorded) as s,
        sftp(s) as client,
    ):
        assert "Not in the recording" in failure_of(client.stat, "/other")


def test_a_replay_follows_what_changes(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    with testing.server(record=path) as server, sftp(server) as client:
        for _ in range(3):
            with client.open("/f", "ab") as file:
                file.write(b"x")
            assert client.stat("/f").st_size
    with testing.server(replay=path) as server, sftp(server) as client:
        sizes = [client.stat("/f").st_size for _ in range(5)]
    assert sizes == [1, 2, 3, 3, 3]


def test_faults_are_recorded_as_they_were_seen(tmp_path: Path) -> None:
    path = tmp_path / "fault"
    with testing.server({"f": b"x"}, record=path) as server:
        server.faults.on("STAT", nth=1).fail("PERMISSION_DENIED", "Recorded")
        with sftp(server) as client:
            assert "Recorded" in failure_of(client.stat, "/f")
    with testing.server(replay=path) as server, sftp(server) as client:
        assert "Recorded" in failure_of(client.stat, "/f")


def test_later_versions_are_replayed_as_such(tmp_path: Path) -> None:
    import asyncio

    import asyncssh

    async def look(server: Server) -> object:
        async with (
            asyncssh.connect(
                server.host, server.port, username=server.user, password=server.password, known_hosts=None,
                client_keys=None, agent_path=None, config=None,
            ) as ssh,
            ssh.start_sftp_client(sftp_version=6) as client,
        ):  # fmt: skip
            attributes = await client.stat("/f")
            return client.version, attributes.size, attributes.owner

    path = tmp_path / "six"
    with testing.server({"f": b"x"}, record=path) as server:
        expected = asyncio.run(look(server))
    with testing.server(replay=path) as server:
        assert asyncio.run(look(server)) == expected
        assert server.log.of("STAT").last.reply is not None


def test_the_same_server_shows_no_difference(recorded: Path, other: Server) -> None:
    assert differences(recorded, other) == []
    other.expect.no_open_handles()


def test_another_answer_is_a_difference(recorded: Path, other: Server) -> None:
    other.fs["in/a.csv"] = b"012345678X"
    other.fs["in/c.csv"] = b""
    assert differences(recorded, other) == ["READ /in/a.csv", "READDIR /in"]
    other.fs["none"] = b""
    (found,) = (
        one
        for one in testing.rerun(recorded, other.host, other.port, other.user, other.password)
        if one.path == "/none"
    )
    assert str(found).startswith(f"{found.number} STAT /none: expected STATUS 2, found ATTRS size=0")


def test_times_count_only_if_they_are_to(recorded: Path, other: Server) -> None:
    other.fs.set("in/a.csv", mtime=5)
    assert differences(recorded, other) == []
    assert "STAT /in/a.csv" in differences(recorded, other, strict=True)


def test_masked_contents_are_zeros_and_still_replayed(tmp_path: Path, other: Server) -> None:
    path = tmp_path / "masked"
    with testing.server({"secret": b"SECRET"}) as server:
        server.record(path, mask_data=True)
        with sftp(server) as client:
            with client.open("/secret") as file:
                assert file.read() == b"SECRET"
            with client.open("/up", "wb") as file:
                file.write(b"PRIVATE")
    text = path.read_text()
    loaded = Recording.load(path)
    packets = b"".join(one.packet + one.reply for one in loaded.exchanges)
    assert loaded.masked
    assert b"SECRET" not in packets
    assert b"PRIVATE" not in packets
    assert "/secret" in text, "names stay"
    with testing.server(replay=path) as server, sftp(server) as client:
        with client.open("/secret") as file:
            assert file.read() == bytes(6)
        with client.open("/up", "wb") as file:
            file.write(b"another")
    with pytest.raises(ValueError, match="masked"):
        differences(path, other)


def test_no_password_is_ever_in_it(recorded: Path) -> None:
    text = recorded.read_text()
    assert "secret" not in text
    assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("{}\n", "line 1 of .* is wrong"),
        ('{"libsshd-recording": 9, "masked": false}\n', "the format is 9, known is 1"),
        ('{"libsshd-recording": 1, "masked": false}\n{"number": 1}\n', "line 2 of .* is wrong: 'connection'"),
        ('{"libsshd-recording": 1, "masked": false}\nnot json\n', "line 2 of .* is wrong"),
    ],
)
def test_a_damaged_file_is_told_by_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "r").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        Recording.load(tmp_path / "r")


def test_handles_are_replaced_wherever_requests_carry_them() -> None:
    handles = {b"1": b"other", b"2": b"more"}
    close = u8(Packet.CLOSE) + u32(7)
    assert with_handles(close + string(b"1"), handles) == close + string(b"other")
    assert with_handles(close + string(b"9"), handles) == close + string(b"9")
    read = u8(Packet.READ) + u32(7)
    rest = u64(5) + u32(6)
    assert with_handles(read + string(b"2") + rest, handles) == read + string(b"more") + rest
    stat = u8(Packet.STAT) + u32(7) + string(b"1")
    assert with_handles(stat, handles) == stat, "a path is no handle"
    fsync = u8(Packet.EXTENDED) + u32(7) + string(b"fsync@openssh.com")
    assert with_handles(fsync + string(b"1"), handles) == fsync + string(b"other")
    copy = u8(Packet.EXTENDED) + u32(7) + string(b"copy-data")
    numbers = u64(1) + u64(2)
    found = with_handles(copy + string(b"1") + numbers + string(b"2") + u64(3), handles)
    assert found == copy + string(b"other") + numbers + string(b"more") + u64(3)


def test_of_a_write_only_the_content_is_masked() -> None:
    head = u8(Packet.WRITE) + u32(7) + string(b"h") + u64(3)
    assert content_masked(head + string(b"abc") + b"rest") == head + string(bytes(3)) + b"rest"
    assert content_masked(head) == head
    assert content_masked(b"\x05abc") == b"\x05abc"
