"""Private keys, as libssh reads, makes and writes them."""

import base64
import errno
import os
import re
import struct

from ._core import ffi, lib
from .sftp import check

_TEXT_MAX = 64 * 1024
_OPENSSH = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END OPENSSH PRIVATE KEY-----")
_MAGIC = b"openssh-key-v1\0"
_CIPHERS = frozenset(
    {b"3des-cbc", *(f"aes{bits}-{mode}".encode() for bits in (128, 192, 256) for mode in ("cbc", "ctr"))}
)
_ROUNDS_MAX = 10_000


class Key:
    """A private key of type ssh-ed25519, ecdsa-sha2-nistp256/384/521 or ssh-rsa."""

    __slots__ = ("_k",)

    def __init__(self, key: object) -> None:
        self._k = ffi.gc(key, lib.sshd_key_free)

    @classmethod
    def parse(cls, text: str, passphrase: str | None = None) -> "Key":
        """Reads OpenSSH or PEM text.

        Raises:
            OSError: with ENOKEY it is encrypted and there is no passphrase, with EKEYREJECTED the passphrase is
                another one or the text damaged, with ENOTSUP its encryption is not known, with EINVAL it is no
                usable key.
        """
        text, encrypted = _prepared(text)
        out = ffi.new("sshd_key **")
        secret = ffi.NULL if passphrase is None else _secret(passphrase)
        if lib.sshd_key_import(text.encode(errors="replace"), secret, out) == 0:
            return cls(out[0])
        if not encrypted:
            raise _failure(errno.EINVAL)
        raise _failure(errno.ENOKEY if passphrase is None else errno.EKEYREJECTED)

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


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _secret(passphrase: str) -> bytes:
    try:
        secret = passphrase.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise _failure(errno.EKEYREJECTED) from None
    if b"\0" in secret:  # C would take what stands before it
        raise _failure(errno.EKEYREJECTED)
    return secret


def _prepared(text: str) -> tuple[str, bool]:
    """The text as libssh may have it, and whether it is encrypted.

    libssh crashes over OpenSSH keys whose cipher authenticates (AES-GCM, ChaCha20-Poly1305). It gets none, and
    OpenSSH keys only as they were understood here.
    """
    if "-----BEGIN OPENSSH PRIVATE KEY" not in text:
        return text, "ENCRYPTED" in text
    match = _OPENSSH.search(text)
    try:
        content = base64.b64decode("".join(match[1].split()), validate=True) if match else b""
        encrypted = _is_encrypted(content)
    except (ValueError, struct.error):
        raise _failure(errno.EINVAL) from None
    body = base64.b64encode(content).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n", encrypted


def _is_encrypted(content: bytes) -> bool:
    """Reads the head of OpenSSH's format: magic, cipher, key derivation and its options (salt and rounds)."""
    if not content.startswith(_MAGIC):
        raise ValueError
    cipher, pos = _string(content, len(_MAGIC))
    if cipher == b"none":
        return False
    _, pos = _string(content, pos)
    options, _ = _string(content, pos)
    _, pos = _string(options, 0)
    (rounds,) = struct.unpack_from(">I", options, pos)
    if cipher not in _CIPHERS or rounds > _ROUNDS_MAX:
        raise _failure(errno.ENOTSUP)
    return True


def _string(data: bytes, pos: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">I", data, pos)
    end = pos + 4 + length
    if end > len(data):
        raise ValueError
    return data[pos + 4 : end], end
