"""Who may log in: passwords, authorized keys, and one account made of them.

Nothing here sees the network. Signatures are checked before a key reaches this module's answer that counts
(the connection asks once for the offered key and once more for the signed one, RFC 4252 section 7).

Every comparison costs the same whether the user exists or not: secrets are compared as keyed digests of equal
length, over all candidates, without an early return.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from libsshd.wire.buffer import Malformed, Reader

__all__ = ["AuthorizedKey", "AuthorizedKeys", "Credentials", "PasswordVerifier", "is_user_name", "read_password_file"]

_LOGGER = logging.getLogger("libsshd.authentication")

SECRET_LIMIT = 1024
"""Octets of the longest password or user name that is ever compared."""

AUTHORIZED_KEYS_LIMIT = 1 << 20
"""Octets of the largest authorized-keys file that is read."""

MINIMUM_RSA_BITS = 2048
MAXIMUM_RSA_BITS = 16384

_WRITABLE_BY_OTHERS = 0o022
_OPEN_TO_OTHERS = 0o077

_PLAIN_CURVES = {
    "ecdsa-sha2-nistp256": (b"nistp256", 65),
    "ecdsa-sha2-nistp384": (b"nistp384", 97),
    "ecdsa-sha2-nistp521": (b"nistp521", 133),
}

_HONOURED_OPTIONS = frozenset(
    switch
    for name in ("pty", "port-forwarding", "agent-forwarding", "x11-forwarding", "user-rc")
    for switch in (name, f"no-{name}")
)
"""What these allow this server never does, and what they forbid it refuses anyway: the key may be used."""

_UNSUPPORTED_OPTIONS = frozenset({
    "cert-authority", "command", "environment", "expiry-time", "from", "no-touch-required", "permitlisten",
    "permitopen", "principals", "restrict", "tunnel", "verify-required",
})  # fmt: skip
"""Options of OpenSSH that restrict a key in ways this server cannot promise: the key is left out."""


def _octets(text: str) -> bytes:
    """Return the octets of `text` as they came from a wire, a file or an argument vector."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def is_user_name(name: str) -> bool:
    """Tell whether `name` may be that of a user: one name of a file, so that no path it becomes part of leads astray.

    It is not empty, "." or "..", and has no slash, NUL or other control character in it.
    """
    return name not in {"", ".", ".."} and not any(
        letter == "/" or letter < " " or letter == "\x7f" for letter in name
    )


class PasswordVerifier:
    """One secret that can be checked but not read back.

    Only a digest under a key of this process is kept. Without a secret (None) every check fails, at the same
    cost. Raises ValueError for a secret that is empty or longer than SECRET_LIMIT octets.
    """

    __slots__ = ("_digest", "_key")

    def __init__(self, secret: str | None) -> None:
        octets = None if secret is None else _octets(secret)
        if octets is not None and not 0 < len(octets) <= SECRET_LIMIT:
            raise ValueError(f"it must have between 1 and {SECRET_LIMIT} bytes, not {len(octets)}")
        self._key = os.urandom(32)
        self._digest = os.urandom(32) if octets is None else hmac.digest(self._key, octets, "sha256")

    def verify(self, offered: str) -> bool:
        """Tell whether `offered` is the secret, in a time that depends on the length of `offered` alone."""
        octets = _octets(offered)
        same = hmac.compare_digest(self._digest, hmac.digest(self._key, octets[:SECRET_LIMIT], "sha256"))
        return same & (len(octets) <= SECRET_LIMIT)


@dataclass(frozen=True, slots=True)
class AuthorizedKey:
    """A public key that may log in: `blob` is its wire form (RFC 4253 section 6.6)."""

    type: str
    blob: bytes
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """Return the key's SHA256 fingerprint in OpenSSH's spelling."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii")
        return f"SHA256:{digest.rstrip('=')}"


class AuthorizedKeys:
    """A set of public keys in which a lookup does not tell which key matched, or how nearly one did."""

    __slots__ = ("_digests", "_keys")

    def __init__(self, keys: Iterable[AuthorizedKey] = ()) -> None:
        self._keys = tuple(keys)
        self._digests = tuple(hashlib.sha256(key.blob).digest() for key in self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[AuthorizedKey]:
        return iter(self._keys)

    @classmethod
    def parse(cls, text: str, source: str = "authorized keys") -> "AuthorizedKeys":
        """Read OpenSSH's authorized_keys format; a line that cannot be used is left out with a warning.

        `source` names the text in warnings. Raises ValueError for the text of a private key.
        """
        if "PRIVATE KEY-----" in text:
            raise ValueError(f"{source} holds a private key; give the public one, which usually ends in .pub")
        keys = []
        # Lines end at a newline only: other separators of Unicode may stand in a comment.
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
            try:
                key = _parse_line(line.strip(" \t\r"))
            except ValueError as error:
                _warn_of_line(source, number, str(error))
            else:
                keys += [key] if key else []
        return cls(keys)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], owner: int | None = None) -> "AuthorizedKeys":
        """Read a file that only its owner may change, who is root, this user, or the one of the number `owner`.

        Raises OSError when it cannot be read and ValueError, with a sentence, when it must not be used.
        """
        content = _read_guarded(path, forbidden=_WRITABLE_BY_OTHERS, limit=AUTHORIZED_KEYS_LIMIT, owner=owner)
        return cls.parse(content.decode("utf-8", "surrogateescape"), os.fspath(path))

    def matches(self, blob: bytes) -> bool:
        """Tell whether the wire form `blob` is one of the keys; all of them are compared in every case."""
        offered = hashlib.sha256(blob).digest()
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(digest, offered)
        return found


def _warn_of_line(source: str, number: int, reason: str) -> None:
    fields = {"event": "key-skipped", "path": source, "line": number, "reason": reason}
    _LOGGER.warning("a line with no usable key was left out", extra={"fields": fields})


def _parse_line(line: str) -> AuthorizedKey | None:
    """Return the key of a stripped line, None for a blank or a comment; ValueError says why it is unusable.

    No reason quotes the line: the file may be one that was given by mistake.
    """
    if not line or line.startswith("#"):
        return None
    words = line.replace("\t", " ").split(" ", 1)
    if not _is_key_type(words[0]):
        _check_options(words[0])
        words = words[1].lstrip(" ").split(" ", 1) if len(words) > 1 else words
    if len(words) < 2 or not _is_key_type(words[0]):
        raise ValueError("it is not a key line")
    encoded, _, comment = words[1].lstrip(" ").partition(" ")
    return _decode_key(words[0], encoded, comment.strip())


def _is_key_type(word: str) -> bool:
    return word.startswith(("ssh-", "ecdsa-", "sk-"))


def _check_options(word: str) -> None:
    # None of the honoured options has a value, so quotes need no parsing: whatever has one is refused here.
    for option in word.split(","):
        name = option.partition("=")[0].lower()
        if name in _UNSUPPORTED_OPTIONS:
            raise ValueError(f"its option {name} is not supported")
        if option.lower() not in _HONOURED_OPTIONS:
            raise ValueError("it is not a key line")


def _decode_key(key_type: str, encoded: str, comment: str) -> AuthorizedKey:
    if "-cert-v01" in key_type:
        raise ValueError("certificates are not supported")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its key is not base64") from None
    fields = _split_fields(blob)
    if fields[:1] != [key_type.encode("utf-8", "surrogateescape")]:
        raise ValueError("its key is not of the type it names")
    _check_fields(key_type, fields[1:])
    return AuthorizedKey(key_type, blob, comment)


def _split_fields(blob: bytes) -> list[bytes]:
    """Split a key blob, all of whose fields are length-prefixed (RFC 4251 section 5: string and mpint)."""
    reader, fields = Reader(blob), []
    try:
        while not reader.at_end:
            fields.append(reader.string())
    except Malformed:
        raise ValueError("its key is cut short") from None
    return fields


def _check_fields(key_type: str, fields: list[bytes]) -> None:
    """Raise ValueError unless `fields`, without the leading type, form a key that is strong enough."""
    lengths = [len(field) for field in fields]
    if key_type == "ssh-rsa":
        _check_rsa(fields)
    elif key_type in _PLAIN_CURVES:
        _check_point(key_type, fields, count=2)
    elif key_type == "sk-ecdsa-sha2-nistp256@openssh.com":
        _check_point("ecdsa-sha2-nistp256", fields, count=3)
    elif key_type == "ssh-ed25519":
        _require(lengths == [32])
    elif key_type == "sk-ssh-ed25519@openssh.com":
        _require(len(lengths) == 2 and lengths[0] == 32)
    else:
        raise ValueError("keys of its type are not supported")


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("its key is malformed")


def _check_point(curve_type: str, fields: list[bytes], count: int) -> None:
    curve, size = _PLAIN_CURVES[curve_type]
    _require(len(fields) == count and fields[0] == curve)
    _require(len(fields[1]) == size and fields[1][0] == 4)


def _check_rsa(fields: list[bytes]) -> None:
    _require(len(fields) == 2 and not any(field[:1] >= b"\x80" for field in fields))
    bits = int.from_bytes(fields[1], "big").bit_length()
    if not MINIMUM_RSA_BITS <= bits <= MAXIMUM_RSA_BITS:
        raise ValueError(f"its RSA key has {bits} bits, only {MINIMUM_RSA_BITS} to {MAXIMUM_RSA_BITS} are accepted")


def read_password_file(path: str | os.PathLike[str], owner: int | None = None) -> str:
    """Return the one line of a file that nobody but its owner may read; the final newline is not part of it.

    The owner is root, this user, or the one of the number `owner`.
    Raises OSError when it cannot be read and ValueError, with a sentence, when it must not be used.
    """
    content = _read_guarded(path, forbidden=_OPEN_TO_OTHERS, limit=SECRET_LIMIT + 2, owner=owner)
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise ValueError(f"the password file {os.fspath(path)} is empty")
    if b"\n" in line or b"\0" in line:
        raise ValueError(f"the password file {os.fspath(path)} must hold one line, the password")
    return line.decode("utf-8", "surrogateescape")


def _read_guarded(path: str | os.PathLike[str], *, forbidden: int, limit: int, owner: int | None) -> bytes:
    """Return a file's content after checking, on the open file, its owner, its mode bits and its size."""
    name = os.fspath(path)
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid not in {0, os.geteuid(), owner}:
            raise ValueError(f"{name} belongs to another user (number {status.st_uid})")
        if status.st_mode & forbidden:
            verb = "changed" if forbidden == _WRITABLE_BY_OTHERS else "opened"
            mode = f"{status.st_mode & 0o777:04o}"
            raise ValueError(f"{name} can be {verb} by others (mode {mode}); use: chmod 600 {name}")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} is longer than {limit} bytes")
    return content


class LoginRequest(Protocol):
    """What `Credentials.decide` needs of an authentication event."""

    accept: bool
    available_methods: str

    @property
    def user(self) -> str: ...
    @property
    def auth_method(self) -> str: ...
    @property
    def auth_param(self) -> str: ...


def _verifier(what: str, secret: str | None) -> PasswordVerifier:
    try:
        return PasswordVerifier(secret)
    except ValueError as error:
        raise ValueError(f"the {what} cannot be used: {error}") from None


class Credentials:
    """One account: a user name with a password, with keys, or with both (either of them is enough).

    Raises ValueError when the name or the password cannot be used, or when neither way to log in is given.
    """

    __slots__ = ("_keys", "_password", "_user", "available_methods")

    def __init__(self, user: str, password: str | None = None, authorized_keys: AuthorizedKeys | None = None):
        self._user = _verifier("user name", user)
        if not is_user_name(user):
            raise ValueError(
                r"the user name cannot be used: it must not be . or .., or have / or control characters in it"
            )
        self._password = _verifier("password", password)
        self._keys = authorized_keys or AuthorizedKeys()
        methods = [("publickey", len(self._keys) > 0), ("password", password is not None)]
        self.available_methods = ",".join(name for name, configured in methods if configured)
        if not self.available_methods:
            raise ValueError("there is no way to log in: give a password or a public key")

    def decide(self, event: LoginRequest) -> None:
        """Answer one authentication request, as a handler of `on_ssh_user_auth_request`."""
        if event.auth_method == "sigstatus":
            return  # the signature has been judged by then; a handler could only take the login away
        event.available_methods = self.available_methods
        user_is_right = self._user.verify(event.user)
        event.accept = user_is_right & self._proof_is_right(event.auth_method, event.auth_param)

    def _proof_is_right(self, method: str, parameter: str) -> bool:
        if method == "password":
            return self._password.verify(parameter)
        if method == "publickey":
            return self._keys.matches(_decode_blob(parameter))
        return False


def _decode_blob(text: str) -> bytes:
    """Return the key blob an event carries as base64; what is not base64 becomes a blob no key has."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
