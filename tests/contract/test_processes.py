"""Forks, the end of the interpreter, sub-interpreters: in programs of their own, for they cannot be undone."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.command import end
from tests.support.hostile import Peer

PROJECT = Path(__file__).parents[2]
DEADLINE = 60.0
HEAD = """
import os, signal, socket, sys, threading, time
from pathlib import Path
from tests.contract.support_life import Record, make, polling, session
from tests.support.command import wait_until
from tests.support.hostile import Peer, password_request
from tests.support.rawsftp import CREAT, READ, WRITE, Code, Type, string, u32, u64
from tests.support.sshwire import Gone

root = Path(sys.argv[1])


def serve(**settings):
    server = make(root, **settings)
    server.start_listening()
    return server


def ended(pid):
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"


def connected(server):
    peer = Peer(server.local_port)
    return peer, session(peer)


def sockets_of(server):
    "Descriptors whose local port is that of the server."
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            sock = socket.socket(fileno=int(name))
        except OSError:
            continue
        try:
            if sock.family == socket.AF_INET and sock.getsockname()[1] == server.local_port:
                found.append(int(name))
        finally:
            sock.detach()
    return found
"""


def begin(program: str, root: Path, *options: str) -> subprocess.Popen[bytes]:
    """A Python that runs the program; `root` is a directory for its server."""
    argv = [sys.executable, *options, "-c", HEAD + textwrap.dedent(program), str(root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(argv, cwd=PROJECT, **pipes)  # type: ignore[call-overload,no-any-return]


def finish(process: subprocess.Popen[bytes], status: int = 0) -> bytes:
    """What it printed; it must end in time, with that status and without complaints."""
    try:
        said, complaints = process.communicate(timeout=DEADLINE)
        text = complaints.decode()
        assert process.returncode == status, f"exit status {process.returncode}\n{text}"
        assert "Fatal Python error" not in text, text
        assert "libsshd/" not in text, text
        assert "Traceback" not in text, text
        return said
    finally:
        end(process)


def run(program: str, root: Path, status: int = 0) -> bytes:
    return finish(begin(program, root), status)


# --- the end of the interpreter ---

EXITS = {
    "a server that listens": "serve()",
    "an idle session": "server = serve(); client = connected(server)",
    "a client that has said nothing": "server = serve(); peer = Peer(server.local_port); peer.greet()",
    "a session in mid-transfer": """
        (root / "f").write_bytes(bytes(8 << 20))
        server = serve(out_buffer_size=16384)
        peer = Peer(server.local_port, receive_buffer=4096)
        raw = session(peer)
        handle = raw.open(b"/f")
        raw.post_all([raw.request(Type.READ, string(handle), u64(0), u32(261_120)) for _ in range(50)])
    """,
    "a file that is being written": """
        server = serve()
        aborted = []
        server.on_file_aborted = lambda e: aborted.append(e.bytes_written)
        peer, raw = connected(server)
        raw.write(raw.open(b"/f", CREAT | WRITE), 0, b"x" * 1000)
        import atexit
        atexit.register(lambda: None)
    """,
    "a handler that runs": """
        server = serve()
        begun = threading.Event()
        server.on_get_attributes = lambda _: (begun.set(), time.sleep(0.5))
        peer, raw = connected(server)
        raw.post(Type.STAT, string(b"/"))
        begun.wait(20)
    """,
    "a handler that never ends": """
        server = serve()
        begun = threading.Event()
        server.on_get_attributes = lambda _: (begun.set(), threading.Event().wait())
        peer, raw = connected(server)
        raw.post(Type.STAT, string(b"/"))
        begun.wait(20)
    """,
    "a handler that never ends and concerns nobody": """
        server = serve(max_connections=1)
        begun = threading.Event()
        server.on_log = lambda e: "too many" in e.message and (begun.set(), threading.Event().wait())
        first = connected(server)
        second = Peer(server.local_port)
        begun.wait(20)
    """,
    "a server that nobody polls": """
        server = serve(process_idle_events=False)
        peer = Peer(server.local_port).connect().service()
        peer.send(password_request(b"alice", b"x"))
        wait_until(lambda: server._dispatcher._waiting, "an event that waits")
    """,
    "a shutdown that goes on": """
        server = serve()
        peer, raw = connected(server)
        held = raw.open(b"/f", CREAT | WRITE)
        server.on_get_attributes = lambda _: server.shutdown(600)
        raw.stat(b"/")
    """,
    "two servers": "servers = serve(), serve(); clients = [connected(server) for server in servers]",
}


@pytest.fixture(scope="module")
def exits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Future[bytes]]]]:
    """All of them, a few at a time: as a plain program with a status of its own, and with Python's own checks."""
    with ThreadPoolExecutor(4) as pool:

        def start(program: str, status: int, *options: str) -> Future[bytes]:
            root = tmp_path_factory.mktemp("root")
            return pool.submit(lambda: finish(begin(program, root, *options), status))

        yield {
            what: [
                start(textwrap.dedent(program) + "\nsys.exit(3)", 3),
                start(program, 0, "-X", "dev", "-W", "ignore::ResourceWarning"),
            ]
            for what, program in EXITS.items()
        }


@pytest.mark.parametrize("what", EXITS)
def test_the_interpreter_ends_with(exits: dict[str, list[Future[bytes]]], what: str) -> None:
    for done in exits[what]:
        assert done.result(DEADLINE) == b""


def test_clients_are_told_when_the_interpreter_ends(tmp_path: Path) -> None:
    process = begin("print(serve().local_port, flush=True); sys.stdin.read()", tmp_path)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        with Peer(int(process.stdout.readline())) as peer:
            peer.login()
            process.stdin.close()
            assert peer.end().text == b"The server is shutting down"
        process.stdin = None
    finally:
        finish(process)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_a_program_that_polls(tmp_path: Path, number: signal.Signals, status: int) -> None:
    program = """
        server = serve(process_idle_events=False, select_wait_millis=600_000)
        print("ready", flush=True)
        server.serve_forever()
    """
    process = begin(program, tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        process.communicate(timeout=DEADLINE)
        assert process.returncode == status
    finally:
        end(process)


# --- forks ---


def test_the_child_of_a_fork_has_no_sessions_and_no_socket_and_the_parent_carries_on(tmp_path: Path) -> None:
    program = """
        server = serve()
        record = Record(server)
        peer, raw = connected(server)
        silent = Peer(server.local_port)
        silent.greet()
        stuck = threading.Event()
        server.on_connected = lambda _: stuck.wait(30)
        third = Peer(server.local_port)
        wait_until(lambda: server.sftp_connection_count == 3, "three connections")
        before = len(record.events)
        pid = os.fork()
        if pid == 0:
            assert not server.listening
            assert server.sftp_connection_count == len(server.sftp_connections) == 0
            assert sockets_of(server) == []
            server.shutdown()
            assert len(record.events) == before
            os._exit(0)
        ended(pid)
        raw.stat(b"/")
        assert len(sockets_of(server)) == 4
        stuck.set()
        third.login()
        peer.close()
        server.shutdown()
    """
    run(program, tmp_path)


def test_clients_see_the_end_although_a_child_lives_on(tmp_path: Path) -> None:
    program = """
        server = serve()
        peer, raw = connected(server)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            peer.close()
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        threading.Thread(target=server.shutdown).start()
        assert peer.end().text == b"The server is shutting down"
        assert peer.end_of_stream()
        peer.close()
        try:
            socket.create_connection(("127.0.0.1", server.local_port))
        except ConnectionRefusedError:
            os.close(writing)
            ended(pid)
    """
    run(program, tmp_path)


def test_the_child_of_a_fork_may_serve_by_itself(tmp_path: Path) -> None:
    program = """
        for polled in (False, True):
            server = serve(process_idle_events=not polled)
            with polling(server):
                peer, raw = connected(server)
                pid = os.fork()
                if pid == 0:
                    peer.close()
                    parents = server.local_port
                    server.local_port = 0
                    server.start_listening()
                    assert server.local_port != parents
                    with polling(server):
                        own, raw = connected(server)
                        raw.stat(b"/")
                        assert server.sftp_connection_count == 1
                        own.close()
                    server.shutdown()
                    os._exit(0)
                ended(pid)
                raw.stat(b"/")
                peer.close()
            server.shutdown()
    """
    run(program, tmp_path)


def test_a_handler_may_fork_and_even_return_in_the_child(tmp_path: Path) -> None:
    """The thread that serves a connection is there in the child then; that is where the child ends."""
    program = """
        server = serve()
        parent = os.getpid()
        pids = []
        server.on_disconnected = lambda _: os.getpid() == parent or print("the child has a session", flush=True)
        server.on_get_attributes = lambda _: pids.append(os.fork())
        peer, raw = connected(server)
        for turn in range(3):
            raw.stat(b"/")
            assert len(pids) == turn + 1
            ended(pids[turn])
        server.on_get_attributes = None
        raw.stat(b"/")
        peer.close()
    """
    assert run(program, tmp_path) == b""


def test_a_handler_that_is_polled_may_fork_and_the_child_polls_on(tmp_path: Path) -> None:
    program = """
        server = serve(process_idle_events=False)
        pids = []
        server.on_get_attributes = lambda _: pids.append(os.fork())
        peer = Peer(server.local_port)
        parent = os.getpid()
        worker = threading.Thread(target=lambda: session(peer).stat(b"/"))
        worker.start()
        while not pids or worker.is_alive():
            server.do_events()
            if os.getpid() != parent:
                server.do_events()
                os._exit(0)
        ended(pids[0])
        peer.close()
    """
    run(program, tmp_path)


def test_multiprocessing_by_fork_in_the_midst_of_transfers(tmp_path: Path) -> None:
    program = """
        import multiprocessing
        from concurrent.futures import ThreadPoolExecutor
        content = os.urandom(1 << 20)
        (root / "f").write_bytes(content)
        server = serve()
        over = threading.Event()

        def download():
            rounds = 0
            while not over.is_set() or not rounds:
                peer, raw = connected(server)
                handle = raw.open(b"/f")
                parts = [raw.read(handle, offset, 32768).data for offset in range(0, len(content), 32768)]
                assert b"".join(parts) == content
                peer.close()
                rounds += 1
            return rounds

        def check():
            assert not server.listening and server.sftp_connection_count == 0

        context = multiprocessing.get_context("fork")
        with ThreadPoolExecutor(3) as pool:
            work = [pool.submit(download) for _ in range(3)]
            for _ in range(20):
                process = context.Process(target=check)
                process.start()
                process.join(30)
                assert process.exitcode == 0
            over.set()
            assert all(done.result(30) for done in work)
    """
    run(program, tmp_path)


# --- sub-interpreters ---


def test_a_sub_interpreter_is_refused_before_the_core_is_loaded(tmp_path: Path) -> None:
    program = """
        for name in ("_interpreters", "_xxsubinterpreters"):
            try:
                interpreters = __import__(name)
            except ImportError:
                continue
            break
        inside = '''
        import sys
        try:
            from libsshd import SFTPServer
        except ImportError as error:
            print(error, flush=True)
        assert not any(name.endswith("._core") for name in sys.modules)
        '''
        import textwrap
        server = serve()
        number = interpreters.create()
        interpreters.run_string(number, textwrap.dedent(inside))
        interpreters.destroy(number)
        peer, raw = connected(server)
        raw.stat(b"/")
    """
    assert b"libsshd works in the main interpreter only" in run(program, tmp_path)
