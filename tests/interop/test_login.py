"""What happens before the first request, seen by OpenSSH: keys, passwords, algorithms, shared connections."""

from __future__ import annotations

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


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_every_key_type_logs_in(kind: str, running: Server) -> None:
    assert b"directory: /" in OpenSSH(running, running.keys.user[kind]).batch(b"pwd")


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
def test_rsa_signs_with_sha2(algorithm: str, running: Server) -> None:
    options = [f"-oPubkeyAcceptedAlgorithms={algorithm}"]
    assert b"directory: /" in OpenSSH(running, running.keys.user["rsa"]).batch(b"pwd", options=options)


def test_rsa_with_sha1_is_refused(running: Server) -> None:
    options = ["-oPubkeyAcceptedAlgorithms=ssh-rsa"]
    done = OpenSSH(running, running.keys.user["rsa"]).attempt(b"pwd", options=options)
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_an_unknown_key_is_refused(running: Server, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger", ["-t", "ed25519"])
    done = OpenSSH(running, stranger).attempt(b"pwd")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_another_user_is_refused(running: Server) -> None:
    done = OpenSSH(running).attempt(b"pwd", options=("-oUser=mallory",))
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
        return OpenSSH(server).attempt(b"pwd", options=options, extra=extra)


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
def test_a_client_that_has_only_broken_algorithms_is_refused(option: str, running: Server) -> None:
    done = OpenSSH(running).attempt(b"pwd", options=(option,))
    assert (done.returncode, b"directory" in done.stdout) == (255, False)


def test_broken_algorithms_are_not_offered(running: Server) -> None:
    shown = OpenSSH(running).attempt(b"pwd", options=("-vv", "-oLogLevel=DEBUG2")).stderr.decode()
    theirs = shown.partition("peer server KEXINIT proposal")[2].partition("debug1: kex: algorithm")[0]
    lists = dict(re.findall(r"^debug2: (.+?): (.*?)\r?$", theirs, re.MULTILINE))
    assert {"KEX algorithms", "host key algorithms", "ciphers stoc", "MACs ctos", "compression stoc"} <= set(lists)
    offered = {name for names in lists.values() for name in names.split(",")}
    for broken in ("sha1", "-cbc", "md5", "arcfour", "3des", "ssh-dss", "ssh-rsa", "group1-", "zlib"):
        assert not any(broken in name for name in offered), offered
    assert "kex-strict-s-v00@openssh.com" in offered


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256", "rsa-sha2-512"])
def test_host_key(algorithm: str, all_host_keys: Server) -> None:
    assert b"directory" in OpenSSH(all_host_keys).batch(b"pwd", options=(f"-oHostKeyAlgorithms={algorithm}",))


@pytest.fixture(scope="module")
def all_host_keys(module_server: Callable[..., Server]) -> Server:
    """A server with a host key of each type."""
    return module_server(host_keys=("ed25519", "ecdsa256", "rsa"))


def test_compression_is_not_offered(running: Server) -> None:
    done = OpenSSH(running).attempt(b"pwd", options=("-C", "-v", "-oLogLevel=DEBUG1"))
    assert done.returncode == 0
    assert b"compression: none" in done.stderr
    assert b"compression: zlib" not in done.stderr


# Rekeying


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"])
def test_keys_change_in_the_middle_of_transfers(cipher: str, running: Server, place: Place, tmp_path: Path) -> None:
    data = noise(6 * MIB + 1)
    (tmp_path / "source").write_bytes(data)
    remote = sftp_quote(place.at("file"))
    chosen = ["-oRekeyLimit=1M", f"-oCiphers={cipher}", "-oKexAlgorithms=curve25519-sha256"]
    argv = ["sftp", "-v", "-oLogLevel=DEBUG1", *chosen, *ssh_options(running)]
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
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(server.home),
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
