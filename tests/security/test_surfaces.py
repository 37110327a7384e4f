"""Class 21: a client gets SFTP and nothing else, and no program is ever run."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.conftest import usable
from tests.support import seccomp
from tests.support.account import PASSWORD, USER
from tests.support.command import DEADLINE, end
from tests.support.hostile import Peer
from tests.support.rawsftp import CREAT, READ, WRITE, RawSFTP, Type, string, u32
from tests.support.server import first_line
from tests.support.sshwire import Message, message

REQUESTS = {
    "shell": b"",
    "exec": string(b"touch /tmp/owned"),
    "pty-req": string(b"xterm") + u32(80) + u32(24) + u32(0) * 2 + string(b""),
    "env": string(b"LD_PRELOAD") + string(b"/tmp/evil.so"),
    "x11-req": b"\0" + string(b"MIT-MAGIC-COOKIE-1") + string(b"00") + u32(0),
    "auth-agent-req@openssh.com": b"",
    "window-change": u32(80) + u32(24) + u32(0) * 2,
    "signal": string(b"KILL"),
    "break": u32(500),
    "xon-xoff": b"\1",
    "exit-status": u32(0),
    "exit-signal": string(b"KILL") + b"\0" + string(b"") * 2,
    "eow@openssh.com": b"",
    "keepalive@openssh.com": b"",
    "subsystem": string(b"netconf"),
    "": b"",
    "\0" * 30_000: b"",
}


def test_every_channel_request_but_sftp_is_refused_and_the_channel_goes_on(guest: Peer) -> None:
    channel = guest.open_channel()
    for name, data in REQUESTS.items():
        assert not channel.ask(name.encode(), data), name
        channel.post(name.encode(), data, want_reply=False)
    assert channel.ask(b"subsystem", string(b"sftp"))
    assert channel.refused == len(REQUESTS), "no answer that was not wanted"
    RawSFTP(channel).init().stat(b"/")


@pytest.mark.parametrize("name", [b"exec", b"shell"])
def test_a_refused_command_is_never_run_and_its_channel_closes(guest: Peer, tmp_path: Path, name: bytes) -> None:
    channel = guest.open_channel()
    assert not channel.ask(name, string(b"touch %s/owned" % bytes(tmp_path)) if name == b"exec" else b"")
    channel.close()
    guest.pump(lambda: channel.closed, "CLOSE")
    assert not (tmp_path / "owned").exists()
    assert channel.exit_status in (None, 1)
    usable(guest)


GLOBAL_REQUESTS = {
    b"tcpip-forward": string(b"127.0.0.1") + u32(0),
    b"cancel-tcpip-forward": string(b"127.0.0.1") + u32(1),
    b"streamlocal-forward@openssh.com": string(b"/tmp/forwarded"),
    b"cancel-streamlocal-forward@openssh.com": string(b"/tmp/forwarded"),
    b"hostkeys-prove-00@openssh.com": string(b"x"),
    b"keepalive@openssh.com": b"",
    b"": b"",
}


def test_every_global_request_is_refused(guest: Peer) -> None:
    for name, data in GLOBAL_REQUESTS.items():
        guest.send(message(Message.GLOBAL_REQUEST, string(name), b"\0", data))
        guest.send(message(Message.GLOBAL_REQUEST, string(name), b"\1", data))
        guest.expect(Message.REQUEST_FAILURE)
    usable(guest)
    assert guest.inbox == []


CHANNEL_TYPES = {
    b"direct-tcpip": string(b"127.0.0.1") + u32(22) + string(b"127.0.0.1") + u32(1),
    b"forwarded-tcpip": string(b"127.0.0.1") + u32(22) + string(b"127.0.0.1") + u32(1),
    b"direct-streamlocal@openssh.com": string(b"/run/x.sock") + string(b"") + u32(0),
    b"forwarded-streamlocal@openssh.com": string(b"/run/x.sock") + string(b""),
    b"x11": string(b"127.0.0.1") + u32(6000),
    b"auth-agent@openssh.com": b"",
    b"tun@openssh.com": u32(1) + u32(0),
    b"session\0": b"",
    b"": b"",
}


def test_every_channel_type_but_session_is_refused(guest: Peer) -> None:
    for name, data in CHANNEL_TYPES.items():
        guest.send(message(Message.CHANNEL_OPEN, string(name), u32(77), u32(1 << 20), u32(1 << 15), data))
        assert guest.expect(Message.CHANNEL_OPEN_FAILURE).u32() == 77
    usable(guest)


def test_no_more_sessions_is_kept(guest: Peer) -> None:
    channel = guest.sftp()
    guest.send(message(Message.GLOBAL_REQUEST, string(b"no-more-sessions@openssh.com"), b"\0"))
    guest.send(message(Message.CHANNEL_OPEN, string(b"session"), u32(5), u32(1 << 20), u32(1 << 15)))
    guest.expect(Message.CHANNEL_OPEN_FAILURE)
    RawSFTP(channel).init().stat(b"/")


def test_the_eleventh_channel_is_refused_and_a_closed_one_makes_room(guest: Peer) -> None:
    channels = [guest.sftp() for _ in range(10)]
    guest.send(message(Message.CHANNEL_OPEN, string(b"session"), u32(99), u32(1 << 20), u32(1 << 15)))
    failure = guest.expect(Message.CHANNEL_OPEN_FAILURE)
    assert (failure.u32(), failure.u32()) == (99, 4), "RESOURCE_SHORTAGE"
    channels[3].close()
    guest.pump(lambda: channels[3].closed, "CLOSE")
    usable(guest)


# --- no program is run ---

PROJECT = Path(__file__).parents[2]


def begin(program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """A program that dies when it starts another."""
    head = "import os, sys\nfrom tests.support import seccomp\nseccomp.die_of_programs()\n"
    argv = [sys.executable, "-c", head + textwrap.dedent(program), *arguments]
    return subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)


needs_filter = pytest.mark.skipif(not seccomp.SUPPORTED, reason="the filter names calls of x86-64")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`libsshd run` as a process that cannot start another and live."""
    root, state = tmp_path / "root", tmp_path / "state"
    for path in (root, state):
        path.mkdir()
    program = f"""
        os.environ["XDG_STATE_HOME"] = {str(state)!r}
        from libsshd_cli.__main__ import main
        sys.exit(main(sys.argv[1:]))
    """
    options: list[str | Path] = ["--port", "0", "--root", root, "--user", USER, "--password", PASSWORD]
    process = begin(program, "run", *options)
    yield process
    end(process)


@needs_filter
@pytest.mark.parametrize(
    "program",
    [
        "os.system('true')",
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
    ],
)
def test_the_filter_kills_whoever_starts_a_program(program: str) -> None:
    process = begin(program)
    try:
        assert process.wait(DEADLINE) == -signal.SIGSYS
    finally:
        end(process)


def use_every_version(peer: Peer) -> None:
    for version in (3, 4, 5, 6):
        client = RawSFTP(peer.sftp()).init(version)
        client.ask(Type.REALPATH, string(b"."))
        client.ask(Type.STAT, string(b"/"), *([u32(0)] if version > 3 else []))
        client.ask(Type.OPENDIR, string(b"/"))
        for name in (b"expand-path@openssh.com", b"statvfs@openssh.com", b"check-file-name", b"limits@openssh.com"):
            client.extend(name, string(b"/"))


@needs_filter
def test_no_client_makes_the_server_start_a_program(alone: subprocess.Popen[bytes]) -> None:
    port = int(first_line(alone, DEADLINE).rpartition(b":")[2])
    with Peer(port) as peer:
        peer.login()
        channel = peer.open_channel()
        for name, data in REQUESTS.items():
            assert not channel.ask(name.encode(), data), name
        for kind, fields in GLOBAL_REQUESTS.items():
            peer.send(message(Message.GLOBAL_REQUEST, string(kind), b"\1", fields))
            peer.expect(Message.REQUEST_FAILURE)
        client = RawSFTP(peer.sftp()).init()
        handle = client.open(b"/;touch owned|$(true)`true`", CREAT | READ | WRITE)
        client.write(handle, 0, b"#!/bin/sh\n")
        client.ask(Type.CLOSE, string(handle))
        client.ask(Type.SYMLINK, string(b"/bin/sh"), string(b"/shell"))
        client.ask(Type.OPEN, string(b"/shell"), u32(READ), u32(0))
    with Peer(port) as peer:
        use_every_version(peer.login())
    alone.send_signal(signal.SIGTERM)
    assert alone.wait(DEADLINE) == 0
