"""What each fault puts on the wire, seen by a client that looks at every byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import paramiko
import pytest
from ssh2.exceptions import SSH2Error

from libsshd import testing
from libsshd.constants import OpenFlags, Packet, Status
from libsshd.testing import Server
from libsshd.testing.client import Channel, Connection, RefusedError, Sftp
from libsshd.wire.buffer import string, u8, u32, u64
from libsshd.wire.codec import codec_for
from libsshd.wire.replies import DataReply, NameReply, StatusReply, VersionReply, decode_reply, split_packets

R, W = int(OpenFlags.READ), int(OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.TRUNC)
V3 = codec_for(3)


@pytest.fixture
def server() -> Iterator[Server]:
    with testing.server(files={"f": b"0123456789", "d/one": b"", "d/two": b""}) as started:
        yield started


@pytest.fixture
def channel(server: Server) -> Iterator[Channel]:
    with closing(Connection(server.host, server.port, 20.0)) as connection:
        connection.session.userauth_password(server.user, server.password)
        yield Channel(connection.session)


@pytest.fixture
def client(channel: Channel) -> Sftp:
    return Sftp(channel)


def stat_request(number: int, path: bytes = b"/f") -> bytes:
    return u8(Packet.STAT) + u32(number) + string(path)


def test_fail_answers_in_the_status_of_the_version(server: Server, client: Sftp) -> None:
    server.faults.on("STAT").fail(Status.NO_SPACE_ON_FILESYSTEM, "Full")
    with pytest.raises(RefusedError, match="FAILURE: Full"):
        client.stat(b"/f")
    server.faults.clear()
    server.faults.on("STAT").fail("no_such_file")
    with pytest.raises(RefusedError) as caught:
        client.stat(b"/f")
    assert caught.value.status == Status.NO_SUCH_FILE


def test_fail_does_nothing(server: Server, client: Sftp) -> None:
    server.faults.on("REMOVE").fail()
    with pytest.raises(RefusedError):
        client.change(Packet.REMOVE, b"/f")
    assert "f" in server.fs


def test_no_reply_does_what_is_asked(server: Server, channel: Channel, client: Sftp) -> None:
    server.faults.on("MKDIR").no_reply()
    channel.send(u8(Packet.MKDIR) + u32(7) + string(b"/new") + u32(0))
    assert channel.ask(stat_request(8, b"/new"))[5:9] == u32(8), "the answer to the next request comes first"
    assert "new" in server.fs


@pytest.mark.parametrize(("length", "expected"), [(None, b"01234"), (3, b"012"), (99, b"0123456789")])
def test_short_read_gives_less(server: Server, client: Sftp, length: int | None, expected: bytes) -> None:
    server.faults.on().short_read(length)
    with client.opened(b"/f", R) as handle:
        assert client.read(handle, 0, 100) == expected
        assert client.read(handle, 10, 100) == b"", "the end is still told"


def test_short_write_stores_less_and_says_ok(server: Server, client: Sftp) -> None:
    server.faults.on().short_write(4)
    client.put(b"/new", b"0123456789", W)
    assert server.fs["new"] == b"0123"


def test_corrupt_flips_the_byte_at_the_offset(server: Server, client: Sftp) -> None:
    server.faults.on("READ").corrupt(at=7, mask=1)
    with client.opened(b"/f", R) as handle:
        assert client.read(handle, 0, 100) == b"0123456689"
        assert client.read(handle, 5, 100) == b"56689"
        assert client.read(handle, 0, 3) == b"012", "the byte is not there"
    server.faults.clear()
    server.faults.on("WRITE").corrupt()
    client.put(b"/new", b"abc", W)
    assert server.fs["new"] == bytes([ord("a") ^ 0xFF]) + b"bc"


def test_disk_full_stores_what_fits_and_stays_full(server: Server, client: Sftp) -> None:
    server.faults.on().disk_full(after=7)
    handle = client.open(b"/new", W)
    client.write(handle, 0, b"01234")
    for offset in (5, 5, 20):
        with pytest.raises(RefusedError, match="No space left"):
            client.write(handle, offset, b"56789")
    assert server.fs["new"] == b"0123456"


def test_a_handle_that_died_is_dead_for_every_request(server: Server, client: Sftp) -> None:
    server.faults.on("READ", nth=2).kill_handle()
    handle, other = client.open(b"/f", R), client.open(b"/f", R)
    assert client.read(handle, 0, 1) == b"0"
    with pytest.raises(RefusedError):
        client.read(handle, 0, 1)
    with pytest.raises(RefusedError):
        client.close(handle)
    assert client.read(other, 0, 1) == b"0"


def test_a_rekey_happens_behind_the_answer(server: Server, client: Sftp) -> None:
    told: list[str] = []
    server.server.on_ssh_status = lambda e: told.append(e.message)
    server.faults.on().rekey()
    with client.opened(b"/f", R) as handle:
        assert client.read(handle, 0, 1) == b"0"
        assert client.read(handle, 1, 1) == b"1"
    assert any("begun by the server" in text for text in told)


def test_wrong_id_and_duplicate_and_reply_are_exact(server: Server, channel: Channel, client: Sftp) -> None:
    server.faults.on("STAT", nth=1).wrong_id(5)
    assert channel.ask(stat_request(70))[5:9] == u32(75)
    server.faults.clear()
    server.faults.on("STAT", nth=1).duplicate()
    first = channel.ask(stat_request(71))
    second = channel.ask(stat_request(72))
    assert (first[5:9], second) == (u32(71), first)
    server.log.wait_for("STAT", count=3)
    server.faults.clear()
    server.faults.on("STAT", nth=1).reply(b"\0\0\0\x05\xffabcd")
    assert channel.ask(stat_request(73))[5:9] == u32(72), "the answer that was left over"
    assert channel._read(9) == b"\0\0\0\x05\xffabcd"


def test_replies_change_places(server: Server, channel: Channel, client: Sftp) -> None:
    server.faults.on("STAT", nth=1).reorder()
    channel.send(stat_request(80))
    assert channel.ask(stat_request(81))[5:9] == u32(81)
    assert channel.ask(stat_request(82))[5:9] == u32(80)


def test_a_name_that_is_too_long_is_one_entry_of_the_listing(server: Server, client: Sftp) -> None:
    server.faults.on(nth=1).oversize_name(5000)
    names = sorted((entry.name for entry in client.entries(b"/d")), key=len)
    assert len(names[-1]) == 5000
    assert len(names) in (2, 3), "the first entry, which may be that of the directory itself"


def test_bad_attributes_end_too_early(server: Server, channel: Channel, client: Sftp) -> None:
    server.faults.on().bad_attributes()
    assert channel.ask(stat_request(90)) == string(u8(Packet.ATTRS) + u32(90) + b"\xff\xff\xff\xff")


def test_a_clock_that_is_ahead_is_ahead_in_listings_too(server: Server, client: Sftp) -> None:
    server.fs.set("f", mtime=1000)
    server.fs.set("d/one", mtime=2000)
    server.faults.on("*").skew_clock(60)
    assert client.stat(b"/f").mtime == 1060
    assert {entry.attributes.mtime for entry in client.entries(b"/d") if entry.name == b"one"} == {2060}
    assert client.stat(b"/f").size == 10


def test_no_eof_gives_nothing_for_ever(server: Server, channel: Channel, client: Sftp) -> None:
    server.faults.on("*").no_eof()
    handle = client.open(b"/f", R)
    for number in range(3):
        packet = channel.ask(u8(Packet.READ) + u32(number) + string(handle) + u64(10) + u32(5))
        assert decode_reply(V3, packet) == DataReply(number, b"")
    listing = decode_reply(V3, channel.ask(u8(Packet.OPENDIR) + u32(7) + string(b"/d")))
    for number in range(3):
        packet = channel.ask(u8(Packet.READDIR) + u32(number) + string(getattr(listing, "handle", b"")))
        reply = decode_reply(V3, packet)
    assert reply == NameReply(2, ())


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_answered_than_anybody_speaks(server: Server, channel: Channel, version: int) -> None:
    server.faults.on().refuse_version(version)
    assert decode_reply(V3, channel.ask(u8(Packet.INIT) + u32(3))) == VersionReply(version, ())


@pytest.mark.parametrize(("when", "share"), [("before", 0.0), ("during", 0.5), ("after", 1.0)])
@pytest.mark.parametrize("fault", ["disconnect", "close_channel"])
def test_an_end_comes_before_in_the_middle_of_or_behind_a_reply(
    server: Server, fault: str, when: str, share: float
) -> None:
    with paramiko.Transport((server.host, server.port)) as transport:
        transport.connect(username=server.user, password=server.password)
        channel = transport.open_session()
        channel.settimeout(20)
        channel.invoke_subsystem("sftp")
        channel.sendall(string(u8(Packet.INIT) + u32(3)) + string(stat_request(1)))
        server.log.wait_for("STAT")
        whole = string(u8(Packet.ATTRS) + u32(1) + V3.encode_attributes(server.fs.stat(b"/f")))
        received = b""
        while not received.endswith(whole):
            received += channel.recv(65536)
        server.faults.add({"on": "STAT", "do": {fault: {"when": when}}})
        channel.sendall(string(stat_request(1)))
        received = b""
        while part := channel.recv(65536):
            received += part
    assert received == whole[: int(len(whole) * share)]
    assert server.log.of("STAT").last.lost


def test_what_is_cut_is_followed_by_the_end_of_the_channel(server: Server, channel: Channel, client: Sftp) -> None:
    server.faults.on("STAT").truncate(6)
    channel.send(stat_request(1))
    assert channel._read(6)[4:6] == b"\x69\x00"
    assert channel._channel.read(10)[0] <= 0
    server.log.wait_for("STAT")


def test_a_stall_ends_with_its_client(server: Server) -> None:
    stalls = threading.Event()

    def stall(o: testing.Exchange, _: object) -> None:
        stalls.set()
        o.stall()

    server.faults.on("STAT").call(stall)
    with closing(Connection(server.host, server.port, 20.0)) as connection:
        connection.session.userauth_password(server.user, server.password)
        channel = Channel(connection.session)
        Sftp(channel)
        channel.send(stat_request(1))
        assert stalls.wait(20)
        connection._sock.close()
    server.log.wait_for("DISCONNECT")


def test_replies_that_were_queued_leave_before_a_delay(server: Server, channel: Channel, client: Sftp) -> None:
    release = threading.Event()

    def hold(o: testing.Exchange, proceed: object) -> bytes:
        o.pause(0.0)  # as a delay begins
        assert release.wait(20)
        return o.codec.status(o.request_id or 0, Status.OK)

    server.faults.on("LSTAT").call(hold)
    channel._channel.write(string(stat_request(1)) + string(u8(Packet.LSTAT) + u32(2) + string(b"/f")))
    assert channel._read(9)[5:9] == u32(1), "although the next one is held up"
    release.set()


def test_a_rekey_by_hand_and_a_drop(server: Server, client: Sftp) -> None:
    server.exchange_keys()
    assert client.stat(b"/f").size == 10
    server.drop_connections()
    with pytest.raises((OSError, EOFError, SSH2Error)):
        client.stat(b"/f")


def test_packets_are_whole_where_nothing_goes_wrong(server: Server, channel: Channel, client: Sftp) -> None:
    reply = channel.ask(u8(Packet.REALPATH) + u32(1) + string(b"."))
    assert split_packets(reply) == [reply]
    assert isinstance(decode_reply(V3, channel.ask(b"\xfe" + u32(3))), StatusReply)
    assert server.log.of("UNKNOWN").last.status == Status.OP_UNSUPPORTED
