"""Class 10: signals and deadlines, however many and whenever: a handler sets a flag, an expiry is a poll that ends.

No timer of this server is a signal, so no handler can interrupt what must not be interrupted.
"""

from __future__ import annotations

import random
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.conftest import command as command  # noqa: PLC0414 - a fixture
from tests.conftest import Rounds
from tests.security.conftest import Serve, wait_for_connections
from tests.support import seccomp
from tests.support.command import DEADLINE, end
from tests.support.hostile import VERSION, Peer
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, WRITE, PipeStream, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import HOST, Gone

PROJECT = Path(__file__).parents[2]


LIBC = {32, 33}
"""What libc keeps for its threads."""


def caught(pid: int) -> set[int]:
    """Signals for which the process has a handler."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")]
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 65) if mask >> number - 1 & 1} - LIBC


def test_only_signals_that_ask_to_stop_have_a_handler(command: Command, tmp_path: Path) -> None:
    running = command.serve("--user", "alice", "--password", "Open-Sesame.7")
    with Peer(running.port) as peer, Peer(running.port) as silent:
        peer.login()
        silent.greet()  # its deadline runs
        assert caught(running.process.pid) == {signal.SIGINT, signal.SIGTERM}
    stream = PipeStream([sys.executable, "-m", "libsshd_cli", "sftp-server", "--root", str(tmp_path)])
    RawSFTP(stream).init()
    own = {signal.SIGINT}  # Python's, unless a shell that runs the tests in the background has it ignored
    assert caught(stream.process.pid) | own == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    stream.close()


# --- signals in every thread ---

STORM = """
    import ctypes, os, random, signal, sys, threading
    from functools import partial
    from pathlib import Path
    from tests.contract.support_life import make, session
    from tests.support.hostile import Peer
    from tests.support.rawsftp import CREAT, READ, WRITE, string, u32, u64, Type
    root, count = Path(sys.argv[1]), int(sys.argv[2])
    seen = 0
    tgkill = partial(ctypes.CDLL(None).syscall, 234)

    def note(number, frame):
        global seen
        seen += 1

    signal.signal(signal.SIGALRM, note)
    signal.siginterrupt(signal.SIGALRM, True)  # no call is begun again by the kernel
    server = make(root, login_timeout=60)
    server.start_listening()
    over = threading.Event()
    failures, sessions = [], [0]

    def use(number):
        content = random.Random(number).randbytes(200_000)
        try:
            while not over.is_set():
                with Peer(server.local_port) as peer:
                    client = session(peer)
                    name = b"/f%d" % number
                    handle = client.open(name, CREAT | READ | WRITE)
                    for offset in range(0, len(content), 30_000):
                        client.write(handle, offset, content[offset : offset + 30_000])
                    parts = [client.read(handle, offset, 30_000).data for offset in range(0, len(content), 30_000)]
                    assert b"".join(parts) == content, "what is read is not what was written"
                    client.ask(Type.CLOSE, string(handle))
                    client.ask(Type.RENAME, string(name), string(name + b".done"))
                    client.ask(Type.REMOVE, string(name + b".done"))
                    sessions[0] += 1
        except BaseException as error:
            failures.append(error)

    users = [threading.Thread(target=use, args=(number,), name=f"user-{number}") for number in range(3)]
    for user in users:
        user.start()
    dice = random.Random(7)
    sent = 0
    while sent < count and not failures:
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("libsshd")]
        for thread in threads:
            # the thread may end meanwhile, which pthread_kill does not allow for
            sent += tgkill(os.getpid(), thread.native_id or 0, signal.SIGALRM) == 0
        over.wait(dice.random() / 2000)
    over.set()
    for user in users:
        user.join(60)
    assert not failures, failures
    server.shutdown()
    print(sent, seen, sessions[0], len([t for t in threading.enumerate() if t.name.startswith("libsshd")]))
"""


@pytest.mark.skipif(not seccomp.SUPPORTED, reason="the number of tgkill is that of x86-64")
@pytest.mark.rounds
def test_signals_in_the_midst_of_everything_lose_nothing(tmp_path: Path, rounds: Rounds) -> None:
    count = rounds(600, 100_000)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STORM), str(tmp_path), str(count)],
        cwd=PROJECT, capture_output=True, text=True, timeout=60 + count / 100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    sent, seen, sessions, left = map(int, done.stdout.split())
    assert sent >= count
    assert seen > 0
    assert sessions >= 3, "work was done meanwhile"
    assert left == 0
    assert done.stderr == ""


# --- deadlines ---


def first_bytes(port: int) -> bytes:
    """What a client says in the plain: its version and its KEXINIT."""
    with Peer(port) as peer:
        peer.greet().send_kexinit()
        length = len(peer._our_init)
        padding = 16 - (length + 5) % 8
        packet = bytes([padding]) + peer._our_init + bytes(padding)
        return VERSION + b"\r\n" + u32(len(packet)) + packet


@pytest.mark.rounds
def test_login_deadlines_that_pass_at_any_moment_leave_nothing_behind(serve: Serve, rounds: Rounds) -> None:
    server = serve(login_timeout=0.1, max_startups=1000)
    opening = first_bytes(server.local_port)
    wait_for_connections(server, 0)
    dice, before = random.Random(1), threading.active_count()
    for _ in range(rounds(100, 100_000) // 50):
        with ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection((HOST, server.local_port))) for _ in range(50)]
            for sock in socks:
                with suppress(OSError):
                    sock.sendall(opening[: dice.randrange(len(opening) + 1)])
                time.sleep(0) if dice.random() < 0.5 else None
            for sock in socks:
                sock.settimeout(DEADLINE)
                with suppress(ConnectionError):
                    while sock.recv(65536):
                        pass
    wait_for_connections(server, 0)
    assert threading.active_count() <= before
    server.login_timeout = 60.0
    with Peer(server.local_port) as guest:
        guest.login().open_channel()


# --- signals to the command ---


@pytest.fixture
def uploads(command: Command) -> Iterator[list[threading.Thread]]:
    started: list[threading.Thread] = []
    yield started
    for thread in started:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def upload(port: int) -> None:
    """Writes until the server leaves."""
    with suppress(Gone, OSError, AssertionError, EOFError), Peer(port) as peer:
        client = RawSFTP(peer.login().sftp()).init()
        opened = client.ask(Type.OPEN, string(b"/f"), u32(CREAT | WRITE), NO_ATTRIBUTES)
        while True:
            client.ask(Type.WRITE, string(opened.handle), u64(0), string(bytes(30_000)))


@pytest.mark.rounds
def test_stopping_at_any_moment_ends_well(command: Command, uploads: list[threading.Thread], rounds: Rounds) -> None:
    dice = random.Random(3)
    for turn in range(rounds(3, 300)):
        running = command.serve(
            "--user", "alice", "--password", "Open-Sesame.7", "--drain-timeout", "0.2", "--log-level", "warning"
        )
        thread = threading.Thread(target=upload, args=(running.port,))
        uploads.append(thread)
        thread.start()
        select.select([], [], [], dice.random() / 5)
        number = (signal.SIGTERM, signal.SIGINT)[turn % 2]
        for _ in range(dice.randrange(2)):
            running.process.send_signal(number)
        assert running.stop(number) in (0, -number), "the third signal may kill"
        end(running.process)
        thread.join(DEADLINE)
