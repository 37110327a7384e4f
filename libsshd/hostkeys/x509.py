"""Private keys and certificates, as the library `cryptography` holds them, turned into ours."""

import base64
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from libsshd.hostkeys.certificate import Certificate, Unusable
from libsshd.hostkeys.key import HostKey

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_FIELDS = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "S",
    NameOID.COUNTRY_NAME: "C",
    NameOID.EMAIL_ADDRESS: "E",
}
_RSA_BITS_MAX = 16384
_RSA_EXPONENT_BITS_MAX = 64


def host_key(private: object) -> HostKey:
    """Our form of a private key. Raises Unusable for a kind that cannot be a host key."""
    usable = isinstance(private, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)) or (
        isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, _CURVES)
    )
    if not usable:
        raise Unusable("holds a key of a kind that no host key can have; use RSA, ECDSA P-256 to P-521 or Ed25519")
    assert isinstance(private, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey))
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    try:
        return HostKey.from_text(text)
    except ValueError:
        raise Unusable("holds a key that cannot be a host key; make another one") from None


def rsa_key(n: int, e: int, d: int, p: int = 0, q: int = 0) -> HostKey:
    """An RSA key from its numbers; the primes are found when they are 0. Raises Unusable when they do not fit."""
    if n.bit_length() > _RSA_BITS_MAX or e.bit_length() > _RSA_EXPONENT_BITS_MAX or max(d, p, q) >= n:
        raise Unusable("holds an RSA key whose numbers are too large")
    try:
        if not (p and q):
            p, q = rsa.rsa_recover_prime_factors(n, e, d)
        dmp1, dmq1, iqmp = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
        private = rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, rsa.RSAPublicNumbers(e, n)).private_key()
    except ValueError:
        raise Unusable("holds an RSA key whose numbers do not fit together") from None
    return host_key(private)


def load(encoded: bytes) -> x509.Certificate:
    """Reads a certificate: PEM, DER or the Base64 of either. Raises Unusable when it is none."""
    try:
        if b"-----BEGIN" not in encoded and not encoded.startswith(b"\x30"):
            encoded = base64.b64decode(b"".join(encoded.split()), validate=True)
        if b"-----BEGIN" in encoded:
            return x509.load_pem_x509_certificate(encoded)
        return x509.load_der_x509_certificate(encoded)
    except ValueError:
        raise Unusable("holds a certificate that is damaged") from None


def pair(key: HostKey, certificates: Iterable[x509.Certificate]) -> Certificate:
    """The key with the first certificate that was issued for it, or bare. Raises Unusable for a damaged subject."""
    for certificate in certificates:
        if _public_blob(certificate) == key.native.public_blob:
            return Certificate(key, _subject(certificate), certificate.public_bytes(Encoding.PEM))
    return Certificate(key)


def _public_blob(certificate: x509.Certificate) -> bytes:
    """The certified key as it stands on the wire (RFC 4253 section 6.6), b"" when SSH has no such key."""
    try:
        public = certificate.public_key()
        if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)):
            return b""
        line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except (ValueError, UnsupportedAlgorithm):  # other curves; certificates of others in a chain
        return b""
    return base64.b64decode(line.split()[1])


def _subject(certificate: x509.Certificate) -> str:
    """The subject as the documented component writes it: `CN=name, OU="a, b", S=state, E=mail`, innermost first."""
    try:
        rdns = certificate.subject.rdns
    except ValueError:
        raise Unusable("holds a certificate whose subject is damaged") from None
    return ", ".join("+".join(_field(attribute) for attribute in rdn) for rdn in reversed(rdns))


def _field(attribute: x509.NameAttribute[str | bytes]) -> str:
    name = _FIELDS.get(attribute.oid, attribute.rfc4514_attribute_name)
    value = attribute.value if isinstance(attribute.value, str) else attribute.value.hex()
    if "," in value or '"' in value:
        value = '"' + value.replace('"', '""') + '"'
    return f"{name}={value}"
