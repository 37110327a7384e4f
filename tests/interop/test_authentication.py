"""Prompts, several factors and banners, with clients as people run them."""

from __future__ import annotations

import asyncio
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest

from libsshd import HostKey, SFTPServer, SSHUserAuthRequest
from tests.support.account import PASSWORD, USER
from tests.support.command import DEADLINE, attempt
from tests.support.door import Door, Rule, accept, passing, right
from tests.support.server import Keys

ALL = "password,publickey,keyboard-interactive"
Open = Callable[..., tuple[SFTPServer, Door]]


@pytest.fixture(scope="module")
def host_key() -> HostKey:
    return HostKey.generate()


@pytest.fixture
def opened(tmp_path: Path, host_key: HostKey) -> Iterator[Open]:
    """Starts a server with a door, serving an empty directory."""
    root = tmp_path / "root"
    root.mkdir()
    with ExitStack() as stack:

        def begin(rules: Mapping[str, Rule], **settings: Any) -> tuple[SFTPServer, Door]:
            wanted: dict[str, Any] = {"local_host": "127.0.0.1", "local_port": 0, "root_directory": str(root)}
            more = {"failure_delay": 0.0, "default_auth_methods": ALL}
            server = SFTPServer(host_keys=[host_key], **(wanted | more | settings))
            door = Door(rules)
            server.on_ssh_user_auth_request = door
            stack.enter_context(server)
            return server, door

        yield begin


def key_text(keys: Keys) -> str:
    """What the event says of the user's key."""
    return Keys.public(keys.user["ed25519"]).split()[1]


def prompts_of(server: SFTPServer, text: str) -> Rule:
    """Sets the prompts of a connection, in the event where the manual advises to."""

    def rule(e: SSHUserAuthRequest) -> None:
        server.config(f"KeyboardInteractivePrompts[{e.connection_id}]={text}")

    return rule


KEYBOARD = ["keyboard-interactive-1", "keyboard-interactive-2", "keyboard-interactive"]


def blue_and_1234() -> dict[str, Rule]:
    return {
        "keyboard-interactive-1": right("blue"), "keyboard-interactive-2": right("1234"),
        "keyboard-interactive": accept,
    }  # fmt: skip


QUESTIONS = "Your colour: ,echo=True;Your code: "

# --- OpenSSH ---


class OpenSSH:
    """OpenSSH's sftp as user alice; `secrets` are its answers to prompts, by a word of the prompt."""

    def __init__(self, server: SFTPServer, home: Path, keys: Keys, secrets: Mapping[str, str]) -> None:
        home.mkdir()
        self.home, self.keys, self.port = home, keys, server.local_port
        self._prompts = home / "prompts"
        self._prompts.touch()
        cases = "".join(f"*{word}*) echo {shlex.quote(secret)};;\n" for word, secret in secrets.items())
        self._script = home / "askpass"
        self._script.write_text(
            f'#!/bin/sh\necho "$1" >>{shlex.quote(str(self._prompts))}\ncase $1 in\n{cases}esac\n'
        )
        self._script.chmod(0o700)

    @property
    def prompts(self) -> list[str]:
        return self._prompts.read_text().splitlines()

    def run(self, *options: str) -> subprocess.CompletedProcess[bytes]:
        settings = {
            "User": USER, "Port": self.port, "IdentityFile": self.keys.user["ed25519"], "IdentitiesOnly": "yes",
            "IdentityAgent": "none", "UserKnownHostsFile": "/dev/null", "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "no", "BatchMode": "no", "NumberOfPasswordPrompts": 1, "LogLevel": "VERBOSE",
        }  # fmt: skip
        argv = ["sftp", "-F", "none", *options, *(f"-o{name}={value}" for name, value in settings.items())]
        extra = {"SSH_ASKPASS": str(self._script), "SSH_ASKPASS_REQUIRE": "force"}
        return attempt([*argv, "-b", "-", "127.0.0.1"], home=self.home, stdin=b"pwd\n", extra=extra)

    def enters(self, *options: str) -> str:
        """Logs in; what ssh said on stderr."""
        done = self.run(*options)
        assert (done.returncode, b"directory: /" in done.stdout) == (0, True), done.stderr
        return done.stderr.decode().replace("\r", "")

    def is_refused(self, *options: str) -> str:
        done = self.run(*options)
        assert (done.returncode, b"Permission denied" in done.stderr) == (255, True), done.stderr
        return done.stderr.decode().replace("\r", "")


Human = Callable[..., OpenSSH]


@pytest.fixture
def human(tmp_path: Path, keys: Keys) -> Human:
    """`human(server, colour="blue")` knows one answer."""
    return lambda server, **secrets: OpenSSH(server, tmp_path / "home", keys, secrets)


ONLY_KEYBOARD = "-oPreferredAuthentications=keyboard-interactive"


def test_openssh_answers_several_prompts(opened: Open, human: Human) -> None:
    server, door = opened(blue_and_1234(), keyboard_interactive_message="Two things we must know.")
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    ssh = human(server, colour="blue", code="1234")
    assert "Two things we must know." in ssh.enters(ONLY_KEYBOARD)
    assert [prompt.split(") ")[-1] for prompt in ssh.prompts] == ["Your colour: ", "Your code: "]
    assert door.methods == ["none", *KEYBOARD]


@pytest.mark.parametrize("secrets", [{"colour": "red", "code": "1234"}, {"colour": "blue", "code": ""}])
def test_openssh_is_refused_for_one_wrong_answer(opened: Open, human: Human, secrets: dict[str, str]) -> None:
    server, door = opened(blue_and_1234())
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    human(server, **secrets).is_refused(ONLY_KEYBOARD)
    assert door.methods == ["none", *KEYBOARD]


def test_openssh_tries_again_as_often_as_it_may(opened: Open, human: Human) -> None:
    server, door = opened(blue_and_1234())
    server.config("KeyboardInteractivePrompts=Your colour: ")
    ssh = human(server, colour="red")
    ssh.is_refused(ONLY_KEYBOARD, "-oNumberOfPasswordPrompts=3")
    assert len(ssh.prompts) == 3
    assert door.seen[1:] == [("keyboard-interactive-1", "red"), ("keyboard-interactive", "")] * 3


def test_openssh_sees_the_prompts_made_for_its_user(opened: Open, human: Human) -> None:
    server, door = opened({"keyboard-interactive-1": right("42"), "keyboard-interactive": accept})
    door.rules = {**door.rules, "none": prompts_of(server, "What is 6 times 7? ,echo=True")}
    ssh = human(server, times="42")
    ssh.enters(ONLY_KEYBOARD)
    assert len(ssh.prompts) == 1


def test_openssh_passes_a_dialogue_without_prompts(opened: Open, human: Human) -> None:
    server, door = opened({"keyboard-interactive": accept})
    ssh = human(server)
    ssh.enters(ONLY_KEYBOARD)
    assert (ssh.prompts, door.methods) == ([], ["none", "keyboard-interactive"])


def test_openssh_goes_through_key_and_password(opened: Open, human: Human, keys: Keys) -> None:
    rules = {"publickey": passing(key_text(keys), "password"), "password": right(PASSWORD)}
    server, door = opened(rules, default_auth_methods="publickey")
    said = human(server, password=PASSWORD).enters()
    assert 'using "publickey" with partial success' in said
    assert door.methods == ["none", "publickey", "publickey", "password"]


def test_openssh_goes_through_key_and_prompts(opened: Open, human: Human, keys: Keys) -> None:
    rules = {"publickey": passing(key_text(keys), "keyboard-interactive"), **blue_and_1234()}
    server, door = opened(rules, default_auth_methods="publickey")
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    human(server, colour="blue", code="1234").enters()
    assert door.methods == ["none", "publickey", "publickey", *KEYBOARD]


def test_openssh_goes_through_password_prompts_and_key(opened: Open, human: Human, keys: Keys) -> None:
    """Three factors, the list left alone: what was passed leaves it."""
    rules = {
        **blue_and_1234(), "keyboard-interactive": passing(""), "password": passing(PASSWORD),
        "publickey": right(key_text(keys)),
    }  # fmt: skip
    server, door = opened(rules)
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    order = "-oPreferredAuthentications=password,keyboard-interactive,publickey"
    human(server, password=PASSWORD, colour="blue", code="1234").enters(order)
    assert door.methods == ["none", "password", *KEYBOARD, "publickey", "publickey"]


def test_openssh_with_the_right_key_and_the_wrong_password_stays_out(opened: Open, human: Human, keys: Keys) -> None:
    rules = {"publickey": passing(key_text(keys), "password"), "password": right(PASSWORD)}
    server, _ = opened(rules, default_auth_methods="publickey")
    human(server, password="wrong").is_refused()


def test_openssh_shows_the_banner(opened: Open, human: Human) -> None:
    def show(e: SSHUserAuthRequest) -> None:
        server.config(f"UserAuthBanner[{e.connection_id}]=Welcome to the archive, {e.user}.\n")

    server, _ = opened({"none": show, "publickey": accept})
    assert human(server).enters().count("Welcome to the archive, alice.\n") == 1


def test_openssh_logs_in_with_the_event_after_the_signature(opened: Open, human: Human) -> None:
    server, door = opened({"publickey": accept, "sigstatus": accept}, fire_auth_request_after_sig=True)
    human(server).enters()
    assert door.seen[-1] == ("sigstatus", "1")


# --- paramiko ---


@pytest.fixture
def call() -> Iterator[Callable[[SFTPServer], paramiko.Transport]]:
    """A transport of paramiko before its login."""
    with ExitStack() as stack:

        def begin(server: SFTPServer) -> paramiko.Transport:
            sock = socket.create_connection(("127.0.0.1", server.local_port), timeout=DEADLINE)
            transport = paramiko.Transport(sock)
            stack.callback(transport.close)
            transport.start_client(timeout=DEADLINE)
            return transport

        yield begin


Call = Callable[[SFTPServer], paramiko.Transport]


class Answers:
    """Answers the prompts of paramiko, and keeps what it was shown."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.shown: list[tuple[str, str, list[tuple[str, bool]]]] = []

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        self.shown.append((title, instructions, [(text, bool(echo)) for text, echo in prompts]))
        return self.texts


def paramiko_key(keys: Keys) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key_file(str(keys.user["ed25519"]))


def root_of(transport: paramiko.Transport) -> str:
    client = transport.open_sftp_client()
    assert client is not None
    with client:
        return client.normalize(".")


def test_paramiko_is_shown_prompts_with_their_echo(opened: Open, call: Call) -> None:
    server, door = opened(blue_and_1234(), keyboard_interactive_message="Grüße")
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    transport, asked = call(server), Answers("blue", "1234")
    assert transport.auth_interactive(USER, asked) == []
    assert asked.shown == [("", "Grüße", [("Your colour: ", True), ("Your code: ", False)])]
    assert root_of(transport) == "/"
    assert door.methods == KEYBOARD


def test_paramiko_fails_with_too_few_answers_and_may_try_again(opened: Open, call: Call) -> None:
    server, door = opened(blue_and_1234())
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    transport = call(server)
    for wrong in (Answers("blue"), Answers(), Answers("blue", "1234", "more")):
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_interactive(USER, wrong)
    assert door.seen == []
    assert transport.auth_interactive(USER, Answers("blue", "1234")) == []


def test_paramiko_learns_what_is_left_after_each_factor(opened: Open, call: Call, keys: Keys) -> None:
    rules = {
        "publickey": passing(key_text(keys), "password"), "password": passing(PASSWORD, "keyboard-interactive"),
        **blue_and_1234(),
    }  # fmt: skip
    server, _ = opened(rules, default_auth_methods="publickey")
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    transport = call(server)
    assert transport.auth_publickey(USER, paramiko_key(keys)) == ["password"]
    assert not transport.is_authenticated()
    assert transport.auth_password(USER, PASSWORD, fallback=False) == ["keyboard-interactive"]
    assert transport.auth_interactive(USER, Answers("blue", "1234")) == []
    assert root_of(transport) == "/"


def test_paramiko_cannot_skip_a_factor(opened: Open, call: Call, keys: Keys) -> None:
    rules = {"publickey": passing(key_text(keys), "password"), "password": right(PASSWORD)}
    server, door = opened(rules, default_auth_methods="publickey")
    transport = call(server)
    with pytest.raises(paramiko.BadAuthenticationType) as refused:
        transport.auth_password(USER, PASSWORD, fallback=False)
    assert refused.value.allowed_types == ["publickey"]
    assert door.seen == []


def test_paramiko_goes_through_password_and_prompts(opened: Open, call: Call) -> None:
    server, door = opened({"password": passing(PASSWORD), **blue_and_1234()})
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    transport = call(server)
    left = transport.auth_password(USER, PASSWORD, fallback=False)
    assert left == ["publickey", "keyboard-interactive"]
    assert transport.auth_interactive(USER, Answers("blue", "1234")) == []
    assert door.methods == ["password", *KEYBOARD]


def test_paramiko_gets_the_banner(opened: Open, call: Call) -> None:
    def show(e: SSHUserAuthRequest) -> None:
        server.config(f"UserAuthBanner[{e.connection_id}]=Hello {e.user}")
        e.accept = True

    server, _ = opened({"password": show})
    transport = call(server)
    transport.auth_password(USER, PASSWORD)
    assert transport.get_banner() == b"Hello alice"


# --- asyncssh ---


class Guest(asyncssh.SSHClient):
    """Answers whatever it is asked for, and keeps what it was shown."""

    def __init__(self, answers: Sequence[str], password: str | None) -> None:
        self.answers, self.password = answers, password
        self.shown: list[tuple[str, bool]] = []
        self.banner = ""

    def auth_banner_received(self, msg: str, lang: str) -> None:
        self.banner += msg

    def password_auth_requested(self) -> str | None:
        password, self.password = self.password, None
        return password

    def kbdint_auth_requested(self) -> str:
        return ""

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> Sequence[str]:
        self.shown += prompts
        return self.answers


def visit(server: SFTPServer, keys: Keys | None, *answers: str, password: str | None = None) -> Guest:
    """Logs in with asyncssh; the guest afterwards. Raises asyncssh.PermissionDenied."""
    guest = Guest(answers, password)

    async def whole() -> None:
        async with asyncio.timeout(DEADLINE):
            connection, _ = await asyncssh.create_connection(
                lambda: guest, "127.0.0.1", server.local_port, username=USER, known_hosts=None, config=None,
                agent_path=None, client_keys=[str(keys.user["ed25519"])] if keys else None, login_timeout=DEADLINE,
            )  # fmt: skip
            async with connection, connection.start_sftp_client() as sftp:
                assert await sftp.realpath(".") == "/"

    asyncio.run(whole())
    return guest


def test_asyncssh_is_shown_prompts_with_their_echo(opened: Open) -> None:
    server, door = opened(blue_and_1234(), default_auth_methods="keyboard-interactive")
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    assert visit(server, None, "blue", "1234").shown == [("Your colour: ", True), ("Your code: ", False)]
    assert door.methods[-3:] == KEYBOARD


def test_asyncssh_goes_through_key_password_and_prompts(opened: Open, keys: Keys) -> None:
    rules = {
        "publickey": passing(key_text(keys), "password"), "password": passing(PASSWORD, "keyboard-interactive"),
        **blue_and_1234(),
    }  # fmt: skip
    server, door = opened(rules, default_auth_methods="publickey")
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    visit(server, keys, "blue", "1234", password=PASSWORD)
    assert door.methods[-4:] == ["password", *KEYBOARD]


def test_asyncssh_with_one_wrong_factor_stays_out(opened: Open, keys: Keys) -> None:
    rules = {"publickey": passing(key_text(keys), "keyboard-interactive"), **blue_and_1234()}
    server, _ = opened(rules, default_auth_methods="publickey")
    server.config(f"KeyboardInteractivePrompts={QUESTIONS}")
    with pytest.raises(asyncssh.PermissionDenied):
        visit(server, keys, "blue", "4321")


def test_asyncssh_gets_the_banner(opened: Open, keys: Keys) -> None:
    def show(e: SSHUserAuthRequest) -> None:
        server.config(f"UserAuthBanner[{e.connection_id}]=Hello {e.user}")

    server, _ = opened({"none": show, "publickey": accept})
    assert visit(server, keys).banner == "Hello alice"
