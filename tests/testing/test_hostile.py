"""Whatever a client sends, the harness itself does not fail: it logs it, and the server answers."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from libsshd import testing
from libsshd.constants import Packet
from libsshd.testing.client import Channel, Connection
from libsshd.wire.buffer import string, u8, u32, u64
from tests.conftest import Rounds

KINDS = [int(kind) for kind in Packet if kind not in (Packet.INIT, Packet.VERSION)]
NUMBERS = [u32(0), u32(3), u32(2**32 - 1), u64(0), u64(2**63)]
TEXTS = (
    b"/f",
    b"/d",
    b"1",
    b"2",
    b"copy-data",
    b"posix-rename@openssh.com",
    b"fsync@openssh.com",
    b"check-file-name",
)
PIECES = [*NUMBERS, *map(string, TEXTS)]


def request(dice: random.Random, number: int) -> bytes:
    """A packet of some type, made of what requests are made of, damaged more often than not."""
    body = bytearray(b"".join(dice.choice(PIECES) for _ in range(dice.randrange(6))))
    for _ in range(dice.randrange(3)):
        if body:
            body[dice.randrange(len(body))] = dice.randrange(256)
    return u8(dice.choice([*KINDS, dice.randrange(3, 256)])) + u32(number) + bytes(body)


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_hostile_packets_are_answered_and_logged(version: int, rounds: Rounds) -> None:
    dice = random.Random(version)
    with (
        testing.server({"f": b"x" * 100, "d/a": b""}) as server,
        closing(Connection(server.host, server.port, 20.0)) as connection,
    ):
        connection.session.userauth_password(server.user, server.password)
        channel = Channel(connection.session)
        channel.ask(u8(Packet.INIT) + u32(version))
        for number in range(rounds(1000, 100_000)):
            if number % 50 == 0:
                server.fs.clear()
                server.fs["f"] = b"x" * 100
                server.fs.make_directory("d")
            channel.ask(request(dice, number))
        assert server.errors == []
        assert len(server.log) > 1000
        assert "INIT" in str(server.log)
