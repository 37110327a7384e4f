"""Host keys: read from files and texts, made, saved and shown."""

import base64
import errno
import hashlib
import os
import stat
from pathlib import Path

from libsshd._native import Key

KEY_SIZE_MAX = 64 * 1024
"""Most bytes that a single key is written in."""

_TYPES = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
_REASONS = {
    errno.ENOKEY: "is encrypted; give its password",
    errno.EKEYREJECTED: "does not open with this password, or is damaged",
    errno.ENOTSUP: "is encrypted in a way that cannot be read; use: ssh-keygen -p -Z aes256-ctr -f FILE",
}
_NO_KEY = "is no private RSA, ECDSA (P-256, P-384 or P-521) or Ed25519 key in OpenSSH or PEM format"


class HostKey:
    """A private key the server proves itself with."""

    def __init__(self, key: Key) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], passphrase: str | None = None) -> "HostKey":
        """Reads a key that only we can read (OpenSSH or PEM).

        Raises:
            OSError: it cannot be read.
            ValueError: it belongs to somebody else, others can read it, it is no usable key, or the passphrase
                is missing or another one.
        """
        with open(path, "rb", opener=open_at_once) as file:
            _check_private(file.fileno(), path)
            content = file.read(KEY_SIZE_MAX + 1)
        if len(content) > KEY_SIZE_MAX:
            raise ValueError(f"the host key {os.fspath(path)} is too large to be a key")
        try:
            return cls(Key.parse(content.decode("ascii"), passphrase))
        except UnicodeDecodeError:
            reason = _NO_KEY
        except OSError as error:
            reason = why(error)
        if passphrase is None:
            reason = "is not an unencrypted private key in OpenSSH or PEM format"
        raise ValueError(f"the host key {os.fspath(path)} {reason}")

    @classmethod
    def from_text(cls, text: str, passphrase: str | None = None) -> "HostKey":
        """Reads a key from what its file would hold (OpenSSH or PEM).

        Raises:
            ValueError: it is no usable key, or the passphrase is missing or another one.
        """
        try:
            return cls(Key.parse(text, passphrase))
        except OSError as error:
            raise ValueError(f"the host key {why(error)}") from None

    @classmethod
    def generate(cls, key_type: str = "ed25519") -> "HostKey":
        """Makes a new key of type "ed25519", "ecdsa" or "rsa" (3072 bits). Raises ValueError for another."""
        if key_type not in _TYPES:
            raise ValueError(f"there is no host key type {key_type!r}; use one of {', '.join(_TYPES)}")
        return cls(Key.generate(_TYPES[key_type]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the key to a new file that only we can read. Raises FileExistsError, OSError.

        The file appears with its whole content or not at all, so that two programs may try at once.
        """
        target = Path(path)
        draft = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "w", encoding="ascii") as file:
                file.write(self._key.private_text)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, target)
        finally:
            os.unlink(draft)

    @property
    def native(self) -> Key:
        """The key as the C core takes it."""
        return self._key

    @property
    def type(self) -> str:
        """The key's algorithm, e.g. "ssh-ed25519"."""
        return self._key.type

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it: "SHA256:" and unpadded Base64."""
        digest = hashlib.sha256(self._key.public_blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def public_line(self) -> str:
        """Type and Base64 blob, as in known_hosts and authorized_keys."""
        return f"{self.type} {base64.b64encode(self._key.public_blob).decode()}"


def why(error: OSError) -> str:
    """The rest of a sentence that begins with the key: why Key.parse could not read it."""
    return _REASONS.get(error.errno or 0, _NO_KEY)


def open_at_once(path: str, flags: int) -> int:
    """An opener for open() that neither waits nor hands the descriptor on."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us


def _check_private(fd: int, path: str | os.PathLike[str]) -> None:
    status = os.fstat(fd)
    name = os.fspath(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"the host key {name} is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise ValueError(f"the host key {name} belongs to another user")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise ValueError(f"the host key {name} can be read by others (mode {mode:04o}); use: chmod 600 {name}")
