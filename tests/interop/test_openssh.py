"""OpenSSH's own clients: sftp, and ssh for everything that happens before it."""

from __future__ import annotations

import grp
import os
import pwd
import re
from pathlib import Path

import pytest

from tests.support.client import OpenSSH, sftp_quote
from tests.support.command import run
from tests.support.connection import ssh_pipe
from tests.support.place import Place, noise
from tests.support.rawsftp import PipeStream, RawSFTP
from tests.support.server import Server


@pytest.fixture
def sftp(running: Server) -> OpenSSH:
    return OpenSSH(running)


def tree(directory: Path) -> dict[str, bytes | None]:
    """Relative names below a directory, with the content of files."""
    return {
        str(entry.relative_to(directory)): entry.read_bytes() if entry.is_file() else None
        for entry in directory.rglob("*")
    }


def plant(directory: Path) -> Path:
    """A small tree with empty files, empty directories and depth."""
    for name, size in {"a": 0, "b b": 5, "sub/c": 40_000, "sub/deeper/d": 1}.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(noise(size, seed=size))
    (directory / "sub/empty").mkdir()
    return directory


def test_put_r_and_get_r_copy_a_tree(sftp: OpenSSH, place: Place, tmp_path: Path) -> None:
    source, back = plant(tmp_path / "source"), tmp_path / "back"
    sftp.batch(b"put -r " + sftp_quote(source) + b" " + sftp_quote(place.at("copy")))
    assert tree(place.path / "copy") == tree(source)
    sftp.batch(b"get -r " + sftp_quote(place.at("copy")) + b" " + sftp_quote(back))
    assert tree(back) == tree(source)


def test_put_p_and_get_p_keep_mode_and_times(sftp: OpenSSH, place: Place, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(b"data")
    source.chmod(0o640)
    os.utime(source, (1_000_000_000, 1_100_000_000))
    sftp.batch(b"put -p " + sftp_quote(source) + b" " + sftp_quote(place.at("file")))
    sftp.batch(b"get -p " + sftp_quote(place.at("file")) + b" " + sftp_quote(back))
    for copy in (place.path / "file", back):
        status = copy.stat()
        assert (status.st_mode & 0o7777, status.st_mtime, status.st_size) == (0o640, 1_100_000_000, 4)


def test_reget_fetches_what_is_missing(sftp: OpenSSH, place: Place, tmp_path: Path) -> None:
    data = noise(300_000)
    place.write("file", data)
    part = tmp_path / "part"
    part.write_bytes(b"?" * 100_000)
    sftp.batch(b"reget " + sftp_quote(place.at("file")) + b" " + sftp_quote(part))
    assert part.read_bytes() == b"?" * 100_000 + data[100_000:]


def test_reput_sends_what_is_missing(sftp: OpenSSH, place: Place, tmp_path: Path) -> None:
    data = noise(300_000)
    (tmp_path / "file").write_bytes(data)
    place.write("part", b"?" * 100_000)
    sftp.batch(b"reput " + sftp_quote(tmp_path / "file") + b" " + sftp_quote(place.at("part")))
    assert place.read("part") == b"?" * 100_000 + data[100_000:]


@pytest.mark.parametrize("command", [b"get -a", b"put -a"])
def test_dash_a_resumes_in_both_directions(command: bytes, sftp: OpenSSH, place: Place, tmp_path: Path) -> None:
    data = noise(70_000)
    local, remote = tmp_path / "local", "remote"
    whole, part = (data, data[:30_000])
    local.write_bytes(part if command.startswith(b"get") else whole)
    place.write(remote, whole if command.startswith(b"get") else part)
    names = [sftp_quote(place.at(remote)), sftp_quote(local)]
    sftp.batch(command + b" " + b" ".join(names if command.startswith(b"get") else names[::-1]))
    assert local.read_bytes() == place.read(remote) == data


def test_put_f_and_get_f_flush_to_disk(sftp: OpenSSH, place: Place, tmp_path: Path) -> None:
    """-f sends fsync@openssh.com after the last block."""
    (tmp_path / "file").write_bytes(b"durable")
    sftp.batch(b"put -f " + sftp_quote(tmp_path / "file") + b" " + sftp_quote(place.at("file")))
    assert place.read("file") == b"durable"


def test_ls_shows_names_and_ls_l_shows_what_ls_shows(sftp: OpenSSH, place: Place) -> None:
    place.write("one", b"12345")
    os.chmod(place.local("one"), 0o604)
    (place.path / "two").mkdir(mode=0o755)
    (place.path / "three").symlink_to("one")
    listed = sftp.batch(b"cd " + place.remote, b"ls -1a").decode().splitlines()
    assert {line for line in listed if not line.startswith("sftp>")} == {".", "..", "one", "two", "three"}
    long = sftp.batch(b"cd " + place.remote, b"ls -l").decode()
    assert re.search(r"^-rw----r--\s+\S+\s+\S+\s+\S+\s+5 .* one$", long, re.MULTILINE), long
    assert re.search(r"^drwxr-xr-x\s.* two$", long, re.MULTILINE), long
    assert re.search(r"^lrwxrwxrwx\s.* three", long, re.MULTILINE), long


def test_a_long_listing_says_the_owner_like_ls(sftp: OpenSSH, place: Place) -> None:
    place.write("file", b"")
    ours = sftp.batch(b"ls -l " + place.remote).decode().splitlines()[-1].split()
    theirs = run(["ls", "-l", place.local("file")], home=sftp.server.home).decode().split()
    assert ours[2:5] == theirs[2:5]


def test_a_directory_of_3000_files_is_listed_whole(sftp: OpenSSH, place: Place) -> None:
    for number in range(3000):
        place.write(f"a-name-of-some-length-{number:05}", b"")
    listed = sftp.batch(b"ls -1 " + place.remote).decode().splitlines()
    names = {line.rpartition("/")[2] for line in listed if not line.startswith("sftp>")}
    assert names == {os.fsdecode(name) for name in place.names()}


def test_rename_moves_and_rm_removes(sftp: OpenSSH, place: Place) -> None:
    place.write("old", b"data")
    sftp.batch(b"rename " + place.at("old") + b" " + place.at("new"))
    assert place.names() == {b"new"}
    sftp.batch(b"rm " + place.at("new"))
    assert place.names() == set()


def test_rename_replaces_because_the_client_uses_posix_rename(sftp: OpenSSH, place: Place) -> None:
    place.write("old", b"new data")
    place.write("new", b"old data")
    sftp.batch(b"rename " + place.at("old") + b" " + place.at("new"))
    assert (place.names(), place.read("new")) == ({b"new"}, b"new data")


def test_rename_l_is_refused_when_the_target_exists(running: Server, place: Place) -> None:
    """-l chooses the plain RENAME of the draft."""
    place.write("old", b"1")
    place.write("new", b"2")
    done = OpenSSH(running).attempt(f"rename -l {place.text('old')} {place.text('new')}".encode())
    assert done.returncode == 1
    assert (place.read("old"), place.read("new")) == (b"1", b"2")


def test_mkdir_and_rmdir(sftp: OpenSSH, running: Server, place: Place) -> None:
    sftp.batch(b"mkdir " + place.at("dir"), b"mkdir " + place.at("dir/sub"))
    assert (place.path / "dir/sub").is_dir()
    assert OpenSSH(running).attempt(f"rmdir {place.text('dir')}".encode()).returncode == 1
    sftp.batch(b"rmdir " + place.at("dir/sub"), b"rmdir " + place.at("dir"))
    assert place.names() == set()


def test_chmod_sets_the_mode(sftp: OpenSSH, place: Place) -> None:
    place.write("file", b"")
    sftp.batch(b"chmod 0754 " + place.at("file"))
    assert (place.path / "file").stat().st_mode & 0o7777 == 0o754


def test_chmod_h_does_not_follow(running: Server, place: Place) -> None:
    """-h uses lsetstat@openssh.com; Linux cannot change a link's mode, and the target must stay as it is."""
    place.write("file", b"")
    os.chmod(place.local("file"), 0o600)
    (place.path / "link").symlink_to("file")
    OpenSSH(running).attempt(f"chmod -h 0777 {place.text('link')}".encode())
    assert (place.path / "file").stat().st_mode & 0o7777 == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="changing owners needs root")
def test_chown_and_chgrp(sftp: OpenSSH, place: Place) -> None:
    place.write("file", b"")
    sftp.batch(b"chown 12345 " + place.at("file"), b"chgrp 23456 " + place.at("file"))
    status = (place.path / "file").stat()
    assert (status.st_uid, status.st_gid) == (12345, 23456)


def test_ln_s_stores_the_target_and_ln_makes_a_hard_link(sftp: OpenSSH, place: Place) -> None:
    place.write("file", b"data")
    sftp.batch(b"cd " + place.remote, b"ln -s file soft", b"ln file hard", b"symlink ../elsewhere dangling")
    assert os.readlink(place.path / "soft") == "file"
    assert os.readlink(place.path / "dangling") == "../elsewhere"
    assert (place.path / "hard").stat().st_ino == (place.path / "file").stat().st_ino


def test_df_shows_the_file_system(sftp: OpenSSH, place: Place) -> None:
    shown = sftp.batch(b"df " + place.remote).decode().splitlines()[-1].split()
    space = os.statvfs(place.path)
    assert int(shown[0]) == space.f_blocks * space.f_frsize // 1024
    assert shown[-1].endswith("%")
    inodes = sftp.batch(b"df -i " + place.remote).decode().splitlines()[-1].split()
    assert int(inodes[0]) == space.f_files


def test_df_h_shows_sizes_for_people(sftp: OpenSSH, place: Place) -> None:
    head, figures = sftp.batch(b"df -h " + place.remote).decode().splitlines()[-2:]
    assert head.split()[:3] == ["Size", "Used", "Avail"]
    assert re.fullmatch(r"[\d.]+[KMGTP]?B", figures.split()[0]), figures


def test_ls_l_names_owners_through_users_groups_by_id(sftp: OpenSSH, place: Place) -> None:
    place.write("file", b"")
    done = sftp.attempt(b"ls -l " + place.remote, options=["-vvv"])
    assert b"SSH2_FXP_EXTENDED(users-groups-by-id@openssh.com)" in done.stderr
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    assert done.stdout.decode().splitlines()[-1].split()[2:4] == [user, group]


def test_cp_copies_on_the_server(sftp: OpenSSH, place: Place) -> None:
    data = noise(3_000_001)
    place.write("source", data)
    os.chmod(place.local("source"), 0o640)
    done = sftp.attempt(b"cp " + place.at("source") + b" " + place.at("copy"), options=["-vvv"])
    assert (done.returncode, place.read("copy") == data) == (0, True)
    assert b"copy-data" in done.stderr
    assert os.stat(place.local("copy")).st_mode & 0o777 == 0o640
    place.write("small", b"new")
    sftp.batch(b"copy " + place.at("small") + b" " + place.at("copy"))
    assert place.read("copy") == b"new"


def test_the_session_starts_at_the_root(sftp: OpenSSH) -> None:
    assert b"Remote working directory: /\n" in sftp.batch(b"pwd")
    assert b"Remote working directory: /\n" in sftp.batch(b"cd ../..", b"pwd")


def test_a_remote_pattern_is_expanded(sftp: OpenSSH, place: Place, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.bin"):
        place.write(name, name.encode())
    sftp.batch(b"get " + place.at("*.txt") + b" " + sftp_quote(tmp_path))
    assert tree(tmp_path) == {"a.txt": b"a.txt", "b.txt": b"b.txt"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("get {}/missing", b"not found"),
        ("ls {}/missing", b"not found"),
        ("cd {}/missing", b"No such file"),
        ("mkdir {}/file", b"Failure"),
        ("rm {}", b"Failure"),
    ],
)
def test_what_fails_is_said_and_ends_the_batch(command: str, words: bytes, running: Server, place: Place) -> None:
    place.write("file", b"")
    done = OpenSSH(running).attempt(command.format(place.remote.decode()).encode())
    assert done.returncode == 1
    assert words in done.stderr


def test_the_end_of_the_session_is_exit_status_0(running: Server) -> None:
    raw = RawSFTP(PipeStream(ssh_pipe(running))).init()
    raw.close()
    assert isinstance(raw.stream, PipeStream)
    assert raw.stream.process.returncode == 0
