"""`libsshd settings`, and `libsshd run --set`."""

import socket

import pytest

from libsshd.settings import SETTINGS, Kind
from tests.cli.conftest import Command
from tests.support.command import DEADLINE


def test_every_setting_is_listed_with_its_default_and_meaning(command: Command) -> None:
    done = command.run("settings")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    for setting in SETTINGS.values():
        if setting.kind is not Kind.PROPERTY:
            assert lines.count(f"{setting.name}={setting.format(setting.default)}") == 1
    assert "MaxConnections=1000" in lines


def test_a_text_chooses_names_whatever_its_case(command: Command) -> None:
    done = command.run("settings", "sshkeepalive")
    names = [line.partition("=")[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert names == ["SSHKeepAliveCountMax", "SSHKeepAliveInterval"]


def test_a_text_in_no_name_is_said_to_be_so(command: Command) -> None:
    done = command.run("settings", "nosuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'nosuch'" in done.stderr


def test_a_setting_reaches_the_clients(command: Command) -> None:
    running = command.serve("--set", "ServerSSHVersionString=SSH-2.0-mine", "--set", "maxauthattempts=2")
    with socket.create_connection(("127.0.0.1", running.port), DEADLINE) as sock:
        assert sock.makefile("rb").readline() == b"SSH-2.0-mine\r\n"


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("NoSuch=1", "NoSuch"),
        ("MaxConnections", "NAME=VALUE"),
        ("MaxConnections=0", "1 to 100000"),
        ("TcpNoDelay=maybe", "True or False"),
    ],
)
def test_what_cannot_be_set_is_refused_in_one_sentence(command: Command, setting: str, reason: str) -> None:
    done = command.run("run", "--set", setting)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
