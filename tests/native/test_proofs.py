"""Proofs of possession (RFC 4252 section 7; OpenSSH's PROTOCOL.u2f, PROTOCOL.certkeys), checked by the core."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from errno import EINVAL, ENOMEM

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libsshd._native import Bind, Connection, Key
from tests.fs.outcome import code_of
from tests.native import faulty
from tests.support.hostile import Peer, auth_request
from tests.support.link import Link, algorithms
from tests.support.rawsftp import string, u32
from tests.support.sshwire import Message, mpint

PAYLOAD = b"\x32what the client signs"
APPLICATION = b"ssh:"
Sign = Callable[[bytes], bytes]
Proof = tuple[bytes, Sign]
"""The blob of a key, and what makes the blob of its signature."""

ED25519 = Ed25519PrivateKey.generate()
ECDSA = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def ed25519_point() -> bytes:
    return ED25519.public_key().public_bytes_raw()


def ecdsa_point() -> bytes:
    return ECDSA.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def ecdsa_proof(data: bytes) -> bytes:
    r, s = decode_dss_signature(ECDSA.sign(data, ec.ECDSA(hashes.SHA256())))
    return string(mpint(r.to_bytes(32, "big")) + mpint(s.to_bytes(32, "big")))


def ed25519() -> Proof:
    return string(b"ssh-ed25519") + string(
        ed25519_point()
    ), lambda data: string(b"ssh-ed25519") + string(ED25519.sign(data))


def ecdsa() -> Proof:
    name = b"ecdsa-sha2-nistp256"
    blob = string(name) + string(b"nistp256") + string(ecdsa_point())
    return blob, lambda data: string(name) + ecdsa_proof(data)


def rsa_fields() -> bytes:
    public = RSA.public_key().public_numbers()
    return mpint(public.e.to_bytes(3, "big")) + mpint(public.n.to_bytes(256, "big"))


def rsa_signature(data: bytes) -> bytes:
    return string(b"rsa-sha2-256") + string(RSA.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def rsa_proof() -> Proof:
    return string(b"ssh-rsa") + rsa_fields(), rsa_signature


def touched(data: bytes, flags: int) -> tuple[bytes, bytes]:
    """What a security key signs in place of `data`, and what follows its signature."""
    said = bytes([flags]) + u32(7)
    return hashlib.sha256(APPLICATION).digest() + said + hashlib.sha256(data).digest(), said


def sk_ed25519(flags: int) -> Proof:
    name = b"sk-ssh-ed25519@openssh.com"

    def sign(data: bytes) -> bytes:
        signed, said = touched(data, flags)
        return string(name) + string(ED25519.sign(signed)) + said

    return string(name) + string(ed25519_point()) + string(APPLICATION), sign


def sk_ecdsa(flags: int) -> Proof:
    name = b"sk-ecdsa-sha2-nistp256@openssh.com"

    def sign(data: bytes) -> bytes:
        signed, said = touched(data, flags)
        return string(name) + ecdsa_proof(signed) + said

    return string(name) + string(b"nistp256") + string(ecdsa_point()) + string(APPLICATION), sign


def verify(native: Connection, session_id: bytes, proof: Proof) -> bool:
    blob, sign = proof
    return native.verify(PAYLOAD + b"and more", len(PAYLOAD), blob, sign(string(session_id) + PAYLOAD))


def judge(proof: Proof) -> bool:
    with Link() as link, Peer(link.port) as peer:
        peer.connect().service()  # now the keys are in use
        return link.call(lambda native: verify(native, peer.session_id, proof))


@pytest.mark.parametrize("make", [ed25519, ecdsa, rsa_proof])
def test_a_key_that_signed_is_proven(make: Callable[[], Proof]) -> None:
    assert judge(make())


@pytest.mark.parametrize("make", [sk_ed25519, sk_ecdsa])
def test_a_security_key_proves_itself_only_when_somebody_was_there(make: Callable[[int], Proof]) -> None:
    """PROTOCOL.u2f: bit 0 says that it was touched, bit 2 that its user was verified."""
    assert judge(make(1))
    assert judge(make(5))
    assert not judge(make(0))
    assert not judge(make(4))


CERTIFIED: dict[bytes, Callable[[], Proof]] = {
    b"ssh-ed25519-cert-v01@openssh.com": lambda: (string(ed25519_point()), ed25519()[1]),
    b"ecdsa-sha2-nistp256-cert-v01@openssh.com": lambda: (string(b"nistp256") + string(ecdsa_point()), ecdsa()[1]),
    b"ssh-rsa-cert-v01@openssh.com": lambda: (rsa_fields(), rsa_signature),
    b"sk-ssh-ed25519-cert-v01@openssh.com": lambda: (string(ed25519_point()) + string(APPLICATION), sk_ed25519(1)[1]),
    b"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com": lambda: (
        string(b"nistp256") + string(ecdsa_point()) + string(APPLICATION),
        sk_ecdsa(1)[1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CERTIFIED, ids=bytes.decode)
def test_a_certificate_proves_nothing_whatever_its_key_signed(name: bytes) -> None:
    fields, sign = CERTIFIED[name]()
    rest = bytes(8) + u32(1) + string(b"id") + string(b"") + bytes(8) + b"\xff" * 8 + string(b"") * 5
    assert not judge((string(name) + string(os.urandom(32)) + fields + rest, sign))


def test_what_is_no_key_or_no_signature_proves_nothing() -> None:
    blob, sign = ed25519()
    assert not judge((blob, lambda _: b""))
    assert not judge((blob, lambda data: sign(data + b"\0")))
    assert not judge((b"", sign))
    assert not judge((blob[:-1], sign))


def test_before_the_first_exchange_there_is_nothing_to_prove_and_no_host_key() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        native = Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), ours.detach())
        assert not verify(native, bytes(32), ed25519())
        assert code_of(native.host_key) == EINVAL
        native.free()


@faulty.needed
@pytest.mark.parametrize("make", [ed25519, ecdsa, rsa_proof])
def test_a_proof_without_memory_is_no_proof_and_no_end(make: Callable[[], Proof]) -> None:
    """Every allocation fails once: it is refused, or proven by a way that needs less; the next one is judged well."""
    proof = make()

    def without(native: Connection, nth: int) -> tuple[bool, bool]:
        faulty.arm("memory", nth, ENOMEM)
        try:
            return verify(native, peer.session_id, (proof[0], lambda _: signature)), faulty.fired()
        except OSError as error:
            assert error.errno == ENOMEM
            return False, faulty.fired()
        finally:
            faulty.disarm()

    with Link() as link, Peer(link.port) as peer:
        peer.connect().service()
        signature = proof[1](string(peer.session_id) + PAYLOAD)
        nth, fired, proven = 0, True, []
        while fired:
            nth += 1
            good, fired = link.call(lambda native: without(native, nth))  # noqa: B023 -- called at once
            proven.append(good)
        assert proven[-1]
        assert not any(proven[:3]), "its copies and the data"
        assert peer.attempt(auth_request(b"alice", b"none")) == Message.USERAUTH_SUCCESS
