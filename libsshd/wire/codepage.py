"""Names and messages of version 3 in the encoding of a Windows code page (documented: CodePage).

Inside the server and on the disk names are bytes, taken for UTF-8 where their characters matter. Later versions of
the protocol are UTF-8 by definition.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from typing import ClassVar, get_args

from libsshd.constants import Status
from libsshd.errors import StatusError, status_text
from libsshd.wire.buffer import Malformed, string, text, u32
from libsshd.wire.messages import DirectoryEntry, Entry, Request
from libsshd.wire.v3 import V3

UTF_8 = 65001

_ISO_8859_PARTS = (*range(1, 12), *range(13, 17))
_NUMBERED = (
    37, 437, 500, 720, 737, 775, 850, 852, 855, 857, 858, *range(860, 867), 869, 874, 875, 932, 936, 949, 950, 1026,
    1140, *range(1250, 1259),
)  # fmt: skip
_CODECS: dict[int, str] = {
    **{page: f"cp{page:03}" for page in _NUMBERED},
    **{28590 + part: f"iso8859_{part}" for part in _ISO_8859_PARTS},
    1200: "utf_16_le",
    1201: "utf_16_be",
    1361: "johab",
    10000: "mac_roman",
    10004: "mac_arabic",
    10006: "mac_greek",
    10007: "mac_cyrillic",
    10010: "mac_romanian",
    10029: "mac_latin2",
    10079: "mac_iceland",
    10081: "mac_turkish",
    10082: "mac_croatian",
    12000: "utf_32_le",
    12001: "utf_32_be",
    20127: "ascii",
    20273: "cp273",
    20424: "cp424",
    20866: "koi8_r",
    20932: "euc_jp",
    20936: "gb2312",
    21866: "koi8_u",
    38598: "iso8859_8",
    50220: "iso2022_jp",
    50221: "iso2022_jp_ext",
    50222: "iso2022_jp_ext",
    50225: "iso2022_kr",
    51932: "euc_jp",
    51936: "gb2312",
    51949: "euc_kr",
    52936: "hz",
    54936: "gb18030",
    65000: "utf_7",
    UTF_8: "utf_8",
}


def codec_name(code_page: int) -> str:
    """Python's codec of a code page.

    Raises ValueError for what has none: 0 to 3 are another system's own settings, macOS numbers its encodings
    differently, and some old pages are not in Python.
    """
    try:
        return _CODECS[code_page]
    except KeyError:
        raise ValueError(
            f"Code page {code_page} is not supported; use the Windows number of a fixed encoding, "
            f"such as {UTF_8} (UTF-8), 1252 (Western European) or 932 (Japanese)."
        ) from None


class Translation:
    """Between a code page on the wire and UTF-8 inside. Raises ValueError as `codec_name` does.

    UTF-8 is not translated, and so not checked either: bytes stay as they are.
    """

    __slots__ = ("_codec", "code_page")

    def __init__(self, code_page: int) -> None:
        self._codec = codec_name(code_page)
        self.code_page = code_page

    def to_local(self, wire: bytes) -> bytes:
        """What came from the wire in UTF-8; raises Malformed for bytes that the code page does not have."""
        if self.code_page == UTF_8:
            return wire
        try:
            return wire.decode(self._codec).encode()
        except UnicodeError:
            raise Malformed(f"a name is not written in code page {self.code_page}") from None

    def to_wire(self, local: bytes, *, exact: bool = False) -> bytes:
        """UTF-8 for the wire. What the code page lacks, or is no UTF-8, is replaced, mostly by "?".

        With `exact` it is a StatusError instead.
        """
        if self.code_page == UTF_8:
            return local
        errors = "strict" if exact else "replace"
        with suppress(UnicodeError):
            characters = local.decode("utf_8", errors)
            wire = characters.encode(self._codec, errors)
            if not exact or wire.decode(self._codec) == characters:  # some codecs write two characters alike
                return wire
        raise StatusError(Status.INVALID_FILENAME, f"The name cannot be written in code page {self.code_page}")


_PATHS: dict[type, tuple[str, ...]] = {
    request: tuple(f.name for f in fields(request) if f.name == "path" or f.name.endswith("_path"))
    for request in get_args(Request)
}


class TranslatedV3(V3):
    """Version 3 with paths, long names and messages in a code page.

    A listing shows "?" where the code page lacks a character: such a file is seen but not reached. REALPATH and
    READLINK fail instead, since clients use their answers.
    """

    native_open: ClassVar[bool] = False

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        super().__init__()

    def decode(self, payload: bytes) -> Request:
        request = super().decode(payload)
        try:
            for name in _PATHS[type(request)]:
                setattr(request, name, self._translation.to_local(getattr(request, name)))
        except Malformed as malformed:
            malformed.request_id = request.request_id
            raise
        return request

    def _status_body(self, status: int, message: str, language: str) -> bytes:
        translated = self._translation.to_wire((message or status_text(status)).encode("utf-8", "replace"))
        return u32(self.known_status(status)) + string(translated) + text(language)

    def _entry(self, entry: DirectoryEntry, *, exact: bool) -> bytes:
        name = self._translation.to_wire(entry.name, exact=exact)
        return super().entry(Entry(name, self._translation.to_wire(entry.longname), entry.attributes))

    def entry(self, entry: DirectoryEntry) -> bytes:
        return self._entry(entry, exact=False)

    def name(self, request_id: int, entries: Sequence[DirectoryEntry]) -> bytes:
        encoded = [self._entry(entry, exact=True) for entry in entries]
        return self.names(request_id, len(encoded), b"".join(encoded))
