"""SSHCertSubject and SSHCertEncoded: which key of a store is meant."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Name, NameAttribute, RelativeDistinguishedName
from cryptography.x509.oid import NameOID

from libsshd import HostKey
from libsshd.constants import CertStoreType
from libsshd.hostkeys import Certificate, find, find_encoded, open_store, x509
from tests.hostkeys import material as made
from tests.hostkeys.material import SUBJECT, Material

KEY = HostKey.generate()
BARE = Certificate(KEY)
LONG = Certificate(KEY, "CN=www.example.org, O=Example")
SHORT = Certificate(KEY, "CN=www.example.org")
STORE = (BARE, LONG, SHORT)


def test_an_exact_subject_goes_before_one_that_contains_it() -> None:
    assert find(STORE, "CN=www.example.org") is SHORT


def test_a_part_of_a_subject_finds_the_first_that_contains_it() -> None:
    assert find(STORE, "example") is LONG
    assert find(STORE, "O=Other") is None


def test_an_asterisk_takes_the_first_even_if_it_is_bare() -> None:
    assert find(STORE, "*") is find(STORE, "") is BARE
    assert find((), "*") is None


@pytest.mark.parametrize("kind", made.KINDS)
def test_a_certificate_finds_its_key_and_comes_with_it(kind: str, materials: dict[str, Material]) -> None:
    keys = [Certificate(HostKey.from_text(each.path.read_text())) for each in materials.values()]
    wanted = made.certificate(materials[kind].private, SUBJECT)
    pem, der = (wanted.public_bytes(form) for form in (Encoding.PEM, Encoding.DER))
    expected = Certificate(keys[list(materials).index(kind)].key, SUBJECT, pem)
    for encoded in (pem, der, base64.b64encode(der), base64.encodebytes(der), base64.b64encode(pem)):
        assert find_encoded(keys, encoded) == expected
    assert find_encoded([each for each in keys if each.key is not expected.key], pem) is None


def test_the_certificate_that_is_named_counts_not_the_one_in_the_store(
    materials: dict[str, Material], tmp_path: Path
) -> None:
    store = open_store(CertStoreType.PFX_BLOB, made.pfx(materials["rsa"], "", tmp_path))
    named = made.certificate_pem(materials["rsa"].private, "renewed")
    assert find_encoded(store, named) == replace(store[0], subject="CN=renewed", encoded=named)


@pytest.mark.parametrize("encoded", [b"", b"garbage", b"\xff", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x82AAAA"])
def test_what_is_no_certificate_finds_nothing(encoded: bytes) -> None:
    assert find_encoded(STORE, encoded) is None


def test_a_subject_is_written_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = RelativeDistinguishedName(
        [NameAttribute(NameOID.ORGANIZATION_NAME, 'The "A"'), NameAttribute(NameOID.DOMAIN_COMPONENT, "example")]
    )
    common = RelativeDistinguishedName([NameAttribute(NameOID.COMMON_NAME, "ü")])
    monkeypatch.setattr(made, "name", lambda subject: Name([organisation, common]))
    private = ec.generate_private_key(ec.SECP256R1())
    written = x509.pair(x509.host_key(private), [made.certificate(private, "two fields at once")]).subject
    assert written in ('CN=ü, O="The ""A"""+DC=example', 'CN=ü, DC=example+O="The ""A"""')  # a set has no order
