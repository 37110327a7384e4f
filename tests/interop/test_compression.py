"""Compression: offered as listed, agreed upon with real clients, and what moves is smaller and the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from libsshd._native import Bind, Connection, Key
from libsshd.fs.rooted import RootedFileSystem
from tests.support.client import sftp_quote
from tests.support.command import run
from tests.support.hostile import Peer
from tests.support.link import Link, algorithms, openssh_options
from tests.support.place import MIB, noise
from tests.support.sshwire import HOST, Message

DELAYED, AT_ONCE = "zlib@openssh.com", "zlib"
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(300_000))
assert len(TEXT) > 9 * MIB


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[RootedFileSystem]:
    (tmp_path / "root").mkdir()
    with RootedFileSystem(str(tmp_path / "root")) as opened:
        yield opened


def offered(peer: Peer) -> list[bytes]:
    """The two lists of the server's KEXINIT."""
    fields = peer.greet().expect(Message.KEXINIT)
    fields.take(16)
    lists = [fields.string() for _ in range(8)]
    return lists[6:]


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        (None, b"none"),
        ("none", b"none"),
        ("zlib,none", b"zlib,none"),
        (f"none,{DELAYED},{AT_ONCE}", b"none,zlib@openssh.com,zlib"),
        ("lzma,zlib", b"zlib"),
    ],
)
def test_what_is_listed_is_offered_in_both_directions(given: str | None, listed: bytes) -> None:
    lists = {} if given is None else {"compression": given}
    with Link(lists=lists) as link, Peer(link.port) as peer:
        assert offered(peer) == [listed] * 2


def test_a_list_without_a_known_name_is_refused() -> None:
    with pytest.raises(ValueError, match="lzma"):
        Bind([Key.generate("ssh-ed25519")], algorithms(compression="lzma,brotli"))


@pytest.mark.parametrize("content", [TEXT, noise(3 * MIB + 1)], ids=["text", "noise"])
def test_openssh_compresses_after_login(fs: RootedFileSystem, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(content)
    batch = b"put %s /f\nget /f %s\n" % (sftp_quote(tmp_path / "source"), sftp_quote(tmp_path / "back"))
    with Link(fs, lists={"compression": f"none,{DELAYED}"}) as link:
        argv = ["sftp", "-C", *openssh_options(link.port), "-oRekeyLimit=4M", "-b", "-", HOST]
        run(argv, home=tmp_path, stdin=batch)
        link.join()
    assert (tmp_path / "root/f").read_bytes() == (tmp_path / "back").read_bytes() == content
    assert link.info is not None
    assert (link.info.compression_in, link.info.compression_out) == (DELAYED, DELAYED)
    if content is TEXT:
        assert link.info.bytes_in < len(TEXT) // 3
        assert link.info.bytes_out < len(TEXT) // 3


def test_openssh_without_compression_gets_none(fs: RootedFileSystem, tmp_path: Path) -> None:
    with Link(fs, lists={"compression": f"none,{DELAYED},{AT_ONCE}"}) as link:
        run(["sftp", *openssh_options(link.port), "-b", "-", HOST], home=tmp_path, stdin=b"pwd\n")
        link.join()
    assert link.info is not None
    assert (link.info.compression_in, link.info.compression_out) == ("none", "none")


@pytest.mark.parametrize("name", [AT_ONCE, DELAYED])
def test_paramiko_compresses_from_the_first_key_on_and_in_later_exchanges(fs: RootedFileSystem, name: str) -> None:
    with (
        Link(fs, lists={"compression": f"{name},none"}) as link,
        paramiko.Transport((HOST, link.port)) as transport,
    ):
        transport.use_compression(True)
        transport.start_client(timeout=20)
        transport.auth_none("alice")
        with transport.open_sftp_client() as sftp:
            with sftp.open("/f", "wb") as file:
                file.set_pipelined(True)
                file.write(TEXT)
            transport.renegotiate_keys()
            with sftp.open("/f", "rb") as file:
                file.prefetch(len(TEXT))
                assert file.read() == TEXT
        info = link.call(Connection.describe)
    assert (info.compression_in, info.compression_out) == (name, name)
    assert info.bytes_in < len(TEXT) // 3
    assert info.bytes_out < len(TEXT) // 3
