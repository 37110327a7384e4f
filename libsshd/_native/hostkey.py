"""Private keys, as libssh reads, makes and writes them."""

from ._core import ffi, lib
from .sftp import check

_TEXT_MAX = 64 * 1024


class Key:
    """A private key of type ssh-ed25519, ecdsa-sha2-nistp256/384/521 or ssh-rsa."""

    __slots__ = ("_k",)

    def __init__(self, key: object) -> None:
        self._k = ffi.gc(key, lib.sshd_key_free)

    @classmethod
    def parse(cls, text: str, passphrase: str | None = None) -> "Key":
        """Reads OpenSSH or PEM text. Raises OSError(EINVAL) when it is no usable key."""
        out = ffi.new("sshd_key **")
        secret = ffi.NULL if passphrase is None else passphrase.encode()
        check(lib.sshd_key_import(text.encode(), secret, out))
        return cls(out[0])

    @classmethod
    def generate(cls, key_type: str, bits: int = 3072) -> "Key":
        """Makes a key; `bits` counts for RSA only. Raises OSError(EINVAL) for an unknown type."""
        out = ffi.new("sshd_key **")
        check(lib.sshd_key_generate(key_type.encode(), bits, out))
        return cls(out[0])

    @property
    def type(self) -> str:
        """The public key algorithm, e.g. "ssh-ed25519"."""
        return bytes(ffi.string(lib.sshd_key_type(self._k))).decode()

    @property
    def public_blob(self) -> bytes:
        """The public key as it stands on the wire (RFC 4253 section 6.6)."""
        buffer = ffi.new("uint8_t[]", _TEXT_MAX)
        length = check(lib.sshd_key_public_blob(self._k, buffer, _TEXT_MAX))
        return bytes(ffi.buffer(buffer, length))

    @property
    def private_text(self) -> str:
        """The private key in OpenSSH's format, not encrypted."""
        buffer = ffi.new("char[]", _TEXT_MAX)
        length = check(lib.sshd_key_export(self._k, buffer, _TEXT_MAX))
        text = bytes(ffi.buffer(buffer, length)).decode()
        ffi.memmove(buffer, b"\0" * length, length)
        return text
