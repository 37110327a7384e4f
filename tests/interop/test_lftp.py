"""lftp, which has an SFTP client of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.client import LFTP, lftp_quote
from tests.support.place import MIB, Place, noise
from tests.support.server import Server


@pytest.fixture
def lftp(running: Server) -> LFTP:
    return LFTP(running)


def test_a_password_logs_in(lftp: LFTP, place: Place) -> None:
    place.write("file", b"by password")
    assert lftp.script(b"cat " + place.at("file"), login="password") == b"by password"


def test_mirror_copies_a_tree_in_both_directions(lftp: LFTP, place: Place, tmp_path: Path) -> None:
    names = [f"dir{number % 7}/file{number}" for number in range(40)] + ["top", "a/b/c/deep"]
    for number, name in enumerate(names):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(noise(number * 997, number))
    lftp.script(b"mirror -R --parallel=4 " + lftp_quote(tmp_path / "source") + b" " + place.at("copy"))
    lftp.script(b"mirror --parallel=4 " + place.at("copy") + b" " + lftp_quote(tmp_path / "back"))
    for number, name in enumerate(names):
        for root in (place.path / "copy", tmp_path / "back"):
            assert (root / name).read_bytes() == noise(number * 997, number)


def test_mirror_again_finds_nothing_to_do(lftp: LFTP, place: Place, tmp_path: Path) -> None:
    """Sizes and times that a listing shows are those that were set."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_bytes(b"content")
    os.utime(tmp_path / "source/file", (1_000_000_000, 1_000_000_000))
    command = b"mirror -R --verbose " + lftp_quote(tmp_path / "source") + b" " + place.at("copy")
    assert b"file" in lftp.script(command)
    assert (place.path / "copy/file").stat().st_mtime == 1_000_000_000
    assert b"file'" not in lftp.script(command)


def test_get_c_and_put_c_resume(lftp: LFTP, place: Place, tmp_path: Path) -> None:
    data = noise(300_000)
    place.write("whole", data)
    place.write("part", b"?" * 100_000)
    (tmp_path / "whole").write_bytes(data)
    (tmp_path / "part").write_bytes(b"?" * 100_000)
    lftp.script(
        b"get -c " + place.at("whole") + b" -o " + lftp_quote(tmp_path / "part"),
        b"put -c " + lftp_quote(tmp_path / "whole") + b" -o " + place.at("part"),
    )
    assert (tmp_path / "part").read_bytes() == place.read("part") == b"?" * 100_000 + data[100_000:]


def test_pget_fetches_a_file_in_pieces(lftp: LFTP, place: Place, tmp_path: Path) -> None:
    data = noise(5 * MIB + 3)
    place.write("file", data)
    lftp.script(b"pget -n 4 " + place.at("file") + b" -o " + lftp_quote(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == data


def test_commands_that_change_things(lftp: LFTP, place: Place) -> None:
    place.write("file", b"content")
    (place.path / "full").mkdir()
    place.write("full/file", b"")
    lftp.script(
        b"cd " + place.remote,
        b"mkdir -p a/b/c",
        b"mv file a/moved",
        b"chmod 0640 a/moved",
        b"rmdir a/b/c",
        b"rm -r full",
        b"ln -s moved a/link",
    )
    assert place.names() == {b"a"}
    assert set(os.listdir(place.path / "a")) == {"b", "moved", "link"}
    assert (place.path / "a/moved").stat().st_mode & 0o7777 == 0o640
    assert place.read("a/moved") == b"content"
    assert os.readlink(place.path / "a/link") == "moved"


def test_listings(lftp: LFTP, place: Place) -> None:
    place.write("one", b"12345")
    (place.path / "two").mkdir()
    assert set(lftp.script(b"cls -1 " + place.remote + b"/").split()) == {place.at("one"), place.at("two/")}
    lines = lftp.script(b"ls " + place.remote).splitlines()
    assert any(line.startswith(b"-rw") and b" 5 " in line and line.endswith(b"one") for line in lines)
    assert any(line.startswith(b"drwx") and line.endswith(b"two") for line in lines)
    assert lftp.script(b"cat " + place.at("one")) == b"12345"


@pytest.mark.parametrize("command", [b"cls", b"get", b"rm", b"chmod 600"])
def test_what_is_missing_is_an_error(command: bytes, lftp: LFTP, place: Place) -> None:
    """Not with `cat`, after which lftp 4.9 waits for ever, whatever the server."""
    with pytest.raises(AssertionError, match="No such file"):
        lftp.script(command + b" " + place.at("missing"))
