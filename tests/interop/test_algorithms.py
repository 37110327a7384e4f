"""Every algorithm that the core says it supports, alone on its list, serves a real client."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

import asyncssh
import pytest

from libsshd._native import Key, supported_algorithms
from libsshd.fs.rooted import RootedFileSystem
from tests.support.command import DEADLINE, run
from tests.support.link import Link, asyncssh_options, openssh_options
from tests.support.server import Keys
from tests.support.sshwire import HOST

SUPPORTED = supported_algorithms()
NAMES = {  # ours: OpenSSH's list of them, OpenSSH's option, AsyncSSH's option
    "kex": ("kex", "KexAlgorithms", "kex_algs"),
    "ciphers": ("cipher", "Ciphers", "encryption_algs"),
    "macs": ("mac", "MACs", "mac_algs"),
    "host_keys": ("HostKeyAlgorithms", "HostKeyAlgorithms", "server_host_key_algs"),
}


@cache
def known_to_openssh(what: str, home: Path) -> list[str]:
    return run(["ssh", "-Q", what], home=home).decode().split()


async def list_with_asyncssh(port: int, option: str, name: str) -> None:
    options = {**asyncssh_options(), option: [name]}
    async with asyncssh.connect(HOST, port, **options) as connection, connection.start_sftp_client() as sftp:
        assert "f" in await sftp.listdir("/")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in NAMES for name in SUPPORTED[kind]])
def test_what_is_supported_works(kind: str, name: str, keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    chosen = ["ecdsa" + name[-3:]] if name.startswith("ecdsa-") else ["ed25519", "rsa"]
    query, option, keyword = NAMES[kind]
    lists = {"ciphers": "aes128-ctr"} | {kind: name}
    with (
        RootedFileSystem(str(tmp_path)) as fs,
        Link(fs, keys=[Key.parse(keys.user[one].read_text()) for one in chosen], lists=lists) as link,
    ):
        if name in known_to_openssh(query, keys.directory):
            argv = ["sftp", *openssh_options(link.port), f"-o{option}={name}", "-b", "-", HOST]
            assert b"f" in run(argv, home=tmp_path, stdin=b"ls -1 /\n")
        else:
            asyncio.run(asyncio.wait_for(list_with_asyncssh(link.port, keyword, name), DEADLINE))
        link.join()
    assert link.info is not None
    assert name in (
        link.info.kex, link.info.cipher_in, link.info.mac_in, *SUPPORTED["host_keys"]
    )  # fmt: skip


def test_what_cannot_work_for_a_server_is_not_listed() -> None:
    assert not [name for names in SUPPORTED.values() for name in names if "-cert-" in name]
    assert not [name for name in SUPPORTED["host_keys"] if name.startswith("sk-")]
    assert {"aes128-cbc", "diffie-hellman-group14-sha1", "hmac-sha1", "zlib", "none"} <= set(
        SUPPORTED["ciphers"] + SUPPORTED["kex"] + SUPPORTED["macs"] + SUPPORTED["compression"]
    )
