"""Certificate stores: every kind of key in every format gives the key that ssh-keygen made."""

from __future__ import annotations

import base64
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from libsshd import SFTPServerError
from libsshd.constants import CertStoreType
from libsshd.hostkeys import open_store
from tests.hostkeys import material as made
from tests.hostkeys.material import FORMATS, PASSWORD, SUBJECT, Material

ENCRYPTED = [name for name in FORMATS if name != "xml"]


def refusal(store_type: int, store: bytes | str, password: str = "") -> str:
    """What is said about a store without a key; the code must be 1301."""
    with pytest.raises(SFTPServerError) as caught:
        open_store(store_type, store, password)
    assert caught.value.code == 1301
    return caught.value.description


def only_key(store_type: int, store: bytes | str, password: str = "") -> str:
    """The public line of the one key in a store."""
    (certificate,) = open_store(store_type, store, password)
    return certificate.key.public_line


# --- every format ---


@pytest.mark.parametrize("name", FORMATS)
def test_a_key_is_the_same_in_every_format(name: str, material: Material, password: str, tmp_path: Path) -> None:
    store_type, write = FORMATS[name]
    if name == "xml" and password:
        pytest.skip("XML is never encrypted")
    content = write(material, password, tmp_path)
    file = tmp_path / "store"
    file.write_bytes(content)
    encoded = base64.encodebytes(content)
    assert only_key(store_type, str(file), password) == material.public_line
    assert only_key(store_type, os.fsencode(file), password) == material.public_line
    assert only_key(store_type + 1, content, password) == material.public_line
    assert only_key(store_type + 1, encoded, password) == material.public_line
    assert only_key(CertStoreType.AUTO, str(file), password) == material.public_line
    assert only_key(CertStoreType.AUTO, content, password) == material.public_line
    assert only_key(CertStoreType.AUTO, encoded.decode(), password) == material.public_line


@pytest.mark.parametrize("derivation", ["argon2i", "argon2d", "argon2id"])
def test_ppk_is_opened_with_every_argon2(derivation: str, materials: dict[str, Material], tmp_path: Path) -> None:
    material = materials["ed25519"]
    content = made.ppk(3, derivation)(material, PASSWORD, tmp_path)
    assert f"Key-Derivation: {derivation.capitalize()}".encode() in content
    assert only_key(CertStoreType.PPK_BLOB, content, PASSWORD) == material.public_line


@pytest.mark.parametrize(
    "options",
    [[], ["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"], ["-keypbe", "NONE"]],
    ids=["today", "3des", "only the certificate encrypted"],
)
def test_pfx_of_openssl_is_opened(
    options: list[str], password: str, materials: dict[str, Material], tmp_path: Path
) -> None:
    material = materials["rsa"]
    content = made.pfx_of_openssl(*options)(material, password, tmp_path)
    assert only_key(CertStoreType.PFX_BLOB, content, password) == material.public_line


@pytest.mark.parametrize("cipher", ["-aes128", "-des3"])
def test_pem_of_openssl_with_headers_is_opened(cipher: str, materials: dict[str, Material], tmp_path: Path) -> None:
    material = materials["rsa"]
    (tmp_path / "in").write_bytes(made.traditional(material, "", tmp_path))
    content = made.run("openssl", "rsa", "-in", tmp_path / "in", "-traditional", cipher, "-passout", "pass:secret")
    assert b"DEK-Info" in content
    assert only_key(CertStoreType.PEM_KEY_BLOB, content, "secret") == material.public_line


def test_literal_jwk_of_rfc_8037_is_read() -> None:
    jwk = (
        '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",'
        '"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
    )
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")  # RFC 8032, test 1
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + public
    assert only_key(CertStoreType.JWK_BLOB, jwk) == f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def test_a_jwk_whose_halves_are_of_different_keys_is_refused(materials: dict[str, Material]) -> None:
    for kind, member in {"ed25519": "x", "ecdsa256": "x", "rsa": "n"}.items():
        other = made.jwk_of(materials["ecdsa384" if kind == "ecdsa256" else kind].private)["d"][:43]
        content = json.dumps({**made.jwk_of(materials[kind].private), member: other})
        assert "do not fit" in refusal(CertStoreType.JWK_BLOB, content)


def test_a_set_of_jwk_gives_what_can_be_a_host_key(materials: dict[str, Material], password: str) -> None:
    ed25519, rsa = (made.jwk_of(materials[kind].private) for kind in ("ed25519", "rsa"))
    public = {name: value for name, value in ed25519.items() if name != "d"}
    keys = [{"kty": "oct", "k": "AAAA"}, public, {"kty": ["RSA"]}, "text", rsa, ed25519]
    content = json.dumps({"keys": keys})
    found = [each.key.public_line for each in open_store(CertStoreType.JWK_BLOB, content)]
    assert found == [materials["rsa"].public_line, materials["ed25519"].public_line]


def test_rsa_in_xml_needs_modulus_exponent_and_d_alone(materials: dict[str, Material]) -> None:
    elements = made.xml_elements(materials["rsa"].private)
    few = {name: elements[name] for name in ("Modulus", "Exponent", "D")}
    assert only_key(CertStoreType.XML_BLOB, made.xml_text(few)) == materials["rsa"].public_line


def test_xml_may_have_a_name_space_a_frame_and_white_space(materials: dict[str, Material]) -> None:
    elements = {name: f"\n  {value}\n" for name, value in made.xml_elements(materials["rsa"].private).items()}
    inner = made.xml_text(elements).decode().replace("<RSAKeyValue>", '<RSAKeyValue xmlns="urn:x">')
    content = f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<KeyValue>{inner}</KeyValue>'
    assert only_key(CertStoreType.XML_BLOB, content) == materials["rsa"].public_line


# --- certificates beside keys ---


def test_pfx_gives_subject_and_certificate(material: Material, password: str, tmp_path: Path) -> None:
    (found,) = open_store(CertStoreType.PFX_BLOB, made.pfx(material, password, tmp_path), password)
    assert found.subject == SUBJECT
    assert found.encoded == made.certificate_pem(material.private)


def test_pem_gives_each_key_its_own_certificate(materials: dict[str, Material], tmp_path: Path) -> None:
    first, second, bare = (materials[kind] for kind in ("ecdsa256", "rsa", "ed25519"))
    parts = [
        b"Bag Attributes: \xc3\xa4\n",
        *(made.pkcs8(each, "", tmp_path) for each in (first, second, bare)),
        made.certificate_pem(second.private, "second"),
        made.certificate_pem(first.private, "first"),
    ]
    found = open_store(CertStoreType.PEM_KEY_BLOB, b"".join(parts))
    assert [(each.key.public_line, each.subject, bool(each.encoded)) for each in found] == [
        (first.public_line, "CN=first", True),
        (second.public_line, "CN=second", True),
        (bare.public_line, "", False),
    ]


# --- what is refused, and how ---


@pytest.mark.parametrize("store_type", [0, 1, 4, 5, *range(8, 14), 20, 21, 22, 23, 24, -1, 98])
def test_a_type_that_cannot_serve_is_refused_with_those_that_can(store_type: int) -> None:
    assert "use PFX (type 2" in refusal(store_type, "MY")


@pytest.mark.parametrize("name", ENCRYPTED)
@pytest.mark.parametrize("given", ["", "wrong", "\ud800"])
def test_another_password_is_refused(name: str, given: str, materials: dict[str, Material], tmp_path: Path) -> None:
    store_type, write = FORMATS[name]
    content = write(materials["ecdsa256"], PASSWORD, tmp_path)
    assert "password" in refusal(store_type + 1, content, given)


@pytest.mark.parametrize("name", ["openssh", "pkcs8", "traditional"])
def test_a_password_with_nul_is_not_the_one_before_it(
    name: str, materials: dict[str, Material], tmp_path: Path
) -> None:
    store_type, write = FORMATS[name]
    content = write(materials["rsa"], "secret", tmp_path)
    assert "password" in refusal(store_type + 1, content, "secret\0more")


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"])
def test_openssh_keys_that_crash_libssh_are_refused(cipher: str, tmp_path: Path) -> None:
    made.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-Z", cipher, "-f", tmp_path / "key")
    content = (tmp_path / "key").read_bytes()
    assert "aes256-ctr" in refusal(CertStoreType.PEM_KEY_BLOB, content, "secret")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"garbage", "is no file, and no PFX"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no private RSA"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "is no private RSA"),
        (b"<DSAKeyValue><P>AQ==</P></DSAKeyValue>", "DSA"),
        (b"<ECKeyValue/>", "without an RSAKeyValue"),
        (b"<RSAKeyValue><Modulus>", "no plain XML"),
        (b"<?xml version='1.0' encoding='x'?><a/>", "no plain XML"),
        (b"<RSAKeyValue><Modulus>AQ==</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>", "private members"),
        (b"<RSAKeyValue><Modulus>-</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>", "not in Base64"),
        (b'{"kty":"RSA"}', "private members"),
        (b'{"kty":"oct","k":"AAAA"}', "kind"),
        (b'{"kty":"EC","crv":"secp256k1","d":"AQ","x":"AQ","y":"AQ"}', "JWK"),
        (b'{"keys":[]}', "without keys"),
        (b'{"keys":7}', "without keys"),
        (b"{", "JSON"),
        (b'{"a":' * 10000, "JSON"),
        (b"PuTTY-User-Key-File-1: ssh-rsa\r\n", "PuTTYgen"),
        (b"PuTTY-User-Key-File-3: ssh-rsa\r\n", "whole PPK"),
        (b"\x30\x82\x01\x00" + b"\0" * 256, "damaged"),
    ],
)
def test_what_gives_no_key_is_refused_with_the_reason(content: bytes, said: str) -> None:
    assert said in refusal(CertStoreType.AUTO, content)


def other_keys() -> list[dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey]:
    return [dsa.generate_private_key(1024), ec.generate_private_key(ec.SECP256K1()), ed448.Ed448PrivateKey.generate()]


def test_keys_that_ssh_does_not_have_are_refused() -> None:
    for key in other_keys():
        content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert "Ed25519" in refusal(CertStoreType.PEM_KEY_BLOB, content)
    jwk = {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "d": "A" * 43}
    assert "Ed25519" in refusal(CertStoreType.JWK_BLOB, json.dumps(jwk))


def test_the_public_half_alone_is_refused(material: Material) -> None:
    public = material.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for content in (public, made.certificate_pem(material.private)):
        assert "private" in refusal(CertStoreType.PEM_KEY_BLOB, content)


def test_pfx_without_a_key_is_refused(materials: dict[str, Material], tmp_path: Path) -> None:
    (tmp_path / "cert").write_bytes(made.certificate_pem(materials["rsa"].private))
    content = made.run("openssl", "pkcs12", "-export", "-nokeys", "-in", tmp_path / "cert", "-passout", "pass:secret")
    assert "private key" in refusal(CertStoreType.PFX_BLOB, content, "secret")


def test_another_format_than_named_is_refused_with_its_types(materials: dict[str, Material], tmp_path: Path) -> None:
    content = made.pkcs8(materials["rsa"], "", tmp_path)
    assert "holds PEM, not PFX; use type 6 or 7" in refusal(CertStoreType.PFX_BLOB, content)


def test_a_ppk_with_a_changed_line_is_refused(materials: dict[str, Material], tmp_path: Path) -> None:
    content = made.ppk(3)(materials["rsa"], "", tmp_path)
    assert "is damaged" in refusal(CertStoreType.PPK_BLOB, content.replace(b"Comment: ", b"Comment: x"))


def ppk3(public: bytes, private: bytes) -> bytes:
    """A PPK of version 3 that is whole, whatever its blocks hold."""
    parts = (b"ssh-ed25519", b"none", b"none", public, private)
    mac = hmac.digest(b"", b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")
    lines = [
        *("PuTTY-User-Key-File-3: ssh-ed25519", "Encryption: none", "Comment: none"),
        *("Public-Lines: 1", base64.b64encode(public).decode()),
        *("Private-Lines: 1", base64.b64encode(private).decode(), f"Private-MAC: {mac.hex()}"),
    ]
    return "\r\n".join(lines).encode()


def test_a_ppk_whose_halves_are_of_different_keys_is_refused(materials: dict[str, Material]) -> None:
    private = b"\0\0\0\x20" + made.seed(materials["ed25519"])
    public = base64.b64decode(materials["ed25519"].public_line.split()[1])
    assert only_key(CertStoreType.PPK_BLOB, ppk3(public, private)) == materials["ed25519"].public_line
    assert "different keys" in refusal(CertStoreType.PPK_BLOB, ppk3(public[:-1] + b"\0", private))


def test_a_ppk_that_asks_for_endless_work_is_refused(materials: dict[str, Material], tmp_path: Path) -> None:
    content = made.ppk(3)(materials["ed25519"], PASSWORD, tmp_path)
    for field, value in [(b"Argon2-Passes: 2", b"Argon2-Passes: 99999999"), (b"Memory: 256", b"Memory: 2000000")]:
        assert field in content
        assert "too much work" in refusal(CertStoreType.PPK_BLOB, content.replace(field, value), PASSWORD)


def test_an_openssh_key_that_asks_for_endless_work_is_refused(materials: dict[str, Material], tmp_path: Path) -> None:
    lines = made.openssh(materials["ed25519"], PASSWORD, tmp_path).decode().splitlines()
    content = base64.b64decode("".join(lines[1:-1]))
    at = content.index(b"bcrypt") + 6 + 4 + 4 + 16  # behind the salt
    slow = base64.b64encode(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :]).decode()
    text = "\n".join((lines[0], slow, lines[-1]))
    assert "ssh-keygen -p" in refusal(CertStoreType.PEM_KEY_BLOB, text, PASSWORD)


@pytest.mark.parametrize("member", ["Modulus", "Exponent", "P"])
def test_rsa_numbers_that_are_huge_are_refused(member: str, materials: dict[str, Material]) -> None:
    elements = made.xml_elements(materials["rsa"].private)
    elements[member] = base64.b64encode(b"\xff" * 3000).decode()
    assert "too large" in refusal(CertStoreType.XML_BLOB, made.xml_text(elements))


def test_a_jwk_with_huge_numbers_is_refused(materials: dict[str, Material]) -> None:
    jwk = made.jwk_of(materials["rsa"].private)
    assert "too large" in refusal(CertStoreType.JWK_BLOB, json.dumps({**jwk, "n": "_" * 5000}))


def test_rsa_numbers_that_do_not_fit_are_refused(materials: dict[str, Material]) -> None:
    elements = made.xml_elements(materials["rsa"].private)
    for changed in ({**elements, "P": elements["DP"]}, {**elements, "D": elements["Q"]}, {**elements, "P": "AQ=="}):
        assert "do not fit" in refusal(CertStoreType.XML_BLOB, made.xml_text(changed))


def test_a_bomb_of_entities_is_refused_unopened() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 20))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "x">{entities}]><RSAKeyValue><Modulus>&e19;</Modulus></RSAKeyValue>'
    assert "no plain XML" in refusal(CertStoreType.XML_BLOB, "<?xml version='1.0'?>" + bomb)


@pytest.mark.parametrize(
    ("store_type", "head", "size"),
    [(CertStoreType.JWK_FILE, b"{", 65537), (CertStoreType.PFX_FILE, b"\x30\x84", 1048577)],
)
def test_large_files_are_refused(store_type: int, head: bytes, size: int, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(head.ljust(size, b"\0"))
    assert "too large" in refusal(store_type, str(tmp_path / "large"))
    (tmp_path / "large").write_bytes(head.ljust(size - 1, b"\0"))
    assert "too large" not in refusal(store_type, str(tmp_path / "large"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, said in {"missing": "No such file", ".": "directory", "fifo": "not a regular file"}.items():
        for store_type in (2, 6, 14, 16, 18):
            sentence = refusal(store_type, str(tmp_path / name))
            assert str(tmp_path / name) in sentence
            assert said in sentence
    assert "no file can have this name" in refusal(2, b"a\0b")


@pytest.mark.parametrize("name", FORMATS)
def test_a_key_given_for_a_name_is_not_repeated(name: str, materials: dict[str, Material], tmp_path: Path) -> None:
    store_type, write = FORMATS[name]
    content = write(materials["rsa"], "", tmp_path)
    for given in (content, base64.b64encode(content)):
        assert refusal(store_type, given).startswith("The host key store is given by its content")


@pytest.mark.parametrize("store_type", [2, 3, 6, 7, 14, 15, 16, 17, 18, 19, 99])
def test_an_empty_store_is_called_empty(store_type: int) -> None:
    for nothing in ("", b""):
        assert refusal(store_type, nothing) == "The host key store is empty."


# --- libraries ---


def alone(program: str) -> str:
    """The output of a program that has none of the extra's libraries."""
    hide = "import sys; sys.modules.update(dict.fromkeys(['cryptography', 'defusedxml', 'joserfc']));"
    done = subprocess.run(
        [sys.executable, "-c", hide + program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bare_pem_key_needs_no_library(materials: dict[str, Material], password: str, tmp_path: Path) -> None:
    for write in (made.openssh, made.pkcs8, made.traditional):
        (tmp_path / "key").write_bytes(write(materials["rsa"], password, tmp_path))
        program = f"from libsshd.hostkeys import open_store; print(open_store(6, {str(tmp_path / 'key')!r}, "
        assert alone(program + f"{password!r})[0].key.public_line)").strip() == materials["rsa"].public_line


@pytest.mark.parametrize("name", ["pfx", "ppk3", "xml", "jwk"])
def test_a_missing_library_is_named_with_the_command(
    name: str, materials: dict[str, Material], tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(FORMATS[name][1](materials["rsa"], "", tmp_path))
    program = (
        "from libsshd import SFTPServerError; from libsshd.hostkeys import open_store\n"
        f"try: open_store(99, {str(tmp_path / 'key')!r})\n"
        "except SFTPServerError as error: print(error)"
    )
    said = alone(program)
    assert said.startswith("[1301]")
    assert 'which is not installed; use: pip install "libsshd[keys]".' in said


def test_importing_libsshd_loads_none_of_the_libraries() -> None:
    program = "import sys, libsshd; print({'cryptography', 'defusedxml', 'joserfc'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


# --- types of Python ---


@pytest.mark.parametrize("convert", [bytes, bytes.decode], ids=["bytes", "str"])
def test_text_comes_as_str_or_bytes(
    convert: Callable[[bytes], bytes | str], materials: dict[str, Material], tmp_path: Path
) -> None:
    for store_type, write in (FORMATS[name] for name in ("pkcs8", "ppk2", "xml", "jwk")):
        content = convert(write(materials["rsa"], "", tmp_path))
        assert only_key(store_type + 1, content) == materials["rsa"].public_line
