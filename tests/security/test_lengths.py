"""Class 6: no length on the wire is believed before the bytes are there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.test_pressure import MIB, Meter
from tests.support.hostile import Channel, Peer
from tests.support.rawsftp import NO_ATTRIBUTES, READ, RawSFTP, Type, string, u32, u64
from tests.support.target import Target

LENGTHS = [0, 1, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1]
REPLIES = {Type.STATUS, Type.HANDLE, Type.DATA, Type.NAME, Type.ATTRS, Type.EXTENDED_REPLY}
PATH = string(b"/f")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("target"))
    (made.root / "f").write_bytes(bytes(300_000))
    yield made
    made.stop()


def attributes(flags: int, *fields: bytes) -> list[bytes]:
    return [u32(flags), *fields]


def requests(handle: bytes) -> dict[str, list[bytes]]:
    """Name: type, then fields; every uint32 of the layout, lengths included, begins an element or is one."""
    h = string(handle)
    times = attributes(8, u32(1), u32(1))
    extended = attributes(0x80000000, u32(1), string(b"x@example.com"), string(b"v"))
    some: dict[str, list[bytes]] = {
        "open": [b"\3", PATH, u32(READ), *attributes(0)],
        "open with attributes": [b"\3", PATH, u32(READ), *extended],
        "close": [b"\4", string(b"nobody")],
        "read": [b"\5", h, u64(0), u32(1000)],
        "write": [b"\6", h, u64(0), string(b"data")],
        "lstat": [b"\7", PATH],
        "fstat": [b"\x08", h],
        "setstat": [b"\x09", string(b"/gone"), *times],
        "setstat with extensions": [b"\x09", string(b"/gone"), *extended],
        "fsetstat": [b"\x0a", h, *times],
        "opendir": [b"\x0b", string(b"/gone")],
        "readdir": [b"\x0c", h],
        "remove": [b"\x0d", string(b"/gone")],
        "mkdir": [b"\x0e", string(b"/f"), NO_ATTRIBUTES],
        "rmdir": [b"\x0f", string(b"/gone")],
        "realpath": [b"\x10", PATH],
        "stat": [b"\x11", PATH],
        "rename": [b"\x12", string(b"/gone"), string(b"/gone2")],
        "readlink": [b"\x13", PATH],
        "symlink": [b"\x14", string(b"/t"), string(b"/f")],
    }
    for name, fields in {
        b"posix-rename@openssh.com": [string(b"/gone"), string(b"/gone2")],
        b"statvfs@openssh.com": [PATH],
        b"fstatvfs@openssh.com": [h],
        b"hardlink@openssh.com": [string(b"/gone"), string(b"/gone2")],
        b"fsync@openssh.com": [h],
        b"lsetstat@openssh.com": [string(b"/gone"), *times],
        b"limits@openssh.com": [],
        b"unknown@example.com": [string(b"x")],
    }.items():
        some[name.decode()] = [b"\xc8", string(name), *fields]
    return some


def damaged(fields: list[bytes], number: int) -> Iterator[bytes]:
    """The request with every length in place of each uint32; once with the bytes as they were, once cut behind it."""
    kind, *rest = fields
    whole = [kind, u32(number), *rest]
    for position in range(2, len(whole)):
        for length in LENGTHS:
            head = b"".join(whole[:position]) + u32(length)
            yield head + whole[position][4:] + b"".join(whole[position + 1 :])
            yield head


def kinds() -> list[str]:
    return list(requests(b"1"))


@pytest.mark.parametrize("kind", kinds())
def test_a_wrong_length_in_a_request_is_answered_and_takes_no_memory(target: Target, kind: str) -> None:
    with Peer(target.port) as peer:
        sftp = RawSFTP(peer.login().sftp()).init()
        handle = sftp.open(b"/f")
        sftp.read(handle, 0, 262_144)
        meter = Meter(target)
        for body in damaged(requests(handle)[kind], 77):
            sftp.send(body)
            reply = sftp.reply()
            assert (reply.id, reply.type in REPLIES) == (77, True), body
        assert sftp.stat(b"/f").size == 300_000
        assert meter.growth() <= MIB
    assert not target.crash()
    assert sorted(entry.name for entry in target.root.iterdir()) == ["f"]


@pytest.mark.parametrize("length", [length for length in LENGTHS if 0 < length <= 2**18])
def test_the_length_of_a_packet_is_believed_only_when_its_bytes_came(target: Target, length: int) -> None:
    with Peer(target.port) as peer:
        sftp = RawSFTP(peer.login().sftp()).init()
        sftp.open(b"/f")
        meter = Meter(target)
        for _ in range(9):
            peer.sftp().send(u32(length))
        assert sftp.stat(b"/f").size == 300_000
        assert meter.growth() <= MIB


@pytest.mark.parametrize("rest", [b"", u32(9), u32(9) + bytes(40)], ids=["bare", "with an id", "with zeros"])
def test_every_packet_type_is_answered_or_ends_its_channel(target: Target, rest: bytes) -> None:
    with Peer(target.port) as peer:
        peer.login()
        sftp = RawSFTP(peer.sftp()).init()
        for kind in range(256):
            sftp.send(bytes([kind]) + rest)
            try:
                assert sftp.reply().id == 9
            except EOFError:
                assert kind in (Type.INIT, Type.VERSION) or len(rest) < 4, "it has an id: it gets an answer"
                channel = sftp.stream
                assert isinstance(channel, Channel)
                peer.pump(lambda channel=channel: channel.closed, "CLOSE")  # type: ignore[misc]
                channel.close()
                peer.round_trip()
                sftp = RawSFTP(peer.sftp()).init()
    assert not target.crash()
