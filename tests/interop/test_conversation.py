"""The conversation: version, order of replies, mistakes of the client, and how a channel ends."""

from __future__ import annotations

import os
from pathlib import Path

import paramiko
import pytest

from tests.support.place import Place, noise
from tests.support.rawsftp import (
    CREAT,
    NO_ATTRIBUTES,
    READ,
    WRITE,
    ChannelStream,
    Code,
    Cursor,
    RawSFTP,
    Type,
    string,
    u32,
    u64,
)
from tests.support.server import Server


def realpath(raw: RawSFTP, path: bytes) -> bytes:
    ((name, _, _),) = raw.ask(Type.REALPATH, string(path)).names
    return name


# The version and what is advertised with it


def test_the_version_is_3_with_the_extensions_of_openssh(raw: RawSFTP) -> None:
    assert raw.version == 3
    known = {
        b"posix-rename@openssh.com": b"1",
        b"statvfs@openssh.com": b"2",
        b"fstatvfs@openssh.com": b"2",
        b"hardlink@openssh.com": b"1",
        b"fsync@openssh.com": b"1",
        b"lsetstat@openssh.com": b"1",
        b"limits@openssh.com": b"1",
    }
    assert {name: raw.extensions.get(name) for name in known} == known


@pytest.mark.parametrize("version", [3, 4, 6, 0xFFFFFFFF])
def test_a_client_that_can_do_more_gets_the_last_version(version: int, transport: paramiko.Transport) -> None:
    raw = RawSFTP(ChannelStream(transport)).init(version)
    assert raw.version == min(version, 6)
    assert raw.extensions[b"versions"] == b"3,4,5,6"
    raw.close()


def test_limits_are_those_of_openssh_clients(raw: RawSFTP) -> None:
    cursor = Cursor(raw.extend(b"limits@openssh.com").extended)
    assert [cursor.u64() for _ in range(4)] == [262_144, 261_120, 261_120, 256]
    cursor.end()


# Order


def test_replies_come_in_the_order_of_the_requests(raw: RawSFTP, place: Place) -> None:
    """Quick ones behind slow ones, those the core answers behind those it does not."""
    handle = raw.open(place.write("file", noise(300_000)), READ | WRITE)
    path, opened = string(place.at("file")), string(handle)
    requests = []
    for turn in range(100):
        requests += [
            raw.request(Type.READ, opened, u64(turn * 1000), u32(1000)),
            raw.request(Type.STAT, path),
            raw.request(Type.WRITE, opened, u64(turn * 1000), string(b"x" * 1000)),
            raw.request(Type.MKDIR, string(place.at(f"dir{turn}")), NO_ATTRIBUTES),
            raw.request(Type.READ, opened, u64(turn * 1000), u32(1000)),
            raw.request(Type.EXTENDED, string(b"fsync@openssh.com"), opened),
            raw.request(Type.READ, string(b"none"), u64(0), u32(1)),
            raw.request(Type.OPENDIR, string(place.at("missing"))),
        ]
    first = raw.next_id - len(requests)
    raw.post_all(requests)
    replies = [raw.reply() for _ in requests]
    assert [reply.id for reply in replies] == list(range(first, raw.next_id))
    data = noise(300_000)
    for turn in range(100):
        before, status, wrote, made, after, synced, bad, missing = replies[turn * 8 : turn * 8 + 8]
        assert before.data == data[turn * 1000 : turn * 1000 + 1000]
        assert after.data == b"x" * 1000
        assert status.attributes.size == 300_000
        codes = [wrote.code, made.code, synced.code, bad.code, missing.code]
        assert codes == [Code.OK, Code.OK, Code.OK, Code.FAILURE, Code.NO_SUCH_FILE]


def test_requests_take_effect_in_order_without_waiting_for_replies(raw: RawSFTP, place: Place) -> None:
    """Some clients open files in a directory whose MKDIR is not answered yet."""
    requests = []
    for number in range(20):
        folder, file = place.at(f"dir{number}"), place.at(f"dir{number}/file")
        requests += [
            raw.request(Type.MKDIR, string(folder), NO_ATTRIBUTES),
            raw.request(Type.OPEN, string(file), u32(WRITE | CREAT), NO_ATTRIBUTES),
            raw.request(Type.RENAME, string(folder), string(place.at(f"moved{number}"))),
            raw.request(Type.STAT, string(place.at(f"moved{number}/file"))),
        ]
    raw.post_all(requests)
    types = [raw.reply().type for _ in requests]
    assert types == [Type.STATUS, Type.HANDLE, Type.STATUS, Type.ATTRS] * 20
    assert (place.path / "moved19/file").is_file()


def test_a_packet_may_arrive_byte_by_byte(raw: RawSFTP) -> None:
    packet = raw.request(Type.STAT, string(b"/"))
    for byte in u32(len(packet)) + packet:
        raw.literal(bytes([byte]))
    assert raw.reply().attributes.permissions is not None


# Mistakes of the client


@pytest.mark.parametrize("type_", [0, 21, 22, 23, 99, 101, 104, 150, 199, 201, 255])
def test_an_unknown_request_is_unsupported_and_the_channel_goes_on(type_: int, raw: RawSFTP) -> None:
    for fields in ([], [string(b"anything"), u64(7)]):
        assert raw.ask(type_, *fields).code == Code.OP_UNSUPPORTED
    assert realpath(raw, b".") == b"/"


@pytest.mark.parametrize("name", [b"", b"unknown@example.com", b"POSIX-RENAME@openssh.com", b"\xff\0"])
def test_an_unknown_extension_is_unsupported(name: bytes, raw: RawSFTP) -> None:
    assert raw.extend(name, string(b"anything")).code == Code.OP_UNSUPPORTED
    assert realpath(raw, b".") == b"/"


LONG = u32(0xFFFFFFFF) + b"short"
MALFORMED = {
    "OPEN without anything": (Type.OPEN, b""),
    "OPEN without flags": (Type.OPEN, string(b"/x")),
    "OPEN without attributes": (Type.OPEN, string(b"/x") + u32(CREAT | WRITE)),
    "OPEN with half a size": (Type.OPEN, string(b"/x") + u32(CREAT | WRITE) + u32(1) + u32(0)),
    "CLOSE without handle": (Type.CLOSE, b""),
    "CLOSE of a handle too long": (Type.CLOSE, LONG),
    "READ without length": (Type.READ, string(b"hand") + u64(0)),
    "READ of a handle too long": (Type.READ, LONG + u64(0) + u32(1)),
    "WRITE without data": (Type.WRITE, string(b"hand") + u64(0)),
    "WRITE with less data than said": (Type.WRITE, string(b"hand") + u64(0) + u32(100) + b"x" * 99),
    "WRITE with data of 4 GiB": (Type.WRITE, string(b"hand") + u64(0) + LONG),
    "STAT with a string too long": (Type.STAT, LONG),
    "STAT with three bytes": (Type.STAT, b"\0\0\0"),
    "SETSTAT without attributes": (Type.SETSTAT, string(b"/x")),
    "MKDIR with half a mode": (Type.MKDIR, string(b"/made") + u32(4) + b"\0\0"),
    "RENAME with one name": (Type.RENAME, string(b"/x")),
    "SYMLINK with one name": (Type.SYMLINK, string(b"/x")),
    "EXTENDED without name": (Type.EXTENDED, b""),
    "posix-rename with one name": (Type.EXTENDED, string(b"posix-rename@openssh.com") + string(b"/x")),
    "statvfs without path": (Type.EXTENDED, string(b"statvfs@openssh.com")),
    "lsetstat without attributes": (Type.EXTENDED, string(b"lsetstat@openssh.com") + string(b"/x")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_packet_is_a_bad_message_and_the_channel_goes_on(
    name: str, raw: RawSFTP, running: Server
) -> None:
    type_, body = MALFORMED[name]
    assert raw.ask(type_, body).code == Code.BAD_MESSAGE
    assert realpath(raw, b".") == b"/"
    assert not (running.root / "x").exists()
    assert not (running.root / "made").exists()


def test_a_malformed_packet_in_a_row_keeps_the_order(raw: RawSFTP) -> None:
    good = [raw.request(Type.STAT, string(b"/")), raw.request(Type.STAT, b"\0")]
    raw.post_all([*good, raw.request(77), raw.request(Type.STAT, string(b"/"))])
    replies = [raw.reply() for _ in range(4)]
    assert [reply.id for reply in replies] == list(range(raw.next_id - 4, raw.next_id))
    assert [reply.type for reply in replies] == [Type.ATTRS, Type.STATUS, Type.STATUS, Type.ATTRS]
    assert (replies[1].code, replies[2].code) == (Code.BAD_MESSAGE, Code.OP_UNSUPPORTED)


@pytest.mark.parametrize("length", [0, (1 << 18) + 1, 1 << 31, (1 << 32) - 1])
def test_impossible_framing_ends_the_channel_and_no_other(
    length: int, transport: paramiko.Transport, raw: RawSFTP
) -> None:
    broken = RawSFTP(ChannelStream(transport)).init()
    broken.literal(u32(length) + b"\0" * 16)
    with pytest.raises(EOFError):
        broken.packet()
    broken.close()
    assert realpath(raw, b".") == b"/"


@pytest.mark.parametrize("type_", [Type.INIT, Type.VERSION], ids=lambda type_: type_.name)
def test_a_second_negotiation_ends_the_channel_and_no_other(
    type_: Type, transport: paramiko.Transport, raw: RawSFTP
) -> None:
    """It has a version where others have their id, so nobody could be answered."""
    again = RawSFTP(ChannelStream(transport)).init()
    again.send(bytes([type_]) + u32(3))
    with pytest.raises(EOFError):
        again.packet()
    again.close()
    assert realpath(raw, b".") == b"/"


# The end


def test_the_channel_ends_with_exit_status_0(transport: paramiko.Transport) -> None:
    raw = RawSFTP(ChannelStream(transport)).init()
    assert isinstance(raw.stream, ChannelStream)
    raw.stream.channel.shutdown_write()
    assert raw.stream.channel.status_event.wait(20)
    assert raw.stream.channel.exit_status == 0
    raw.close()


def test_the_channel_ends_with_exit_status_0_even_with_open_handles(
    transport: paramiko.Transport, place: Place
) -> None:
    raw = RawSFTP(ChannelStream(transport)).init()
    assert isinstance(raw.stream, ChannelStream)
    raw.open(place.at("file"), WRITE | CREAT)
    raw.stream.channel.shutdown_write()
    assert raw.stream.channel.status_event.wait(20)
    assert raw.stream.channel.exit_status == 0
    raw.close()


def test_the_root_on_disk_appears_in_no_reply(raw: RawSFTP, running: Server, place: Place) -> None:
    """Errors, links and canonical names speak of the root as "/"."""
    secret = os.fsencode(Path(running.root).parent)
    place.write("file", b"")
    paths = [b"", b".", b"/", b"..", place.at("file"), place.at("file/x"), place.at("missing"), b"/" + b"x" * 300]
    for path in paths:
        for type_ in (Type.REALPATH, Type.STAT, Type.OPENDIR, Type.READLINK, Type.RMDIR):
            raw.post(type_, string(path))
            assert secret not in raw.packet()
