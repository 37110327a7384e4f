"""`libsshd sftp-server` as the Subsystem of an OpenSSH server, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM
from tests.support.command import end, run, wait_until
from tests.support.server import Keys

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
COMMAND = Path(sys.executable).with_name("libsshd")
USER = pwd.getpwuid(os.getuid()).pw_name

pytestmark = pytest.mark.skipif(SSHD is None, reason="sshd is not installed")

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
Subsystem sftp {command} sftp-server
"""


@dataclass(frozen=True)
class Daemon:
    port: int
    config: Path
    keys: Keys

    def sftp(self, home: Path, *commands: bytes) -> bytes:
        """What the client prints."""
        options = [f"Port={self.port}", f"IdentityFile={self.keys.user['ed25519']}", "StrictHostKeyChecking=no"]
        options += [f"UserKnownHostsFile={home}/known_hosts", "BatchMode=yes", "IdentitiesOnly=yes"]
        words = ["sftp", "-F", "none", "-q", "-b", "-", *(word for option in options for word in ("-o", option))]
        return run([*words, f"{USER}@127.0.0.1"], home=home, stdin=b"\n".join(commands) + b"\n")


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def daemon(tmp_path: Path, keys: Keys) -> Iterator[Daemon]:
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    elif not Path("/run/sshd").is_dir():
        pytest.skip("sshd has no directory /run/sshd")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = tmp_path / "sshd_config"
    command = str(COMMAND) if COMMAND.exists() else " ".join(PROGRAM)
    config.write_text(
        CONFIG.format(port=port, host_key=keys.host["ed25519"], authorized_keys=keys.authorized, command=command)
    )
    assert SSHD is not None
    log = (tmp_path / "sshd.log").open("wb")
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_until(lambda: accepts(port), "sshd listens")
        yield Daemon(port, config, keys)
    finally:
        end(process)
        log.close()


def test_sshd_serves_files_through_it(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"content" * 10_000)
    remote = os.fsencode(tmp_path / "remote")
    lcd = b"lcd " + os.fsencode(tmp_path)
    printed = daemon.sftp(tmp_path, b"pwd", lcd, b"put local " + remote, b"get " + remote + b" back")
    home = os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir)
    assert f"Remote working directory: {home}\n".encode() in printed
    assert (tmp_path / "remote").read_bytes() == (tmp_path / "local").read_bytes()
    assert (tmp_path / "back").read_bytes() == (tmp_path / "local").read_bytes()
