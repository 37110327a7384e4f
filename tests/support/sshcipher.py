"""The client's way of sealing packets, for every cipher and MAC that libssh has, switched on or not.

RFC 4253 section 6.3 and 6.4, RFC 4344 (CTR), RFC 5647 (GCM), OpenSSH's PROTOCOL 1.1 (encrypt-then-MAC) and
PROTOCOL.chacha20poly1305.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR
from cryptography.hazmat.primitives.poly1305 import Poly1305

from tests.support.rawsftp import u32
from tests.support.sshwire import Direction, Sealing

Derive = Callable[[str, int], bytes]
"""Letter and size of what is wanted of the shared secret: RFC 4253, section 7.2."""

_HASHES = {"hmac-sha1": hashlib.sha1, "hmac-sha2-256": hashlib.sha256, "hmac-sha2-512": hashlib.sha512}
_ETM = "-etm@openssh.com"
CHACHA = "chacha20-poly1305@openssh.com"


class ChaCha:
    """chacha20-poly1305@openssh.com: the length has a key of its own."""

    block = 8
    aligns_length = False

    def __init__(self, keys: bytes) -> None:
        self._body, self._length = keys[:32], keys[32:]

    @staticmethod
    def _stream(key: bytes, sequence: int, counter: int, data: bytes) -> bytes:
        nonce = counter.to_bytes(8, "little") + sequence.to_bytes(8, "big")
        return Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(data)

    def seal(self, length: bytes, body: bytes, sequence: int) -> bytes:
        sealed = self._stream(self._length, sequence, 0, length) + self._stream(self._body, sequence, 1, body)
        return sealed + Poly1305.generate_tag(self._stream(self._body, sequence, 0, bytes(32)), sealed)


class WithMac:
    """A cipher in CTR or CBC mode and a MAC, over the plain packet or over what was encrypted."""

    def __init__(self, cipher: CipherContext, block: int, mac: str, key: bytes) -> None:
        self.block = block
        self.aligns_length = not mac.endswith(_ETM)
        self._cipher = cipher
        self._hash, self._key = _HASHES[mac.removesuffix(_ETM)], key

    def _mac(self, sequence: int, data: bytes) -> bytes:
        return hmac.digest(self._key, u32(sequence) + data, self._hash)

    def seal(self, length: bytes, body: bytes, sequence: int) -> bytes:
        if self.aligns_length:
            return self._cipher.update(length + body) + self._mac(sequence, length + body)
        sealed = length + self._cipher.update(body)
        return sealed + self._mac(sequence, sealed)


def has_own_mac(cipher: str) -> bool:
    return cipher == CHACHA or "-gcm@" in cipher


def sealing(cipher: str, mac: str, derive: Derive) -> Sealing:
    """What a client sends with, once these are agreed on."""
    if cipher == CHACHA:
        return ChaCha(derive("C", 64))
    if "-gcm@" in cipher:
        return Direction(derive("C", _bits(cipher) // 8), derive("A", 12))
    key = derive("E", _HASHES[mac.removesuffix(_ETM)]().digest_size)
    if cipher == "3des-cbc":
        return WithMac(Cipher(TripleDES(derive("C", 24)), CBC(derive("A", 8))).encryptor(), 8, mac, key)
    mode = CTR if cipher.endswith("-ctr") else CBC
    return WithMac(Cipher(AES(derive("C", _bits(cipher) // 8)), mode(derive("A", 16))).encryptor(), 16, mac, key)


def _bits(cipher: str) -> int:
    return int(cipher[3:6])
