"""OpenSSH's own clients: sftp, and ssh for everything that happens before it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.client import OpenSSH, sftp_quote
from tests.support.command import attempt, end, environment, run, wait_until
from tests.support.connection import ssh_options, ssh_pipe
from tests.support.place import MIB, Place, noise
from tests.support.rawsftp import PipeStream, RawSFTP
from tests.support.server import KEY_TYPES, Server, make_key


@pytest.fixture
def sftp(running: Server) -> OpenSSH:
    return OpenSSH(running)


def batch_exit(server: Server, *commands: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
    """Like OpenSSH.batch, whatever the exit status."""
    argv = ["sftp", *options, *ssh_options(server), "-b", "-", server.host]
    return attempt(argv, home=server.home, stdin="\n".join(commands).encode() + b"\n")


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
def test_dash_a_resumes_in_both_directions(
    command: bytes, sftp: OpenSSH, place: Place, tmp_path: Path
) -> None:
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
    assert re.search(r"^-rw----r--\s+\S+\s+\S+\s+\S+\s+5 .* one$", long, re.M), long
    assert re.search(r"^drwxr-xr-x\s.* two$", long, re.M), long
    assert re.search(r"^lrwxrwxrwx\s.* three", long, re.M), long


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
    done = batch_exit(running, f"rename -l {place.text('old')} {place.text('new')}")
    assert done.returncode == 1
    assert (place.read("old"), place.read("new")) == (b"1", b"2")


def test_mkdir_and_rmdir(sftp: OpenSSH, running: Server, place: Place) -> None:
    sftp.batch(b"mkdir " + place.at("dir"), b"mkdir " + place.at("dir/sub"))
    assert (place.path / "dir/sub").is_dir()
    assert batch_exit(running, f"rmdir {place.text('dir')}").returncode == 1
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
    batch_exit(running, f"chmod -h 0777 {place.text('link')}")
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
    done = batch_exit(running, command.format(place.remote.decode()))
    assert done.returncode == 1
    assert words in done.stderr


def test_the_end_of_the_session_is_exit_status_0(running: Server) -> None:
    raw = RawSFTP(PipeStream(ssh_pipe(running))).init()
    raw.close()
    assert isinstance(raw.stream, PipeStream)
    assert raw.stream.process.returncode == 0


# Login


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_every_key_type_logs_in(kind: str, running: Server) -> None:
    argv = ["sftp", *ssh_options(running, key=running.keys.user[kind]), "-b", "-", running.host]
    assert b"directory: /" in run(argv, home=running.home, stdin=b"pwd\n")


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
def test_rsa_signs_with_sha2(algorithm: str, running: Server) -> None:
    options = ssh_options(running, key=running.keys.user["rsa"])
    argv = ["sftp", f"-oPubkeyAcceptedAlgorithms={algorithm}", *options, "-b", "-", running.host]
    run(argv, home=running.home, stdin=b"pwd\n")


def test_rsa_with_sha1_is_refused(running: Server) -> None:
    options = ssh_options(running, key=running.keys.user["rsa"])
    argv = ["sftp", "-oPubkeyAcceptedAlgorithms=ssh-rsa", *options, "-b", "-", running.host]
    done = attempt(argv, home=running.home, stdin=b"pwd\n")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_an_unknown_key_is_refused(running: Server, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger", ["-t", "ed25519"])
    argv = ["sftp", *ssh_options(running, key=stranger), "-b", "-", running.host]
    done = attempt(argv, home=running.home, stdin=b"pwd\n")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_another_user_is_refused(running: Server) -> None:
    done = batch_exit(running, "pwd", options=("-oUser=mallory",))
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_unknown_keys_ahead_of_the_good_one_do_no_harm(running: Server, tmp_path: Path) -> None:
    """A key of a type nobody wants any more and a stranger's key each get an answer, and the next is tried."""
    options = ["-oPubkeyAcceptedAlgorithms=+ssh-dss"]
    for number, how in enumerate((["-t", "dsa"], ["-t", "ed25519"], ["-t", "rsa", "-b", "2048"])):
        options.append(f"-oIdentityFile={make_key(tmp_path / f'stranger{number}', how)}")
    assert b"directory: /" in OpenSSH(running).batch(b"pwd", options=tuple(options))


@contextmanager
def askpass(directory: Path, password: str) -> Iterator[dict[str, str]]:
    """The environment in which OpenSSH gets this password instead of asking for one."""
    script = directory / "askpass"
    script.write_text(f"#!/bin/sh\necho '{password}'\n")
    script.chmod(0o700)
    yield {"SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force"}


def password_login(server: Server, directory: Path, password: str) -> subprocess.CompletedProcess[bytes]:
    with askpass(directory, password) as extra:
        options = ["-oPubkeyAuthentication=no", "-oBatchMode=no", "-oNumberOfPasswordPrompts=1"]
        argv = ["sftp", *options, *ssh_options(server), "-b", "-", server.host]
        return attempt(argv, home=server.home, stdin=b"pwd\n", extra=extra)


def test_a_password_logs_in(running: Server, tmp_path: Path) -> None:
    done = password_login(running, tmp_path, running.password)
    assert (done.returncode, b"directory: /" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("wrong", ["", "Open-Sesame.", "Open-Sesame.77", "open-sesame.7"])
def test_a_wrong_password_is_refused(wrong: str, running: Server, tmp_path: Path) -> None:
    done = password_login(running, tmp_path, wrong)
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_the_password_is_not_in_the_log(running: Server, tmp_path: Path) -> None:
    password_login(running, tmp_path, "a-secret-mistake")
    assert running.password not in running.log()
    assert "a-secret-mistake" not in running.log()


# Algorithms


def assert_works_with(server: Server, place: Place, directory: Path, *options: str) -> None:
    """A file goes there and back, byte by byte the same."""
    data = noise(MIB + 3)
    (directory / "source").write_bytes(data)
    remote = sftp_quote(place.at("file"))
    OpenSSH(server).batch(
        b"put " + sftp_quote(directory / "source") + b" " + remote,
        b"get " + remote + b" " + sftp_quote(directory / "back"),
        options=options,
    )
    assert place.read("file") == (directory / "back").read_bytes() == data


@pytest.mark.parametrize(
    "cipher",
    [
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    ],
)
def test_cipher(cipher: str, running: Server, place: Place, tmp_path: Path) -> None:
    assert_works_with(running, place, tmp_path, f"-oCiphers={cipher}")


@pytest.mark.parametrize("mac", ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"])
def test_mac(mac: str, running: Server, place: Place, tmp_path: Path) -> None:
    assert_works_with(running, place, tmp_path, "-oCiphers=aes256-ctr", f"-oMACs={mac}")


@pytest.mark.parametrize(
    "exchange",
    [
        "sntrup761x25519-sha512@openssh.com",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "diffie-hellman-group16-sha512",
    ],
)
def test_key_exchange(exchange: str, running: Server, place: Place, tmp_path: Path) -> None:
    known = run(["ssh", "-Q", "kex"], home=running.home).decode().split()
    if exchange not in known:
        pytest.skip("this ssh does not know it")
    assert_works_with(running, place, tmp_path, f"-oKexAlgorithms={exchange}")


@pytest.mark.parametrize(
    "option",
    [
        "-oKexAlgorithms=diffie-hellman-group1-sha1",
        "-oKexAlgorithms=diffie-hellman-group14-sha1",
        "-oCiphers=aes128-cbc",
        "-oCiphers=3des-cbc",
        "-oHostKeyAlgorithms=ssh-dss",
        "-oHostKeyAlgorithms=ssh-rsa",
    ],
)
def test_broken_algorithms_are_not_offered(option: str, running: Server) -> None:
    done = batch_exit(running, "pwd", options=(option, "-oLogLevel=INFO"))
    assert done.returncode == 255
    assert b"no matching" in done.stderr


@pytest.mark.parametrize(
    "algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256", "rsa-sha2-512"]
)
def test_host_key(algorithm: str, all_host_keys: Server) -> None:
    assert b"directory" in OpenSSH(all_host_keys).batch(b"pwd", options=(f"-oHostKeyAlgorithms={algorithm}",))


@pytest.fixture(scope="module")
def all_host_keys(module_server: Callable[..., Server]) -> Server:
    """A server with a host key of each type."""
    return module_server(host_keys=("ed25519", "ecdsa256", "rsa"))


def test_compression_is_not_offered(running: Server) -> None:
    done = batch_exit(running, "pwd", options=("-C", "-v", "-oLogLevel=DEBUG1"))
    assert done.returncode == 0
    assert b"compression: none" in done.stderr
    assert b"compression: zlib" not in done.stderr


# Rekeying


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"])
def test_keys_change_in_the_middle_of_transfers(
    cipher: str, running: Server, place: Place, tmp_path: Path
) -> None:
    data = noise(6 * MIB + 1)
    (tmp_path / "source").write_bytes(data)
    remote = sftp_quote(place.at("file"))
    exchange = "-oKexAlgorithms=curve25519-sha256"
    argv = ["sftp", "-v", "-oRekeyLimit=1M", f"-oCiphers={cipher}", exchange, "-oLogLevel=DEBUG1", *ssh_options(running)]
    script = b"put %s %s\nget %s %s\n" % (
        sftp_quote(tmp_path / "source"),
        remote,
        remote,
        sftp_quote(tmp_path / "back"),
    )
    done = attempt([*argv, "-b", "-", running.host], home=running.home, stdin=script)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count(b"SSH2_MSG_NEWKEYS received") > 6
    assert place.read("file") == (tmp_path / "back").read_bytes() == data


# Several sessions on one connection


@contextmanager
def master(server: Server, directory: Path) -> Iterator[str]:
    """A ControlMaster; yields the option by which others use its connection."""
    path = directory / "m"
    argv = ["ssh", "-M", "-N", "-S", str(path), *ssh_options(server), "-oBatchMode=yes", server.host]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(server.home)
    )
    try:
        wait_until(path.exists, "the ControlMaster is there")
        yield f"-oControlPath={path}"
    finally:
        end(process)


def test_eight_sessions_share_a_control_master(
    running: Server, place: Place, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = [noise(2 * MIB + number, number) for number in range(8)]
    for number, content in enumerate(data):
        (tmp_path / f"source{number}").write_bytes(content)
    with master(running, tmp_path_factory.mktemp("m")) as control, ExitStack() as stack:
        clients = []
        for number in range(8):
            remote = sftp_quote(place.at(f"file{number}"))
            script = tmp_path / f"script{number}"
            script.write_bytes(
                b"put %s %s\n" % (sftp_quote(tmp_path / f"source{number}"), remote)
                + b"get %s %s\n" % (remote, sftp_quote(tmp_path / f"back{number}"))
            )
            argv = ["sftp", control, *ssh_options(running), "-b", str(script), running.host]
            client = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(running.home),
            )
            stack.callback(end, client)
            clients.append(client)
        ends = [(*client.communicate(timeout=60), client.returncode) for client in clients]
    assert [status for _, _, status in ends] == [0] * 8, ends
    for number, content in enumerate(data):
        assert place.read(f"file{number}") == (tmp_path / f"back{number}").read_bytes() == content


def test_a_control_master_outlives_a_refused_command(
    running: Server, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with master(running, tmp_path_factory.mktemp("m")) as control:
        argv = ["ssh", "-T", control, *ssh_options(running), "-oBatchMode=yes", running.host, "id"]
        done = attempt(argv, home=running.home)
        assert (done.returncode != 0, b"uid=" in done.stdout) == (True, False)
        assert b"directory: /" in OpenSSH(running).batch(b"pwd", options=(control,))


def test_a_wish_to_forward_is_refused_and_the_session_goes_on(running: Server) -> None:
    raw = RawSFTP(PipeStream(ssh_pipe(running, "-R0:127.0.0.1:22"))).init()
    assert raw.stat(b"/").permissions is not None
    raw.close()


def test_a_shell_is_refused(running: Server) -> None:
    argv = ["ssh", "-T", *ssh_options(running), "-oBatchMode=yes", running.host]
    done = attempt(argv, home=running.home, stdin=b"id\n")
    assert (done.returncode != 0, b"uid=" in done.stdout) == (True, False)
