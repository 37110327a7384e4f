"""Real clients behind one face: put a file, get a file.  Remote names are bytes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, ClassVar
from urllib.parse import quote_from_bytes

import asyncssh
import ssh2.session
import ssh2.sftp

from tests.support.command import DEADLINE, attempt, run
from tests.support.connection import asyncssh_connection, connect, ssh_options, tcp
from tests.support.server import Keys, Server

CHUNK = 1 << 18


class Client(ABC):
    """One kind of client and the server it talks to."""

    name: ClassVar[str]

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    def put(self, local: Path, remote: bytes) -> None:
        """Upload to the remote name."""

    @abstractmethod
    def get(self, remote: bytes, local: Path) -> None:
        """Download the remote name."""


def sftp_quote(path: bytes | Path) -> bytes:
    """A name in a batch of sftp: quotes protect blanks and patterns."""
    return b'"' + os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


class OpenSSH(Client):
    """OpenSSH's sftp with a batch on stdin."""

    name = "sftp"

    def __init__(self, server: Server, key: Path | None = None) -> None:
        super().__init__(server)
        self.key = key

    def attempt(
        self, *commands: bytes, options: Sequence[str] = (), timeout: float = DEADLINE, **more: Any
    ) -> CompletedProcess[bytes]:
        """Run commands, the first that fails ends it; `options` win over those of `ssh_options`."""
        argv = ["sftp", *options, *ssh_options(self.server, key=self.key), "-b", "-", self.server.host]
        stdin = b"\n".join(commands) + b"\n"
        return attempt(argv, home=self.server.home, stdin=stdin, timeout=timeout, **more)

    def batch(self, *commands: bytes, options: Sequence[str] = (), timeout: float = DEADLINE) -> bytes:
        """Run commands, demand that all succeed, return what sftp printed."""
        done = self.attempt(*commands, options=options, timeout=timeout)
        assert done.returncode == 0, f"{commands!r} ended with {done.returncode}: {done.stderr!r}"
        return done.stdout

    def put(self, local: Path, remote: bytes) -> None:
        self.batch(b"put " + sftp_quote(local) + b" " + sftp_quote(remote))

    def get(self, remote: bytes, local: Path) -> None:
        self.batch(b"get " + sftp_quote(remote) + b" " + sftp_quote(local))


class SCP(Client):
    """OpenSSH's scp, which speaks SFTP since 9.0."""

    name = "scp"

    def copy(self, *arguments: bytes | str | Path) -> None:
        run(["scp", "-s", *ssh_options(self.server), "-oBatchMode=yes", *arguments], home=self.server.home)

    def remote(self, path: bytes) -> bytes:
        return os.fsencode(self.server.host) + b":" + path

    def put(self, local: Path, remote: bytes) -> None:
        self.copy(local, self.remote(remote))

    def get(self, remote: bytes, local: Path) -> None:
        for special in b"\\*?[":
            remote = remote.replace(bytes([special]), b"\\" + bytes([special]))
        self.copy(self.remote(remote), local)


def lftp_quote(path: bytes | Path) -> bytes:
    """A name in a script of lftp."""
    return b'"' + os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


class LFTP(Client):
    """lftp, which drives ssh and speaks SFTP by itself."""

    name = "lftp"

    def script(self, *commands: bytes, login: str = "key") -> bytes:
        """Run commands, the first that fails ends it; returns what lftp printed."""
        program = " ".join(["ssh", "-a", "-x", *ssh_options(self.server)])
        if login == "password":
            program += " -oPubkeyAuthentication=no"
        password = self.server.password if login == "password" else "unused"
        address = f"sftp://{self.server.user}:{password}@{self.server.host}:{self.server.port}"
        lines = [
            b"set cmd:fail-exit yes",
            b"set cmd:move-background no",
            b"set net:max-retries 1",
            b"set net:timeout 20",
            b"set sftp:auto-confirm no",
            b'set sftp:connect-program "' + program.encode() + b'"',
            b"open " + address.encode(),
            *commands,
        ]
        return run(["lftp", "--norc"], home=self.server.home, stdin=b"\n".join(lines) + b"\n")

    def put(self, local: Path, remote: bytes) -> None:
        self.script(b"put " + lftp_quote(local) + b" -o " + lftp_quote(remote))

    def get(self, remote: bytes, local: Path) -> None:
        self.script(b"get " + lftp_quote(remote) + b" -o " + lftp_quote(local))


class Curl(Client):
    """curl over libssh2."""

    name = "curl"

    def call(self, remote: bytes, *arguments: str | bytes | Path, login: str = "key") -> bytes:
        """Run curl on the URL of a remote name; returns the downloaded body."""
        argv: list[str | bytes | Path] = ["curl", "--disable", "--silent", "--show-error", "--fail"]
        blob = base64.b64decode(Keys.public(self.server.keys.host["ed25519"]).split()[1])
        argv += ["--hostpubsha256", base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")]
        if login == "password":
            argv += ["--user", f"{self.server.user}:{self.server.password}"]
        else:
            key = self.server.private_key
            argv += ["--user", f"{self.server.user}:", "--key", key, "--pubkey", f"{key}.pub"]
        url = f"sftp://{self.server.host}:{self.server.port}{quote_from_bytes(remote)}"
        return run([*argv, *arguments, url], home=self.server.home)

    def put(self, local: Path, remote: bytes) -> None:
        self.call(remote, "--upload-file", local)

    def get(self, remote: bytes, local: Path) -> None:
        self.call(remote, "--output", local)


class Paramiko(Client):
    name = "paramiko"

    def put(self, local: Path, remote: bytes) -> None:
        with connect(self.server) as transport, transport.open_sftp_client() as sftp:
            sftp.put(str(local), remote)

    def get(self, remote: bytes, local: Path) -> None:
        with connect(self.server) as transport, transport.open_sftp_client() as sftp:
            sftp.get(remote, str(local))


class AsyncSSH(Client):
    name = "asyncssh"

    def put(self, local: Path, remote: bytes) -> None:
        async def work(sftp: asyncssh.SFTPClient) -> None:
            await sftp.put(local, remote)

        self.session(work)

    def get(self, remote: bytes, local: Path) -> None:
        async def work(sftp: asyncssh.SFTPClient) -> None:
            await sftp.get(remote, local)

        self.session(work)

    def session(self, work: Callable[[asyncssh.SFTPClient], Awaitable[None]]) -> None:
        """Run a coroutine function with an SFTP client, within the deadline."""

        async def whole() -> None:
            async with (
                asyncio.timeout(DEADLINE),
                asyncssh_connection(self.server) as connection,
                connection.start_sftp_client(path_encoding=None) as sftp,
            ):
                await work(sftp)

        asyncio.run(whole())


class Libssh2(Client):
    """ssh2-python."""

    name = "ssh2"

    def login(self) -> tuple[socket.socket, ssh2.session.Session]:
        """A logged-in session and its socket; the caller disconnects one and closes the other."""
        sock = tcp(self.server)
        session = ssh2.session.Session()
        session.set_timeout(20_000)
        session.handshake(sock)
        key = str(self.server.private_key)
        session.userauth_publickey_fromfile(self.server.user, key, "", key + ".pub")
        return sock, session

    def put(self, local: Path, remote: bytes) -> None:
        flags = ssh2.sftp.LIBSSH2_FXF_WRITE | ssh2.sftp.LIBSSH2_FXF_CREAT | ssh2.sftp.LIBSSH2_FXF_TRUNC
        sock, session = self.login()
        with sock, open(local, "rb") as source:
            with session.sftp_init().open(os.fsdecode(remote), flags, 0o644) as target:
                while block := source.read(CHUNK):
                    target.write(block)
            session.disconnect()

    def get(self, remote: bytes, local: Path) -> None:
        sock, session = self.login()
        with sock, open(local, "wb") as target:
            with session.sftp_init().open(os.fsdecode(remote), ssh2.sftp.LIBSSH2_FXF_READ, 0) as source:
                target.writelines(block for _size, block in source)
            session.disconnect()


CLIENTS: tuple[type[Client], ...] = (OpenSSH, SCP, LFTP, Curl, Paramiko, AsyncSSH, Libssh2)
