"""Strict key exchange, as paramiko, OpenSSH and a client without it see it (RFC 4253; CVE-2023-48795)."""

from __future__ import annotations

import os
from pathlib import Path

import paramiko
import pytest

from libsshd._native import Connection, EventKind
from libsshd.fs.rooted import RootedFileSystem
from tests.support.command import run
from tests.support.hostile import Peer
from tests.support.link import Link, log_in, openssh_options
from tests.support.rawsftp import Cursor, string, u32
from tests.support.sshwire import HOST, Gone, Message, message

CBC = {"ciphers": "aes128-cbc", "macs": "hmac-sha2-256-etm@openssh.com"}
ETM = {"ciphers": "aes128-ctr", "macs": "hmac-sha2-256-etm@openssh.com"}
PLAIN_CBC = {"ciphers": "aes128-cbc", "macs": "hmac-sha2-256"}
MARKER = b"kex-strict-s-v00@openssh.com"


def log_in_with_paramiko(port: int, *, strict: bool) -> None:
    """Two exchanges: with a MAC that counts packets a wrong reset of the numbers shows at once."""
    with paramiko.Transport((HOST, port), strict_kex=strict) as transport:
        transport.start_client(timeout=20)
        transport.auth_none("alice")
        transport.renegotiate_keys()
        transport.global_request("x", wait=True)


@pytest.mark.parametrize("lists", [ETM, PLAIN_CBC], ids=["etm", "cbc"])
@pytest.mark.parametrize(
    ("use", "offered", "agreed"),
    [(0, True, False), (0, False, False), (1, True, True), (1, False, False), (2, True, True), (2, False, False),
     (3, True, True)],
)  # fmt: skip
def test_it_is_agreed_upon_only_when_both_want_it(
    use: int, offered: bool, agreed: bool, lists: dict[str, str]
) -> None:
    with Link(strict=use, lists=lists) as link:
        log_in_with_paramiko(link.port, strict=offered)
        link.join()
    assert link.info is not None
    assert link.info.strict_kex is agreed
    assert link.count(EventKind.KEYS) == 2


@pytest.mark.parametrize(("use", "lists"), [(3, ETM), (2, CBC)], ids=["always", "exposed"])
def test_a_client_without_it_is_refused_where_it_is_demanded(use: int, lists: dict[str, str]) -> None:
    with Link(strict=use, lists=lists) as link:
        with pytest.raises((paramiko.SSHException, EOFError)):
            log_in_with_paramiko(link.port, strict=False)
        link.join()
    assert "strict key exchange" in link.error_text.lower()
    assert link.info is not None
    assert not link.info.strict_kex
    assert link.count(EventKind.KEYS) == 0


def test_a_client_with_it_may_use_what_would_be_exposed() -> None:
    with Link(strict=2, lists=CBC) as link:
        log_in_with_paramiko(link.port, strict=True)


def offer(peer: Peer, cipher: bytes) -> None:
    names = [
        b"curve25519-sha256",
        b"ssh-ed25519",
        cipher,
        cipher,
        b"hmac-sha2-256",
        b"hmac-sha2-256",
        b"none",
        b"none",
    ]
    peer.send(message(Message.KEXINIT, os.urandom(16), *map(string, [*names, b"", b""]), b"\0", u32(0)))


@pytest.mark.parametrize("cipher", [b"chacha20-poly1305@openssh.com", b"aes128-gcm@openssh.com"])
def test_chacha20_is_refused_without_it_and_the_client_is_told_why(cipher: bytes) -> None:
    exposed = cipher.startswith(b"chacha20")
    with Link(strict=2) as link, Peer(link.port, strict=False) as peer:
        offer(peer.greet(), cipher)
        peer.await_kexinit()
        peer.send(message(Message.ECDH_INIT, string(bytes(31) + b"\x09")))
        if exposed:
            with pytest.raises(Gone) as gone:
                peer.receive()
            assert gone.value.reason == 3, "KEY_EXCHANGE_FAILED"
            assert b"strict key exchange" in gone.value.text
        else:
            peer.expect(Message.ECDH_REPLY)


@pytest.mark.parametrize(("use", "announced"), [(0, False), (1, True), (2, True), (3, True)])
def test_the_server_announces_it_unless_it_never_uses_it(use: int, announced: bool) -> None:
    with Link(strict=use) as link, Peer(link.port) as peer:
        peer.greet()
        fields: Cursor = peer.expect(Message.KEXINIT)
        fields.take(16)
        assert (MARKER in fields.string().split(b",")) is announced


def test_a_marker_in_a_later_exchange_changes_nothing() -> None:
    with Link() as link, Peer(link.port, strict=False) as peer:
        log_in(peer.connect())
        peer.strict = True  # from now on the marker is in the list
        peer.send_kexinit()
        peer.await_kexinit()
        peer.strict = False
        peer.finish_exchange().round_trip()
        assert link.call(Connection.describe).strict_kex is False


@pytest.mark.parametrize("use", [0, 1, 2, 3])
@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes256-ctr"])
def test_openssh_works_with_every_use_and_after_another_exchange(use: int, cipher: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(100_000))
    with RootedFileSystem(str(tmp_path)) as fs, Link(fs, strict=use, lists={"ciphers": cipher}) as link:
        options = [*openssh_options(link.port), "-oRekeyLimit=40K"]
        run(["sftp", *options, "-b", "-", HOST], home=tmp_path, stdin=b"get /f /dev/null\nget /f /dev/null\npwd\n")
        link.join()
    assert link.count(EventKind.KEYS) > 2
    assert link.info is not None
    assert link.info.strict_kex is (use > 0)
