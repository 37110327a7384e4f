"""Keys in PFX (PKCS#12), which hold one key and its certificates."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from libsshd.hostkeys.certificate import Certificate, Unusable
from libsshd.hostkeys.x509 import host_key, pair


def read(content: bytes, password: str) -> list[Certificate]:
    """The key with its certificate. Raises Unusable."""
    store = _open(content, password)
    if store.key is None:
        raise Unusable("holds no private key; export it with its private key")
    beside = [store.cert, *store.additional_certs] if store.cert else store.additional_certs
    return [pair(host_key(store.key), [each.certificate for each in beside])]


def _open(content: bytes, password: str) -> PKCS12KeyAndCertificates:
    try:
        return load_pkcs12(content, password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        how = "with this" if password else "without a"
        raise Unusable(f"does not open {how} password, or is damaged") from None
