"""How Python clients and OpenSSH's programs reach a running server."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import asyncssh
import paramiko

from tests.support.rawsftp import DEADLINE
from tests.support.server import Server


def connect(server: Server) -> paramiko.Transport:
    """A paramiko connection, logged in by key, whose host key was checked.  The caller closes it."""
    transport = paramiko.Transport((server.host, server.port))
    try:
        transport.start_client(timeout=DEADLINE)
        known = paramiko.HostKeys(str(server.known_hosts))
        assert known.check(f"[{server.host}]:{server.port}", transport.get_remote_server_key())
        transport.auth_publickey(server.user, paramiko.Ed25519Key.from_private_key_file(str(server.private_key)))
    except BaseException:
        transport.close()
        raise
    return transport


def asyncssh_options(server: Server) -> dict[str, Any]:
    """Arguments of asyncssh.connect: key, host key, and nothing from the settings of the person who runs it."""
    return {
        "host": server.host,
        "port": server.port,
        "username": server.user,
        "client_keys": [str(server.private_key)],
        "known_hosts": str(server.known_hosts),
        "config": None,
        "agent_path": None,
        "login_timeout": DEADLINE,
    }


def asyncssh_connection(server: Server) -> Any:
    """`async with` gives an asyncssh connection."""
    return asyncssh.connect(**asyncssh_options(server))


def tcp(server: Server) -> socket.socket:
    """A connected socket with a deadline on every call."""
    return socket.create_connection((server.host, server.port), timeout=DEADLINE)


def ssh_options(server: Server, *, key: Path | None = None) -> list[str]:
    """Options that ssh, sftp and scp share; a port is not among them, as they disagree on its letter."""
    settings = {
        "User": server.user,
        "Port": str(server.port),
        "IdentityFile": str(key or server.private_key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": str(server.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "LogLevel": "ERROR",
        "ConnectTimeout": "20",
    }
    return ["-F", "none", *(f"-o{name}={value}" for name, value in settings.items())]


def ssh_pipe(server: Server, *options: str) -> list[str]:
    """The command whose stdin and stdout are an SFTP channel."""
    return ["ssh", *options, *ssh_options(server), "-oBatchMode=yes", "-s", server.host, "sftp"]
