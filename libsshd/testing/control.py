"""The harness by remote control, for tests in other languages: JSON lines over a Unix socket.

A request is one object on one line, its command under "do"; the answer is one object on one line, with "ok" true, or
false and a sentence under "error". Contents are texts under "text", or any bytes under "base64".
"""

import base64
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from libsshd.testing.harness import Harness
from libsshd.testing.log import Record

Request = Mapping[str, Any]
Answer = dict[str, Any]

_LINE_MOST = 64 * 1024 * 1024
_WAIT_MOST = 60.0
"""Seconds."""


# --- the commands ---


def _content(request: Request) -> bytes:
    """Raises ValueError, KeyError, AttributeError."""
    if "base64" in request:
        return base64.b64decode(request["base64"], validate=True)
    text: str = request["text"]
    return text.encode()


def _shown(content: bytes) -> Answer:
    shown: Answer = {"base64": base64.b64encode(content).decode()}
    with suppress(UnicodeDecodeError):
        shown["text"] = content.decode()
    return shown


def _put(harness: Harness, request: Request) -> Answer:
    """Makes or replaces the file "path"."""
    harness.fs[request["path"]] = _content(request)
    return {}


def _get(harness: Harness, request: Request) -> Answer:
    """The content of the file "path", as "base64", and as "text" if it is one."""
    return _shown(harness.fs[request["path"]])


def _mkdir(harness: Harness, request: Request) -> Answer:
    """Makes the directory "path"."""
    harness.fs.make_directory(request["path"])
    return {}


def _remove(harness: Harness, request: Request) -> Answer:
    """Removes "path", and what is in it."""
    del harness.fs[request["path"]]
    return {}


def _tree(harness: Harness, _: Request) -> Answer:
    """The paths of all files, under "files" with their sizes."""
    return {"files": {path: len(content) for path, content in harness.fs.tree().items() if content is not None}}


def _fault(harness: Harness, request: Request) -> Answer:
    """Adds the rule under "rule", or those under "rules": as in a file of faults."""
    for rule in [request["rule"]] if "rule" in request else request["rules"]:
        harness.faults.add(rule)
    return {"rules": len(harness.faults)}


def _clear_faults(harness: Harness, _: Request) -> Answer:
    """Nothing goes wrong any more."""
    harness.faults.clear()
    return {}


def _network(harness: Harness, request: Request) -> Answer:
    """Sets "latency", "jitter" and "bandwidth"; with "lose", an object of the arguments of that method, loses."""
    conditions = {key: value for key, value in request.items() if key not in ("do", "lose")}
    if conditions:
        harness.network.set(**conditions)
    if "lose" in request:
        harness.network.lose(**request["lose"])
    return {}


def _log(harness: Harness, request: Request) -> Answer:
    """The records whose number is above "after", of the requests named under "of", of all by default."""
    after, names = request.get("after", 0), request.get("of", ())
    records = harness.log.of(*names) if names else harness.log
    return {"records": [as_object(record) for record in records if record.number > after]}


def _wait(harness: Harness, request: Request) -> Answer:
    """Waits until there are "count" records of "for"; "timeout" is in seconds."""
    timeout = min(float(request.get("timeout", 10.0)), _WAIT_MOST)
    harness.log.wait_for(request["for"], count=request.get("count", 1), timeout=timeout)
    return {}


def _conversation(harness: Harness, _: Request) -> Answer:
    """The log as a text for people."""
    return {"text": str(harness.log)}


def _drop(harness: Harness, _: Request) -> Answer:
    """Ends every connection without a word."""
    harness.drop_connections()
    return {}


def _rekey(harness: Harness, _: Request) -> Answer:
    """Has every connection exchange keys anew."""
    harness.exchange_keys()
    return {}


def _reset(harness: Harness, _: Request) -> Answer:
    """Ends every connection, empties the tree and the log; nothing goes wrong any more."""
    harness.faults.clear()
    harness.drop_connections()
    harness.forget()
    harness.fs.clear()
    return {}


def _errors(harness: Harness, _: Request) -> Answer:
    """What the server raised that nobody expected."""
    return {"errors": [f"{type(error).__name__}: {error}" for error in harness.errors]}


COMMANDS: dict[str, Callable[[Harness, Request], Answer]] = {
    "put": _put,
    "get": _get,
    "mkdir": _mkdir,
    "remove": _remove,
    "tree": _tree,
    "fault": _fault,
    "clear-faults": _clear_faults,
    "network": _network,
    "log": _log,
    "wait": _wait,
    "conversation": _conversation,
    "drop": _drop,
    "rekey": _rekey,
    "reset": _reset,
    "errors": _errors,
}


def as_object(record: Record) -> dict[str, Any]:
    """A record as JSON has it; what it does not have is left out."""
    fields = {
        "number": record.number,
        "seconds_in": round(record.time, 6),
        "connection": record.connection,
        "channel": record.channel,
        "user": record.user,
        "request": record.name,
        "path": record.path,
        "new_path": record.new_path,
        "handle": record.handle,
        "offset": record.offset,
        "length": record.length,
        "bytes": record.bytes,
        "status": None if record.status is None else record.status.name,
        "message": record.message,
        "seconds": round(record.seconds, 6),
        "faults": list(record.faults),
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def carry_out(harness: Harness, line: bytes) -> Answer:
    """The answer to one line."""
    try:
        request: Request = json.loads(line)
        command = COMMANDS.get(str(request.get("do")))
        if command is None:
            raise ValueError(f"there is no command {request.get('do')!r}; there are {', '.join(COMMANDS)}")
        return {"ok": True, **command(harness, request)}
    except KeyError as error:
        return {"ok": False, "error": f"{error.args[0]} is missing"}
    except (ValueError, TypeError, AttributeError, OSError, AssertionError) as error:
        return {"ok": False, "error": str(error)}


# --- the socket ---


class Control:
    """A socket at `path`, which only we can open; answers from `start` to `stop`. Raises OSError."""

    def __init__(self, harness: Harness, path: str | os.PathLike[str]) -> None:
        self._harness = harness
        self._path = Path(path)
        self._sock = socket.socket(socket.AF_UNIX)
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_over = False
        try:
            self._bind()
        except BaseException:
            self._sock.close()
            raise
        self._thread = threading.Thread(target=self._accept, name="libsshd-control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _bind(self) -> None:
        if self._path.is_socket() and not self._is_alive():
            self._path.unlink()  # one that was killed left it
        self._sock.bind(os.fspath(self._path))
        self._path.chmod(0o600)
        self._sock.listen()

    def _is_alive(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(os.fspath(self._path)) == 0

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._sock.accept()
            except OSError:
                return
            with self._lock:
                if self._is_over:
                    client.close()
                    return
                self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), name="libsshd-control", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as lines:
                while line := lines.readline(_LINE_MOST):
                    client.sendall(json.dumps(carry_out(self._harness, line)).encode() + b"\n")
        except OSError:
            pass  # it has left
        finally:
            with self._lock:
                self._clients.discard(client)

    def stop(self) -> None:
        """Closes it and lets go of who is connected."""
        with self._lock:
            self._is_over = True
            clients = list(self._clients)
        for sock in (self._sock, *clients):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join()
        self._sock.close()
        self._path.unlink(missing_ok=True)
