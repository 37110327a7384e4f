"""OpenSSH's scp over SFTP."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.client import SCP
from tests.support.command import attempt
from tests.support.connection import ssh_options
from tests.support.place import MIB, Place, noise
from tests.support.server import Server


@pytest.fixture
def scp(running: Server) -> SCP:
    return SCP(running)


def scp_exit(server: Server, *arguments: str | bytes | Path) -> subprocess.CompletedProcess[bytes]:
    """Like SCP.copy, whatever the exit status."""
    return attempt(["scp", "-s", *ssh_options(server), "-oBatchMode=yes", *arguments], home=server.home)


def test_an_upload_of_20_mib_is_not_cut(scp: SCP, place: Place, tmp_path: Path) -> None:
    """scp truncates what it uploads when replies to WRITE come out of order."""
    data = noise(20 * MIB + 11)
    (tmp_path / "file").write_bytes(data)
    scp.put(tmp_path / "file", place.at("file"))
    assert place.read("file") == data


def test_the_end_is_exit_status_0_without_a_word(running: Server, place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    done = scp_exit(running, tmp_path / "file", SCP(running).remote(place.at("file")))
    assert (done.returncode, done.stderr) == (0, b"")


def test_r_copies_a_tree_in_both_directions(scp: SCP, place: Place, tmp_path: Path) -> None:
    names = ["a", "sub/b", "sub/deeper/c"]
    for name in names:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(name.encode())
    (tmp_path / "source/empty").mkdir()
    scp.copy("-r", tmp_path / "source", scp.remote(place.at("copy")))
    scp.copy("-r", scp.remote(place.at("copy")), tmp_path / "back")
    for root in (place.path / "copy", tmp_path / "back"):
        assert {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()} == set(names)
        assert all((root / name).read_bytes() == name.encode() for name in names)
        assert (root / "empty").is_dir()


def test_p_keeps_mode_and_times(scp: SCP, place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    source.chmod(0o751)
    os.utime(source, (1_000_000_001, 1_000_000_002))
    scp.copy("-p", source, scp.remote(place.at("file")))
    scp.copy("-p", scp.remote(place.at("file")), tmp_path / "back")
    for copy in (place.path / "file", tmp_path / "back"):
        assert (copy.stat().st_mode & 0o7777, copy.stat().st_mtime) == (0o751, 1_000_000_002)


def test_several_files_go_into_a_directory(scp: SCP, place: Place, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    scp.copy(tmp_path / "one", tmp_path / "two", scp.remote(place.remote + b"/"))
    assert (place.read("one"), place.read("two")) == (b"one", b"two")


def test_a_remote_pattern_is_expanded(scp: SCP, place: Place, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.bin"):
        place.write(name, name.encode())
    scp.copy(scp.remote(place.at("*.txt")), tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a.txt": "a.txt", "b.txt": "b.txt"}


def test_a_relative_path_and_the_home_start_at_the_root(scp: SCP, place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    scp.put(tmp_path / "file", place.at("file")[1:])
    assert place.read("file") == b"content"


def test_missing_files_and_directories_are_said(running: Server, place: Place, tmp_path: Path) -> None:
    remote = SCP(running).remote
    done = scp_exit(running, remote(place.at("missing")), tmp_path)
    assert done.returncode == 1
    assert b"No such file" in done.stderr
    (tmp_path / "file").write_bytes(b"")
    assert scp_exit(running, tmp_path / "file", remote(place.at("missing/file"))).returncode == 1


def test_a_rate_limit_does_not_disturb(scp: SCP, place: Place, tmp_path: Path) -> None:
    """-l leaves the server waiting for a slow client again and again."""
    data = noise(200_000)
    place.write("file", data)
    scp.copy("-l", "8000", scp.remote(place.at("file")), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_the_old_protocol_is_refused_without_a_hang(running: Server, place: Place, tmp_path: Path) -> None:
    """-O runs a program on the server, which we never do."""
    place.write("file", b"content")
    options, remote = ssh_options(running), SCP(running).remote(place.at("file"))
    done = attempt(["scp", "-O", *options, "-oBatchMode=yes", remote, tmp_path], home=running.home)
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_scp_3_copies_from_the_server_to_the_server(running: Server, place: Place) -> None:
    data = noise(MIB + 1)
    place.write("file", data)
    options = [one for one in ssh_options(running) if not one.startswith(("-oPort", "-oUser="))]
    remote = f"scp://{running.user}@{running.host}:{running.port}{place.remote.decode()}"
    argv = ["scp", "-3", "-s", *options, "-oBatchMode=yes", f"{remote}/file", f"{remote}/copy"]
    done = attempt(argv, home=running.home)
    assert done.returncode == 0, done.stderr
    assert place.read("copy") == data


@pytest.mark.parametrize("home", [b"~", b"~alice"], ids=["own", "named"])
def test_a_tilde_is_the_login_directory(home: bytes, scp: SCP, place: Place, tmp_path: Path) -> None:
    """The client strips "~/" by itself and sends "~user/" with expand-path@openssh.com."""
    place.write("file", b"data")
    scp.copy(scp.remote(home + place.at("file")), tmp_path / "got")
    scp.copy(tmp_path / "got", scp.remote(home + place.at("put")))
    assert (tmp_path / "got").read_bytes() == place.read("put") == b"data"


def test_the_home_of_somebody_unknown_is_an_error(running: Server, place: Place, tmp_path: Path) -> None:
    place.write("file", b"data")
    done = scp_exit(running, SCP(running).remote(b"~mallory" + place.at("file")), tmp_path / "got")
    assert done.returncode == 1
    assert not (tmp_path / "got").exists()
