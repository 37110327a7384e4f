"""One key, written in every format; none of it by the code under test."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from joserfc import jwe
from joserfc.jwk import OctKey

from libsshd.constants import CertStoreType

PASSWORD = "öffne Dich, Sesam"
KINDS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa521": ["-t", "ecdsa", "-b", "521"],
    "rsa": ["-t", "rsa", "-b", "2048"],
}
SUBJECT = 'CN=sftp.example.org, OU="Files, large", O=Example, L=Bern, S=BE, C=CH, E=ops@example.org'

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Material:
    path: Path
    """The private key as ssh-keygen wrote it, not encrypted."""

    @cached_property
    def private(self) -> Private:
        key = load_ssh_private_key(self.path.read_bytes(), None)
        assert isinstance(key, Private)
        return key

    @property
    def public_line(self) -> str:
        """What ssh-keygen says the public half is."""
        return " ".join(self.path.with_suffix(".pub").read_text().split()[:2])

    @property
    def is_rsa(self) -> bool:
        return isinstance(self.private, rsa.RSAPrivateKey)

    @property
    def is_ed25519(self) -> bool:
        return isinstance(self.private, ed25519.Ed25519PrivateKey)


def run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL).stdout


def make(path: Path, options: list[str]) -> Material:
    run("ssh-keygen", "-q", "-N", "", "-C", "made for a test", "-f", path, *options)
    return Material(path)


def seed(material: Material) -> bytes:
    """The 32 bytes that an Ed25519 key is made from."""
    assert isinstance(material.private, ed25519.Ed25519PrivateKey)
    return material.private.private_bytes_raw()


def encryption(password: str) -> Any:
    return BestAvailableEncryption(password.encode()) if password else NoEncryption()


# --- certificates ---


def name(subject: str = SUBJECT) -> x509.Name:
    """SUBJECT, outermost field first as it is encoded; of another subject its common name alone."""
    if subject != SUBJECT:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    fields = [
        (NameOID.EMAIL_ADDRESS, "ops@example.org"),
        (NameOID.COUNTRY_NAME, "CH"),
        (NameOID.STATE_OR_PROVINCE_NAME, "BE"),
        (NameOID.LOCALITY_NAME, "Bern"),
        (NameOID.ORGANIZATION_NAME, "Example"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Files, large"),
        (NameOID.COMMON_NAME, "sftp.example.org"),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in fields])


@cache
def certificate(private: Private, subject: str = SUBJECT) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        issuer_name=name(subject),
        subject_name=name(subject),
        public_key=private.public_key(),
        serial_number=4711,
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2040, 1, 1, tzinfo=UTC),
    )
    return builder.sign(private, None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def certificate_pem(private: Private, subject: str = SUBJECT) -> bytes:
    return certificate(private, subject).public_bytes(Encoding.PEM)


# --- formats: (material, password, a folder for scratch files) -> content ---


def pkcs8(material: Material, password: str, folder: Path) -> bytes:
    return material.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption(password))


def traditional(material: Material, password: str, folder: Path) -> bytes:
    """PKCS#1 or SEC1, which know no Ed25519."""
    if material.is_ed25519:
        pytest.skip("Ed25519 has no traditional PEM form")
    return material.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption(password))


def openssh(material: Material, password: str, folder: Path) -> bytes:
    path = Path(shutil.copy(material.path, folder / "openssh"))
    run("ssh-keygen", "-q", "-p", "-P", "", "-N", password, "-f", path)
    return path.read_bytes()


def pfx(material: Material, password: str, folder: Path) -> bytes:
    private = material.private
    issued = certificate(private, SUBJECT)
    return pkcs12.serialize_key_and_certificates(b"my key", private, issued, None, encryption(password))


def pfx_of_openssl(*options: str) -> Callable[[Material, str, Path], bytes]:
    def build(material: Material, password: str, folder: Path) -> bytes:
        (folder / "in.pem").write_bytes(pkcs8(material, "", folder) + certificate_pem(material.private))
        (folder / "password").write_text(password + "\n")
        return run(
            *("openssl", "pkcs12", "-export", "-in", folder / "in.pem"),
            *("-passout", f"file:{folder}/password", *options),
        )

    return build


def ppk(version: int, derivation: str = "argon2id") -> Callable[[Material, str, Path], bytes]:
    def build(material: Material, password: str, folder: Path) -> bytes:
        if shutil.which("puttygen") is None:
            pytest.skip("puttygen is missing (package putty-tools)")
        (folder / "password").write_text(password)
        out = folder / "key.ppk"
        parameters = f"version={version},kdf={derivation},memory=256,passes=2,parallelism=2"
        run(
            *("puttygen", material.path, "-q", "-O", "private", "-o", out, "-P"),
            *("--new-passphrase", folder / "password", "--ppk-param", parameters),
        )
        return out.read_bytes()

    return build


def _numbers(private: rsa.RSAPrivateKey) -> dict[str, int]:
    own = private.private_numbers()
    public = own.public_numbers
    return {
        "n": public.n,
        "e": public.e,
        "d": own.d,
        "p": own.p,
        "q": own.q,
        "dp": own.dmp1,
        "dq": own.dmq1,
        "qi": own.iqmp,
    }


def _bytes(number: int, length: int = 0) -> bytes:
    return number.to_bytes(length or (number.bit_length() + 7) // 8, "big")


XML_NAMES = {"n": "Modulus", "e": "Exponent", "p": "P", "q": "Q", "dp": "DP", "dq": "DQ", "qi": "InverseQ", "d": "D"}


def xml_elements(private: Private) -> dict[str, str]:
    """The members of RSAKeyValue by name."""
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = _numbers(private)
    return {long: base64.b64encode(_bytes(numbers[short])).decode() for short, long in XML_NAMES.items()}


def xml_text(elements: dict[str, str]) -> bytes:
    inner = "".join(f"<{element}>{value}</{element}>" for element, value in elements.items())
    return f"<RSAKeyValue>{inner}</RSAKeyValue>".encode()


def xml(material: Material, password: str, folder: Path) -> bytes:
    if not material.is_rsa:
        pytest.skip("only RSA has a private form in XML")
    return xml_text(xml_elements(material.private))


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwk_of(private: Private) -> dict[str, str]:
    if isinstance(private, rsa.RSAPrivateKey):
        return {"kty": "RSA", **{short: _url(_bytes(value)) for short, value in _numbers(private).items()}}
    if isinstance(private, ed25519.Ed25519PrivateKey):
        raw = {"x": private.public_key().public_bytes_raw(), "d": private.private_bytes_raw()}
        return {"kty": "OKP", "crv": "Ed25519", **{short: _url(value) for short, value in raw.items()}}
    numbers = private.private_numbers()
    length = (private.key_size + 7) // 8
    values = {"x": numbers.public_numbers.x, "y": numbers.public_numbers.y, "d": numbers.private_value}
    return {
        "kty": "EC",
        "crv": f"P-{private.key_size}",
        **{short: _url(_bytes(value, length)) for short, value in values.items()},
    }


def jwk(material: Material, password: str, folder: Path) -> bytes:
    text = json.dumps(jwk_of(material.private)).encode()
    if not password:
        return text
    header = {"alg": "PBES2-HS512+A256KW", "enc": "A256CBC-HS512", "cty": "jwk+json", "p2c": 1000}
    secret = password.encode()
    algorithms = [header["alg"], header["enc"]]
    return jwe.encrypt_compact(header, text, OctKey(secret, secret), algorithms=algorithms).encode()  # type: ignore[arg-type]


FORMATS = {
    "pkcs8": (CertStoreType.PEM_KEY_FILE, pkcs8),
    "traditional": (CertStoreType.PEM_KEY_FILE, traditional),
    "openssh": (CertStoreType.PEM_KEY_FILE, openssh),
    "pfx": (CertStoreType.PFX_FILE, pfx),
    "ppk2": (CertStoreType.PPK_FILE, ppk(2)),
    "ppk3": (CertStoreType.PPK_FILE, ppk(3)),
    "xml": (CertStoreType.XML_FILE, xml),
    "jwk": (CertStoreType.JWK_FILE, jwk),
}
"""Name: the type for a file's name (the one for content is one more), and what writes it."""
