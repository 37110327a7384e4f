"""The elementary types of RFC 4251, section 5."""

from collections.abc import Callable
from typing import Any

import pytest

from libsshd.wire import buffer
from libsshd.wire.buffer import Malformed, Reader

FIELDS: list[tuple[Callable[[Reader], Any], bytes, Any]] = [
    (Reader.u8, b"\xff", 255),
    (Reader.boolean, b"\x00", False),
    (Reader.boolean, b"\x02", True),
    (Reader.u32, b"\x29\xb7\xf4\xaa", 699921578),
    (Reader.u64, b"\x80\x00\x00\x00\x00\x00\x00\x01", 2**63 + 1),
    (Reader.u32_pair, b"\x00\x00\x00\x01\xff\xff\xff\xff", (1, 2**32 - 1)),
    (Reader.string, b"\x00\x00\x00\x07testing", b"testing"),
    (Reader.string, b"\x00\x00\x00\x00", b""),
]


@pytest.mark.parametrize(("read", "literal", "value"), FIELDS)
def test_a_field_is_read_from_where_the_reader_stands(read: Any, literal: bytes, value: Any) -> None:
    r = Reader(b"\xee" + literal + b"\xee", 1)
    assert read(r) == value
    assert r.position == 1 + len(literal)
    assert not r.at_end
    assert r.rest() == b"\xee"
    assert r.at_end


@pytest.mark.parametrize(("read", "literal", "value"), FIELDS)
def test_a_field_cut_short_is_malformed(read: Any, literal: bytes, value: Any) -> None:
    for end in range(len(literal)):
        with pytest.raises(Malformed):
            read(Reader(literal[:end]))


@pytest.mark.parametrize("read", [read for read, _, _ in FIELDS] + [lambda r: r.count(1)])
def test_nothing_is_read_from_behind_the_end(read: Any) -> None:
    with pytest.raises(Malformed):
        read(Reader(b"abc", 100))


def test_writers_write_what_readers_read() -> None:
    assert buffer.u8(255) == b"\xff"
    assert buffer.boolean(True) == b"\x01"
    assert buffer.boolean(False) == b"\x00"
    assert buffer.u32(699921578) == b"\x29\xb7\xf4\xaa"
    assert buffer.u64(2**63 + 1) == b"\x80\x00\x00\x00\x00\x00\x00\x01"
    assert buffer.string(b"testing") == b"\x00\x00\x00\x07testing"
    assert buffer.text("\u00e9") == b"\x00\x00\x00\x02\xc3\xa9"


def test_a_count_is_believed_only_if_the_items_can_be_there() -> None:
    assert Reader(b"\x00\x00\x00\x02" + bytes(8)).count(4) == 2
    with pytest.raises(Malformed):
        Reader(b"\x00\x00\x00\x03" + bytes(8)).count(4)


def test_finish_refuses_what_is_left() -> None:
    r = Reader(b"\x01\x02")
    r.u8()
    with pytest.raises(Malformed):
        r.finish()
    r.u8()
    r.finish()
