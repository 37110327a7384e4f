"""Class 22: files with keys and secrets: owner, mode and size are checked, and whatever is in them is survived."""

from __future__ import annotations

import base64
import os
import random
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from libsshd import HostKey
from libsshd.authentication import AUTHORIZED_KEYS_LIMIT, SECRET_LIMIT, AuthorizedKeys, read_password_file
from libsshd.hostkeys.key import KEY_SIZE_MAX
from tests.conftest import Rounds
from tests.support.command import run
from tests.support.server import make_key

Load = Callable[[Path], object]

LOADERS: dict[str, tuple[Load, int]] = {
    "host key": (HostKey.from_file, 0o077),
    "authorized keys": (AuthorizedKeys.from_file, 0o022),
    "password": (read_password_file, 0o077),
}
"""How each is read, and the bits of its mode that must not be set."""
LIMITS = {"host key": KEY_SIZE_MAX, "authorized keys": AUTHORIZED_KEYS_LIMIT, "password": SECRET_LIMIT + 2}
SECONDS = 20.0
"""No file may take longer; most take milliseconds."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A good file of each kind."""
    folder = tmp_path_factory.mktemp("files")
    key = make_key(folder / "key", ["-t", "ed25519"])
    return {
        "host key": key.read_bytes(),
        "authorized keys": (folder / "key.pub").read_bytes(),
        "password": b"Open-Sesame.7\n",
    }


@pytest.fixture(params=LOADERS)
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def file(tmp_path: Path, kind: str, made: dict[str, bytes]) -> Path:
    path = tmp_path / "file"
    path.write_bytes(made[kind])
    path.chmod(0o600)
    return path


def loads(kind: str, path: Path) -> bool:
    """Whether it can be used; what it says when not, is a sentence that names the file."""
    began = time.monotonic()
    try:
        LOADERS[kind][0](path)
    except ValueError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return False
    finally:
        assert time.monotonic() - began < SECONDS
    return True


def test_every_mode_that_lets_others_in_is_refused(kind: str, file: Path) -> None:
    forbidden = LOADERS[kind][1]
    for mode in range(0o400, 0o1000):
        if mode & 0o400:
            file.chmod(mode)
            assert loads(kind, file) == (mode & forbidden == 0), f"{mode:04o}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(kind: str, file: Path) -> None:
    os.chown(file, 65534, -1)
    assert not loads(kind, file)
    os.chown(file, 0, 65534)
    assert loads(kind, file)


def test_mode_and_owner_are_those_of_what_a_link_leads_to(kind: str, file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert loads(kind, link)
    file.chmod(0o666)
    assert not loads(kind, link)


def test_of_a_file_without_an_end_no_more_is_read_than_the_limit(kind: str, file: Path) -> None:
    with file.open("ab") as stream:
        stream.truncate(1 << 40)
    assert not loads(kind, file)


def test_at_the_limit_a_file_is_read_and_above_it_is_not(tmp_path: Path, made: dict[str, bytes]) -> None:
    path = tmp_path / "keys"
    path.touch(0o600)
    for more, usable in ((0, True), (1, False)):
        filler = b"#" * (AUTHORIZED_KEYS_LIMIT - len(made["authorized keys"]) + more - 1) + b"\n"
        path.write_bytes(filler + made["authorized keys"])
        assert loads("authorized keys", path) is usable
    path.write_bytes(b"x" * SECRET_LIMIT + b"\n")
    assert loads("password", path)
    path.write_bytes(b"x" * (SECRET_LIMIT + 3))
    assert not loads("password", path)


def test_a_host_key_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", Path("/dev/zero"), Path("/dev/null")):
        assert not loads("host key", path)
    with pytest.raises(IsADirectoryError):
        loads("host key", tmp_path)


FORMS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa": ["-t", "ecdsa", "-b", "521"],
    "rsa": ["-t", "rsa", "-b", "2048"],
    "ecdsa PEM": ["-t", "ecdsa", "-m", "PEM"],
    "rsa PEM": ["-t", "rsa", "-b", "2048", "-m", "PEM"],
    "rsa PKCS 8": ["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
    "ecdsa PKCS 8": ["-t", "ecdsa", "-m", "PKCS8"],
}


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled or put in."""
    for _ in range(dice.randint(1, 3)):
        where, length = dice.randrange(len(content) + 1), dice.choice((0, 1, 1, 4, 64))
        by = dice.choice((b"", dice.randbytes(1), b"A", b"\n", b"=", b"\0", content[where : where + 64] * 2))
        content = content[:where] + by + content[where + length :]
    return content


@pytest.mark.rounds
@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_host_key_is_a_key_or_a_sentence(form: str, tmp_path: Path, rounds: Rounds) -> None:
    content = make_key(tmp_path / "key", FORMS[form]).read_bytes()
    assert loads("host key", tmp_path / "key")
    path, dice = tmp_path / "damaged", random.Random(form)
    path.touch(0o600)
    for _ in range(rounds(100, 10_000)):
        path.write_bytes(damaged(content, dice))
        loads("host key", path)


@pytest.mark.rounds
def test_damaged_keys_and_secrets_are_survived(made: dict[str, bytes], tmp_path: Path, rounds: Rounds) -> None:
    path, dice = tmp_path / "damaged", random.Random(5)
    path.touch(0o600)
    for _ in range(rounds(300, 20_000)):
        for kind in ("authorized keys", "password"):
            path.write_bytes(damaged(made[kind] * dice.randint(1, 3), dice))
            loads(kind, path)


@pytest.mark.parametrize("rounds_of_bcrypt", [10_001, 1 << 20, (1 << 32) - 1])
def test_a_key_that_would_take_for_ever_to_decrypt_is_refused(tmp_path: Path, rounds_of_bcrypt: int) -> None:
    key = make_key(tmp_path / "key", ["-t", "ed25519", "-Z", "aes256-ctr", "-a", "16"])
    run_again = ["-p", "-P", "", "-N", "secret", "-a", "16", "-Z", "aes256-ctr"]
    run(["ssh-keygen", "-q", *run_again, "-f", key], home=tmp_path)
    lines = key.read_text().splitlines()
    blob = base64.b64decode("".join(lines[1:-1]))
    before = (16).to_bytes(4, "big")
    at = blob.index(b"bcrypt") + len(b"bcrypt") + 4 + 4 + 16
    assert blob[at : at + 4] == before, "salt, then rounds"
    blob = blob[:at] + rounds_of_bcrypt.to_bytes(4, "big") + blob[at + 4 :]
    key.write_text("\n".join([lines[0], base64.b64encode(blob).decode(), lines[-1], ""]))
    began = time.monotonic()
    with pytest.raises(ValueError, match="host key"):
        HostKey.from_file(key, "secret")
    assert time.monotonic() - began < SECONDS


def test_a_saved_key_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        HostKey.generate().save(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert loads("host key", tmp_path / "key")
