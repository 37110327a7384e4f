"""paramiko, the client most Python programs use."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator

import paramiko
import pytest

from tests.support.place import MIB, Place, noise
from tests.support.server import Server

REFUSED = "File already exists"  # the code is FAILURE, the text says more


@pytest.fixture
def sftp(transport: paramiko.Transport) -> Iterator[paramiko.SFTPClient]:
    client = transport.open_sftp_client()
    assert client is not None
    channel = client.get_channel()
    assert channel is not None
    channel.settimeout(30)
    yield client
    client.close()


def test_ssh_client_logs_in_by_key_and_by_password(running: Server) -> None:
    for how in ({"key_filename": str(running.private_key)}, {"password": running.password}):
        with paramiko.SSHClient() as client:
            client.load_host_keys(str(running.known_hosts))
            client.connect(
                running.host,
                running.port,
                running.user,
                timeout=20,
                banner_timeout=20,
                auth_timeout=20,
                look_for_keys=False,
                allow_agent=False,
                **how,  # type: ignore[arg-type]
            )
            with client.open_sftp() as sftp:
                assert sftp.normalize(".") == "/"


@pytest.mark.parametrize("kind", ["ecdsa256", "ecdsa384", "ecdsa521", "rsa"])
def test_other_key_types_log_in(kind: str, running: Server) -> None:
    key_type = paramiko.RSAKey if kind == "rsa" else paramiko.ECDSAKey
    key = key_type.from_private_key_file(str(running.keys.user[kind]))
    transport = paramiko.Transport((running.host, running.port))
    try:
        transport.start_client(timeout=20)
        transport.auth_publickey(running.user, key)
        assert transport.is_authenticated()
    finally:
        transport.close()


def test_failed_attempts_name_what_is_possible_and_a_later_one_succeeds(running: Server) -> None:
    transport = paramiko.Transport((running.host, running.port))
    try:
        transport.start_client(timeout=20)
        with pytest.raises(paramiko.BadAuthenticationType) as failure:
            transport.auth_none(running.user)
        assert {"password", "publickey"} <= set(failure.value.allowed_types)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_password(running.user, "wrong", fallback=False)
        assert not transport.is_authenticated()
        transport.auth_password(running.user, running.password, fallback=False)
        assert transport.is_authenticated()
    finally:
        transport.close()


def test_prefetch_reads_ahead(sftp: paramiko.SFTPClient, place: Place) -> None:
    """Hundreds of READs are under way before the first is taken."""
    data = noise(16 * MIB + 1)
    place.write("file", data)
    with sftp.open(place.text("file")) as file:
        file.prefetch()
        assert file.read() == data


def test_pipelined_writes(sftp: paramiko.SFTPClient, place: Place) -> None:
    data = noise(4 * MIB + 1)
    with sftp.open(place.text("file"), "wb") as file:
        file.set_pipelined(True)
        for start in range(0, len(data), 10_007):
            file.write(data[start : start + 10_007])
    assert place.read("file") == data


def test_putfo_getfo_and_readv(sftp: paramiko.SFTPClient, place: Place) -> None:
    data = noise(300_000)
    sftp.putfo(io.BytesIO(data), place.text("file"))
    back = io.BytesIO()
    assert sftp.getfo(place.text("file"), back) == len(data)
    assert place.read("file") == back.getvalue() == data
    with sftp.open(place.text("file")) as file:
        pieces = list(file.readv([(0, 10), (250_000, 50_000), (20, 1)]))
    assert pieces == [data[:10], data[250_000:], data[20:21]]


def test_open_modes(sftp: paramiko.SFTPClient, place: Place) -> None:
    path = place.text("file")
    with sftp.open(path, "w") as file:
        file.write("first ")
    with sftp.open(path, "a") as file:
        file.write("second")
    with sftp.open(path, "r+") as file:
        file.seek(0)
        file.write("FIRST")
        file.seek(0)
        assert file.read() == b"FIRST second"
        file.truncate(5)
        assert file.stat().st_size == 5
    with pytest.raises(OSError, match=REFUSED):
        sftp.open(path, "x")
    assert place.read("file") == b"FIRST"


def test_listdir_attr_and_listdir_iter(sftp: paramiko.SFTPClient, place: Place) -> None:
    place.write("file", b"12345")
    (place.path / "dir").mkdir()
    for entries in (sftp.listdir_attr(place.text("")), list(sftp.listdir_iter(place.text("")))):
        found = {entry.filename: entry for entry in entries}
        assert set(found) == {"file", "dir"}
        assert found["file"].st_size == 5
        assert stat.S_ISDIR(found["dir"].st_mode or 0)
        assert str(found["file"].longname).startswith("-rw")


def test_changes(sftp: paramiko.SFTPClient, place: Place) -> None:
    place.write("file", b"0123456789")
    path, moved = place.text("file"), place.text("moved")
    sftp.chmod(path, 0o640)
    sftp.truncate(path, 5)
    sftp.utime(path, (1_000_000_001, 1_000_000_002))
    found = sftp.stat(path)
    assert (found.st_mode, found.st_size, found.st_mtime) == (stat.S_IFREG | 0o640, 5, 1_000_000_002)
    place.write("moved", b"in the way")
    with pytest.raises(OSError, match=REFUSED):
        sftp.rename(path, moved)
    sftp.posix_rename(path, moved)
    assert (place.names(), place.read("moved")) == ({b"moved"}, b"01234")
    sftp.symlink("moved", place.text("link"))
    assert sftp.readlink(place.text("link")) == os.readlink(place.path / "link") == "moved"
    sftp.mkdir(place.text("dir"))
    sftp.rmdir(place.text("dir"))
    sftp.remove(place.text("link"))
    sftp.remove(moved)
    assert place.names() == set()


def test_missing_is_file_not_found_and_says_so(sftp: paramiko.SFTPClient, place: Place) -> None:
    for action in (sftp.stat, sftp.listdir, sftp.remove, sftp.rmdir, sftp.open, sftp.readlink):
        with pytest.raises(FileNotFoundError):
            action(place.text("missing"))


def test_chdir_and_getcwd(sftp: paramiko.SFTPClient, place: Place) -> None:
    place.write("file", b"content")
    sftp.chdir(place.text(""))
    assert sftp.getcwd() == place.remote.decode()
    with sftp.open("file") as file:
        assert file.read() == b"content"


def test_a_rekey_asked_for_by_the_client(
    transport: paramiko.Transport, sftp: paramiko.SFTPClient, place: Place
) -> None:
    data = noise(3 * MIB)
    place.write("file", data)
    with sftp.open(place.text("file")) as file:
        head = file.read(MIB)
        transport.renegotiate_keys()
        middle = file.read(MIB)
        transport.renegotiate_keys()
        assert head + middle + file.read() == data


def test_a_keep_alive_is_answered(transport: paramiko.Transport, sftp: paramiko.SFTPClient) -> None:
    """Unknown global requests get a failure, and the connection stays."""
    assert transport.global_request("keepalive@openssh.com", wait=True) is None
    transport.send_ignore(100)
    assert sftp.normalize(".") == "/"
