"""Every request that names something, made from the server's own table: one with a path in it for each field.

A request that comes to the table is here by itself. Where its message has a field that is not in DEFAULTS, or its
path is called something new, the tests fail until they are told what it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from libsshd.serve.operations import OPERATIONS
from libsshd.wire import messages as m
from tests.support.rawsftp import APPEND, CREAT, EXCL, READ, TRUNC, WRITE

PATH_FIELDS = ("path", "old_path", "new_path", "target_path", "link_path", "user")
CHANGE = m.Attributes(permissions=0o777, atime=1, mtime=1)
MADE = b"plain/made"
DEFAULTS: dict[str, Any] = {
    "request_id": 0,
    "path": b"plain/file",
    "old_path": b"plain/file",
    "new_path": MADE,
    "target_path": b"file",
    "link_path": MADE,
    "user": b"",
    "handle": b"0",
    "read_handle": b"0",
    "write_handle": b"0",
    "attributes": CHANGE,
    "flags": READ,
    "offset": 0,
    "read_offset": 0,
    "write_offset": 0,
    "start": 0,
    "length": 0,
    "block_size": 0,
    "data": b"overwritten",
    "mask": 0,
    "line": 0,
    "algorithms": (b"md5",),
    "quick_check": b"",
    "overwrite": True,
    "uids": (0,),
    "gids": (0,),
    "version": b"3",
    "vendor": b"",
    "product": b"",
    "build": 0,
    "translate": False,
    "name": b"unknown@example.com",
}
"""What the fields of a request hold that have no default of their own; names begin where the client does."""

READ_ACCESS, WRITE_ACCESS, ALL_ACCESS = 0x1, 0x2, 0x3
NOFOLLOW, DELETE_ON_CLOSE = 0x400, 0x800
VARIANTS: dict[type, dict[str, dict[str, Any]]] = {
    m.Open: {
        "to write": {"flags": WRITE | CREAT | TRUNC},
        "to append": {"flags": WRITE | APPEND | CREAT},
        "to make": {"flags": WRITE | CREAT | EXCL},
        "not following": {"flags": READ, "desired_access": READ_ACCESS, "modes": NOFOLLOW},
        "to delete": {"flags": READ, "desired_access": READ_ACCESS, "modes": DELETE_ON_CLOSE},
    },
    m.Setstat: {"of a size": {"attributes": m.Attributes(size=0)}},
    m.Lsetstat: {"of a size": {"attributes": m.Attributes(size=0)}},
    m.Rename: {"over": {"flags": 1}, "as the system does": {"flags": 4}},
    m.Realpath: {"looking": {"control": 2}, "demanding": {"control": 3}},
    m.CopyFile: {"new": {"overwrite": False}},
}
"""Other ways to ask for the same; what there is of it in versions 5 and 6 alone is sent in version 6."""
_MAKING = (m.Rename, m.PosixRename, m.Symlink, m.Hardlink, m.CopyFile)
_LATER = {"desired_access", "modes", "control", "compose"}


@dataclass(frozen=True)
class Form:
    """A request without its path. `kind` is its message, `field` where the path belongs."""

    name: str
    kind: type
    field: str
    values: dict[str, Any]
    version: int = 3

    @property
    def changes(self) -> bool:
        return OPERATIONS[self.kind].changes(self(b"/"))

    @property
    def afterwards(self) -> list[Any]:
        """What shows where a new name leads, and takes it away again."""
        if self.kind not in _MAKING or self.field == "new_path":
            return []
        reading = values_of(m.Open, path=MADE)
        return [m.Open(**reading), m.Opendir(0, MADE), m.Remove(0, MADE)]

    def __call__(self, path: bytes) -> Any:
        given: Any = (path,) if self.field == "compose" else path
        return self.kind(**(self.values | ({self.field: given} if self.field else {})))

    def __str__(self) -> str:
        return self.name


def values_of(kind: type, **others: Any) -> dict[str, Any]:
    """Values for all fields of a message. KeyError for a new one."""
    named = {f.name: DEFAULTS[f.name] for f in fields(kind) if f.default is MISSING}
    return named | others


def _forms() -> Iterator[Form]:
    for kind, operation in OPERATIONS.items():
        own = [f.name for f in fields(kind)]
        for field in (name for name in own if name in PATH_FIELDS):
            base = f"{operation.name} {field}"
            yield Form(base, kind, field, values_of(kind))
            for variant, others in VARIANTS.get(kind, {}).items():
                later = bool(_LATER & others.keys()) or (kind is m.Rename and others)
                yield Form(f"{base} {variant}", kind, field, values_of(kind, **others), 6 if later else 3)
        if "compose" in own:
            yield Form(f"{operation.name} compose", kind, "compose", values_of(kind), 6)
        if kind is m.Symlink:
            yield from (replace(f, name=f"link {f.field}", version=6) for f in _links())


def _links() -> list[Form]:
    """LINK of version 6, whose order is never guessed."""
    return [Form("", m.Symlink, field, values_of(m.Symlink)) for field in ("target_path", "link_path")]


FORMS: dict[str, Form] = {form.name: form for form in _forms()}
IMPLIED = [
    Form(operation.name, kind, "", values_of(kind))
    for kind, operation in OPERATIONS.items()
    if kind in (m.GetTempFolder, m.MakeTempFolder)
]
"""Requests that use a path which they do not name."""
