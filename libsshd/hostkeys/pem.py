"""Keys in PEM: PKCS#1, SEC1, PKCS#8 and OpenSSH's own format, read by libssh; certificates may stand beside them."""

import re

from libsshd._native import Key
from libsshd.hostkeys.certificate import Certificate, Unusable, require
from libsshd.hostkeys.key import HostKey, why

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE")


def read(content: bytes, password: str) -> list[Certificate]:
    """Every key, in its order, each with the certificate issued for it. Raises Unusable."""
    blocks = [(match[1], match[0] + "\n") for match in _BLOCK.finditer(content.decode("latin-1"))]
    keys = [_key(text, password) for label, text in blocks if label.endswith("PRIVATE KEY")]
    if not keys:
        raise Unusable("holds no private key; a host key needs its private half")
    certificates = [text.encode() for label, text in blocks if label in _CERTIFICATES]
    if not certificates:
        return [Certificate(key) for key in keys]
    x509 = require("x509")
    loaded = [x509.load(text) for text in certificates]
    return [x509.pair(key, loaded) for key in keys]


def _key(text: str, password: str) -> HostKey:
    try:
        return HostKey(Key.parse(text, password or None))
    except OSError as error:
        raise Unusable(why(error)) from None
