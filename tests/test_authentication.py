"""authentication.py: which passwords, keys and key files are taken, and that nothing else is."""

import base64
import logging
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.authentication import (
    AUTHORIZED_KEYS_LIMIT,
    SECRET_LIMIT,
    AuthorizedKey,
    AuthorizedKeys,
    Credentials,
    PasswordVerifier,
    read_password_file,
)


def blob(*fields: bytes) -> bytes:
    """Return length-prefixed fields: every public key has this form."""
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def line(key_type: str, *fields: bytes) -> str:
    """Return a line of an authorized-keys file."""
    return f"{key_type} {base64.b64encode(blob(key_type.encode(), *fields)).decode()} somebody@somewhere"


def modulus(bits: int) -> bytes:
    """Return an RSA modulus as an mpint of exactly `bits` bits."""
    return ((1 << (bits - 1)) | 1).to_bytes(bits // 8 + 1, "big")


POINT = b"\x04" + bytes(64)
EXPONENT = b"\x01\x00\x01"
ED25519 = line("ssh-ed25519", bytes(32))
ED25519_BLOB = blob(b"ssh-ed25519", bytes(32))

GOOD = {
    "ed25519": ED25519,
    "rsa": line("ssh-rsa", EXPONENT, modulus(2048)),
    "p256": line("ecdsa-sha2-nistp256", b"nistp256", POINT),
    "p384": line("ecdsa-sha2-nistp384", b"nistp384", b"\x04" + bytes(96)),
    "p521": line("ecdsa-sha2-nistp521", b"nistp521", b"\x04" + bytes(132)),
    "sk-ed25519": line("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
    "sk-p256": line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:"),
}

OTHER_TYPE = "its key is not of the type it names"
RANGE = "only 2048 to 16384 are accepted"

BAD = {
    "garbage": ("hello world", "it is not a key line"),
    "path": ("/etc/passwd", "it is not a key line"),
    "type alone": ("ssh-ed25519", "it is not a key line"),
    "options alone": ("no-pty", "it is not a key line"),
    "not base64": ("ssh-ed25519 AAAA*", "its key is not base64"),
    "non-ascii": ("ssh-ed25519 schlüssel", "its key is not base64"),
    "other type inside": ("ssh-rsa" + ED25519.removeprefix("ssh-ed25519"), OTHER_TYPE),
    "empty blob": ("ssh-ed25519 ====", "its key is not base64"),
    "cut short": (line("ssh-ed25519", bytes(32))[:48], "its key is cut short"),
    "short ed25519": (line("ssh-ed25519", bytes(31)), "its key is malformed"),
    "extra field": (line("ssh-ed25519", bytes(32), b""), "its key is malformed"),
    "wrong curve": (line("ecdsa-sha2-nistp256", b"nistp384", POINT), "its key is malformed"),
    "compressed point": (line("ecdsa-sha2-nistp256", b"nistp256", b"\2" + bytes(64)), "its key is malformed"),
    "no point": (line("ecdsa-sha2-nistp256", b"nistp256", b""), "its key is malformed"),
    "negative modulus": (line("ssh-rsa", EXPONENT, b"\x80" + bytes(255)), "its key is malformed"),
    "weak rsa": (line("ssh-rsa", EXPONENT, modulus(2047)), f"its RSA key has 2047 bits, {RANGE}"),
    "huge rsa": (line("ssh-rsa", EXPONENT, modulus(16385)), f"its RSA key has 16385 bits, {RANGE}"),
    "dsa": (line("ssh-dss", b"", b"", b"", b""), "keys of its type are not supported"),
    "certificate": (line("ssh-ed25519-cert-v01@openssh.com", bytes(32)), "certificates are not supported"),
    "from": (f'from="10.0.0.0/8" {ED25519}', "its option from is not supported"),
    "command": (f'command="echo {ED25519}" {ED25519}', "its option command is not supported"),
    "restrict": (f"restrict {ED25519}", "its option restrict is not supported"),
    "authority": (f"cert-authority {ED25519}", "its option cert-authority is not supported"),
    "one of several": (f'no-pty,from="a,no-pty" {ED25519}', "its option from is not supported"),
    "upper case": (f'FROM="a" {ED25519}', "its option from is not supported"),
    "unknown option": (f"be-nice {ED25519}", "it is not a key line"),
    "switch with value": (f'no-pty="x" {ED25519}', "it is not a key line"),
}  # fmt: skip


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_every_supported_type_is_read(text: str) -> None:
    (key,) = AuthorizedKeys.parse(text)
    assert text == f"{key.type} {base64.b64encode(key.blob).decode()} {key.comment}"


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD.keys())
def test_an_unusable_line_is_left_out_with_its_reason(
    text: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = AuthorizedKeys.parse(f"# first\n{text}\n{GOOD['rsa']}\n", "keys")
    assert [key.type for key in keys] == ["ssh-rsa"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.__dict__["fields"] == {"event": "key-skipped", "path": "keys", "line": 2, "reason": reason}


@pytest.mark.parametrize("options", ["no-pty", "no-pty,No-X11-Forwarding", "no-port-forwarding,pty"])
def test_options_that_this_server_honours_anyway_do_no_harm(options: str) -> None:
    assert AuthorizedKeys.parse(f"{options} {ED25519}").matches(ED25519_BLOB)


def test_blank_lines_comments_tabs_and_other_line_ends_are_understood() -> None:
    text = f"\ufeff# comment\r\n\r\n \t\n\t{ED25519.replace(' ', chr(9))}\r\n#{GOOD['rsa']}"
    (key,) = AuthorizedKeys.parse(text)
    assert (key.blob, key.comment) == (ED25519_BLOB, "somebody@somewhere")


def test_only_a_newline_ends_a_line() -> None:
    assert len(AuthorizedKeys.parse(f"# comment\x0b{ED25519}\x85{ED25519}\u2028{ED25519}")) == 0


def test_a_private_key_is_refused_and_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    text = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"
    with pytest.raises(ValueError, match="private key") as caught:
        AuthorizedKeys.parse(text)
    assert "c2VjcmV0" not in str(caught.value) + caplog.text


@given(st.text() | st.lists(st.sampled_from([*GOOD.values(), "from=x", " ", "\n", '"', "restrict"])).map("".join))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    for key in AuthorizedKeys.parse(text.replace("PRIVATE", "")):
        assert blob(key.type.encode()) == key.blob[: 4 + len(key.type)]


@given(st.binary(max_size=200))
def test_no_key_blob_at_all_breaks_the_reader(octets: bytes) -> None:
    text = base64.b64encode(blob(b"ssh-rsa") + octets).decode()
    for key in AuthorizedKeys.parse(f"ssh-rsa {text}"):
        assert key.blob == blob(b"ssh-rsa") + octets


@pytest.mark.parametrize(
    "arguments", [["ed25519"], ["ecdsa", "-b256"], ["ecdsa", "-b384"], ["ecdsa", "-b521"], ["rsa", "-b2048"]]
)
def test_keys_made_by_openssh_are_read_with_the_fingerprint_it_shows(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-qN", "", "-f", path, "-t", *arguments], check=True)
    shown = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
    (key,) = AuthorizedKeys.from_file(path.with_suffix(".pub"))
    assert key.fingerprint == shown.split()[1]


def test_a_key_matches_by_its_whole_blob_only() -> None:
    keys = AuthorizedKeys.parse("\n".join(GOOD.values()))
    assert keys.matches(ED25519_BLOB)
    assert not keys.matches(ED25519_BLOB[:-1])
    assert not keys.matches(ED25519_BLOB + b"\0")
    assert not keys.matches(b"")
    assert not AuthorizedKeys().matches(b"")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_key_file_that_others_may_change_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(ED25519)
    path.chmod(mode)
    with pytest.raises(ValueError, match=f"changed by others .mode {mode:04o}"):
        AuthorizedKeys.from_file(path)
    path.chmod(0o644)
    assert len(AuthorizedKeys.from_file(path)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o601])
def test_a_password_file_that_others_may_open_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("secret")
    path.chmod(mode)
    with pytest.raises(ValueError, match=f"opened by others .mode {mode:04o}"):
        read_password_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(ED25519)
    path.chmod(0o600)
    os.chown(path, 4711, -1)
    for read in (AuthorizedKeys.from_file, read_password_file):
        with pytest.raises(ValueError, match=r"belongs to another user \(number 4711\)"):
            read(path)


def test_a_key_file_is_read_up_to_its_limit_and_refused_above(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(ED25519 + "\n" + "#" * (AUTHORIZED_KEYS_LIMIT - len(ED25519) - 1))
    path.chmod(0o600)
    assert len(AuthorizedKeys.from_file(path)) == 1
    with path.open("a") as file:
        file.write("#")
    with pytest.raises(ValueError, match="longer than 1048576 bytes"):
        AuthorizedKeys.from_file(path)


def test_a_missing_file_or_a_directory_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AuthorizedKeys.from_file(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        read_password_file(tmp_path)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" two words \n", " two words "),
        (b"\xff\n", "\udcff"),
        (b"x" * SECRET_LIMIT + b"\r\n", "x" * SECRET_LIMIT),
    ],
)
def test_a_password_file_is_one_line_without_its_end(content: bytes, password: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(0o600)
    assert read_password_file(path) == password


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"a\nb\n", "one line"),
        (b"a\0b", "one line"),
        (b"x" * 1027, "longer"),
    ],
)
def test_a_password_file_that_holds_no_password_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match=reason):
        read_password_file(path)


@pytest.mark.parametrize("secret", ["secret", "sécret", "\udcff\udc80", "\ud800", "x" * SECRET_LIMIT])
def test_a_verifier_knows_its_secret_and_no_other(secret: str) -> None:
    verifier = PasswordVerifier(secret)
    assert verifier.verify(secret)
    for other in ("", secret[:-1], secret + "x", secret + "\0", secret.swapcase() + " ", "x" * 5000):
        assert not verifier.verify(other)


def test_what_is_longer_than_the_limit_never_matches_by_its_beginning() -> None:
    assert not PasswordVerifier("x" * SECRET_LIMIT).verify("x" * (SECRET_LIMIT + 1))


@pytest.mark.parametrize("secret", ["", "x" * (SECRET_LIMIT + 1), "é" * SECRET_LIMIT])
def test_a_secret_that_could_never_match_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="between 1 and 1024 bytes"):
        PasswordVerifier(secret)


def test_a_verifier_without_a_secret_refuses_everything() -> None:
    assert not any(PasswordVerifier(None).verify(text) for text in ("", "None", "\0"))


@dataclass
class Request:
    """An authentication request as an event carries it."""

    user: str
    auth_method: str
    auth_param: str = ""
    accept: bool = False
    available_methods: str = "password,publickey"


def decide(account: Credentials, user: str, method: str, parameter: str = "") -> bool:
    request = Request(user, method, parameter)
    account.decide(request)
    assert request.available_methods == account.available_methods
    return request.accept


KEYS = AuthorizedKeys([AuthorizedKey("ssh-ed25519", ED25519_BLOB)])
OFFER = ED25519.split()[1]


def test_the_right_user_with_either_proof_is_let_in_and_nobody_else() -> None:
    account = Credentials("bob", "secret", KEYS)
    assert decide(account, "bob", "password", "secret")
    assert decide(account, "bob", "publickey", OFFER)
    refused = [
        ("bob", "none", ""),
        ("bob", "none", "secret"),
        ("bob", "password", ""),
        ("bob", "password", OFFER),
        ("bob", "publickey", "secret"),
        ("bob", "publickey", ""),
        ("bob", "publickey", "/etc/ssh/key"),
        ("bob", "publickey", OFFER + "é"),
        ("bob", "keyboard-interactive", "secret"),
        ("bob", "hostbased", OFFER),
        ("Bob", "password", "secret"),
        ("bob\0", "password", "secret"),
        ("", "password", "secret"),
        ("root", "publickey", OFFER),
        ("b" * 2000, "password", "secret"),
    ]
    assert [case for case in refused if decide(account, *case)] == []


@pytest.mark.parametrize(
    ("password", "keys", "methods"),
    [("secret", KEYS, "publickey,password"), (None, KEYS, "publickey"), ("secret", None, "password")],
)
def test_only_the_configured_methods_are_offered(
    password: str | None, keys: AuthorizedKeys | None, methods: str
) -> None:
    assert Credentials("bob", password, keys).available_methods == methods


def test_a_method_that_is_not_configured_lets_nobody_in() -> None:
    assert not decide(Credentials("bob", None, KEYS), "bob", "password", "")
    assert not decide(Credentials("bob", "secret"), "bob", "publickey", OFFER)


def test_an_account_without_a_way_to_log_in_is_an_error() -> None:
    for keys in (None, AuthorizedKeys()):
        with pytest.raises(ValueError, match="no way to log in"):
            Credentials("bob", None, keys)


def test_an_unusable_name_or_password_is_an_error_that_says_which() -> None:
    with pytest.raises(ValueError, match="the user name cannot be used"):
        Credentials("", "secret")
    with pytest.raises(ValueError, match="the password cannot be used"):
        Credentials("bob", "")


@pytest.mark.parametrize("accept", [True, False])
def test_the_report_about_a_signature_changes_no_decision(accept: bool) -> None:
    request = Request("bob", "sigstatus", "1", accept)
    Credentials("bob", "secret").decide(request)
    assert request.accept is accept


@pytest.mark.parametrize(("method", "wrong"), [("password", "wrong"), ("publickey", "AAAA")])
def test_an_unknown_user_takes_the_same_steps_as_a_known_one(method: str, wrong: str) -> None:
    account = Credentials("bob", "secret", KEYS)
    assert steps(account, "bob", method, wrong) == steps(account, "eve", method, wrong)


def test_a_nearly_right_password_takes_the_same_steps_as_a_wrong_one() -> None:
    account = Credentials("bob", "secret", KEYS)
    assert steps(account, "bob", "password", "secreT") == steps(account, "bob", "password", "Xecret")
    assert steps(account, "bob", "password", "secret") == steps(account, "bob", "password", "Xecret")


def test_a_lookup_compares_all_keys_whichever_matches() -> None:
    keys = AuthorizedKeys.parse("\n".join(GOOD.values()))
    account = Credentials("bob", None, keys)
    offers = [base64.b64encode(key.blob).decode() for key in keys] + ["AAAA"]
    counts = {steps(account, "bob", "publickey", offer).count("compare_digest") for offer in offers}
    assert counts == {1 + len(keys)}


def steps(account: Credentials, user: str, method: str, parameter: str) -> list[str]:
    """Return every function, of Python and of C, that one decision calls."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event.endswith("call"):
            called.append(getattr(argument, "__name__", None) or frame.f_code.co_name)

    request = Request(user, method, parameter)
    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        account.decide(request)
    finally:
        sys.setprofile(previous)
    assert "compare_digest" in called
    return called
