"""JSON Web Keys (RFC 7517, RFC 8037): one, a set of them, or either encrypted with a password (RFC 7516)."""

import json
from typing import Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from libsshd.hostkeys.certificate import Certificate, Unusable
from libsshd.hostkeys.key import HostKey
from libsshd.hostkeys.x509 import host_key

_KINDS: dict[object, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_ALGORITHMS = [
    *("PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW"),
    *("A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"),
]
_NAMES = tuple(_KINDS)  # a kty may be anything, also what cannot be a key of a dict
_NUMBER_MAX = 4096  # characters: an RSA modulus of 16384 bits takes 2731
_REFUSALS = (JoseError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, AssertionError)


def read(content: bytes, password: str) -> list[Certificate]:
    """Every key of the set that can be a host key, or the one key. Raises Unusable."""
    if not content.startswith(b"{"):
        content = _decrypted(content, password)
    data = _parsed(content)
    if "keys" not in data:
        return [Certificate(_key(data))]
    usable: list[Certificate] = []
    reason = Unusable("holds a set without keys")
    for entry in data["keys"] if isinstance(data["keys"], list) else ():
        try:
            usable.append(Certificate(_key(entry)))
        except Unusable as error:
            reason = error
    if not usable:
        raise reason
    return usable


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Unusable("is no JSON object")
    return data


def _key(data: object) -> HostKey:
    if not isinstance(data, dict) or data.get("kty") not in _NAMES:
        raise Unusable("holds a JWK of a kind that no host key can have; use RSA, EC (P-256 to P-521) or Ed25519")
    if "d" not in data:
        raise Unusable("holds a JWK without its private members")
    if any(isinstance(value, str) and len(value) > _NUMBER_MAX for value in data.values()):
        raise Unusable("holds a JWK whose numbers are too large")
    try:
        private = _KINDS[data["kty"]].import_key(data).private_key
        if isinstance(private, Ed25519PrivateKey):  # for the other kinds, making the key compares the halves
            public = OKPKey.import_key({name: value for name, value in data.items() if name != "d"}).public_key
            if public != private.public_key():
                raise ValueError
    except (*_REFUSALS, UnsupportedAlgorithm):
        raise Unusable("holds a JWK whose members are damaged or do not fit together") from None
    return host_key(private)


def _decrypted(content: bytes, password: str) -> bytes:
    if not password:
        raise Unusable("is encrypted; give its password")
    secret = password.encode()
    try:
        opened = jwe.decrypt_compact(content.strip(), OctKey(secret, secret), algorithms=_ALGORITHMS)
    except (*_REFUSALS, InvalidTag, InvalidUnwrap, UnsupportedAlgorithm):
        raise Unusable("does not open with this password, or is damaged") from None
    return (opened.plaintext or b"").lstrip()
