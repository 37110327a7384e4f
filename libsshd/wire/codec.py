"""Picks the codec of a protocol version, and negotiates that version.

All replies begin with their uint32 length, ready to be sent; packets to decode come without it.
"""

from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

from libsshd.constants import Packet
from libsshd.wire.buffer import Malformed, Reader, string, u8, u32
from libsshd.wire.codepage import UTF_8, TranslatedV3, Translation
from libsshd.wire.v3 import V3
from libsshd.wire.v4 import V4
from libsshd.wire.v5 import V5
from libsshd.wire.v6 import V6

Codec: TypeAlias = V3
"""What every version can do: the later ones derive from version 3."""

_CODECS: dict[int, Codec] = {codec.version: codec for codec in (V3(), V4(), V5(), V6())}


def codec_for(version: int, translation: Translation | None = None) -> Codec:
    """The codec of a negotiated version; raises ValueError for a version that is not spoken here.

    `translation` matters in version 3 alone, the only one whose names are not UTF-8 by definition.
    """
    if translation is not None and version == V3.version and translation.code_page != UTF_8:
        return _translated(translation.code_page)
    try:
        return _CODECS[version]
    except KeyError:
        raise ValueError(f"SFTP version {version} is not supported") from None


@cache
def _translated(code_page: int) -> Codec:
    return TranslatedV3(Translation(code_page))


def decode_init(payload: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The client's version and extension pairs from INIT (draft-02, section 4); raises Malformed."""
    r = Reader(payload)
    if r.u8() != Packet.INIT:
        raise Malformed("the first packet is not INIT")
    version = r.u32()
    extensions = []
    while not r.at_end:
        extensions.append((r.string(), r.string()))
    return version, extensions


def encode_version(version: int, extensions: Iterable[tuple[bytes, bytes]]) -> bytes:
    """VERSION, the answer to INIT."""
    pairs = b"".join(string(name) + string(data) for name, data in extensions)
    return string(u8(Packet.VERSION) + u32(version) + pairs)
