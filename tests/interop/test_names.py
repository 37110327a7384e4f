"""File names are bytes: whatever Linux takes goes there and back unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.client import LFTP, SCP, AsyncSSH, Client, Curl, Libssh2, OpenSSH, Paramiko, sftp_quote
from tests.support.place import Place
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, READ, WRITE, Code, RawSFTP, Type, string, u32
from tests.support.server import Server

NAMES = {
    "space": b" a name with  spaces ",
    "newline": b"two\nlines",
    "tab": b"a\ttab",
    "unicode": "ünïcode-日本語-\N{GRINNING FACE}".encode(),
    "combining": "e\N{COMBINING ACUTE ACCENT}".encode(),
    "dash": b"-rf",
    "quotes": b'it\'s "quoted"',
    "pattern": b"a*b?[c]{d}",
    "backslash": b"back\\slash\\",
    "percent": b"100%20#&;$HOME|`id`",
    "tilde": b"~",
    "hidden": b".hidden",
    "255": b"x" * 255,
    "255 in utf-8": ("€" * 85).encode(),
    "not utf-8": b"latin-\xe9\xff\xfe",
    "control": bytes(range(1, 32)) + b"\x7f",
}

# What a client cannot say, not the server: a batch of sftp has one command per line, and so on.
UNABLE: dict[type[Client], set[str]] = {
    OpenSSH: {"newline", "control"},
    SCP: set(),
    LFTP: {"newline", "control"},
    Curl: set(),
    Paramiko: set(),
    AsyncSSH: set(),
    Libssh2: {"not utf-8"},
}
CASES = [
    pytest.param(kind, name, id=f"{kind.name}-{name}")
    for kind, unable in UNABLE.items()
    for name in NAMES
    if name not in unable
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_file_of_this_name_is_put_and_got(
    kind: type[Client], name: str, running: Server, place: Place, tmp_path: Path
) -> None:
    client, source, back = kind(running), tmp_path / "source", tmp_path / "back"
    source.write_bytes(name.encode())
    client.put(source, place.at(NAMES[name]))
    assert place.names() == {NAMES[name]}
    client.get(place.at(NAMES[name]), back)
    assert back.read_bytes() == name.encode()


@pytest.mark.parametrize("name", NAMES)
def test_every_request_takes_this_name(name: str, raw: RawSFTP, place: Place) -> None:
    path, moved = place.at(NAMES[name]), place.at("moved")
    raw.shut(raw.open(path, WRITE | CREAT))
    assert {entry for entry, _, _ in raw.listing(place.remote)} == {b".", b"..", NAMES[name]}
    assert raw.stat(path).size == 0
    ((real, _, _),) = raw.ask(Type.REALPATH, string(path)).names
    assert real == path
    assert raw.ask(Type.RENAME, string(path), string(moved)).code == Code.OK
    assert raw.ask(Type.RENAME, string(moved), string(path)).code == Code.OK
    assert raw.ask(Type.SYMLINK, string(NAMES[name]), string(moved)).code == Code.OK
    ((target, _, _),) = raw.ask(Type.READLINK, string(moved)).names
    assert target == NAMES[name]
    assert raw.ask(Type.OPEN, string(moved), u32(READ), NO_ATTRIBUTES).handle
    assert raw.ask(Type.REMOVE, string(path)).code == Code.OK
    assert raw.ask(Type.MKDIR, string(path), NO_ATTRIBUTES).code == Code.OK
    assert raw.ask(Type.RMDIR, string(path)).code == Code.OK
    assert place.names() == {b"moved"}


@pytest.mark.parametrize("name", NAMES)
def test_the_long_name_ends_with_the_name_and_is_utf8_where_the_name_is(
    name: str, raw: RawSFTP, place: Place
) -> None:
    place.write(NAMES[name], b"")
    (long,) = [long for entry, long, _ in raw.listing(place.remote) if entry == NAMES[name]]
    assert long.startswith(b"-rw-")
    if name == "not utf-8":
        return
    long.decode("utf-8")
    if name not in ("newline", "control", "tab"):
        assert long.endswith(b" " + NAMES[name])


def test_a_tree_of_all_names_is_copied_recursively(running: Server, place: Place, tmp_path: Path) -> None:
    """sftp -r lists what it gets: names come from the server, and go back to it."""
    (place.path / "from").mkdir()
    for name in NAMES.values():
        place.write(b"from/" + name, name)
    sftp = OpenSSH(running)
    sftp.batch(
        b"get -r " + sftp_quote(place.at("from")) + b" " + sftp_quote(tmp_path / "local"),
        b"put -r " + sftp_quote(tmp_path / "local") + b" " + sftp_quote(place.at("to")),
    )
    assert set(os.listdir(place.local("to"))) == set(NAMES.values())
    for name in NAMES.values():
        assert place.read(b"to/" + name) == name


def test_names_that_differ_only_in_bytes_are_different_files(raw: RawSFTP, place: Place) -> None:
    """No normalisation of Unicode, no folding of case."""
    names = {"é".encode(), "e\N{COMBINING ACUTE ACCENT}".encode(), b"\xe9", b"E", b"e"}
    for name in names:
        raw.shut(raw.open(place.at(name), WRITE | CREAT))
    assert place.names() == names
    assert {entry for entry, _, _ in raw.listing(place.remote)} == names | {b".", b".."}
