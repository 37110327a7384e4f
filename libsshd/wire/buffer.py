"""The elementary types of RFC 4251, section 5: a reader that cannot leave its bytes, and writers.

Rule: a length from the wire is compared with what is left before anything is sliced or allocated.
"""

from struct import Struct, error

_U16 = Struct(">H")
_U32 = Struct(">I")
_U64 = Struct(">Q")
_I64 = Struct(">q")
_U32_PAIR = Struct(">2I")

_read_u32 = _U32.unpack_from
_read_u64 = _U64.unpack_from
_read_i64 = _I64.unpack_from
_read_u32_pair = _U32_PAIR.unpack_from

_TOO_SHORT = "a field runs past the end of the packet"


class Malformed(ValueError):  # noqa: N818 -- names the packet, not the handling
    """A packet whose bytes do not form the message its type byte announces.

    `request_id` is the request to answer with BAD_MESSAGE, None when the packet ended before it.
    """

    def __init__(self, message: str, request_id: int | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class Unsupported(ValueError):  # noqa: N818
    """A packet type or extension that is not served in this version of the protocol.

    `request_id` is the request to answer with OP_UNSUPPORTED (None in SSH messages, which have no such
    number); `extension` the name asked for, b"" when the packet type itself is unknown.
    """

    def __init__(self, message: str, request_id: int | None = None, extension: bytes = b"") -> None:
        super().__init__(message)
        self.request_id = request_id
        self.extension = extension


class Reader:
    """A cursor over one packet. Every method raises Malformed instead of reading past the end.

    After Malformed the position is undefined; the packet is to be dropped.
    """

    __slots__ = ("_data", "_pos")

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self._data = data
        self._pos = pos

    def u8(self) -> int:
        pos = self._pos
        self._pos = pos + 1
        try:
            return self._data[pos]
        except IndexError:
            raise Malformed(_TOO_SHORT) from None

    def boolean(self) -> bool:
        """RFC 4251: every value but zero is true."""
        return self.u8() != 0

    def u32(self) -> int:
        pos = self._pos
        self._pos = pos + 4
        try:
            return _read_u32(self._data, pos)[0]  # type: ignore[no-any-return]
        except error:
            raise Malformed(_TOO_SHORT) from None

    def u64(self) -> int:
        pos = self._pos
        self._pos = pos + 8
        try:
            return _read_u64(self._data, pos)[0]  # type: ignore[no-any-return]
        except error:
            raise Malformed(_TOO_SHORT) from None

    def i64(self) -> int:
        """Two's complement (draft-13, section 4.2)."""
        pos = self._pos
        self._pos = pos + 8
        try:
            return _read_i64(self._data, pos)[0]  # type: ignore[no-any-return]
        except error:
            raise Malformed(_TOO_SHORT) from None

    def u32_pair(self) -> tuple[int, int]:
        """Two uint32 that only come together."""
        pos = self._pos
        self._pos = pos + 8
        try:
            return _read_u32_pair(self._data, pos)
        except error:
            raise Malformed(_TOO_SHORT) from None

    def string(self) -> bytes:
        data = self._data
        pos = self._pos
        start = pos + 4
        try:
            end: int = start + _read_u32(data, pos)[0]
        except error:
            raise Malformed(_TOO_SHORT) from None
        if end > len(data):
            raise Malformed(_TOO_SHORT)
        self._pos = end
        return data[start:end]

    def count(self, size: int) -> int:
        """A uint32 number of items of at least `size` bytes each, checked against what is left."""
        count = self.u32()
        if count * size > len(self._data) - self._pos:
            raise Malformed("more items announced than the packet can hold")
        return count

    def rest(self) -> bytes:
        """Everything not read yet."""
        pos = self._pos
        self._pos = len(self._data)
        return self._data[pos:]

    @property
    def position(self) -> int:
        """Number of bytes before the next field."""
        return self._pos

    @property
    def at_end(self) -> bool:
        return self._pos >= len(self._data)

    def finish(self) -> None:
        """Raises Malformed if anything is left, for messages that must end with their last field."""
        if self._pos < len(self._data):
            raise Malformed("bytes follow the last field")


def u8(value: int) -> bytes:
    return bytes((value,))


def boolean(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def u16(value: int) -> bytes:
    """Draft-13, section 4.2."""
    return _U16.pack(value)


def u32(value: int) -> bytes:
    return _U32.pack(value)


def u64(value: int) -> bytes:
    return _U64.pack(value)


def i64(value: int) -> bytes:
    return _I64.pack(value)


def string(value: bytes) -> bytes:
    """A uint32 length and the bytes: also the frame around an SFTP packet."""
    return _U32.pack(len(value)) + value


def text(value: str) -> bytes:
    """A string in UTF-8; what UTF-8 cannot express (surrogates from file names) becomes a question mark."""
    return string(value.encode("utf-8", "replace"))
