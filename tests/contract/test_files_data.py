"""What handlers may put in place of data, handles and texts, and how long it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libsshd import SFTPServerError
from libsshd import events as e
from libsshd.constants import Status
from tests.contract.covering import covers
from tests.contract.support_files import Diary, Site, status
from tests.support.command import wait_until
from tests.support.place import noise
from tests.support.rawsftp import (
    APPEND,
    CREAT,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Code,
    RawSFTP,
    Type,
    string,
    u32,
    u64,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.write("file", b"0123456789")
        yield opened


@pytest.fixture
def raw(site: Site) -> RawSFTP:
    return site.raw()


# --- FileData ---


@covers("FileRead", "SFTPConnectionFileData")
def test_file_read_shows_what_was_read_and_may_replace_it(site: Site, raw: RawSFTP) -> None:
    seen = []

    @site.server.on_file_read
    def upper(event: e.FileRead) -> None:
        connection = site.server.sftp_connections[event.connection_id]
        seen.append((event.handle, event.file_offset, event.length, event.status_code, connection.file_data))
        connection.file_data = connection.file_data.replace(b"4", b"four")[: event.length]

    handle = raw.open(b"/file")
    assert raw.read(handle, 2, 6).data == b"23four"
    assert raw.read(handle, 10, 6).code == Code.EOF
    assert seen == [("1", 2, 6, 0, b"234567"), ("1", 10, 6, Status.EOF, b"")]


def test_a_handler_may_go_on_behind_the_end_of_the_file(site: Site, raw: RawSFTP) -> None:
    @site.server.on_file_read
    def append(event: e.FileRead) -> None:
        if event.status_code == Status.EOF and event.file_offset == 10:
            event.status_code = Status.OK
            site.server.sftp_connections[event.connection_id].file_data = b"more"

    handle = raw.open(b"/file")
    assert raw.read(handle, 10, 100).data == b"more"
    assert raw.read(handle, 14, 100).code == Code.EOF


@pytest.mark.parametrize("how", ["status 1", "no data"])
def test_both_an_eof_status_and_no_data_are_the_end_of_the_file(how: str, site: Site, raw: RawSFTP) -> None:
    @site.server.on_file_read
    def end(event: e.FileRead) -> None:
        if how == "no data":
            site.server.sftp_connections[event.connection_id].file_data = b""
        else:
            event.status_code = Status.EOF

    assert status(raw.read(raw.open(b"/file"), 0, 100)) == (Code.EOF, "End of file")


def test_the_end_of_a_file_is_no_failure_in_the_log(
    site: Site, raw: RawSFTP, caplog: pytest.LogCaptureFixture
) -> None:
    site.server.on_file_read = lambda _: None
    assert raw.read(raw.open(b"/file"), 10, 1).code == Code.EOF
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []


def test_more_data_than_was_asked_for_is_a_failure_and_an_error_of_the_program(site: Site, raw: RawSFTP) -> None:
    @site.server.on_file_read
    def too_much(event: e.FileRead) -> None:
        site.server.sftp_connections[event.connection_id].file_data = bytes(event.length + 1)

    assert raw.read(raw.open(b"/file"), 0, 5).code == Code.FAILURE
    assert site.errors == [(2002, "A handler of FileRead left 6 bytes where at most 5 were asked for.")]


@covers("FileWrite", "SFTPConnectionFileData")
def test_file_write_shows_the_bytes_twice_and_may_replace_them_before(site: Site, raw: RawSFTP) -> None:
    seen = []

    @site.server.on_file_write
    def longer(event: e.FileWrite) -> None:
        connection = site.server.sftp_connections[event.connection_id]
        seen.append((event.before_exec, event.handle, event.file_offset, connection.file_data))
        connection.file_data = b"<" + connection.file_data + b">" if event.before_exec else b"too late"

    handle = raw.open(b"/file", WRITE)
    assert raw.write(handle, 4, b"abc") == Code.OK
    assert (site.root / "file").read_bytes() == b"0123<abc>9"
    assert seen == [(True, "1", 4, b"abc"), (False, "1", 4, b"<abc>")]


def test_an_append_ignores_the_offset_that_the_event_shows(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileWrite)
    assert raw.write(raw.open(b"/file", WRITE | APPEND), 3, b"abc") == Code.OK
    assert (site.root / "file").read_bytes() == b"0123456789abc"
    assert diary.one("FileWrite before")["file_offset"] == 3


def test_a_watched_handle_serves_only_what_it_was_opened_for(site: Site, raw: RawSFTP) -> None:
    site.server.on_file_read = lambda _: None
    site.server.on_file_write = lambda _: None
    assert raw.write(raw.open(b"/file", READ), 0, b"X") == Code.PERMISSION_DENIED
    assert raw.read(raw.open(b"/file", WRITE), 0, 1).code == Code.PERMISSION_DENIED
    assert (site.root / "file").read_bytes() == b"0123456789"


def test_file_data_is_nothing_outside_its_events_and_cannot_be_set_there(site: Site, raw: RawSFTP) -> None:
    """Nor does it stay behind when a handler failed."""

    @site.server.on_file_write
    def broken(event: e.FileWrite) -> None:
        raise RuntimeError("broken")

    assert raw.write(raw.open(b"/file", WRITE), 0, b"secret") == Code.FAILURE
    connection = site.server.sftp_connections[0]
    assert connection.file_data == b""
    with pytest.raises(SFTPServerError) as caught:
        connection.file_data = b"x"
    assert caught.value.code == 10022
    outcomes: list[object] = []

    @site.server.on_dir_list
    def elsewhere(event: e.DirList) -> None:
        outcomes.append(connection.file_data)
        try:
            connection.file_data = b"x"
        except SFTPServerError as error:
            outcomes.append(error.code)

    raw.ask(Type.OPENDIR, string(b"/"))
    assert outcomes == [b"", 10022, b"", 10022]


def test_file_data_takes_bytes_only(site: Site, raw: RawSFTP) -> None:
    @site.server.on_file_read
    def text(event: e.FileRead) -> None:
        site.server.sftp_connections[event.connection_id].file_data = "text"  # type: ignore[assignment]

    assert raw.read(raw.open(b"/file"), 0, 5).code == Code.FAILURE
    assert site.errors == [
        (2002, "A handler of FileRead failed: SFTPServerError: [10022] FileData takes bytes.")
    ]  # fmt: skip


# --- Handle ---


@covers("FileOpen")
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_the_handle_may_be_named_in_either_firing(before: bool, site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileRead, e.FileClose)

    @site.server.on_file_open
    def name(event: e.FileOpen) -> None:
        if event.before_exec == before:
            event.handle += "-ü" if before else "/" + "x" * 254

    handle = raw.open(b"/file")
    assert handle == ("1-ü".encode() if before else b"1/" + b"x" * 254)
    assert raw.read(handle, 0, 3).data == b"012"
    assert raw.shut(handle) == Code.OK
    assert diary.one("FileRead")["handle"] == diary.one("FileClose")["handle"] == handle.decode()
    assert raw.shut(handle) == Code.FAILURE


def test_the_last_of_two_names_counts(site: Site, raw: RawSFTP) -> None:
    @site.server.on_file_open
    def name(event: e.FileOpen) -> None:
        event.handle = "first" if event.before_exec else event.handle + "-second"

    assert raw.open(b"/file") == b"first-second"


@pytest.mark.parametrize("handle", ["", "x" * 257, "ü" * 129, "taken", "2", "5\ud800", 7, None])
def test_a_handle_that_cannot_be_is_a_failure_and_an_error_of_the_program(
    handle: Any, site: Site, raw: RawSFTP
) -> None:
    """Nothing stays open, FileClose does not fire, and what was made stays."""
    directory = raw.ask(Type.OPENDIR, string(b"/")).handle
    assert directory == b"1"
    unnamed = raw.open(b"/file")
    assert unnamed == b"2"
    diary = Diary(site.server, e.FileClose)

    @site.server.on_file_open
    def name(event: e.FileOpen) -> None:
        if not event.before_exec:
            event.handle = "taken" if event.path == "/file" else handle

    assert raw.open(b"/file") == b"taken"
    before = descriptors()
    reply = raw.ask(Type.OPEN, string(b"/new"), u32(WRITE | CREAT), NO_ATTRIBUTES)
    assert status(reply) == (Code.FAILURE, "The server's program failed")
    assert descriptors() == before
    assert (site.root / "new").exists()
    assert [code for code, _ in site.errors] == [2002]
    assert repr(handle) in site.errors[0][1]
    assert diary.names == []
    assert raw.read(unnamed, 0, 1).data == b"0"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_numbers_go_round_the_names_that_handlers_chose(site: Site, raw: RawSFTP) -> None:
    """Whether Python or C gives the next number."""

    @site.server.on_file_open
    def name(event: e.FileOpen) -> None:
        if event.before_exec:
            event.handle = str(int(event.handle) + 1)

    named = raw.open(b"/file")
    assert named == b"2"
    assert raw.ask(Type.OPENDIR, string(b"/")).handle == b"3"
    assert raw.open(b"/file") == b"5"
    site.server.on_file_open = None
    site.write("other", b"other")
    handles = [raw.open(b"/other") for _ in range(10)]
    assert len({*handles, named, b"3", b"5"}) == 13
    assert {raw.read(handle, 0, 100).data for handle in handles} == {b"other"}
    assert raw.read(named, 0, 100).data == b"0123456789"


def watching(site: Site) -> int:
    """What C leaves to Python on the only channel."""
    (connection,) = site.server._hub.connections
    (session,) = connection._sessions.values()
    mask = session._sftp.watch(session.context.routes.watch)
    session.watch()
    return int(mask)


def test_a_spoiled_open_closes_the_file_without_an_event_and_leaves_what_was_made(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileClose, e.FileAborted)

    @site.server.on_file_open
    def spoil(event: e.FileOpen) -> None:
        if not event.before_exec:
            event.status_code = Status.NO_SPACE_ON_FILESYSTEM

    before = descriptors()
    reply = raw.ask(Type.OPEN, string(b"/new"), u32(WRITE | CREAT), NO_ATTRIBUTES)
    assert status(reply) == (Code.FAILURE, "No space left")
    assert descriptors() == before
    assert (site.root / "new").exists()
    assert diary.names == []


def test_a_file_that_only_a_handler_has_is_served_by_handlers_beside_those_on_the_disk(
    site: Site, raw: RawSFTP
) -> None:
    stored = []

    @site.server.on_file_open
    def conjure(event: e.FileOpen) -> None:
        if event.path == "/ghost" and not event.before_exec:
            event.status_code, event.handle = Status.OK, "ghost"

    handle = raw.open(b"/ghost", READ | WRITE)
    assert handle == b"ghost"
    assert raw.read(handle, 0, 10).code == Code.OP_UNSUPPORTED
    assert raw.write(handle, 0, b"x") == Code.OP_UNSUPPORTED
    assert raw.ask(Type.FSTAT, string(handle)).code == Code.OP_UNSUPPORTED
    assert raw.extend(b"fsync@openssh.com", string(handle)).code == Code.OP_UNSUPPORTED

    @site.server.on_file_read
    def read(event: e.FileRead) -> None:
        if event.handle == "ghost":
            site.server.sftp_connections[event.connection_id].file_data = b"boo"[event.file_offset :]

    @site.server.on_file_write
    def write(event: e.FileWrite) -> None:
        if event.before_exec:
            stored.append(site.server.sftp_connections[event.connection_id].file_data)

    @site.server.on_get_attributes
    def size(event: e.GetAttributes) -> None:
        if event.path == "/ghost":
            event.file_size = 3

    assert raw.ask(Type.FSTAT, string(handle)).attributes.size == 3
    assert raw.read(handle, 1, 10).data == b"oo"
    assert raw.read(handle, 3, 10).code == Code.EOF
    assert raw.write(handle, 0, b"x") == Code.OK
    assert stored == [b"x"]
    assert raw.read(raw.open(b"/file"), 0, 3).data == b"012"
    assert raw.shut(handle) == Code.OK
    assert site.errors == []


# --- SFTPErrorMessage ---


@covers("SFTPErrorMessage", "SFTPConnectionErrorMessage")
def test_the_text_of_an_event_goes_with_its_status_and_not_with_another(site: Site, raw: RawSFTP) -> None:
    told = []

    @site.server.on_file_remove
    def deny(event: e.FileRemove) -> None:
        number = event.connection_id
        if event.path == "/file":
            site.server.config(f"SFTPErrorMessage[{number}]=Keep it, bitte schön")
            event.status_code = Status.PERMISSION_DENIED
        told.append(site.server.sftp_connections[number].error_message)

    assert status(raw.ask(Type.REMOVE, string(b"/file"))) == (Code.PERMISSION_DENIED, "Keep it, bitte schön")
    assert site.server.sftp_connections[0].error_message == ""
    assert status(raw.ask(Type.REMOVE, string(b"/missing"))) == (Code.NO_SUCH_FILE, "No such file or directory")
    assert told == ["Keep it, bitte schön", "", ""]


def test_the_text_of_the_first_firing_is_there_in_the_second(site: Site, raw: RawSFTP) -> None:
    """And it goes with a failure of the file system, too."""
    texts = []

    @site.server.on_file_remove
    def note(event: e.FileRemove) -> None:
        connection = site.server.sftp_connections[event.connection_id]
        texts.append(connection.sftp_error_message)
        if event.before_exec:
            connection.sftp_error_message = "It was long gone"

    assert status(raw.ask(Type.REMOVE, string(b"/missing"))) == (Code.NO_SUCH_FILE, "It was long gone")
    assert texts == ["", "It was long gone"]


def test_a_text_left_with_status_0_is_not_used_for_a_later_request(site: Site, raw: RawSFTP) -> None:
    @site.server.on_file_remove
    def chat(event: e.FileRemove) -> None:
        site.server.sftp_connections[event.connection_id].sftp_error_message = "All is well"

    assert status(raw.ask(Type.REMOVE, string(b"/file"))) == (Code.OK, "Success")
    assert status(raw.ask(Type.RMDIR, string(b"/missing"))) == (Code.NO_SUCH_FILE, "No such file or directory")
    assert status(raw.ask(Type.STAT, string(b"/missing"))) == (Code.NO_SUCH_FILE, "No such file or directory")


def test_a_text_set_outside_the_events_of_requests_is_ignored(site: Site) -> None:
    site.server.config("SFTPErrorMessage=from the start")

    @site.server.on_connected
    def early(event: e.Connected) -> None:
        site.server.sftp_connections[event.connection_id].sftp_error_message = "early"

    raw = site.raw()
    site.server.sftp_connections[0].sftp_error_message = "between"
    assert site.server.sftp_connections[0].error_message == ""
    assert status(raw.ask(Type.RMDIR, string(b"/missing"))) == (Code.NO_SUCH_FILE, "No such file or directory")


def test_paramiko_shows_the_text(site: Site) -> None:
    @site.server.on_dir_create
    def deny(event: e.DirCreate) -> None:
        event.status_code = Status.QUOTA_EXCEEDED
        site.server.sftp_connections[event.connection_id].sftp_error_message = "Three directories are enough"

    with pytest.raises(OSError, match="Three directories are enough"):
        site.sftp().mkdir("/fourth")


# --- values of a connection ---


def test_no_value_of_a_connection_survives_it(site: Site) -> None:
    first = site.login()
    raw = site.raw(first)
    (site.root / "sub").mkdir()
    mine = site.server.sftp_connections[0]
    mine.user_root_directory, mine.restrict_user_to_home_dir, mine.dir_list_buffer_size = "sub", True, 7
    mine.timeout, mine.keyboard_interactive_prompts, mine.user_auth_banner = 9, "Q", "Hello"
    mine.state["key"] = "value"
    uid = mine.connection_uid
    assert raw.ask(Type.STAT, string(b"/file")).type == Type.ATTRS
    first.close()
    wait_until(lambda: len(site.server.sftp_connections) == 0, "the number is free")
    with pytest.raises(SFTPServerError) as caught:
        mine.dir_list_buffer_size = 1
    assert caught.value.code == 126
    site.raw()
    next_one = site.server.sftp_connections[0]
    assert (next_one.user_root_directory, next_one.restrict_user_to_home_dir) == ("", False)
    assert (next_one.dir_list_buffer_size, next_one.timeout, next_one.keyboard_interactive_prompts) == (0, 60, "")
    assert (next_one.user_auth_banner, next_one.state, next_one.error_message) == ("", {}, "")
    assert (next_one.file_data, next_one.connection_uid != uid) == (b"", True)


# --- FileAborted ---


@pytest.mark.parametrize("watched", [False, True], ids=["written by C", "watched"])
def test_an_upload_that_breaks_off_is_told_before_the_end_of_its_connection(watched: bool, site: Site) -> None:
    diary = Diary(site.server, e.FileAborted, e.Disconnected)
    if watched:
        site.server.on_file_write = lambda _: None
    transport = site.login()
    raw = site.raw(transport)
    finished = raw.open(b"/done", WRITE | CREAT)
    raw.write(finished, 0, b"x")
    assert raw.shut(finished) == Code.OK
    handle = raw.open(b"/part", WRITE | CREAT)
    assert raw.write(handle, 0, bytes(1000)) == raw.write(handle, 1000, bytes(234)) == Code.OK
    transport.sock.close()
    wait_until(lambda: "Disconnected" in diary.names, "the end is told")
    assert diary.names == ["FileAborted", "Disconnected"]
    assert diary.one("FileAborted") == {
        "connection_id": 0, "user": "alice", "path": "/part", "handle": handle.decode(), "bytes_written": 1234,
        "status_code": Status.CONNECTION_LOST,
    }  # fmt: skip


def test_a_file_left_open_on_a_channel_that_ends_is_told_while_the_connection_goes_on(site: Site) -> None:
    diary = Diary(site.server, e.FileAborted, e.FileClose)
    transport = site.login()
    left, kept = site.raw(transport), site.raw(transport)
    left.open(b"/file", READ)
    directory = left.ask(Type.OPENDIR, string(b"/")).handle
    assert directory == b"2"
    left.close()
    wait_until(lambda: diary.names != [], "the file is told")
    assert diary.names == ["FileAborted"]
    assert (diary.one("FileAborted")["path"], diary.one("FileAborted")["bytes_written"]) == ("/file", 0)
    assert kept.ask(Type.STAT, string(b"/file")).type == Type.ATTRS


# --- no handler, no cost ---

HOT = (Type.OPEN, Type.CLOSE, Type.READ, Type.WRITE)


class Counted:
    """Counts the packets that reach Python, by type."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from libsshd.serve.session import Session

        self.types: list[int] = []
        answer = Session.answer

        def count(session: Session, packet: bytes) -> bytes:
            self.types.append(packet[0])
            return answer(session, packet)

        monkeypatch.setattr(Session, "answer", count)

    def hot(self) -> set[int]:
        """Types among those that C can answer, seen since the last call."""
        seen, self.types = {kind for kind in self.types if kind in HOT}, []
        return seen


def use_a_file(raw: RawSFTP) -> None:
    handle = raw.open(b"/new", READ | WRITE | CREAT | TRUNC)
    assert raw.write(handle, 0, b"data") == Code.OK
    assert raw.read(handle, 0, 10).data == b"data"
    assert raw.shut(handle) == Code.OK


def test_without_handlers_python_sees_none_of_the_requests_that_c_can_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    raw = site.raw()
    use_a_file(raw)
    assert watching(site) == 0
    assert counted.hot() == set()
    assert raw.ask(Type.STAT, string(b"/new")).attributes.size == 4
    assert Type.STAT in counted.types


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (e.FileOpen, {Type.OPEN, Type.CLOSE}),
        (e.FileClose, {Type.CLOSE}),
        (e.FileRead, {Type.READ, Type.CLOSE}),
        (e.FileWrite, {Type.WRITE, Type.CLOSE}),
        (e.GetAttributes, set()),
        (e.DirList, set()),
        (e.Disconnected, set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_handler_brings_only_the_requests_of_its_event_and_server_to_python(
    kind: type[e.Event], seen: set[int], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the CLOSE of a file that Python came to know."""
    site.server.hook(kind).add(lambda _: None)
    (tmp_path / "other").mkdir()
    counted = Counted(monkeypatch)
    with Site(tmp_path / "other") as other:
        use_a_file(other.raw())
        assert counted.hot() == set()
    use_a_file(site.raw())
    assert counted.hot() == seen


def test_handlers_attached_and_taken_away_count_from_the_next_packets_of_a_running_transfer(site: Site) -> None:
    data = noise(3 << 20)
    site.write("big", data)
    raw = site.raw()
    handle = raw.open(b"/big")
    diary = Diary(site.server)
    got = bytearray()
    block = 1 << 15
    counts = []

    def fetch(blocks: int) -> None:
        offsets = range(len(got), len(got) + blocks * block, block)
        for number in [raw.post(Type.READ, string(handle), u64(offset), u32(block)) for offset in offsets]:
            reply = raw.reply()
            assert reply.id == number
            got.extend(reply.data)

    for attach in (False, True, False):
        site.server.on_file_read = diary._note if attach else None
        diary.entries.clear()
        fetch(32)
        counts.append(len(diary.entries))
    assert counts == [0, 32, 0]
    assert bytes(got) == data
    assert raw.shut(handle) == Code.OK


def test_paramiko_downloads_through_a_handler_that_comes_and_goes(site: Site, tmp_path: Path) -> None:
    """Whatever the moment, no byte is lost or doubled."""
    data = noise(4 << 20)
    site.write("big", data)
    sftp = site.sftp()

    def flip(done: int, total: int) -> None:
        site.server.on_file_read = None if site.server.on_file_read else lambda _: None

    sftp.get("/big", str(tmp_path / "got"), callback=flip)
    assert (tmp_path / "got").read_bytes() == data
    with sftp.open("/up", "wb") as file:
        file.set_pipelined(True)
        for at in range(0, len(data), 1 << 15):
            site.server.on_file_write = None if site.server.on_file_write else lambda _: None
            file.write(data[at : at + (1 << 15)])
    assert (site.root / "up").read_bytes() == data
