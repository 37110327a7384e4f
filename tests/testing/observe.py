"""What real clients do when things go wrong: the table in docs/testing-clients.md, and how it is made.

python -m tests.testing.observe            prints the table as it is observed now
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from libsshd import testing
from libsshd.testing import Server
from tests.testing.drive import CLIENTS, DATA, NAMES, PATIENCE, drive

AT = 200_000
"""An offset in the file that is transferred: each client has a READ or a WRITE that covers it."""
PAGE = Path(__file__).parents[2] / "docs" / "testing-clients.md"


class Scene(NamedTuple):
    """What goes wrong in which operation: a rule as files have it, or what makes one."""

    operation: str
    fault: str
    rule: dict[str, object] | Callable[[Server], object]

    def arm(self, server: Server) -> None:
        if callable(self.rule):
            self.rule(server)
        else:
            server.faults.add({"do": {self.fault: {}}, **self.rule})


_READ: dict[str, object] = {"on": "READ", "offset": AT}
_WRITE: dict[str, object] = {"on": "WRITE", "offset": AT}


def _do(rule: dict[str, object], fault: str, **arguments: object) -> dict[str, object]:
    return {**rule, "do": {fault: arguments}}


SCENES = {
    "get: a READ fails": Scene("get", "fail", _do(_READ, "fail", message="Disk on fire")),
    "put: a WRITE fails": Scene("put", "fail", _do(_WRITE, "fail", message="Disk on fire")),
    "list: READDIR takes 0.3 s": Scene("list", "delay", _do({"on": "READDIR"}, "delay", seconds=0.3)),
    "get: a login takes 0.5 s": Scene("get", "delay", _do({"on": "LOGIN"}, "delay", seconds=0.5)),
    "get: the version line comes 0.5 s late": Scene("get", "delay", _do({"on": "CONNECT"}, "delay", seconds=0.5)),
    "get: there is no version line": Scene("get", "stall", {"on": "CONNECT"}),
    "get: silence from a READ on": Scene("get", "stall", _READ),
    "get: gone before a READ is answered": Scene("get", "disconnect", _READ),
    "get: gone in the middle of an answer": Scene("get", "disconnect", _do(_READ, "disconnect", when="during")),
    "get: gone behind an answer": Scene("get", "disconnect", _do(_READ, "disconnect", when="after")),
    "get: another host key": Scene("get", "wrong_host_key", {}),
    "get: nobody gets in": Scene("get", "refuse_login", {}),
    "get: a login is only the first step": Scene("get", "partial_login", {}),
    "get: a READ is not answered": Scene("get", "no_reply", _READ),
    "get: READs give less than there is": Scene("get", "short_read", {}),
    "put: a WRITE is stored by half": Scene("put", "short_write", _WRITE),
    "get: a byte of a READ is wrong": Scene("get", "corrupt", _do(_READ, "corrupt", at=AT)),
    "put: a byte of a WRITE is wrong": Scene("put", "corrupt", _do(_WRITE, "corrupt", at=AT)),
    "put: the disk is full": Scene("put", "disk_full", _do({}, "disk_full", after=100_000)),
    "get: the handle dies": Scene("get", "kill_handle", _READ),
    "get: new keys in the middle": Scene("get", "rekey", _READ),
    "get: the channel closes": Scene("get", "close_channel", _READ),
    "get: half an answer, then the end": Scene("get", "truncate", _READ),
    "get: an answer has another number": Scene("get", "wrong_id", _READ),
    "get: an answer comes twice": Scene("get", "duplicate", _READ),
    "get: two answers change places": Scene("get", "reorder", _READ),
    "get: an answer of another kind": Scene(
        "get", "reply", lambda server: server.faults.on("READ", offset=AT).reply(b"\0\0\0\x05\x69????")
    ),
    "get: a function answers": Scene(
        "get", "call", lambda server: server.faults.on("READ", offset=AT).call(lambda o, proceed: proceed())
    ),
    "list: a name of 70,000 bytes": Scene("list", "oversize_name", {"nth": 1}),
    "list: attributes end too early": Scene("list", "bad_attributes", {"on": "READDIR"}),
    "time: an hour ahead": Scene("time", "skew_clock", _do({"on": "*"}, "skew_clock", seconds=3600)),
    "list: READDIR never says the end": Scene("list", "no_eof", {"on": "READDIR"}),
    "get: READ never says the end": Scene("get", "no_eof", {"on": "READ"}),
    "get: version 2": Scene("get", "refuse_version", {}),
    "get: lost at byte 100,000": Scene("get", "network.lose", lambda server: server.network.lose(after=100_000)),
    "get: half open from byte 100,000 on": Scene(
        "get", "network.half_open", lambda server: server.network.half_open(after=100_000)
    ),
}


def make_server() -> Server:
    server = testing.server(files={"in/data": DATA} | {f"dir/{name}": b"x" for name in NAMES})
    server.fs.set("in/data", mtime=1_000_000_000)
    server.fs.make_directory("out")
    return server


def observe(name: str, client: str, place: Path, patience: float = PATIENCE) -> str:
    """The outcome of a scene for a client."""
    with make_server() as server:
        SCENES[name].arm(server)
        return drive(client, SCENES[name].operation, server, place, patience)


def row(name: str, outcomes: list[str]) -> str:
    fault = SCENES[name].fault
    return f"| `{fault}` | {name} | {' | '.join(outcomes)} |"


def header() -> str:
    return f"| Fault | What happens | {' | '.join(CLIENTS)} |\n|---|---|{'---|' * len(CLIENTS)}"


def written() -> dict[tuple[str, str], str]:
    """The outcomes in the table of the page, by scene and client."""
    found: dict[tuple[str, str], str] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("| \n").split("|")]
        if len(cells) == 2 + len(CLIENTS) and cells[1] in SCENES:
            found |= {(cells[1], client): outcome for client, outcome in zip(CLIENTS, cells[2:], strict=True)}
    return found


def main() -> None:
    print(header(), flush=True)
    with tempfile.TemporaryDirectory() as place:
        for number, name in enumerate(SCENES):
            outcomes = [observe(name, client, Path(place, f"{number}-{client}")) for client in CLIENTS]
            print(row(name, outcomes), flush=True)


if __name__ == "__main__":
    main()
