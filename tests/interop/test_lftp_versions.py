"""lftp in versions 3 to 6 of the protocol, chosen by its setting sftp:protocol-version."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.client import LFTP, lftp_quote
from tests.support.place import Place, noise
from tests.support.server import Server

TIME = 1_000_000_000
MODES = (0o644, 0o600, 0o755, 0o640, 0o444, 0o750)  # no bit that lftp takes away because of the umask
NAMES = {
    "plain": b"plain",
    "unicode": "ünïcode-日本語-\N{GRINNING FACE}".encode(),
    "quotes": b'it\'s "quoted"',
    "pattern": b"a*b?[c]",
    "255": b"x" * 255,
    "not utf-8": b"latin-\xe9\xff\xfe",
}


class LFTPVersion(LFTP):
    """lftp that asks for one version."""

    def __init__(self, server: Server, version: int, notes: Path) -> None:
        super().__init__(server)
        self.version, self.notes = version, notes

    def script(self, *commands: bytes, login: str = "key") -> bytes:
        """As in LFTP; the server must have agreed to the version."""
        self.notes.unlink(missing_ok=True)
        begin = [b"debug -o " + lftp_quote(self.notes) + b" 9", b"set sftp:protocol-version %d" % self.version]
        shown = super().script(*begin, *commands, login=login)
        assert f"protocol version set to {self.version}" in self.notes.read_text(errors="backslashreplace")
        return shown


@pytest.fixture(params=[3, 4, 5, 6])
def lftp(request: pytest.FixtureRequest, running: Server, tmp_path: Path) -> LFTPVersion:
    return LFTPVersion(running, request.param, tmp_path / "notes")


def plant(root: Path) -> None:
    """A tree with several modes, a time, empty files and directories, and a link."""
    for number, name in enumerate(["top", "empty", "a/one", "a/b/two", "a/b/c/three", "a/ünï"]):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(noise(number * 30_011, number))
        file.chmod(MODES[number])
        os.utime(file, (TIME, TIME + number))
    (root / "void").mkdir()
    (root / "a/link").symlink_to("b/two")
    (root / "a/early").symlink_to("one")  # made before it leads anywhere
    (root / "a/nowhere").symlink_to("missing")


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """What is below a directory: content, mode and time of files, targets of links."""
    found: dict[str, tuple[object, ...]] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        name = str(path.relative_to(root))
        if stat.S_ISLNK(status.st_mode):
            found[name] = ("link", os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            found[name] = ("directory",)
        else:
            found[name] = (path.read_bytes(), oct(status.st_mode), int(status.st_mtime))
    return found


def test_a_mirror_is_the_same_tree_in_both_directions(lftp: LFTPVersion, place: Place, tmp_path: Path) -> None:
    plant(tmp_path / "source")
    lftp.script(b"mirror -R --perms " + lftp_quote(tmp_path / "source") + b" " + place.at("copy"))
    assert tree(place.path / "copy") == tree(tmp_path / "source")
    lftp.script(b"mirror --perms " + place.at("copy") + b" " + lftp_quote(tmp_path / "back"))
    assert tree(tmp_path / "back") == tree(tmp_path / "source")
    again = lftp.script(b"mirror -R --verbose " + lftp_quote(tmp_path / "source") + b" " + place.at("copy"))
    assert b"Transferring file" not in again


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_this_name_is_put_listed_got_and_removed(
    lftp: LFTPVersion, name: str, place: Place, tmp_path: Path
) -> None:
    data = noise(70_003)
    (tmp_path / "source").write_bytes(data)
    remote = lftp_quote(Path(os.fsdecode(place.at(NAMES[name]))))
    lftp.script(b"put " + lftp_quote(tmp_path / "source") + b" -o " + remote)
    assert (place.names(), place.read(NAMES[name])) == ({NAMES[name]}, data)
    listed = lftp.script(b"cls -1 " + place.remote + b"/")
    assert listed == place.at(NAMES[name]) + b"\n"
    lftp.script(b"get " + remote + b" -o " + lftp_quote(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    lftp.script(b"rm " + remote)
    assert place.names() == set()


def test_a_listing_shows_kind_size_and_time(lftp: LFTPVersion, place: Place) -> None:
    place.write("file", b"12345")
    os.utime(place.local("file"), (TIME, TIME))
    os.chmod(place.local("file"), 0o640)
    os.mkdir(place.local("dir"))
    os.symlink("file", place.local("link"))
    lines = {
        line.split()[-1].decode(): line.decode().split() for line in lftp.script(b"ls " + place.remote).splitlines()
    }
    assert lines["file"][0] == "-rw-r-----"
    assert "5" in lines["file"]
    assert {"2001", "2001-09-09"} & set(lines["file"])
    assert (lines["dir"][0][0], lines["link"][0][0]) == ("d", "l")


def test_commands_that_change_things(lftp: LFTPVersion, place: Place) -> None:
    place.write("file", b"content")
    os.makedirs(place.local("full/deep"))
    place.write("full/deep/file", b"")
    lftp.script(
        b"cd " + place.remote,
        b"mkdir -p a/b/c",
        b"mv file a/moved",
        b"chmod 0640 a/moved",
        b"chmod -R u-w a/b/c",
        b"rmdir a/b/c",
        b"rm -r full",
        b"ln -s moved a/link",
    )
    assert place.names() == {b"a"}
    assert set(os.listdir(place.path / "a")) == {"b", "moved", "link"}
    assert os.stat(place.path / "a/moved").st_mode & 0o7777 == 0o640
    assert place.read("a/moved") == b"content"
    assert os.readlink(place.path / "a/link") == "moved"


def test_mv_does_not_replace(lftp: LFTPVersion, place: Place) -> None:
    place.write("old", b"1")
    place.write("new", b"2")
    with pytest.raises(AssertionError):
        lftp.script(b"mv " + place.at("old") + b" " + place.at("new"))
    assert (place.read("old"), place.read("new")) == (b"1", b"2")


def test_transfers_are_resumed_and_cut_in_pieces(lftp: LFTPVersion, place: Place, tmp_path: Path) -> None:
    data = noise(1_000_003)
    place.write("whole", data)
    place.write("part", b"?" * 100_000)
    (tmp_path / "whole").write_bytes(data)
    (tmp_path / "part").write_bytes(b"?" * 100_000)
    lftp.script(
        b"get -c " + place.at("whole") + b" -o " + lftp_quote(tmp_path / "part"),
        b"put -c " + lftp_quote(tmp_path / "whole") + b" -o " + place.at("part"),
        b"pget -n 3 " + place.at("whole") + b" -o " + lftp_quote(tmp_path / "pieces"),
        b"set xfer:clobber yes",
    )
    assert (tmp_path / "part").read_bytes() == place.read("part") == b"?" * 100_000 + data[100_000:]
    assert (tmp_path / "pieces").read_bytes() == data


@pytest.mark.parametrize("command", [b"cls", b"get", b"rm", b"chmod 600"])
def test_what_is_missing_is_an_error(lftp: LFTPVersion, command: bytes, place: Place) -> None:
    with pytest.raises(AssertionError, match=r"No such (file|path)"):
        lftp.script(command + b" " + place.at("missing"))
