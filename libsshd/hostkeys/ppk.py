"""Keys of PuTTY (PPK, versions 2 and 3), as appendix C of its manual describes them."""

import base64
import hashlib
import hmac
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf import argon2

from libsshd.hostkeys.certificate import Certificate, Unusable
from libsshd.hostkeys.key import HostKey
from libsshd.hostkeys.x509 import host_key, rsa_key
from libsshd.wire.buffer import Malformed, Reader, string

_DERIVATIONS: dict[str, type[argon2.Argon2d | argon2.Argon2i | argon2.Argon2id]] = {
    "Argon2d": argon2.Argon2d,
    "Argon2i": argon2.Argon2i,
    "Argon2id": argon2.Argon2id,
}
_MEMORY_MAX = 1 << 20  # KiB
_WORK_MAX = 1 << 24  # KiB times passes, some 150 times what PuTTY takes
_CURVES: dict[bytes, ec.EllipticCurve] = {
    b"nistp256": ec.SECP256R1(),
    b"nistp384": ec.SECP384R1(),
    b"nistp521": ec.SECP521R1(),
}
_DAMAGED = "is no whole PPK file"


class _Secrets(NamedTuple):
    """What the passphrase gives: key and start vector of AES-256-CBC, and the key of the checksum."""

    cipher: bytes
    start: bytes
    mac: bytes


def read(content: bytes, password: str) -> list[Certificate]:
    """The key; it has no certificate. Raises Unusable."""
    try:
        return [Certificate(_key(_File(content), password.encode()))]
    except (ValueError, KeyError, TypeError) as error:  # of fields that are missing or no numbers
        raise error if isinstance(error, Unusable) else Unusable(_DAMAGED) from None


class _File:
    """The lines of a PPK file: `fields` by name, and the two blocks."""

    def __init__(self, content: bytes) -> None:
        lines = content.decode("latin-1").splitlines()
        self.fields: dict[str, str] = {}
        self.blocks: dict[str, bytes] = {}
        while lines:
            name, colon, value = lines.pop(0).partition(": ")
            if name.endswith("-Lines"):
                count = int(value)
                self.blocks[name], lines = base64.b64decode("".join(lines[:count]), validate=True), lines[count:]
            elif colon:
                self.fields[name] = value
        self.version = 3 if "PuTTY-User-Key-File-3" in self.fields else 2
        if f"PuTTY-User-Key-File-{self.version}" not in self.fields:
            raise Unusable("is a PPK file of a version that cannot be read; save it again with PuTTYgen")
        self.type = self.fields[f"PuTTY-User-Key-File-{self.version}"]
        self.encryption = self.fields["Encryption"]
        if self.encryption not in ("none", "aes256-cbc"):
            raise Unusable("is encrypted in a way that cannot be read; save it again with PuTTYgen")


def _key(file: _File, passphrase: bytes) -> HostKey:
    private = _private(file, passphrase)
    key = _assembled(file, Reader(private))
    if key.native.public_blob != file.blocks["Public-Lines"]:
        raise Unusable("is a PPK file whose halves are of different keys")
    return key


def _private(file: _File, passphrase: bytes) -> bytes:
    """The private block, decrypted and checked."""
    private = file.blocks["Private-Lines"]
    encrypted = file.encryption != "none"
    if encrypted and not passphrase:
        raise Unusable("is encrypted; give its password")
    secrets = _secrets(file, passphrase if encrypted else b"")
    if encrypted:
        decryptor = Cipher(AES256(secrets.cipher), CBC(secrets.start)).decryptor()
        private = decryptor.update(private) + decryptor.finalize()
    covered = (file.type.encode("latin-1"), file.encryption.encode(), file.fields["Comment"].encode("latin-1"))
    message = b"".join(string(part) for part in (*covered, file.blocks["Public-Lines"], private))
    digest = hmac.digest(secrets.mac, message, "sha256" if file.version == 3 else "sha1")
    if not hmac.compare_digest(digest, bytes.fromhex(file.fields["Private-MAC"])):
        raise Unusable("does not open with this password, or is damaged" if encrypted else "is damaged")
    return private


def _secrets(file: _File, passphrase: bytes) -> _Secrets:
    if file.version == 2:
        key = _sha1(bytes((0, 0, 0, 0)) + passphrase) + _sha1(bytes((0, 0, 0, 1)) + passphrase)
        return _Secrets(key[:32], bytes(16), _sha1(b"putty-private-key-file-mac-key" + passphrase))
    if not passphrase:
        return _Secrets(b"", b"", b"")
    derived = _derived(file.fields, passphrase)
    return _Secrets(derived[:32], derived[32:48], derived[48:])


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()  # noqa: S324 -- version 2 is made so


def _derived(fields: dict[str, str], passphrase: bytes) -> bytes:
    memory, passes, lanes = (int(fields[f"Argon2-{name}"]) for name in ("Memory", "Passes", "Parallelism"))
    if memory > _MEMORY_MAX or memory * passes > _WORK_MAX:
        raise Unusable("asks for too much work to open it; save it again with PuTTYgen's usual parameters")
    derivation = _DERIVATIONS[fields["Key-Derivation"]]
    salt = bytes.fromhex(fields["Argon2-Salt"])
    try:
        return derivation(salt=salt, length=80, iterations=passes, lanes=lanes, memory_cost=memory).derive(passphrase)
    except (UnsupportedAlgorithm, MemoryError):
        raise Unusable("needs Argon2, for which this machine has no library or no memory") from None


def _assembled(file: _File, private: Reader) -> HostKey:
    public = Reader(file.blocks["Public-Lines"])
    public.string()
    try:
        if file.type == "ssh-rsa":
            e, n = _number(public), _number(public)
            return rsa_key(n, e, _number(private), _number(private), _number(private))
        if file.type == "ssh-ed25519":
            return host_key(ed25519.Ed25519PrivateKey.from_private_bytes(private.string()))
        if file.type.startswith("ecdsa-sha2-"):
            return host_key(ec.derive_private_key(_number(private), _CURVES[public.string()]))
    except Malformed:
        raise Unusable(_DAMAGED) from None
    raise Unusable("holds a key of a kind that no host key can have; use RSA, ECDSA P-256 to P-521 or Ed25519")


def _number(reader: Reader) -> int:
    """An mpint (RFC 4251 section 5); those of keys are positive."""
    return int.from_bytes(reader.string(), "big")
