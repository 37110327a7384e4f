"""kill -9 in the middle of uploads: what was acknowledged is there, nothing is torn, nothing is left behind.

Each round is a seed, which is printed: it decides what is uploaded and after which reply the server dies, but not how
far the others are by then. LIBSSHD_SEED=N repeats a round, and those that follow it.
"""

from __future__ import annotations

import os
import random
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from libsshd.settings import UPLOAD_MODES
from tests.conftest import Rounds
from tests.support.command import wait_until
from tests.support.hostile import Peer
from tests.support.place import noise
from tests.support.rawsftp import (
    CREAT,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Code,
    RawSFTP,
    Reply,
    Type,
    string,
    u32,
    u64,
)
from tests.support.sshwire import Gone
from tests.support.target import Target

CLIENTS = 3
NAMES = 3  # of each client
UPLOADS = 8  # of each client and round
LARGEST = 200_000
WINDOW = 8  # requests in flight
PARTIAL = ".libsshd-partial-"
_OVER = (Gone, EOFError, OSError)
"""What a client meets when the server is no more."""


@dataclass
class Upload:
    """One file on its way: how far the client sent, and what was acknowledged."""

    name: str
    data: bytes
    acknowledged: int = 0
    """Bytes from the beginning whose WRITE got its OK."""
    closing: bool = False
    closed: bool = False


@dataclass
class Client:
    """Uploads one file after the other, with several requests in flight; each knows its own names."""

    number: int
    peer: Peer
    rng: random.Random
    guillotine: Guillotine
    done: list[Upload] = field(default_factory=list)
    sftp: RawSFTP | None = None

    def run(self) -> None:
        try:
            self.sftp = RawSFTP(self.peer.login().sftp()).init()
            for _ in range(UPLOADS):
                self.upload()
                if self.rng.random() < 0.3:
                    self.copy()
        except _OVER:
            pass

    def _reply(self) -> Reply:
        assert self.sftp is not None
        reply = self.sftp.reply()
        self.guillotine.hear()
        return reply

    def upload(self) -> None:
        assert self.sftp is not None
        name = f"c{self.number}-{self.rng.randrange(NAMES)}"
        upload = Upload(name, noise(self.rng.randrange(LARGEST), self.rng.randrange(1 << 30)))
        path = b"/" + name.encode()
        self.sftp.post(Type.OPEN, string(path), u32(WRITE | CREAT | TRUNC), NO_ATTRIBUTES)
        self.done.append(upload)
        handle = self._reply().handle
        flying: deque[int] = deque()
        at = 0
        while at < len(upload.data):
            piece = upload.data[at : at + self.rng.randrange(1, 32_000)]
            self.sftp.post(Type.WRITE, string(handle), u64(at), string(piece))
            at += len(piece)
            flying.append(at)
            if len(flying) >= WINDOW:
                self._acknowledge(upload, flying.popleft())
        upload.closing = True
        self.sftp.post(Type.CLOSE, string(handle))
        while flying:
            self._acknowledge(upload, flying.popleft())
        assert self._reply().code == Code.OK
        upload.closed = True

    def _acknowledge(self, upload: Upload, end: int) -> None:
        assert self._reply().code == Code.OK
        upload.acknowledged = end

    def copy(self) -> None:
        """Over a name of its own, so that there is a temporary file."""
        assert self.sftp is not None
        source = self.done[-1]
        copied = Upload(f"c{self.number}-copy", source.data, closing=True)
        fields = string(b"/" + source.name.encode()) + string(b"/" + copied.name.encode()) + b"\1"
        self.sftp.post(Type.EXTENDED, string(b"copy-file"), fields)
        self.done.append(copied)
        assert self._reply().code == Code.OK
        copied.closed = True


class Guillotine:
    """Kills the server when the clients have heard so many replies, and a moment later than that."""

    def __init__(self, target: Target, replies: int, moment: int) -> None:
        self._target, self._left, self._moment = target, replies, moment
        self._lock = threading.Lock()

    def hear(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                for _ in range(self._moment):
                    pass
                self.fall()

    def fall(self) -> None:
        self._target.process.kill()


def uploads_until_the_end(target: Target, seed: int) -> list[Client]:
    """What the clients know when the server is dead."""
    rng = random.Random(seed)
    guillotine = Guillotine(target, rng.randrange(1, 250), rng.randrange(20_000))
    clients = [
        Client(number, Peer(target.port), random.Random(rng.randrange(1 << 30)), guillotine)
        for number in range(CLIENTS)
    ]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    guillotine.fall()
    target.process.wait(10)
    for client in clients:
        client.peer.close()
    return clients


def check(root: Path, mode: str, client: Client, before: Mapping[str, bytes]) -> None:
    """What the client was told is true."""
    for name in {upload.name for upload in client.done}:
        mine = [upload for upload in client.done if upload.name == name]
        found = (root / name).read_bytes() if (root / name).exists() else None
        last = mine[-1]
        if last.closed:
            assert found == last.data, f"{name} was closed, and is not what was written"
        elif mode == "direct" and not name.endswith("copy"):
            _check_in_place(found, last, name)
        else:
            complete = mine[-2].data if len(mine) > 1 else before.get(name)
            assert found == complete or (last.closing and found == last.data), f"{name} is torn"


def _check_in_place(found: bytes | None, upload: Upload, name: str) -> None:
    if upload.acknowledged:
        assert found is not None
        assert found[: upload.acknowledged] == upload.data[: upload.acknowledged], f"{name} has lost what was written"


def check_partials(root: Path, clients: list[Client]) -> dict[str, Upload]:
    """What was left is the beginning of what was uploaded, as far at least as it was acknowledged."""
    unfinished = {c.done[-1].name: c.done[-1] for c in clients if c.done and not c.done[-1].closed}
    found = {}
    for path in root.glob(PARTIAL + "*"):
        upload = unfinished[path.name.removeprefix(PARTIAL)]
        data = path.read_bytes()
        assert upload.data.startswith(data), f"{path.name} is not the beginning"
        assert len(data) >= upload.acknowledged, f"{path.name} has lost what was written"
        found[path.name] = upload
    return found


def resume(target: Target, partials: dict[str, Upload]) -> None:
    """Every client that was cut off goes on where it was."""
    with Peer(target.port) as peer:
        sftp = RawSFTP(peer.login().sftp()).init()
        for name, upload in partials.items():
            path = b"/" + name.encode()
            size = sftp.stat(path).size
            assert size is not None
            handle = sftp.open(path, WRITE | READ)
            assert sftp.write(handle, size, upload.data[size:]) == Code.OK
            assert sftp.shut(handle) == Code.OK
            assert (target.root / upload.name).read_bytes() == upload.data, f"{name} was not resumed"


def temporaries(root: Path) -> set[str]:
    return {name for name in os.listdir(root) if name.startswith(".libsshd-") and not name.startswith(PARTIAL)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path


@pytest.mark.rounds
def test_what_was_acknowledged_survives_kill_9(home: Path, rounds: Rounds) -> None:
    first = int(os.environ.get("LIBSSHD_SEED", random.randrange(1 << 30)))
    root = home / "root"
    left = 0
    for number in range(rounds(20, 1000)):
        seed, mode = first + number, UPLOAD_MODES[(first + number) % len(UPLOAD_MODES)]
        print(f"LIBSSHD_SEED={seed} ({mode})")
        before = {name: (root / name).read_bytes() for name in os.listdir(root)}
        target = Target(home, root=root, upload_mode=mode)
        try:
            clients = uploads_until_the_end(target, seed)
            assert not target.crash()
        finally:
            target.stop()
        for client in clients:
            check(root, mode, client, before)
        left += len(temporaries(root))
        sweep_up(home, root, mode, clients)
    print(f"{left} temporary files were left by the dead, and removed by those who came after")


def sweep_up(home: Path, root: Path, mode: str, clients: list[Client]) -> None:
    """The next server removes what nobody can use, and what can be resumed is."""
    target = Target(home, root=root, upload_mode=mode)
    try:
        wait_until(lambda: not temporaries(root), f"no orphan, but {temporaries(root)}")
        partials = check_partials(root, clients) if mode == "atomic-keep" else {}
        resume(target, partials)
        assert not list(root.glob(".libsshd-*"))
        assert not target.crash()
    finally:
        target.stop()
