"""What an upload that replaces a file keeps of it, and which file it is (UploadMode)."""

import os
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.support.rawsftp import Attributes, Code, RawSFTP, Type, string, u32
from tests.support.stdio import StdioServer

from .asking import TRUNC, W
from .uploading import OLD, PUT, names, put

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs privileges")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_mode_is_that_of_the_old_file_or_what_the_open_asks_for(client: RawSFTP, root: Path, umask: int) -> None:
    (root / "file").chmod(0o640)
    previous = os.umask(umask)
    try:
        assert client.shut(client.open(b"/file", PUT, Attributes(permissions=0o777).encode())) == Code.OK
        assert client.shut(client.open(b"/new", PUT, Attributes(permissions=0o755).encode())) == Code.OK
    finally:
        os.umask(previous)
    assert (root / "file").stat().st_mode & 0o7777 == 0o640
    assert (root / "new").stat().st_mode & 0o7777 == 0o755 & ~umask


def test_a_mode_that_the_client_sets_meanwhile_counts(client: RawSFTP, root: Path) -> None:
    handle = client.open(b"/file", PUT)
    assert client.ask(Type.FSETSTAT, string(handle), Attributes(permissions=0o604).encode()).code == Code.OK
    assert client.shut(handle) == Code.OK
    assert (root / "file").stat().st_mode & 0o7777 == 0o604


@needs_root
def test_owner_and_group_are_those_of_the_old_file(client: RawSFTP, root: Path) -> None:
    os.chown(root / "file", 1234, 4321)
    assert put(client, b"/file", b"new") == Code.OK
    found = (root / "file").stat()
    assert (found.st_uid, found.st_gid) == (1234, 4321)


def test_extended_attributes_of_users_are_those_of_the_old_file(client: RawSFTP, root: Path) -> None:
    try:
        os.setxattr(root / "file", "user.colour", b"green")
    except OSError as error:
        pytest.skip(f"this file system has none: {error.strerror}")
    assert put(client, b"/file", b"new") == Code.OK
    assert os.getxattr(root / "file", "user.colour") == b"green"


def test_other_names_of_the_file_keep_the_old_content(client: RawSFTP, root: Path) -> None:
    os.link(root / "file", root / "other")
    assert put(client, b"/file", b"new") == Code.OK
    assert (root / "other").read_bytes() == OLD


def test_what_a_link_leads_to_is_replaced_and_not_the_link(client: RawSFTP, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "real").write_bytes(OLD)
    (root / "e").mkdir()
    (root / "e" / "relative").symlink_to("../d/real")
    (root / "absolute").symlink_to("/e/relative")
    (root / "dangling").symlink_to("d/fresh")
    assert put(client, b"/absolute", b"new") == Code.OK
    assert put(client, b"/dangling", b"fresh") == Code.OK
    assert (root / "absolute").is_symlink()
    assert (root / "d" / "real").read_bytes() == b"new"
    assert (root / "d" / "fresh").read_bytes() == b"fresh"
    assert names(root / "d") == {"real", "fresh"}


def test_links_that_never_end_are_an_error(client: RawSFTP, root: Path) -> None:
    (root / "loop").symlink_to("loop")
    assert client.ask(Type.OPEN, string(b"/loop"), u32(PUT), u32(0)).code == Code.FAILURE


def test_a_link_out_of_the_root_leads_to_a_place_inside(client: RawSFTP, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "up").symlink_to("../outside")
    (root / "away").symlink_to(tmp_path / "outside")
    assert put(client, b"/up", b"new") == Code.OK
    assert client.ask(Type.OPEN, string(b"/away"), u32(PUT), u32(0)).code == Code.NO_SUCH_FILE
    assert (tmp_path / "outside").read_bytes() == b"secret"
    assert (root / "outside").read_bytes() == b"new"


def test_whoever_is_confined_to_a_home_uploads_nothing_out_of_it(root: Path, mode: str) -> None:
    (root / "home").mkdir()
    (root / "home" / "inside").symlink_to("real")
    (root / "home" / "up").symlink_to("../file")
    (root / "home" / "absolute").symlink_to("/home/real")
    with RootedFileSystem(str(root)) as fs:
        confined = fs.restricted_to(b"/home")
        with StdioServer(confined, Settings(upload_mode=mode)) as server:
            client = server.client.init()
            for name in (b"up", b"absolute"):
                refused = client.ask(Type.OPEN, string(b"/home/" + name), u32(PUT), u32(0))
                assert refused.code == Code.PERMISSION_DENIED
            assert put(client, b"/home/inside", b"new") == Code.OK
        confined.close()
    assert (root / "home" / "real").read_bytes() == b"new"
    assert (root / "file").read_bytes() == OLD


@pytest.mark.parametrize(
    ("path", "code"), [(b"/d", Code.FAILURE), (b"/fifo", Code.FAILURE), (b"/no/where", Code.NO_SUCH_FILE), (b"/", 4)]
)
def test_what_cannot_be_opened_cannot_be_uploaded(client: RawSFTP, root: Path, path: bytes, code: int) -> None:
    (root / "d").mkdir()
    os.mkfifo(root / "fifo")
    assert client.ask(Type.OPEN, string(path), u32(PUT), u32(0)).code == code
    assert names(root) == {"file", "d", "fifo"}


def test_without_create_there_must_be_something_to_replace(client: RawSFTP, root: Path) -> None:
    assert client.ask(Type.OPEN, string(b"/new"), u32(W | TRUNC), u32(0)).code == Code.NO_SUCH_FILE
    assert put(client, b"/file", b"new", W | TRUNC) == Code.OK
    assert (root / "file").read_bytes() == b"new"


def test_a_directory_that_moves_takes_its_uploads_along(client: RawSFTP, root: Path) -> None:
    (root / "before").mkdir()
    handle = client.open(b"/before/f", PUT)
    client.write(handle, 0, b"complete")
    (root / "before").rename(root / "after")
    assert client.shut(handle) == Code.OK
    assert (root / "after" / "f").read_bytes() == b"complete"
    assert names(root / "after") == {"f"}


def test_names_as_long_as_they_may_be(client: RawSFTP, root: Path) -> None:
    path = b"/" + b"n" * 255
    assert put(client, path, b"complete") == Code.OK
    assert (root / ("n" * 255)).read_bytes() == b"complete"
    assert names(root) == {"file", "n" * 255}


def test_nothing_stays_open(uploads: StdioServer, root: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before, client = descriptors(), uploads.client
    for path in (b"/new", b"/file", b"/no/where", b"/"):
        reply = client.ask(Type.OPEN, string(path), u32(PUT), u32(0))
        if reply.type == Type.HANDLE:
            client.shut(reply.handle)
    assert descriptors() == before
