"""Recordings, and both ways of playing them again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import paramiko
import pytest

from libsshd import testing
from libsshd.constants import Packet
from libsshd.testing import Recording, Server
from libsshd.testing.client import Channel, Connection
from libsshd.testing.recording import content_masked, with_handles
from libsshd.wire.buffer import string, u8, u32, u64
from libsshd.wire.codec import codec_for
from libsshd.wire.replies import NameReply, decode_reply
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
    assert content_masked(head + u32(100) + b"abc") == head + u32(100) + bytes(3), "of one that is cut, too"
    assert content_masked(b"\x05abc") == b"\x05abc"


# --- what is rare ---


def ask(server: Server, *packets: bytes) -> list[bytes]:
    """Sends packets to a version 3 session one after the other, the first of them without waiting; the replies."""
    with closing(Connection(server.host, server.port, 10.0)) as connection:
        connection.session.userauth_password(server.user, server.password)
        channel = Channel(connection.session)
        channel.ask(u8(Packet.INIT) + u32(3))
        channel.send(packets[0])
        return [channel.ask(packet) for packet in packets[1:]]


def numbers(replies: list[bytes]) -> list[int]:
    return [int.from_bytes(reply[5:9], "big") for reply in replies]


def test_replies_in_another_order_are_recorded_and_replayed_so(tmp_path: Path) -> None:
    stats = [u8(Packet.STAT) + u32(number) + string(b"/f") for number in (1, 2, 3)]
    with testing.server({"f": b"x"}, record=tmp_path / "r") as server:
        server.faults.on("STAT", nth=1).reorder()
        seen = ask(server, *stats)
    assert numbers(seen) == [2, 1]
    with testing.server(replay=tmp_path / "r") as server:
        assert ask(server, *stats) == seen


def test_a_content_that_comes_behind_another_reply_is_masked_too(tmp_path: Path) -> None:
    opening = u8(Packet.OPEN) + u32(2) + string(b"/f") + u32(1) + u32(0)
    reading = u8(Packet.READ) + u32(3) + string(b"1") + u64(0) + u32(6)
    stats = [u8(Packet.STAT) + u32(number) + string(b"/f") for number in (1, 4, 5)]
    with testing.server({"f": b"SECRET"}) as server:
        server.record(tmp_path / "r", mask_data=True)
        server.faults.on("READ").reorder()
        seen = ask(server, stats[0], opening, reading, stats[1], stats[2])
    assert numbers(seen) == [1, 2, 4, 3]
    assert seen[3][-6:] == b"SECRET"
    replies = [one.reply for one in Recording.load(tmp_path / "r").exchanges]
    assert all(b"SECRET" not in reply for reply in replies)
    assert any(reply.endswith(bytes(6)) for reply in replies)


def test_the_part_of_a_reply_that_came_is_recorded(tmp_path: Path) -> None:
    with testing.server({"f": b"x"}, record=tmp_path / "r") as server:
        server.faults.on("STAT").truncate(7)
        with sftp(server) as client, pytest.raises(paramiko.SSHException):
            client.stat("/f")
        assert server.log.of("STAT").last.status is None
    last = Recording.load(tmp_path / "r").exchanges[-1]
    assert (last.lost, last.faults, len(last.reply)) == (True, ("truncate",), 7)


def test_what_a_fault_did_is_no_difference(tmp_path: Path, other: Server) -> None:
    with testing.server(FILES, record=tmp_path / "r") as server:
        server.faults.on("STAT").fail("PERMISSION_DENIED")
        server.faults.on("OPEN").duplicate()
        server.faults.on("READDIR", nth=1).fail()
        with sftp(server) as client:
            failure_of(client.stat, "/in/a.csv")
            failure_of(client.listdir, "/in")
            with client.open("/in/a.csv") as file:
                assert file.read() == FILES["in/a.csv"]
    assert differences(tmp_path / "r", other) == []
    other.expect.requested("STAT", path="/in/a.csv")
    other.expect.requested("READ", path="/in/a.csv")


def test_every_connection_is_one_again(tmp_path: Path, other: Server) -> None:
    with testing.server(FILES, record=tmp_path / "r") as server:
        for _ in range(12):
            with sftp(server) as client:
                client.stat("/in")
    assert differences(tmp_path / "r", other) == []
    other.log.wait_for("DISCONNECT", count=12)
    assert [record.connection for record in other.log.of("STAT")] == list(range(1, 13))


def test_how_many_names_come_at_once_is_no_difference(tmp_path: Path, other: Server) -> None:
    path = tmp_path / "r"
    with testing.server(record=path) as server, sftp(server) as client:
        server.fs.fill("many", 500)
        client.listdir("/many")
    other.fs.fill("many", 500)
    lines = path.read_text().splitlines(keepends=True)
    first = next(at for at, line in enumerate(lines) if '"READDIR"' in line)
    fields = json.loads(lines[first])
    codec = codec_for(3)
    reply = decode_reply(codec, base64.b64decode(fields["reply"]))
    assert isinstance(reply, NameReply)
    parts = [
        json.dumps(fields | {"reply": base64.b64encode(codec.name(reply.request_id, list(part))).decode()}) + "\n"
        for part in (reply.entries[:10], reply.entries[10:])
    ]
    path.write_text("".join(lines[:first] + parts + lines[first + 1 :]))
    assert differences(path, other) == []
    other.fs["many/more"] = b""
    (found,) = testing.rerun(path, other.host, other.port, other.user, other.password)
    assert (found.expected, found.found) == ("500 names", "501 names, only here b'more'")


def test_a_tree_on_disk_is_no_other_than_one_in_memory(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    for name, content in FILES.items():
        (root / name).write_bytes(content)
    with testing.server(FILES, record=tmp_path / "r") as server:
        with sftp(server) as client:
            work(client)
            client.stat("/in")
        volume = u8(Packet.EXTENDED) + u32(2) + string(b"statvfs@openssh.com") + string(b"/")
        ask(server, u8(Packet.STAT) + u32(1) + string(b"/in"), volume)
    with testing.server(root_directory=str(root)) as server:
        assert differences(tmp_path / "r", server) == []


def test_a_damaged_request_is_asked_as_it_was(tmp_path: Path, other: Server) -> None:
    damaged = u8(Packet.CLOSE) + u32(1) + u32(100)
    with testing.server(record=tmp_path / "r") as server:
        seen = ask(server, damaged, u8(Packet.STAT) + u32(2) + string(b"/"))
    assert numbers(seen) == [1]
    assert differences(tmp_path / "r", other) == []


def test_a_channel_that_ends_is_one_difference(recorded: Path, other: Server) -> None:
    other.faults.on("READDIR").close_channel()
    found = testing.rerun(recorded, other.host, other.port, other.user, other.password)
    assert [(one.request, one.found) for one in found] == [("READDIR", "the end of the channel")]
