"""OpenSSH's regression scripts that speak to a server by `sftp -D` or `scp -D`, against `libsshd sftp-server`.

They come from the Debian package openssh-tests and are run where they lie, unmodified, by its own test-exec.sh. With
SFTP_SERVER in the environment they test that program instead, such as OpenSSH's own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM

SUITE = Path("/usr/lib/openssh/regress")
SCRIPTS = ("sftp", "sftp-badcmds", "sftp-batch", "sftp-cmds", "sftp-glob", "sftp-perm", "scp", "scp-uri", "scp3")
DEADLINE = 600.0  # seconds: a hundred servers are started

pytestmark = pytest.mark.skipif(not SUITE.is_dir(), reason="the package openssh-tests is not installed")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """One word that starts the server, as the scripts need it."""
    made = tmp_path / "sftp-server"
    command = os.environ.get("SFTP_SERVER", f"{' '.join(PROGRAM)} sftp-server")
    made.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    made.chmod(0o755)
    return made


def prepare_privilege_separation() -> None:
    """The suite checks an sshd_config first, which takes this directory."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    elif not Path("/run/sshd").is_dir():
        pytest.skip("sshd has no directory /run/sshd")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_passes(script: str, program: Path, tmp_path: Path) -> None:
    prepare_privilege_separation()
    objects = tmp_path / "objects"
    objects.mkdir()
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "TEST_SHELL": "sh",
        "BUILDDIR": str(SUITE),
        "TEST_SSH_SFTPSERVER": str(program),
        "TEST_SSH_SCP": "/usr/bin/scp",
        "TEST_SSH_UNSAFE_PERMISSIONS": "1",
    }
    done = subprocess.run(
        ["sh", SUITE / "test-exec.sh", objects, SUITE / f"{script}.sh"],
        cwd=objects,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-4000:]
    assert b"SKIPPED" not in done.stdout
