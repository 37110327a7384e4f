"""curl over libssh2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.client import Curl
from tests.support.command import attempt
from tests.support.place import MIB, Place, noise
from tests.support.server import Server


@pytest.fixture
def curl(running: Server) -> Curl:
    return Curl(running)


@pytest.fixture(autouse=True)
def _curl_has_sftp(running: Server) -> None:
    if b" sftp" not in attempt(["curl", "--version"], home=running.home).stdout:
        pytest.skip("this curl was built without SFTP")


def test_a_password_logs_in(curl: Curl, place: Place) -> None:
    place.write("file", b"by password")
    assert curl.call(place.at("file"), login="password") == b"by password"


def test_a_large_file_both_ways(curl: Curl, place: Place, tmp_path: Path) -> None:
    data = noise(20 * MIB + 5)
    (tmp_path / "source").write_bytes(data)
    curl.put(tmp_path / "source", place.at("file"))
    assert place.read("file") == data
    curl.get(place.at("file"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_range_is_what_was_asked_for(curl: Curl, place: Place) -> None:
    data = noise(100_000)
    place.write("file", data)
    assert curl.call(place.at("file"), "--range", "40000-69999") == data[40_000:70_000]
    assert curl.call(place.at("file"), "--range", "-100") == data[-100:]


def test_downloads_and_uploads_resume(curl: Curl, place: Place, tmp_path: Path) -> None:
    data = noise(100_000)
    place.write("file", data)
    (tmp_path / "part").write_bytes(b"?" * 30_000)
    curl.call(place.at("file"), "--continue-at", "-", "--output", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == b"?" * 30_000 + data[30_000:]
    place.write("part", b"?" * 30_000)
    (tmp_path / "file").write_bytes(data)
    curl.call(place.at("part"), "--continue-at", "-", "--upload-file", tmp_path / "file")
    assert place.read("part") == b"?" * 30_000 + data[30_000:]


def test_append_adds_at_the_end(curl: Curl, place: Place, tmp_path: Path) -> None:
    place.write("file", b"first ")
    (tmp_path / "more").write_bytes(b"second")
    curl.call(place.at("file"), "--append", "--upload-file", tmp_path / "more")
    assert place.read("file") == b"first second"


def test_missing_directories_are_made_on_the_way(curl: Curl, place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    curl.call(place.at("a/b/c/file"), "--ftp-create-dirs", "--upload-file", tmp_path / "file")
    assert place.read("a/b/c/file") == b"content"


def test_a_directory_is_listed(curl: Curl, place: Place) -> None:
    place.write("one", b"12345")
    (place.path / "link").symlink_to("one")
    lines = curl.call(place.remote + b"/").splitlines()
    assert any(line.startswith(b"-rw") and b" 5 " in line and line.endswith(b" one") for line in lines)
    assert any(line.startswith(b"lrwx") and line.endswith(b" link -> one") for line in lines)
    assert set(curl.call(place.remote + b"/", "--list-only").split()) == {b".", b"..", b"one", b"link"}


def test_an_empty_directory_is_not_a_missing_one(curl: Curl, place: Place) -> None:
    (place.path / "empty").mkdir()
    assert set(curl.call(place.at("empty/"), "--list-only").split()) == {b".", b".."}
    with pytest.raises(AssertionError, match="ended with"):
        curl.call(place.at("missing/"), "--list-only")


def test_commands_that_change_things(curl: Curl, place: Place) -> None:
    place.write("file", b"content")
    place.write("old", b"")
    (place.path / "empty").mkdir()
    quotes = [
        f"mkdir {place.text('made')}",
        f"rename {place.text('file')} {place.text('made/moved')}",
        f"chmod 0640 {place.text('made/moved')}",
        f"symlink {place.text('made/moved')} {place.text('link')}",
        f"rm {place.text('old')}",
        f"rmdir {place.text('empty')}",
    ]
    arguments = [part for quote in quotes for part in ("--quote", quote)]
    curl.call(place.remote + b"/", *arguments)
    assert place.names() == {b"made", b"link"}
    assert place.read("made/moved") == b"content"
    assert (place.path / "made/moved").stat().st_mode & 0o7777 == 0o640
    assert os.readlink(place.path / "link") == place.text("made/moved")


def test_a_missing_file_is_an_error_of_its_own(curl: Curl, place: Place) -> None:
    with pytest.raises(AssertionError, match="ended with 78"):
        curl.call(place.at("missing"))


def test_the_home_directory_is_the_root(curl: Curl, place: Place) -> None:
    place.write("file", b"content")
    assert curl.call(b"/~" + place.at("file")) == b"content"
