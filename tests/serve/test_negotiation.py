"""The version of a channel: offered, capped, selected anew; and what is said about names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.support.rawsftp import NO_ATTRIBUTES, READ, Code, RawSFTP, Type, string, u32, u64
from tests.support.stdio import StdioServer

Start = Callable[..., StdioServer]
LATIN = b"caf\xe9"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """`start(protocol_version=6)` serves the directory."""
    with ExitStack() as stack:

        def begin(**settings: Any) -> StdioServer:
            fs = stack.enter_context(RootedFileSystem(str(root)))
            return stack.enter_context(StdioServer(fs, Settings(allow_links=True, **settings)))

        yield begin


def select(client: RawSFTP, version: bytes) -> bytes:
    """Code, text and language of the answer to version-select."""
    cursor = client.extend(b"version-select", string(version)).cursor(Type.STATUS)
    return b"%d %b %b" % (cursor.u32(), cursor.string(), cursor.string())


def type_byte(client: RawSFTP) -> int:
    """The byte behind the flags of ATTRS: from version 4 on a type."""
    return client.ask(Type.STAT, string(b"/file"), u32(1)).cursor(Type.ATTRS).data[4]


# --- the cap ---


@pytest.mark.parametrize("allowed", [3, 4, 5, 6])
@pytest.mark.parametrize("offered", [3, 4, 5, 6, 7, 2**32 - 1])
def test_the_version_is_the_lower_one(allowed: int, offered: int, start: Start) -> None:
    client = start(protocol_version=allowed).client.init(offered)
    assert client.version == min(allowed, offered)


@pytest.mark.parametrize("allowed", [4, 5, 6])
def test_the_versions_announced_end_at_the_cap(allowed: int, start: Start) -> None:
    extensions = start(protocol_version=allowed).client.init(3).extensions
    assert extensions[b"versions"] == b",".join(b"%d" % version for version in range(3, allowed + 1))


def test_where_only_version_3_is_spoken_there_is_no_choice(start: Start) -> None:
    server = start()
    assert b"versions" not in server.client.init(6).extensions
    assert select(server.client, b"3").startswith(b"4 ")
    assert server.ending().kind == "protocol-error"


def test_pairs_in_init_are_ignored_in_every_version(start: Start) -> None:
    client = start(protocol_version=6).client
    client.send(b"\x01" + u32(6) + string(b"newline") + string(b"\r"))
    assert client.packet()[:5] == b"\x02" + u32(6)


# --- what is announced ---


@pytest.mark.parametrize(("setting", "sent"), [("CRLF", b"\r\n"), ("LF", b"\n"), ("CR", b"\r")])
@pytest.mark.parametrize("version", [4, 5, 6])
def test_the_line_end_is_announced_from_version_4_on(version: int, setting: str, sent: bytes, start: Start) -> None:
    server = start(protocol_version=6, server_eol=setting)
    assert server.client.init(version).extensions[b"newline"] == sent


def test_a_request_that_is_denied_is_not_announced(start: Start) -> None:
    client = start(protocol_version=6, deny_requests="version-select,vendor-id,filename-translation-control").client
    extensions = client.init(6).extensions
    assert not {b"versions", b"vendor-id", b"filename-charset"} & set(extensions)
    assert string(b"version-select") not in extensions[b"supported2"]


def test_messages_have_a_language_from_version_4_on(start: Start) -> None:
    for version, language in ((3, b""), (4, b"en"), (6, b"en")):
        client = start(protocol_version=version).client.init(version)
        cursor = client.extend(b"vendor-id", string(b"a"), string(b"b"), string(b"c"), u64(1)).cursor(Type.STATUS)
        assert (cursor.u32(), cursor.string(), cursor.string()) == (0, b"Success", language)


def test_what_c_answers_by_itself_speaks_the_version_too(start: Start) -> None:
    client = start(protocol_version=4).client.init(4)
    handle = client.ask(Type.OPEN, string(b"/file"), u32(READ), NO_ATTRIBUTES + b"\x01").handle
    cursor = client.ask(Type.READ, string(handle), u64(100), u32(1)).cursor(Type.STATUS)
    assert (cursor.u32(), cursor.string(), cursor.string()) == (Code.EOF, b"End of file", b"en")


# --- version-select ---


@pytest.mark.parametrize("first", [3, 4, 5, 6])
@pytest.mark.parametrize("chosen", [3, 4, 5, 6])
def test_the_first_request_may_select_any_version_that_is_announced(first: int, chosen: int, start: Start) -> None:
    client = start(protocol_version=6).client.init(first)
    language = b"" if chosen == 3 else b"en"
    assert select(client, b"%d" % chosen) == b"0 Success " + language
    assert type_byte(client) == (0 if chosen == 3 else 1)


def test_after_the_selection_open_has_the_form_of_the_new_version(start: Start, root: Path) -> None:
    """As phpseclib does it: no access, and no type in empty attributes."""
    client = start(protocol_version=6).client.init(3)
    assert select(client, b"6").startswith(b"0 ")
    handle = client.ask(Type.OPEN, string(b"/new"), u32(0), u32(3), u32(0)).handle
    assert client.write(handle, 0, b"text") == Code.OK
    assert client.shut(handle) == Code.OK
    assert (root / "new").read_bytes() == b"text"
    handle = client.ask(Type.OPEN, string(b"/new"), u32(0), u32(2), u32(0)).handle
    assert client.read(handle, 0, 100).data == b"text"


def test_no_client_needs_to_wait_for_the_answer(start: Start) -> None:
    client = start(protocol_version=6).client.init(3)
    client.post_all(
        [
            b"\xc8" + u32(1) + string(b"version-select") + string(b"5"),
            b"\x03" + u32(2) + string(b"/file") + u32(1) + u32(2) + u32(0) + b"\x01",
        ]
    )
    assert [client.reply().type, client.reply().type] == [Type.STATUS, Type.HANDLE]


@pytest.mark.parametrize("version", [b"", b"2", b"7", b"5,6", b"06", b"private@example.com"])
def test_a_version_that_is_not_announced_ends_the_channel(version: bytes, start: Start) -> None:
    server = start(protocol_version=6)
    assert select(server.client.init(3), version).startswith(b"4 ")
    assert server.ending().kind == "protocol-error"


def test_a_version_above_the_cap_ends_the_channel(start: Start) -> None:
    server = start(protocol_version=5)
    assert select(server.client.init(3), b"6").startswith(b"4 ")
    assert server.ending().kind == "protocol-error"


@pytest.mark.parametrize(
    "before",
    [
        b"\x11" + u32(1) + string(b"/file"),  # STAT
        b"\x03" + u32(1) + string(b"/file") + u32(READ) + u32(0),  # OPEN, which C answers otherwise
        b"\x05" + u32(1) + string(b"none") + u64(0) + u32(1),  # READ of no handle
        b"\xc8" + u32(1) + string(b"unknown@example.com"),
        b"\xc8" + u32(1) + string(b"version-select") + string(b"3"),
        b"\x63" + u32(1),  # no request
    ],
)
def test_a_selection_that_is_not_the_first_request_ends_the_channel(before: bytes, start: Start) -> None:
    server = start(protocol_version=6)
    server.client.init(3).send(before)
    server.client.reply()
    assert select(server.client, b"6").startswith(b"4 ")
    assert server.ending().kind == "protocol-error"


def test_after_the_first_request_c_opens_files_of_version_3_by_itself(start: Start) -> None:
    server = start(protocol_version=6)
    client = server.client.init(3)
    for _ in range(2):
        handle = client.open(b"/file", READ)
        assert client.read(handle, 0, 100).data == b"content"
    assert server.session._sftp.owned() == handle


# --- names ---


def listing(client: RawSFTP) -> dict[bytes, bytes]:
    """What READDIR sends of each name in version 6: the flags of its attributes."""
    handle = client.ask(Type.OPENDIR, string(b"/")).handle
    data = client.ask(Type.READDIR, string(handle)).cursor(Type.NAME).data
    client.shut(handle)
    return {name: data for name in (LATIN, "caf\ufffd".encode(), b"file") if string(name) in data[4:]}


def control(client: RawSFTP, translate: bytes) -> int:
    return client.extend(b"filename-translation-control", translate).code


def test_a_name_that_is_not_utf_8_can_be_opened_as_it_is_shown(start: Start, root: Path) -> None:
    (Path(os.fsdecode(os.fsencode(root) + b"/" + LATIN))).write_bytes(b"coffee")
    client = start(protocol_version=6).client.init(6)
    assert client.extensions[b"filename-charset"] == b"UTF-8"
    marked = listing(client)[LATIN]
    assert marked.count(string(LATIN)) == 2  # the name, and the untranslated name
    assert control(client, b"\x01") == Code.OK
    assert listing(client)["caf\ufffd".encode()].count(string(LATIN)) == 1
    assert control(client, b"\x00") == Code.OK
    assert listing(client)[LATIN].count(string(LATIN)) == 1
    for translate in (b"\x00", b"\x01"):
        assert control(client, translate) == Code.OK
        handle = client.ask(Type.OPEN, string(b"/" + LATIN), u32(1), u32(2), u32(0) + b"\x01").handle
        assert client.read(handle, 0, 100).data == b"coffee"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_before_version_6_there_is_nothing_to_control(version: int, start: Start) -> None:
    client = start(protocol_version=6).client.init(version)
    assert b"filename-charset" not in client.extensions
    assert control(client, b"\x00") == Code.OP_UNSUPPORTED


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_the_client_may_say_who_it_is(version: int, start: Start) -> None:
    client = start(protocol_version=6).client.init(version)
    assert client.extend(b"vendor-id", string(b"a"), string(b"b"), string(b"c"), u64(1)).code == Code.OK
    assert client.extend(b"vendor-id", string(b"a"), string(b"b"), string(b"c")).code == Code.BAD_MESSAGE
