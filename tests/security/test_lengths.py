"""Class 6: no length on the wire is believed before the bytes are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import pytest

from tests.security.test_floods import MIB, Meter
from tests.support.hostile import Channel, Peer
from tests.support.rawsftp import NO_ATTRIBUTES, READ, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Gone, Message, message
from tests.support.target import Target
from tests.wire.later_packets import OF_VERSION
from tests.wire.packets import Literal

LENGTHS = [0, 1, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1]
REPLIES = {Type.STATUS, Type.HANDLE, Type.DATA, Type.NAME, Type.ATTRS, Type.EXTENDED_REPLY}
PATH = string(b"/f")
LOGIN = 3.0
"""Seconds that a login may take."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("target"), login_timeout=LOGIN, max_auth_attempts=0, failure_delay=0.0)
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


# --- every request of every version ---

Fields = list[bytes]


def with_lengths(fields: Fields) -> Iterator[bytes]:
    """The message with every length in place of each uint32 that it has."""
    for position, field in enumerate(fields):
        if len(field) >= 4:
            for length in LENGTHS:
                yield b"".join(fields[:position]) + u32(length) + field[4:] + b"".join(fields[position + 1 :])


def misread(packet: Literal, number: int) -> Iterator[bytes]:
    """The request with every length at the beginning of each field behind its id."""
    kind, _, *rest = packet.parts
    for payload in with_lengths(list(rest)):
        yield kind + u32(number) + payload


class Asking:
    """A channel of one version; another is opened when the server has ended it."""

    def __init__(self, peer: Peer, version: int) -> None:
        self._peer, self._version = peer, version
        self.sftp = self._begin()

    def _begin(self) -> RawSFTP:
        return RawSFTP(self._peer.sftp()).init(self._version)

    def ask(self, body: bytes, number: int) -> None:
        self.sftp.send(body)
        try:
            reply = self.sftp.reply()
        except EOFError:
            channel = self.sftp.stream
            assert isinstance(channel, Channel)
            self._peer.pump(lambda: channel.closed, "CLOSE")
            channel.close()
            self.sftp = self._begin()
        else:
            assert (reply.id, reply.type in REPLIES) == (number, True), body


@pytest.mark.parametrize(("version", "name"), [(v, name) for v, table in OF_VERSION.items() for name in table])
def test_a_wrong_length_anywhere_in_a_request_is_answered_and_takes_no_memory(
    target: Target, version: int, name: str
) -> None:
    packet, _ = OF_VERSION[version][name]
    with Peer(target.port) as peer:
        peer.login()
        asking = Asking(peer, version)
        for body in islice(misread(packet, 77), 16):  # what is made once is there
            asking.ask(body, 77)
        meter = Meter(target)
        for body in misread(packet, 78):
            asking.ask(body, 78)
        assert meter.growth() <= MIB
    assert not target.crash()


# --- messages of SSH ---

NAMES = [b"curve25519-sha256", b"ssh-ed25519", *[b"aes128-gcm@openssh.com"] * 2, *[b"hmac-sha2-256"] * 2]
BEFORE_LOGIN: dict[str, Fields] = {
    "service": [b"\5", string(b"ssh-userauth")],
    "disconnect": [b"\1", u32(11), string(b"bye"), string(b"")],
    "debug": [b"\4", b"\0", string(b"text"), string(b"")],
    "ignore": [b"\2", string(b"text")],
    "ext-info": [b"\7", u32(1), string(b"name"), string(b"value")],
}
_AUTH = [b"\x32", string(b"alice"), string(b"ssh-connection")]
AT_LOGIN: dict[str, Fields] = {
    "password": [*_AUTH, string(b"password"), b"\0", string(b"wrong")],
    "offer": [*_AUTH, string(b"publickey"), b"\0", string(b"ssh-ed25519"), string(bytes(51))],
    "proof": [*_AUTH, string(b"publickey"), b"\1", string(b"ssh-ed25519"), string(bytes(51)), string(bytes(83))],
    "prompts": [*_AUTH, string(b"keyboard-interactive"), string(b""), string(b"")],
    "answers": [b"\x3d", u32(1), string(b"blue")],
}
LOGGED_IN: dict[str, Fields] = {
    "global request": [b"\x50", string(b"none@example.com"), b"\1", string(b"data")],
    "open": [b"\x5a", string(b"session"), u32(9), u32(1000), u32(1000)],
    "subsystem": [b"\x62", u32(0), string(b"subsystem"), b"\1", string(b"sftp")],
    "environment": [b"\x62", u32(0), string(b"env"), b"\1", string(b"A"), string(b"B")],
    "data": [b"\x5e", u32(0), string(b"data")],
    "extended data": [b"\x5f", u32(0), u32(1), string(b"data")],
    "window": [b"\x5d", u32(0), u32(1)],
}


def begun(target: Target, stage: str) -> Peer:
    peer = Peer(target.port)
    if stage == "logged in":
        peer.login().open_channel()
    elif stage == "at login":
        peer.connect().service()
    else:
        peer.connect()
    return peer


def is_settled(peer: Peer) -> bool:
    """Whether the server answers, or ends the connection."""
    with suppress(Gone):
        peer.send(message(Message.GLOBAL_REQUEST, string(b"none@example.com"), b"\1"))
        peer.receive(timeout=10.0)
    return True


STAGES = {"before login": BEFORE_LOGIN, "at login": AT_LOGIN, "logged in": LOGGED_IN}


@pytest.mark.parametrize(("stage", "kind"), [(stage, kind) for stage in STAGES for kind in STAGES[stage]])
def test_a_wrong_length_in_a_message_of_ssh_is_answered_or_the_end_and_takes_no_memory(
    target: Target, stage: str, kind: str
) -> None:
    begun(target, stage).close()
    meter = Meter(target)
    for payload in with_lengths(STAGES[stage][kind]):
        with begun(target, stage) as peer:
            with suppress(Gone):
                peer.send(payload)
            assert is_settled(peer), payload
    assert meter.growth() <= MIB
    assert not target.crash()


def kexinit(position: int, length: int) -> bytes:
    fields = [bytes([Message.KEXINIT]) + bytes(16), *map(string, NAMES), *[string(b"none")] * 2, *[string(b"")] * 2]
    fields[position] = u32(length) + fields[position][4:]
    return b"".join(fields) + b"\0" + u32(0)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_wrong_length_in_a_key_exchange_is_the_end_and_takes_no_memory(target: Target, length: int) -> None:
    begun(target, "before login").close()
    meter = Meter(target)
    for position in range(1, 11):
        with Peer(target.port) as peer:
            peer.greet().send(kexinit(position, length))
            assert peer.end_of_stream(10.0) or length == 0
    with Peer(target.port) as peer:
        peer.greet().send_kexinit()
        peer.await_kexinit()
        peer.send(message(Message.ECDH_INIT, u32(length) + bytes(32)))
        assert peer.end_of_stream(10.0)
    assert meter.growth() <= MIB


@pytest.mark.parametrize("length", LENGTHS)
def test_the_length_of_an_ssh_packet_is_not_believed(target: Target, length: int) -> None:
    """In the clear and encrypted: refused at once, or waited for no longer than a login may take."""
    begun(target, "before login").close()
    meter = Meter(target)
    with Peer(target.port) as plain, begun(target, "at login") as sealed:
        plain.greet().send_bytes(u32(length) + b"\4" + bytes(100))
        sealed.send_bytes(u32(length) + bytes(100))
        assert plain.end_of_stream(10.0)
        assert sealed.end_of_stream(10.0)
    assert meter.growth() <= MIB


# --- framing ---


@pytest.mark.parametrize("length", [length for length in LENGTHS if 0 < length <= 2**18])
def test_the_length_of_a_packet_is_believed_only_when_its_bytes_came(target: Target, length: int) -> None:
    with Peer(target.port) as peer:
        sftp = RawSFTP(peer.login().sftp()).init()
        sftp.open(b"/f")
        size = sftp.stat(b"/f").size  # requests to set it were answered before
        meter = Meter(target)
        for _ in range(9):
            peer.sftp().send(u32(length))
        assert sftp.stat(b"/f").size == size
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
