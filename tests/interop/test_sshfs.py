"""sshfs: the kernel's file system calls turned into SFTP."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import end, environment, run, wait_until
from tests.support.connection import ssh_options
from tests.support.place import MIB, Place, noise
from tests.support.server import Server

pytestmark = pytest.mark.skipif(
    shutil.which("sshfs") is None or not os.access("/dev/fuse", os.R_OK | os.W_OK),
    reason="needs sshfs and /dev/fuse",
)


@pytest.fixture
def mounted(running: Server, place: Place, tmp_path: Path) -> Iterator[Path]:
    """The test's directory, mounted."""
    point = tmp_path / "mounted"
    point.mkdir()
    command = " ".join(["ssh", *ssh_options(running), "-oBatchMode=yes"])
    argv = ["sshfs", "-f", "-o", f"ssh_command={command}", f"{running.host}:{place.remote.decode()}", str(point)]
    with open(tmp_path / "sshfs.log", "wb") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(running.home)
        )
    try:
        wait_until(lambda: point.is_mount() or process.poll() is not None, "sshfs is mounted")
        if process.poll() is not None:
            said = (tmp_path / "sshfs.log").read_text()
            if "fusermount" in said:
                pytest.skip(f"no mounts here: {said}")
            pytest.fail(said)
        yield point
        run(["fusermount3", "-u", str(point)], home=running.home)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            subprocess.run(["fusermount3", "-u", "-z", str(point)], check=False, timeout=20)
        end(process)


def test_files_are_written_and_read(mounted: Path, place: Place) -> None:
    data = noise(4 * MIB + 5)
    (mounted / "file").write_bytes(data)
    assert place.read("file") == data
    place.write("other", data[::-1])
    assert (mounted / "other").read_bytes() == data[::-1]


def test_writes_in_the_middle_and_at_the_end(mounted: Path, place: Place) -> None:
    place.write("file", b"0123456789")
    with open(mounted / "file", "r+b") as stream:
        stream.seek(3)
        stream.write(b"abc")
    with open(mounted / "file", "ab") as stream:
        stream.write(b" more")
    os.truncate(mounted / "file", 12)
    assert place.read("file") == b"012abc6789 m"


def test_names_are_made_moved_and_removed(mounted: Path, place: Place) -> None:
    (mounted / "a/b").mkdir(parents=True)
    (mounted / "a/ü b\n").write_bytes(b"content")
    (mounted / "a/ü b\n").rename(mounted / "a/b/moved")
    assert place.read("a/b/moved") == b"content"
    (mounted / "new").write_bytes(b"replaces")
    (mounted / "new").replace(mounted / "a/b/moved")
    assert place.read("a/b/moved") == b"replaces"
    shutil.rmtree(mounted / "a")
    assert place.names() == set()


def test_modes_times_and_sizes(mounted: Path, place: Place) -> None:
    (mounted / "file").write_bytes(b"12345")
    (mounted / "file").chmod(0o640)
    os.utime(mounted / "file", (1_000_000_001, 1_000_000_002))
    for root in (mounted, place.path):
        status = (root / "file").stat()
        assert (status.st_mode & 0o7777, status.st_mtime, status.st_size) == (0o640, 1_000_000_002, 5)


def test_links(mounted: Path, place: Place) -> None:
    (mounted / "file").write_bytes(b"content")
    (mounted / "soft").symlink_to("file")
    os.link(mounted / "file", mounted / "hard")
    assert os.readlink(mounted / "soft") == os.readlink(place.path / "soft") == "file"
    assert (mounted / "soft").read_bytes() == b"content"
    assert (place.path / "hard").stat().st_ino == (place.path / "file").stat().st_ino


def test_space_is_that_of_the_server(mounted: Path, place: Place) -> None:
    found, expected = os.statvfs(mounted), os.statvfs(place.path)
    assert found.f_blocks * found.f_frsize == expected.f_blocks * expected.f_frsize
    assert found.f_files == expected.f_files


def test_fsync_and_a_tree_of_many_files(mounted: Path, place: Place) -> None:
    for number in range(100):
        with open(mounted / f"file{number}", "wb") as stream:
            stream.write(b"%d" % number)
            stream.flush()
            os.fsync(stream.fileno())
    assert sorted(os.listdir(mounted)) == sorted(f"file{number}" for number in range(100))
    assert all(place.read(f"file{number}") == b"%d" % number for number in range(100))


def test_what_is_missing_is_enoent(mounted: Path) -> None:
    with pytest.raises(FileNotFoundError):
        (mounted / "missing").read_bytes()
    with pytest.raises(FileNotFoundError):
        os.listdir(mounted / "missing")
