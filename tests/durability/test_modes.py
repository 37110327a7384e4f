"""The modes of uploads in the command itself, with OpenSSH's client and raw requests over SSH."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libsshd import HostKey, SFTPServer
from libsshd.settings import UPLOAD_MODES
from tests.support.account import let_in
from tests.support.client import OpenSSH, sftp_quote
from tests.support.command import wait_until
from tests.support.connection import connect
from tests.support.place import noise
from tests.support.rawsftp import CREAT, TRUNC, WRITE, ChannelStream, Code, RawSFTP
from tests.support.server import Server

PUT = WRITE | CREAT | TRUNC
ORPHAN = ".libsshd-upload-" + "0" * 24


def raw(server: Server) -> RawSFTP:
    return RawSFTP(ChannelStream(connect(server))).init()


@pytest.mark.parametrize("mode", UPLOAD_MODES)
def test_openssh_uploads_replaces_and_resumes(server: Callable[..., Server], tmp_path: Path, mode: str) -> None:
    running = server("--upload-mode", mode)
    sftp, source = OpenSSH(running), tmp_path / "source"
    for size in (0, 100_000, 50):
        source.write_bytes(noise(size))
        source.chmod(0o640)
        sftp.batch(b"put -p " + sftp_quote(source) + b" /file")
        assert (running.root / "file").read_bytes() == noise(size)
        assert (running.root / "file").stat().st_mode & 0o777 == 0o640
    name = b"file" if mode != "atomic-keep" else b".libsshd-partial-file"
    (running.root / name.decode()).write_bytes(noise(100_000)[:70_000])
    source.write_bytes(noise(100_000))
    sftp.batch(b"reput " + sftp_quote(source) + b" /" + name)
    assert (running.root / "file").read_bytes() == noise(100_000)
    assert os.listdir(running.root) == ["file"]


@pytest.mark.parametrize("mode", UPLOAD_MODES)
def test_sigterm_lets_uploads_be_finished_and_publishes_no_other(server: Callable[..., Server], mode: str) -> None:
    running = server("--upload-mode", mode, "--drain-timeout", "1")
    finished, unfinished = raw(running), raw(running)
    handle = finished.open(b"/finished", PUT)
    finished.write(handle, 0, b"half, ")
    assert unfinished.write(unfinished.open(b"/unfinished", PUT), 0, b"half") == Code.OK
    running.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "finishing what clients have begun" in running.log(), "the drain")
    assert finished.write(handle, 6, b"and whole") == Code.OK
    assert finished.shut(handle) == Code.OK
    running.process.wait(30)
    assert (running.root / "finished").read_bytes() == b"half, and whole"
    left = {
        "direct": {"unfinished"},
        "atomic": set(),
        "atomic-keep": {".libsshd-partial-unfinished"},
    }[mode]
    assert set(os.listdir(running.root)) == {"finished"} | left
    for name in left:
        assert (running.root / name).read_bytes() == b"half"


def test_the_command_removes_at_start_what_a_killed_server_left(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    orphan = tmp_path / "d" / "e" / ORPHAN
    orphan.write_bytes(b"half")
    running = server(root=tmp_path)
    wait_until(lambda: not orphan.exists(), "the orphan is gone")
    wait_until(lambda: "temporary files removed that a killed server left" in running.log(), "it is told")


def test_a_server_leaves_alone_what_another_is_just_writing(server: Callable[..., Server], tmp_path: Path) -> None:
    first = server("--upload-mode", "atomic", root=tmp_path)
    client = raw(first)
    handle = client.open(b"/file", PUT)
    client.write(handle, 0, b"complete")
    (tmp_path / ORPHAN).touch()
    server("--upload-mode", "atomic", root=tmp_path)
    wait_until(lambda: not (tmp_path / ORPHAN).exists(), "the orphan is gone")
    assert client.shut(handle) == Code.OK
    assert os.listdir(tmp_path) == ["file"]


def component(root: Path, **settings: bool) -> SFTPServer:
    options: dict[str, Any] = {"root_directory": str(root), "local_host": "127.0.0.1", "local_port": 0, **settings}
    server = SFTPServer(host_keys=[HostKey.generate()], **options)
    server.on_ssh_user_auth_request = let_in
    return server


@pytest.mark.parametrize("setting", ["sweep", "read_only"])
def test_a_server_that_is_not_to_sweep_does_not(tmp_path: Path, setting: str) -> None:
    (tmp_path / ORPHAN).touch()
    with component(tmp_path, **{setting: setting == "read_only"}) as server:
        assert server._sweeper is None
    assert (tmp_path / ORPHAN).exists()


def test_the_end_of_the_server_is_the_end_of_its_sweep(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"d{number}" / "e").mkdir(parents=True)
    with component(tmp_path) as server:
        sweeper = server._sweeper
        assert sweeper is not None
    assert not sweeper._thread.is_alive()
