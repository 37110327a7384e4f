"""The pages say what the code does: examples run in front of real clients, and what is generated is up to date."""

import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
import pytest

import libsshd
from generate import links, pages, pieces, protocol, words
from libsshd import ErrorCode, HostKey, SFTPServer
from libsshd.connections import SFTPConnection
from libsshd.constants import Packet
from libsshd.events import EVENTS, Error, Event
from libsshd.serve.operations import OPERATIONS
from libsshd.settings import CERTIFICATE_SETTINGS, CONNECTION_SETTINGS, PROMPT_SETTINGS, READ_ONLY, SETTINGS, Setting
from tests.support.command import DEADLINE, environment, run, wait_until
from tests.wire.later_packets import requests_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TRIED = [ROOT / "README.md", DOCS / "coming-from-the-manual.md", *sorted((DOCS / "guide").glob("*.md"))]
BLOCKS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in TRIED
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1)
]
KEY = paramiko.ECDSAKey.generate()


# --- examples ---


class Running:
    """A block of a page on a thread of its own: some end, some serve until the server is shut down.

    What a block takes for granted is there: a server with a root, a host key and a user; a few files.
    """

    def __init__(self, code: str, place: Path) -> None:
        self.errors: list[str] = []
        root = place / "root"
        root.mkdir()
        for name in ("ed25519", "rsa"):
            HostKey.generate(name).save(place / f"host_{name}")
        (place / "authorized_keys").write_text(f"{KEY.get_name()} {KEY.get_base64()}\n")
        (place / "authorized_keys").chmod(0o600)
        self.names: dict[str, Any] = {name: getattr(libsshd, name) for name in libsshd.__all__}
        self.names["server"] = SFTPServer(
            root_directory=str(root),
            local_host="127.0.0.1",
            local_port=0,
            host_keys=[HostKey.generate("ecdsa")],
        )
        self.names["server"].on_ssh_user_auth_request = lambda e: setattr(e, "accept", e.auth_param == "secret")
        self._code = code.replace('"/srv/sftp"', repr(str(root))).replace("2222", "0")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            exec(compile(self._code, "example", "exec"), self.names)  # noqa: S102 - that is the point
        except Exception as error:  # noqa: BLE001 - told to the test
            self.errors.append(repr(error))

    @property
    def server(self) -> SFTPServer:
        server = self.names["server"]
        assert isinstance(server, SFTPServer)
        return server

    def port(self) -> int:
        """Where it can be reached; a block that only prepares its server is brought to the point here."""
        wait_until(lambda: self.server.listening or "listener" in self.names or not self._thread.is_alive(), "serves")
        self.server.on_error.add(self._note)
        if "listener" in self.names:
            return int(self.names["listener"].getsockname()[1])
        if not self.server.listening:
            self.server.start_listening()
        return self.server.local_port

    def _note(self, e: Error) -> None:
        self.errors.append(e.description)

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join(DEADLINE)
        if "listener" in self.names:
            self.names["listener"].close()
        assert not self._thread.is_alive()
        assert self.errors == []


@contextmanager
def logged_in(port: int) -> Iterator[paramiko.SFTPClient]:
    """A client that proves as many factors as it is asked for."""
    with paramiko.Transport(("127.0.0.1", port)) as transport:
        transport.start_client(timeout=DEADLINE)
        try:
            transport.auth_none("bob")
        except paramiko.BadAuthenticationType as refused:
            methods = list(refused.allowed_types)
        factors = {
            "password": lambda: transport.auth_password("bob", "secret", fallback=False),
            "publickey": lambda: transport.auth_publickey("bob", KEY),
            "keyboard-interactive": lambda: transport.auth_interactive("bob", answer),
        }
        while methods:
            methods = factors[methods[0]]()
        sftp = transport.open_sftp_client()
        assert sftp is not None
        yield sftp


def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
    return ["123456" if "code" in text else "secret" for text, _ in prompts]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", BLOCKS)
def test_an_example_serves_as_it_stands(code: str, place: Path) -> None:
    """But for the root and the port, which no two tests may share."""
    running = Running(code, place)
    try:
        with logged_in(running.port()) as sftp:
            sftp.listdir(".")
    finally:
        running.stop()


def sftp_batch(port: int, place: Path, *commands: str) -> str:
    """What OpenSSH's sftp prints for the commands; its password is asked of a script."""
    ask = place / "ask"
    ask.write_text("#!/bin/sh\necho secret\n")
    ask.chmod(0o700)
    argv = [
        "sftp", "-F", "none", "-P", str(port), "-oBatchMode=no", "-oStrictHostKeyChecking=no", "-oLogLevel=ERROR",
        "-oUserKnownHostsFile=/dev/null", "-oIdentityAgent=none", "-b", "-", "bob@127.0.0.1",
    ]  # fmt: skip
    extra = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    stdin = "".join(f"{command}\n" for command in commands).encode()
    return run(argv, home=place, stdin=stdin, extra=extra, cwd=place).decode()


def block(page: Path, beginning: str) -> str:
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if beginning in code]
    return str(code)


def test_fifteen_lines_serve_a_dict_to_openssh(place: Path) -> None:
    code = block(ROOT / "README.md", "files = {")
    assert len([line for line in code.splitlines() if line.strip()]) == 15
    (place / "random").write_bytes(data := os.urandom(300_000))
    running = Running(code, place)
    try:
        shown = sftp_batch(running.port(), place, "ls -l", "get hello.txt", "put random", "ls -l", "get random back")
    finally:
        running.stop()
    assert re.search(r"^-rw.* 7 .*hello\.txt$", shown, re.MULTILINE)
    assert re.search(r"^-rw.* 300000 .*random$", shown, re.MULTILINE)
    assert (place / "hello.txt").read_bytes() == b"Hello!\n"
    assert (place / "back").read_bytes() == data


def test_a_tree_in_a_dict_serves_openssh(place: Path) -> None:
    (place / "random").write_bytes(data := os.urandom(300_000))
    running = Running(block(DOCS / "guide" / "event-mode.md", "tree = {"), place)
    try:
        shown = sftp_batch(
            running.port(), place, "mkdir in", "put random in/random", "rename in there", "ls -l there",
            "get there/random back", "-rmdir there", "rm there/random", "rmdir there", "ls -1", "-get nothing",
        )  # fmt: skip
    finally:
        running.stop()
    assert re.search(r"^-rw-r--r--.* 300000 .*random$", shown, re.MULTILINE)
    assert shown.partition("ls -1\n")[2].splitlines()[0] == "notes"
    assert (place / "back").read_bytes() == data


# --- the reference ---


def reference() -> str:
    return "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))


def test_generated_pages_are_up_to_date() -> None:
    """If not: ./dev docs --write."""
    assert pages.stale() == []


def test_a_page_that_differs_from_the_tables_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pages.PAGES, "reference/errors.md", lambda: "something else")
    monkeypatch.setattr(protocol, "tables", lambda: "another")
    monkeypatch.delitem(pages.PAGES, "reference/constants.md")
    assert pages.stale() == ["reference/errors.md", "protocol.md", "reference/constants.md"]


ALL_SETTINGS = [
    entry
    for entries in (SETTINGS, CONNECTION_SETTINGS, CERTIFICATE_SETTINGS, PROMPT_SETTINGS)
    for entry in entries.values()
]


@pytest.mark.parametrize("setting", ALL_SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_in_the_reference(setting: Setting) -> None:
    text = reference()
    assert f"`{setting.attribute}`" in text
    assert re.search(rf"^#+ {setting.name}\b|^\| {setting.name} \|", text, re.MULTILINE)
    own = vars(SFTPConnection).get(setting.attribute) if setting in CONNECTION_SETTINGS.values() else None
    assert ((isinstance(own, property) and inspect.getdoc(own)) or setting.doc) in text


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_and_parameter_is_in_the_reference(event: type[Event]) -> None:
    page = (DOCS / "reference" / "events.md").read_text()
    entry = re.search(rf"^## {event.__name__}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert entry is not None
    for name in event.parameters():
        direction = "in, out" if name in event.writable else "in"
        assert re.search(rf"^\| `{name}` \|.*\| {direction} \|", entry[1], re.MULTILINE)


def test_every_other_public_member_is_in_the_reference() -> None:
    text = reference()
    members = {name for cls in (SFTPServer, SFTPConnection) for name, _ in inspect.getmembers_static(cls)}
    public = {name for name in members if name[0] != "_" and name not in words.FOR_THE_SERVER}
    assert [name for name in sorted(public) if not re.search(rf"`{name}[`(]", text)] == []
    assert [name for name in READ_ONLY if not re.search(rf"^### {name}$", text, re.MULTILINE)] == []
    assert [code.name for code in ErrorCode if f"| {code.value} | `{code.name}` |" not in text] == []


def test_a_member_without_documentation_is_an_error() -> None:
    class Mute:
        def speak(self) -> None:
            return

    Mute.__module__ = "libsshd.mute"
    with pytest.raises(pieces.UndocumentedError, match="speak"):
        pieces.class_entries(Mute)


def test_every_default_that_differs_from_the_manual_is_in_its_table() -> None:
    table = (DOCS / "coming-from-the-manual.md").read_text()
    for name, theirs in words.DOCUMENTED_DEFAULTS.items():
        assert re.search(rf"^\| {name} \| {theirs}\b", table, re.MULTILINE)


ROW = re.compile(r"^\| `?([\w@.-]+)`? \|[^|]*\| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|", re.MULTILINE)


def rows() -> dict[str, tuple[set[int], str]]:
    """Versions and policy names of what the tables of the protocol list."""
    page = (DOCS / "protocol.md").read_text()
    return {
        name: ({version for version, cell in zip(range(3, 7), cells, strict=True) if cell == "yes"}, policy)
        for name, *cells, policy in ROW.findall(page)
    }


@pytest.mark.parametrize("version", [version for version in range(3, 7) if version in protocol.spoken()])
def test_what_a_client_can_send_is_in_the_table_of_its_version(version: int) -> None:
    listed = {name for name, (versions, _) in rows().items() if version in versions}
    sent = {name_of(literal) for literal, _ in requests_of(version).values()}
    assert sent - listed == set()
    assert {name for name in listed if name.isupper()} - sent == set()


def name_of(literal: bytes) -> str:
    """A request by its packet type, an extension by its name."""
    if literal[0] != Packet.EXTENDED:
        return Packet(literal[0]).name
    return literal[9 : 9 + int.from_bytes(literal[5:9], "big")].decode()


def test_every_name_for_policies_is_in_the_table() -> None:
    listed = {name for _, policy in rows().values() for name in re.findall(r"`([\w-]+)`", policy)}
    assert {operation.name for operation in OPERATIONS.values()} - listed == {"extension"}


def test_a_request_that_nobody_described_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(protocol.EXTENSIONS, "limits@openssh.com")
    with pytest.raises(pieces.UndocumentedError, match=r"limits@openssh\.com"):
        pages.stale()


# --- links ---


def test_links_between_pages_lead_somewhere() -> None:
    assert links.dead_links(links.written_pages()) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Head\n\n[a](#head) [b](page.md#head) [c](gone.md) [d](#nose) [e](https://example.org/gone)\n")
    assert links.dead_links([page]) == ["page.md: gone.md is not there", "page.md:  has no heading #nose"]


def test_the_check_of_pages_tells_by_its_status() -> None:
    env = {**environment(ROOT), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "generate"]
    done = subprocess.run(argv, cwd=DOCS, env=env, capture_output=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
