"""Many SSH clients in one process, each from an address of its own: `python -m tests.bench.crowd PORT USER KEY`.

It is driven by lines on stdin and answers each with a line of JSON: seconds of the slowest step, or what went wrong.
`open FIRST N` logs in N clients with an SFTP channel each, `stat SECONDS` has each of them ask for one STAT a minute
for that long, `close` ends them; `cycle FIRST N` connects, logs in, asks for a STAT and leaves, N times.
FIRST is the number of the first address.

A session costs this process a socket and a cipher for each direction: no thread, no event loop.
"""

from __future__ import annotations

import ipaddress
import json
import resource
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from tests.support.hostile import Peer, signed_request
from tests.support.rawsftp import RawSFTP
from tests.support.sshwire import Gone, Message

FIRST_ADDRESS = ipaddress.IPv4Address("127.1.0.0")
MINUTE = 60.0  # seconds between two STAT of one session


class Crowd:
    def __init__(self, port: int, user: str, key: Path) -> None:
        self._port = port
        self._user = user.encode()
        loaded = load_ssh_private_key(key.read_bytes(), None)
        assert isinstance(loaded, Ed25519PrivateKey)
        self._key = loaded
        self._sessions: list[tuple[Peer, RawSFTP]] = []

    def enter(self, number: int) -> tuple[Peer, RawSFTP]:
        """A client with an SFTP channel, from address `number`."""
        peer = Peer(self._port, source=str(FIRST_ADDRESS + number))
        peer.connect().service()
        if peer.attempt(signed_request(peer.session_id, self._user, self._key)) != Message.USERAUTH_SUCCESS:
            raise Gone
        return peer, RawSFTP(peer.sftp()).init()

    def open(self, first: int, count: int) -> float:
        slowest = 0.0
        for number in range(first, first + count):
            began = time.monotonic()
            self._sessions.append(self.enter(number))
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    def stat(self, seconds: float) -> float:
        """Every session has its second in the minute; each is asked in the last minute too."""
        begin, slowest = time.monotonic(), 0.0
        step = MINUTE / len(self._sessions)
        for turn in range(int(seconds * len(self._sessions) / MINUTE)):
            time.sleep(max(0.0, begin + turn * step - time.monotonic()))
            asked = time.monotonic()
            self._sessions[turn % len(self._sessions)][1].stat(b"/")
            slowest = max(slowest, time.monotonic() - asked)
        return slowest

    def cycle(self, first: int, count: int) -> float:
        slowest = 0.0
        for number in range(first, first + count):
            began = time.monotonic()
            peer, sftp = self.enter(number)
            sftp.stat(b"/")
            peer.close()
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    def close(self) -> float:
        for peer, _ in self._sessions:
            peer.close()
        self._sessions.clear()
        return 0.0

    def obey(self, line: str) -> float:
        """Carries out one order; seconds of its slowest step. Raises OSError, Gone, EOFError."""
        match line.split():
            case ["open", first, count]:
                return self.open(int(first), int(count))
            case ["stat", seconds]:
                return self.stat(float(seconds))
            case ["cycle", first, count]:
                return self.cycle(int(first), int(count))
            case ["close"]:
                return self.close()
        raise ValueError(line)


def main(port: str, user: str, key: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(int(port), user, Path(key))
    for line in sys.stdin:
        try:
            print(json.dumps({"slowest": crowd.obey(line)}), flush=True)
        except (OSError, Gone, EOFError) as error:
            print(json.dumps({"failed": f"{line.strip()}: {error!r}"}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
