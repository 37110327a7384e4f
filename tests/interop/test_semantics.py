"""What each request of version 3 and each extension does, packet by packet."""

from __future__ import annotations

import os
import stat
import struct
import time

import paramiko
import pytest

from tests.support.place import Place, noise
from tests.support.rawsftp import (
    APPEND,
    CREAT,
    EXCL,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Attributes,
    ChannelStream,
    Code,
    RawSFTP,
    Type,
    string,
    u32,
    u64,
)
from tests.support.server import Server

# OPEN, READ, WRITE, CLOSE


def open_code(raw: RawSFTP, path: bytes, flags: int) -> int:
    return raw.ask(Type.OPEN, string(path), u32(flags), NO_ATTRIBUTES).code


def test_read_ends_with_eof(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.write("file", b"0123456789"))
    assert raw.read(handle, 6, 100).data == b"6789"
    assert raw.read(handle, 10, 100).code == Code.EOF
    assert raw.read(handle, 1 << 40, 100).code == Code.EOF
    assert raw.read(raw.open(place.write("empty", b"")), 0, 1).code == Code.EOF


def test_writes_may_come_in_any_order_and_leave_holes(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.at("file"), WRITE | CREAT)
    assert raw.write(handle, 8, b"end") == Code.OK
    assert raw.write(handle, 2, b"mid") == Code.OK
    assert raw.write(handle, 4, b"") == Code.OK
    assert place.read("file") == b"\0\0mid\0\0\0end"


def test_append_ignores_the_offset(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.write("file", b"first "), WRITE | APPEND)
    assert raw.write(handle, 0, b"second ") == Code.OK
    assert raw.write(handle, 1000, b"third") == Code.OK
    assert place.read("file") == b"first second third"


def test_bytes_after_the_data_of_a_write_are_ignored(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.at("file"), WRITE | CREAT)
    for tail in (b"x", noise(40_000)):
        assert raw.ask(Type.WRITE, string(handle), u64(0), string(b"data"), tail).code == Code.OK
    assert place.read("file") == b"data"


def test_trunc_empties_and_create_alone_does_not(raw: RawSFTP, place: Place) -> None:
    path = place.write("file", b"content")
    raw.shut(raw.open(path, WRITE | CREAT))
    assert place.read("file") == b"content"
    raw.shut(raw.open(path, WRITE | CREAT | TRUNC))
    assert place.read("file") == b""


def test_excl_refuses_what_exists_links_included(raw: RawSFTP, place: Place) -> None:
    place.write("file", b"content")
    (place.path / "dangling").symlink_to("nowhere")
    for name in ("file", "dangling"):
        assert open_code(raw, place.at(name), WRITE | CREAT | EXCL | TRUNC) == Code.FAILURE
    assert (place.read("file"), place.names()) == (b"content", {b"file", b"dangling"})
    raw.open(place.at("new"), WRITE | CREAT | EXCL)
    assert place.read("new") == b""


def test_open_without_create_of_a_missing_file_is_no_such_file(raw: RawSFTP, place: Place) -> None:
    assert open_code(raw, place.at("missing"), READ) == Code.NO_SUCH_FILE
    assert open_code(raw, place.at("missing"), WRITE) == Code.NO_SUCH_FILE
    assert open_code(raw, place.at("missing/file"), WRITE | CREAT) == Code.NO_SUCH_FILE
    assert place.names() == set()


def test_open_takes_the_mode_from_the_attributes(raw: RawSFTP, place: Place) -> None:
    raw.open(place.at("file"), WRITE | CREAT, Attributes(permissions=0o640).encode())
    assert (place.path / "file").stat().st_mode & 0o777 == 0o640


def test_a_directory_cannot_be_opened_as_a_file(raw: RawSFTP, place: Place) -> None:
    (place.path / "dir").mkdir()
    assert open_code(raw, place.at("dir"), WRITE) == Code.FAILURE


def test_a_fifo_is_answered_at_once(raw: RawSFTP, place: Place) -> None:
    """Nobody is at the other end: a plain open(2) would wait for ever."""
    os.mkfifo(place.path / "fifo")
    for flags in (READ, WRITE, READ | WRITE):
        assert open_code(raw, place.at("fifo"), flags) == Code.FAILURE


def test_a_handle_serves_only_what_it_was_opened_for(raw: RawSFTP, place: Place) -> None:
    path = place.write("file", b"content")
    reader, writer = raw.open(path, READ), raw.open(path, WRITE)
    assert raw.write(reader, 0, b"X") in (Code.FAILURE, Code.PERMISSION_DENIED)
    assert raw.read(writer, 0, 1).code in (Code.FAILURE, Code.PERMISSION_DENIED)
    assert place.read("file") == b"content"


@pytest.mark.parametrize(
    "handle", [b"", b"x", b"\0\0\0\0", b"\xff" * 4, b"\xff" * 8, b"x" * 256, b"x" * 300], ids=range(7)
)
@pytest.mark.parametrize(
    "type_",
    [Type.CLOSE, Type.READ, Type.WRITE, Type.READDIR, Type.FSTAT, Type.FSETSTAT],
    ids=lambda type_: type_.name,
)
def test_a_handle_nobody_got_is_a_failure(type_: Type, handle: bytes, raw: RawSFTP) -> None:
    fields = {
        Type.READ: [u64(0), u32(1)],
        Type.WRITE: [u64(0), string(b"x")],
        Type.FSETSTAT: [Attributes(permissions=0).encode()],
    }
    assert raw.ask(type_, string(handle), *fields.get(type_, [])).code == Code.FAILURE


def test_a_closed_handle_is_gone(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.write("file", b"content"))
    assert raw.shut(handle) == Code.OK
    assert raw.shut(handle) == Code.FAILURE
    raw.open(place.at("file"))
    assert raw.read(handle, 0, 1).code == Code.FAILURE


def test_a_handle_belongs_to_its_channel(raw: RawSFTP, transport: paramiko.Transport, place: Place) -> None:
    handle = raw.open(place.write("file", b"content"))
    other = RawSFTP(ChannelStream(transport)).init()
    assert other.read(handle, 0, 1).code == Code.FAILURE
    assert other.shut(handle) == Code.FAILURE
    other.close()
    assert raw.read(handle, 0, 100).data == b"content"


def test_a_directory_handle_is_no_file_handle(raw: RawSFTP, place: Place) -> None:
    directory = raw.ask(Type.OPENDIR, string(place.remote)).handle
    file = raw.open(place.write("file", b"content"))
    assert raw.read(directory, 0, 1).code == Code.FAILURE
    assert raw.write(directory, 0, b"x") == Code.FAILURE
    assert raw.ask(Type.READDIR, string(file)).code == Code.FAILURE


def test_an_open_file_survives_its_name(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.write("file", b"content"), READ | WRITE)
    assert raw.ask(Type.REMOVE, string(place.at("file"))).code == Code.OK
    assert raw.read(handle, 0, 100).data == b"content"
    assert raw.ask(Type.FSTAT, string(handle)).attributes.size == 7


# Attributes


def test_stat_follows_and_lstat_does_not(raw: RawSFTP, place: Place) -> None:
    path = place.write("file", b"12345")
    os.utime(place.local("file"), (1_000_000_001, 1_100_000_002))
    (place.path / "link").symlink_to("file")
    status = (place.path / "file").stat()
    expected = Attributes(5, status.st_uid, status.st_gid, status.st_mode, 1_000_000_001, 1_100_000_002)
    assert raw.stat(path) == raw.stat(place.at("link")) == expected
    assert raw.ask(Type.LSTAT, string(path)).attributes == expected
    handle = raw.open(path)
    assert raw.ask(Type.FSTAT, string(handle)).attributes == expected
    of_link = raw.ask(Type.LSTAT, string(place.at("link"))).attributes
    assert stat.S_ISLNK(of_link.permissions or 0)
    assert of_link.size == 4


@pytest.mark.parametrize(
    "type_",
    [Type.STAT, Type.LSTAT, Type.READLINK, Type.REMOVE, Type.RMDIR, Type.OPENDIR],
    ids=lambda type_: type_.name,
)
def test_a_missing_path_is_no_such_file(type_: Type, raw: RawSFTP, place: Place) -> None:
    """OPENDIR too: clients take an error of the first READDIR for an empty directory."""
    assert raw.ask(type_, string(place.at("missing"))).code == Code.NO_SUCH_FILE
    assert raw.ask(type_, string(place.at("missing/deeper"))).code == Code.NO_SUCH_FILE


def test_stat_of_a_dangling_link_is_no_such_file(raw: RawSFTP, place: Place) -> None:
    (place.path / "link").symlink_to("nowhere")
    assert raw.ask(Type.STAT, string(place.at("link"))).code == Code.NO_SUCH_FILE
    assert raw.ask(Type.LSTAT, string(place.at("link"))).attributes.size == 7


def change(raw: RawSFTP, place: Place, how: str, attributes: Attributes) -> int:
    """SETSTAT or FSETSTAT of "file"."""
    if how == "SETSTAT":
        return raw.ask(Type.SETSTAT, string(place.at("file")), attributes.encode()).code
    return raw.ask(Type.FSETSTAT, string(raw.open(place.at("file"), WRITE)), attributes.encode()).code


@pytest.mark.parametrize("how", ["SETSTAT", "FSETSTAT"])
def test_setstat_changes_what_is_given_and_nothing_else(how: str, raw: RawSFTP, place: Place) -> None:
    place.write("file", b"0123456789")
    os.chmod(place.local("file"), 0o644)
    assert change(raw, place, how, Attributes(permissions=0o600)) == Code.OK
    assert raw.stat(place.at("file")).permissions == stat.S_IFREG | 0o600
    assert change(raw, place, how, Attributes(size=4)) == Code.OK
    assert place.read("file") == b"0123"
    assert change(raw, place, how, Attributes(atime=1, mtime=2_000_000_000)) == Code.OK
    found = raw.stat(place.at("file"))
    assert (found.size, found.permissions, found.mtime) == (4, stat.S_IFREG | 0o600, 2_000_000_000)
    assert change(raw, place, how, Attributes()) == Code.OK
    assert raw.stat(place.at("file")) == found


@pytest.mark.parametrize("how", ["SETSTAT", "FSETSTAT"])
def test_setstat_sets_all_at_once_and_the_time_survives_the_size(how: str, raw: RawSFTP, place: Place) -> None:
    place.write("file", b"")
    wanted = Attributes(6, os.getuid(), os.getgid(), stat.S_IFREG | 0o640, 1_000_000_001, 1_000_000_002)
    assert change(raw, place, how, wanted) == Code.OK
    assert raw.stat(place.at("file")) == wanted
    assert place.read("file") == b"\0" * 6


def test_lsetstat_changes_the_link_and_not_the_file(raw: RawSFTP, place: Place) -> None:
    place.write("file", b"")
    (place.path / "link").symlink_to("file")
    before = (place.path / "file").stat()
    times = Attributes(atime=1_000_000_001, mtime=1_000_000_002).encode()
    assert raw.extend(b"lsetstat@openssh.com", string(place.at("link")), times).code == Code.OK
    assert (place.path / "link").lstat().st_mtime == 1_000_000_002
    assert (place.path / "file").stat().st_mtime == before.st_mtime


# Directories

NOT_A_DIRECTORY = (Code.FAILURE, Code.NO_SUCH_FILE)  # version 3 has no code for it


def test_a_listing_holds_names_long_names_and_attributes(raw: RawSFTP, place: Place) -> None:
    place.write("file", b"12345")
    os.chmod(place.local("file"), 0o640)
    (place.path / "dir").mkdir()
    (place.path / "link").symlink_to("file")
    found = {name: (long, attributes) for name, long, attributes in raw.listing(place.remote)}
    assert set(found) == {b".", b"..", b"file", b"dir", b"link"}
    for name in (b"file", b"dir", b"link"):
        assert found[name][1] == raw.ask(Type.LSTAT, string(place.at(name))).attributes
    columns = found[b"file"][0].split()
    assert (columns[0], columns[4], columns[-1]) == (b"-rw-r-----", b"5", b"file")
    assert found[b"dir"][0].startswith(b"drwx")
    assert found[b"link"][0].startswith(b"lrwxrwxrwx")


def test_a_listing_of_many_names_comes_in_packets_of_good_size(raw: RawSFTP, place: Place) -> None:
    names = {b"%0200d" % number for number in range(2000)}
    for name in names:
        place.write(name, b"")
    assert {name for name, _, _ in raw.listing(place.remote)} == names | {b".", b".."}


def test_entries_that_vanish_meanwhile_do_no_harm(raw: RawSFTP, place: Place) -> None:
    for number in range(500):
        place.write(f"file{number}", b"")
    handle = raw.ask(Type.OPENDIR, string(place.remote)).handle
    seen = {name for name, _, _ in raw.ask(Type.READDIR, string(handle)).names}
    for name in place.names():
        os.unlink(place.local(name))
    while (reply := raw.ask(Type.READDIR, string(handle))).type == Type.NAME:
        seen |= {name for name, _, _ in reply.names}
    assert reply.code == Code.EOF
    assert len(seen) >= 2


def test_opendir_of_a_file_fails(raw: RawSFTP, place: Place) -> None:
    assert raw.ask(Type.OPENDIR, string(place.write("file", b""))).code in NOT_A_DIRECTORY


def test_mkdir_takes_the_mode_and_refuses_what_exists(raw: RawSFTP, place: Place) -> None:
    mode = Attributes(permissions=0o750).encode()
    assert raw.ask(Type.MKDIR, string(place.at("dir")), mode).code == Code.OK
    assert (place.path / "dir").stat().st_mode & 0o777 == 0o750
    assert raw.ask(Type.MKDIR, string(place.at("dir")), mode).code == Code.FAILURE
    assert raw.ask(Type.MKDIR, string(place.at("a/b")), NO_ATTRIBUTES).code == Code.NO_SUCH_FILE
    assert raw.ask(Type.MKDIR, string(place.at("plain")), NO_ATTRIBUTES).code == Code.OK


def test_mkdir_may_come_without_attributes(raw: RawSFTP, place: Place) -> None:
    """Some clients leave them out; the draft does not."""
    assert raw.ask(Type.MKDIR, string(place.at("dir"))).code == Code.OK
    assert (place.path / "dir").is_dir()


def test_rmdir_wants_an_empty_directory_and_remove_a_file(raw: RawSFTP, place: Place) -> None:
    (place.path / "dir").mkdir()
    place.write("dir/file", b"")
    assert raw.ask(Type.RMDIR, string(place.at("dir"))).code == Code.FAILURE
    assert raw.ask(Type.REMOVE, string(place.at("dir"))).code in (Code.FAILURE, Code.PERMISSION_DENIED)
    assert raw.ask(Type.RMDIR, string(place.at("dir/file"))).code in NOT_A_DIRECTORY
    assert raw.ask(Type.REMOVE, string(place.at("dir/file"))).code == Code.OK
    assert raw.ask(Type.RMDIR, string(place.at("dir"))).code == Code.OK
    assert place.names() == set()


def test_remove_takes_the_link_and_leaves_the_file(raw: RawSFTP, place: Place) -> None:
    place.write("file", b"content")
    (place.path / "link").symlink_to("file")
    assert raw.ask(Type.REMOVE, string(place.at("link"))).code == Code.OK
    assert (place.names(), place.read("file")) == ({b"file"}, b"content")


# RENAME


def rename(raw: RawSFTP, place: Place, how: str) -> int:
    """From "old" to "new"."""
    names = string(place.at("old")), string(place.at("new"))
    if how == "RENAME":
        return raw.ask(Type.RENAME, *names).code
    return raw.extend(b"posix-rename@openssh.com", *names).code


@pytest.mark.parametrize("how", ["RENAME", "posix-rename"])
def test_both_renames_move_files_directories_and_links(how: str, raw: RawSFTP, place: Place) -> None:
    assert rename(raw, place, how) == Code.NO_SUCH_FILE
    place.write("old", b"content")
    assert rename(raw, place, how) == Code.OK
    assert (place.names(), place.read("new")) == ({b"new"}, b"content")
    os.unlink(place.local("new"))
    (place.path / "old").mkdir()
    assert rename(raw, place, how) == Code.OK
    assert (place.path / "new").is_dir()
    os.rmdir(place.local("new"))
    (place.path / "old").symlink_to("nowhere")
    assert rename(raw, place, how) == Code.OK
    assert os.readlink(place.path / "new") == "nowhere"


@pytest.mark.parametrize("target", ["file", "directory", "dangling link"])
def test_rename_does_not_replace(target: str, raw: RawSFTP, place: Place) -> None:
    place.write("old", b"content")
    if target == "file":
        place.write("new", b"precious")
    elif target == "directory":
        (place.path / "new").mkdir()
    else:
        (place.path / "new").symlink_to("nowhere")
    before = (place.path / "new").lstat()
    assert rename(raw, place, "RENAME") == Code.FAILURE
    assert place.read("old") == b"content"
    assert (place.path / "new").lstat() == before


def test_rename_does_not_replace_an_empty_directory_by_a_directory(raw: RawSFTP, place: Place) -> None:
    (place.path / "old").mkdir()
    (place.path / "new").mkdir()
    assert rename(raw, place, "RENAME") == Code.FAILURE
    assert place.names() == {b"old", b"new"}


def test_posix_rename_replaces_a_file(raw: RawSFTP, place: Place) -> None:
    place.write("old", b"content")
    place.write("new", b"outdated")
    assert rename(raw, place, "posix-rename") == Code.OK
    assert (place.names(), place.read("new")) == ({b"new"}, b"content")


def test_posix_rename_does_not_replace_a_full_directory(raw: RawSFTP, place: Place) -> None:
    (place.path / "old").mkdir()
    (place.path / "new").mkdir()
    place.write("new/file", b"")
    assert rename(raw, place, "posix-rename") == Code.FAILURE
    assert place.names() == {b"old", b"new"}


# Links


def test_symlink_takes_the_target_first(raw: RawSFTP, place: Place) -> None:
    """OpenSSH's order, not the draft's."""
    assert raw.ask(Type.SYMLINK, string(b"the target"), string(place.at("link"))).code == Code.OK
    assert os.readlink(place.path / "link") == "the target"
    assert raw.ask(Type.SYMLINK, string(b"again"), string(place.at("link"))).code == Code.FAILURE


@pytest.mark.parametrize(
    "target", ["file", "../up", "./a/../b", "/absolute/elsewhere", "bytes-\udcff", "a" * 4000], ids=range(6)
)
def test_readlink_returns_the_target_as_stored(target: str, raw: RawSFTP, place: Place) -> None:
    (place.path / "link").symlink_to(target)
    ((name, _, _),) = raw.ask(Type.READLINK, string(place.at("link"))).names
    assert name == os.fsencode(target)


def test_readlink_of_a_file_fails(raw: RawSFTP, place: Place) -> None:
    assert raw.ask(Type.READLINK, string(place.write("file", b""))).code == Code.FAILURE


def test_hardlink_shares_the_file_and_replaces_nothing(raw: RawSFTP, place: Place) -> None:
    old = string(place.write("file", b"content"))
    assert raw.extend(b"hardlink@openssh.com", old, string(place.at("second"))).code == Code.OK
    assert (place.path / "file").stat().st_ino == (place.path / "second").stat().st_ino
    place.write("other", b"precious")
    assert raw.extend(b"hardlink@openssh.com", old, string(place.at("other"))).code == Code.FAILURE
    assert place.read("other") == b"precious"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../../../../etc/passwd"])
def test_a_link_out_of_the_root_leads_nowhere(target: str, raw: RawSFTP, place: Place) -> None:
    (place.path / "link").symlink_to(target)
    assert open_code(raw, place.at("link"), READ) == Code.NO_SUCH_FILE
    assert raw.ask(Type.STAT, string(place.at("link"))).code == Code.NO_SUCH_FILE


def test_an_absolute_link_is_absolute_inside_the_root(raw: RawSFTP, place: Place) -> None:
    place.write("file", b"content")
    (place.path / "link").symlink_to(place.text("file"))
    assert raw.read(raw.open(place.at("link")), 0, 100).data == b"content"


# Paths


def realpath(raw: RawSFTP, path: bytes) -> bytes:
    ((name, _, _),) = raw.ask(Type.REALPATH, string(path)).names
    return name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"", b"/"),
        (b".", b"/"),
        (b"/", b"/"),
        (b"..", b"/"),
        (b"/../..", b"/"),
        (b"//a", b"/a"),
        (b"./a", b"/a"),
        (b"/a/./b/", b"/a/b"),
        (b"/a/b/../c", b"/a/c"),
    ],
)
def test_realpath_cleans_up_and_stays_inside(path: bytes, expected: bytes, raw: RawSFTP, running: Server) -> None:
    for name in ("a/b", "a/c"):
        (running.root / name).mkdir(parents=True, exist_ok=True)
    assert realpath(raw, path) == expected


def test_the_empty_path_is_the_login_directory(raw: RawSFTP, place: Place) -> None:
    place.write("file", b"")
    assert raw.stat(b"") == raw.stat(b"/")
    assert raw.ask(Type.LSTAT, string(b"")).attributes == raw.stat(b"/")
    assert place.remote[1:] in {name for name, _, _ in raw.listing(b"")}


def test_relative_paths_start_at_the_login_directory(raw: RawSFTP, place: Place) -> None:
    place.write("file", b"content")
    relative = place.at("file")[1:]
    assert raw.read(raw.open(relative), 0, 100).data == b"content"
    assert raw.read(raw.open(b"./" + relative), 0, 100).data == b"content"


def test_no_path_leads_above_the_root(raw: RawSFTP, running: Server, place: Place) -> None:
    (running.root.parent / "outside").write_bytes(b"secret")
    for path in (b"/../outside", b"../outside", place.at("../../outside"), place.at("../../../outside")):
        assert open_code(raw, path, READ) == Code.NO_SUCH_FILE
    raw.shut(raw.open(b"/../../new", WRITE | CREAT))
    assert (running.root / "new").is_file()
    assert not (running.root.parent / "new").exists()


def test_a_nul_in_a_path_is_refused(raw: RawSFTP, place: Place) -> None:
    path = place.write("file", b"content")
    refused = raw.ask(Type.OPEN, string(path + b"\0.txt"), u32(WRITE | CREAT | TRUNC), NO_ATTRIBUTES)
    assert refused.code in (Code.FAILURE, Code.NO_SUCH_FILE, Code.BAD_MESSAGE)
    assert (place.names(), place.read("file")) == ({b"file"}, b"content")


def test_names_that_are_too_long_are_a_failure(raw: RawSFTP, place: Place) -> None:
    assert open_code(raw, place.at("x" * 256), WRITE | CREAT) == Code.FAILURE
    assert raw.ask(Type.MKDIR, string(b"/" + b"y/" * 4000), NO_ATTRIBUTES).code in (Code.FAILURE, Code.NO_SUCH_FILE)
    assert place.names() == set()


# Space and disk

STATVFS = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "fsid", "flag", "namemax")


def space(reply: bytes) -> dict[str, int]:
    return dict(zip(STATVFS, struct.unpack(">11Q", reply), strict=True))


def test_statvfs_and_fstatvfs_tell_what_the_system_tells(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.write("file", b""))
    by_path = space(raw.extend(b"statvfs@openssh.com", string(place.at("file"))).extended)
    by_handle = space(raw.extend(b"fstatvfs@openssh.com", string(handle)).extended)
    expected = os.statvfs(place.path)
    for found in (by_path, by_handle):
        for name in ("bsize", "frsize", "blocks", "files", "namemax"):
            assert found[name] == getattr(expected, f"f_{name}")
        assert found["bavail"] <= found["bfree"] <= found["blocks"]
        assert found["flag"] & ~3 == 0
    missing = raw.extend(b"statvfs@openssh.com", string(place.at("missing")))
    assert missing.code == Code.NO_SUCH_FILE
    assert raw.extend(b"fstatvfs@openssh.com", string(b"none")).code == Code.FAILURE


def test_fsync_needs_an_open_handle(raw: RawSFTP, place: Place) -> None:
    handle = raw.open(place.at("file"), WRITE | CREAT)
    assert raw.write(handle, 0, b"content") == Code.OK
    assert raw.extend(b"fsync@openssh.com", string(handle)).code == Code.OK
    assert raw.shut(handle) == Code.OK
    assert raw.extend(b"fsync@openssh.com", string(handle)).code == Code.FAILURE


def test_times_are_those_of_the_clock(raw: RawSFTP, place: Place) -> None:
    before = int(time.time())
    raw.open(place.at("file"), WRITE | CREAT)
    mtime = raw.stat(place.at("file")).mtime
    assert mtime is not None
    assert before - 2 <= mtime <= time.time() + 2
