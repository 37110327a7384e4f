"""Class 15: user names that would be more than a name: in paths, in lines of the log, in what clients are told."""

from __future__ import annotations

import itertools
import json
import logging
import random
import re
from pathlib import Path

import pytest

from libsshd import SSHUserAuthRequest
from libsshd.authentication import Credentials, is_user_name
from libsshd_cli import syslogging
from libsshd_cli.logs import formatter
from tests.cli.conftest import Command
from tests.cli.conftest import command as command  # noqa: PLC0414 - a fixture
from tests.security.conftest import Serve
from tests.support.command import wait_until
from tests.support.hostile import Peer, password_request
from tests.support.rawsftp import Code, RawSFTP, Type, string
from tests.support.sshwire import Gone, Message

PARTS = [
    b"..",
    b".",
    b"/",
    b"\\",
    b"\0",
    b"\n",
    b"\r\n",
    b"\x1b[2J",
    b"\t",
    b"%u",
    b"%d",
    b"~",
    b"$HOME",
    b"`id`",
    b"a",
]
PARTS += [
    "\u202e".encode(),
    "\u2028".encode(),
    "\u2215".encode(),
    b"\xff\xfe",
    b"\xc0\xaf",
    b" ",
    b"=",
    b'"',
    b"-",
    b"//",
]
LINE = b"bob\n1970-01-01T00:00:00.000Z info user logged in event=login user=root"
PLAIN = [
    b"",
    b".",
    b"..",
    b"../bob",
    b"/etc",
    b"bob/../carol",
    b"./bob",
    b"bob/",
    b"bob/.",
    LINE,
    b"a" * 300,
    b"a" * 20_000,
]


def hostile_names() -> list[bytes]:
    """Five hundred and more, each hostile in its own way and different, the same ones every time."""
    dice, names = random.Random(15), dict.fromkeys(PLAIN)
    for pair in itertools.product(PARTS, repeat=2):
        names[b"".join(pair)] = None
    for _ in range(50):
        names[b"".join(dice.choices(PARTS, k=dice.randint(3, 6)))] = None
    return list(names)


ONE_LINE = re.compile(r'\S+ warning login failed event=login-failed user=("([^"\\]|\\.)*"|[^ "=]+) attempt=1')
NAMES = hostile_names()
assert len(NAMES) >= 500


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def is_one_name(name: bytes) -> bool:
    """As the kernel sees it: the name of one directory entry, and nothing that disturbs a terminal."""
    return name not in (b"", b".", b"..") and not any(byte == 0x2F or byte < 0x20 or byte == 0x7F for byte in name)


def log_in(port: int, name: bytes) -> Peer | None:
    """A session of that user; None when the name is refused."""
    peer = Peer(port).connect().service()
    try:
        if peer.attempt(password_request(name, b"x")) == Message.USERAUTH_SUCCESS:
            return peer
    except Gone:
        pass
    peer.close()
    return None


def test_names_that_are_no_name_are_refused_and_no_handler_hears_of_them(serve: Serve) -> None:
    heard: list[str] = []

    def believe(event: SSHUserAuthRequest) -> None:
        heard.append(event.user)
        event.accept = event.auth_method == "password"

    server = serve()
    server.on_ssh_user_auth_request = believe
    for name in NAMES:
        heard.clear()
        peer = log_in(server.local_port, name)
        assert (peer is not None) == is_one_name(name), name
        assert heard == ([text(name)] if peer else [])
        if peer:
            peer.close()


def test_a_home_made_of_a_name_is_the_users_own(serve: Serve, root: Path) -> None:
    """Every user has a directory of that name or is not served; nobody sees another's, or what is above."""
    usable = [name for name in NAMES if is_one_name(name) and len(name) < 256]
    (root / "users").mkdir()
    (root / "secret").write_bytes(b"x")
    for name in usable:
        folder = bytes(root) + b"/users/" + name
        Path(text(folder)).mkdir()
        Path(text(folder), "mine").write_bytes(name)
    server = serve()

    def at_home(event: SSHUserAuthRequest) -> None:
        event.accept = event.auth_method == "password"
        server.sftp_connections[event.connection_id].user_root_directory = f"users/{event.user}"

    server.on_ssh_user_auth_request = at_home
    for name in [*usable[::7], *(name for name in NAMES if not is_one_name(name))]:
        peer = log_in(server.local_port, name)
        assert (peer is not None) == is_one_name(name)
        if peer is None:
            continue
        with peer:
            client = RawSFTP(peer.sftp()).init()
            assert client.read(client.open(b"/mine"), 0, 1000).data == name
            assert client.ask(Type.STAT, string(b"/secret")).code == Code.NO_SUCH_FILE
            for request in (b"home-directory", b"expand-path@openssh.com"):
                for other in (b"~../x", b"~/../../secret", b"~root", b"~" + name + b"/../../secret"):
                    told = client.extend(request, string(other))
                    assert b"users" not in told.body
                    assert str(root).encode() not in told.body


def test_no_name_makes_a_line_of_the_log_its_own() -> None:
    for name in NAMES:
        fields = {"event": "login-failed", "user": text(name), "attempt": 1}
        record = logging.LogRecord("libsshd", logging.WARNING, "", 0, "login failed", (), None)
        record.__dict__["fields"] = fields
        for shape in (formatter("text"), formatter("json"), syslogging._Formatter()):
            line = shape.format(record)
            assert line.isprintable(), name
            line.encode()
        told = json.loads(formatter("json").format(record))
        assert (told["event"], told["attempt"], told["message"]) == ("login-failed", 1, "login failed")
        assert ONE_LINE.fullmatch(formatter("text").format(record)), name


def test_what_strangers_call_themselves_stays_one_line_of_the_log(command: Command) -> None:
    running = command.serve(
        "--user", "bob", "--password", "secret", "--set", "FailureDelay=0", "--log-level", "warning"
    )
    before = len(running.log().splitlines())
    tried = NAMES[:40]
    for name in tried:
        assert log_in(running.port, name) is None
    wait_until(lambda: running.log().count("event=login-failed") >= len(tried), "a line for each")
    lines = running.log().splitlines()[before:]
    assert all(line.isprintable() and " warning login failed event=login-failed " in line for line in lines)


@pytest.mark.parametrize("name", [name for name in PLAIN if not is_one_name(name)])
def test_an_account_cannot_have_such_a_name(name: bytes) -> None:
    assert not is_user_name(text(name))
    with pytest.raises(ValueError, match="user name"):
        Credentials(text(name), "secret")


def test_a_name_of_any_language_is_one() -> None:
    for name in ("bob", "Zoë", "böb@example.com", "DOMAIN\\bob", "a b", "名前", "..bob", "-", "bob."):
        assert is_user_name(name)
