"""paramiko's SFTP server over a directory, one transport per connection.

`python -m tests.bench.peers.paramiko_server ROOT HOST_KEY AUTHORIZED_KEYS USER`
"""

from __future__ import annotations

import base64
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.sftp import SFTP_OK

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Login(paramiko.ServerInterface):
    """Lets in whoever proves one key, and opens session channels only."""

    def __init__(self, key: paramiko.PKey) -> None:
        self._key = key

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key == self._key else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


class OpenFile(paramiko.SFTPHandle):
    """An open file; `descriptor` is closed with it."""

    def __init__(self, descriptor: int, flags: int) -> None:
        super().__init__(flags)
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> bytes | int:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def write(self, offset: int, data: ReadableBuffer) -> int:
        try:
            rest = memoryview(data)
            while rest:
                written = os.pwrite(self._descriptor, rest, offset)
                offset, rest = offset + written, rest[written:]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return SFTP_OK

    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._descriptor))

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        try:
            paramiko.SFTPServer.set_file_attr(f"/proc/self/fd/{self._descriptor}", attr)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return SFTP_OK

    def close(self) -> None:
        os.close(self._descriptor)


class Directory(paramiko.SFTPServerInterface):
    """What the measured client asks for, over one local directory."""

    root = ""

    def _real(self, path: str) -> Path:
        return Path(self.root + self.canonicalize(path))

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        try:
            with os.scandir(self._real(path)) as entries:
                return [
                    paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name)
                    for entry in entries
                ]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._real(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._real(path).lstat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> OpenFile | int:
        try:
            return OpenFile(os.open(self._real(path), flags, attr.st_mode or 0o666), flags)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        try:
            self._real(path).mkdir(attr.st_mode or 0o777)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return SFTP_OK

    def remove(self, path: str) -> int:
        try:
            self._real(path).unlink()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return SFTP_OK

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        try:
            paramiko.SFTPServer.set_file_attr(str(self._real(path)), attr)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return SFTP_OK


def greet(connection: socket.socket, host_key: paramiko.PKey, user_key: paramiko.PKey) -> None:
    """Start a transport: it lives in its own thread, and so does each SFTP channel."""
    transport = paramiko.Transport(connection)
    transport.add_server_key(host_key)
    transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Directory)
    try:
        transport.start_server(server=Login(user_key))
    except (paramiko.SSHException, EOFError):
        transport.close()


def serve(root: str, host_key: str, authorized_keys: str, user: str) -> None:
    """Print the URL once clients can connect, then serve for ever."""
    Directory.root = root
    host = paramiko.Ed25519Key.from_private_key_file(host_key)
    name, blob = Path(authorized_keys).read_text().split()[:2]
    client = paramiko.PKey.from_type_string(name, base64.b64decode(blob))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(f"sftp://{user}@127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=greet, args=(connection, host, client), daemon=True).start()


if __name__ == "__main__":
    serve(*sys.argv[1:5])
