"""Host keys: what is read, what is refused, what is written; ssh-keygen is the judge."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from libsshd import HostKey


def keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("name", "type_"), [("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "ssh-rsa")]
)
def test_a_saved_key_is_private_and_openssh_reads_the_same(tmp_path: Path, name: str, type_: str) -> None:
    key = HostKey.generate(name)
    path = tmp_path / "key"
    key.save(path)
    assert key.type == type_
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key.fingerprint in keygen("-lf", str(path))
    assert keygen("-yf", str(path)).split()[:2] == key.public_line.split()
    assert HostKey.from_file(path).fingerprint == key.fingerprint


@pytest.mark.parametrize("options", [["-t", "ed25519"], ["-t", "ecdsa", "-b", "521"], ["-t", "rsa", "-m", "PEM"]])
def test_keys_that_openssh_made_are_read(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "key"
    keygen("-q", "-N", "", "-f", str(path), *options)
    assert HostKey.from_file(path).fingerprint in keygen("-lf", str(path))


def test_saving_never_replaces_a_key_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = HostKey.generate()
    first.save(path)
    with pytest.raises(FileExistsError):
        HostKey.generate().save(path)
    assert HostKey.from_file(path).fingerprint == first.fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    HostKey.generate().save(path)
    path.chmod(mode)
    with pytest.raises(ValueError, match="chmod 600"):
        HostKey.from_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    HostKey.generate().save(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(ValueError, match="another user"):
        HostKey.from_file(path)


def test_an_encrypted_key_is_refused_without_asking(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keygen("-q", "-N", "secret", "-f", str(path), "-t", "ed25519")
    with pytest.raises(ValueError, match="unencrypted"):
        HostKey.from_file(path)


@pytest.mark.parametrize("options", [["-t", "ed25519"], ["-t", "rsa", "-m", "PEM"], ["-t", "ecdsa", "-m", "PKCS8"]])
def test_an_encrypted_key_opens_with_its_passphrase_alone(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "key"
    keygen("-q", "-N", "secret", "-f", str(path), *options)
    text = path.read_text()
    assert HostKey.from_file(path, "secret").fingerprint in keygen("-lf", str(path) + ".pub")
    assert HostKey.from_text(text, "secret").public_line in Path(f"{path}.pub").read_text()
    for passphrase, said in {None: "is encrypted; give its password", "other": "does not open with this"}.items():
        with pytest.raises(ValueError, match=said):
            HostKey.from_text(text, passphrase)
    with pytest.raises(ValueError, match=f"the host key {path} does not open with this password"):
        HostKey.from_file(path, "other")


def test_a_key_that_is_not_encrypted_needs_no_passphrase_and_takes_any(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = HostKey.generate()
    key.save(path)
    assert HostKey.from_text(path.read_text()).fingerprint == key.fingerprint
    assert HostKey.from_text(path.read_text(), "any").fingerprint == key.fingerprint
    assert HostKey.from_file(path, "any").fingerprint == key.fingerprint


@pytest.mark.parametrize("text", ["", "nonsense", "\ud800", "\0", "-----BEGIN OPENSSH PRIVATE KEY\n"])
def test_text_that_is_no_key_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="the host key is no private RSA"):
        HostKey.from_text(text)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\xff\xfe", b"x" * 70000, b"-----BEGIN OPENSSH PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="host key"):
        HostKey.from_file(path)


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        HostKey.from_file(tmp_path)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="dsa"):
        HostKey.generate("dsa")
