"""Whatever a store holds: a key or SFTPServerError 1301, and nothing else."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libsshd import HostKey, SFTPServerError
from libsshd.constants import CertStoreType
from libsshd.hostkeys import find_encoded, open_store
from tests.hostkeys import material as made
from tests.hostkeys.material import FORMATS, PASSWORD, Material

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the libraries warn of weak and odd forms

TYPES = st.sampled_from(CertStoreType) | st.integers()
HEADS = [
    *(b"", b"\x30\x82", b"<", b"<RSAKeyValue>", b'{"kty":"RSA","n":', b'{"keys":[{"kty":"EC"', b"a.b.c.d."),
    *(b"PuTTY-User-Key-File-3: ssh-rsa\r\n", b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN PRIVATE KEY-----\n"),
    b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA",
]
THOROUGH = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOME = settings(THOROUGH, max_examples=60)


def either(store_type: int, store: bytes | str, password: str) -> None:
    """Succeeds or raises SFTPServerError(1301) with a sentence; anything else fails the test."""
    try:
        found = open_store(store_type, store, password)
    except SFTPServerError as error:
        assert error.code == 1301
        assert error.description.endswith(".")
    else:
        assert found
        assert all(isinstance(each.key, HostKey) for each in found)


@THOROUGH
@given(TYPES, st.sampled_from(HEADS), st.binary(max_size=200), st.text(max_size=8))
def test_random_bytes_give_a_key_or_an_error(store_type: int, head: bytes, tail: bytes, password: str) -> None:
    either(store_type, head + tail, password)


@THOROUGH
@given(TYPES, st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=8))
def test_random_text_gives_a_key_or_an_error(store_type: int, text: str, password: str) -> None:
    either(store_type, text, password)


def valid(name: str, material: Material, password: str, folder: Path) -> tuple[int, bytes]:
    store_type, write = FORMATS[name]
    return store_type + 1, write(material, password, folder)


def changes(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with some bytes changed, cut out or put in."""

    def change(where: int, length: int, by: bytes) -> bytes:
        return content[:where] + by + content[where + length :]

    return st.builds(change, st.integers(0, len(content)), st.integers(0, 8), st.binary(max_size=4))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["rsa", "ecdsa256", "ed25519"])
@pytest.mark.parametrize("secret", ["", PASSWORD])
def test_a_damaged_key_gives_a_key_or_an_error(
    name: str, kind: str, secret: str, materials: dict[str, Material], tmp_path: Path
) -> None:
    store_type, content = valid(name, materials[kind], secret if name != "xml" else "", tmp_path)

    @SOME
    @given(changes(content))
    def damage(damaged: bytes) -> None:
        either(store_type, damaged, secret)

    damage()


MEMBERS = ["n", "e", "d", "p", "q", "dp", "dq", "qi", "oth", "x", "y", "crv", "use", "key_ops", "alg", "kid"]
json_values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["AQAB", "P-256", "Ed25519"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@THOROUGH
@given(st.dictionaries(st.sampled_from(MEMBERS), json_values, max_size=8))
def test_random_members_of_a_jwk_give_a_key_or_an_error(members: dict[str, object]) -> None:
    for kind in ("RSA", "EC", "OKP"):
        either(CertStoreType.JWK_BLOB, json.dumps({"d": "AQAB", **members, "kty": kind}), "")


@THOROUGH
@given(st.dictionaries(st.sampled_from(["Modulus", "Exponent", "D", "P", "Q", "X"]), st.integers(-1, 40)))
def test_random_numbers_in_xml_give_a_key_or_an_error(numbers: dict[str, int]) -> None:
    elements = {name: base64.b64encode(bytes((max(0, value),))).decode() for name, value in numbers.items()}
    full = {"Modulus": "Iw==", "Exponent": "BQ==", "D": "BQ==", **elements}
    either(CertStoreType.XML_BLOB, made.xml_text(full), "")


@THOROUGH
@given(st.sampled_from(HEADS), st.binary(max_size=100))
def test_random_certificates_find_a_key_or_nothing(head: bytes, tail: bytes) -> None:
    assert find_encoded([], head + tail) is None
