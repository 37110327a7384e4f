"""The log for people: one line for a request and its reply, one for many READs or WRITEs in a row."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from libsshd.constants import OpenFlags, Status
from libsshd.wire.messages import Open, Rename, Setstat
from libsshd.wire.replies import (
    AttrsReply,
    DataReply,
    ExtendedReply,
    HandleReply,
    NameReply,
    Reply,
    StatusReply,
    VersionReply,
)

if TYPE_CHECKING:
    from libsshd.testing.log import Record

_RUNS = ("READ", "WRITE", "READDIR")
_LINES_MOST = 200
"""Of a long conversation the beginning and the end are shown."""


def transcript(records: Sequence["Record"]) -> str:
    """The conversation; "(nothing)" for none."""
    lines = list(_lines(records))
    if len(lines) > _LINES_MOST:
        half = _LINES_MOST // 2
        lines = [*lines[:half], f"      ... {len(lines) - 2 * half} more lines ...", *lines[-half:]]
    return "\n".join(lines) or "(nothing)"


def readable(text: str) -> str:
    """With escapes for what a terminal, or a file of UTF-8, would take amiss: names are any bytes."""
    return text if text.isprintable() else "".join(map(_readable, text))


def _readable(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _lines(records: Iterable["Record"]) -> Iterator[str]:
    for _, group in groupby(records, key=_run):
        run = list(group)
        yield _line(run[0], run)


def _run(record: "Record") -> tuple[object, ...]:
    """What records have in common that are shown in one line."""
    if record.name not in _RUNS or record.faults or record.status != Status.OK:
        return (record.number,)
    return record.name, record.connection, record.channel, record.handle


def _line(record: "Record", run: Sequence["Record"]) -> str:
    head = f"{record.number:>5} {record.connection:>3}  {record.user or '-':<8} {record.name:<12} "
    if record.details or (record.reply is None and record.request is None):
        text = " ".join(value for _, value in record.details)
    else:
        text = f"{_asked(record, run):<44} -> {_answered(record, run)}"
    marks = f"   ({', '.join(record.faults)})" if record.faults else ""
    return readable(f"{head}{text}{marks}".rstrip())


def _asked(record: "Record", run: Sequence["Record"]) -> str:
    path = record.path or ""
    if isinstance(record.request, Open):
        flags = ",".join(str(flag.name).lower() for flag in OpenFlags if record.request.flags & flag)
        return f"{path} {flags or 'nothing'}"
    if isinstance(record.request, Rename) or record.new_path is not None:
        return f"{path} to {record.new_path}"
    if isinstance(record.request, Setstat):
        return f"{path} {_attributes(record.request.attributes)}"
    if len(run) > 1:
        return f"{path} {len(run)} times" + ("" if record.offset is None else f" from {record.offset}")
    if record.offset is not None:
        return f"{path} {record.offset}+{record.length or 0}"
    return path


def _attributes(attributes: object) -> str:
    given = {
        name: getattr(attributes, name)
        for name in ("size", "permissions", "uid", "gid", "atime", "mtime")
        if getattr(attributes, name, None) is not None
    }
    if "permissions" in given:
        given["permissions"] = oct(given["permissions"])
    return " ".join(f"{name}={value}" for name, value in given.items())


def _answered(record: "Record", run: Sequence["Record"]) -> str:
    if record.lost:
        return "the end"
    if record.reply is None:
        return "nothing" if record.status is None else "what is no right packet"
    if len(run) > 1:
        moved = sum(one.bytes for one in run)
        return f"{moved} bytes" if record.offset is not None else f"{sum(one.entries for one in run)} names"
    show: Callable[[Reply, Record], str] = _SHOWN[type(record.reply)]
    return show(record.reply, record)


def _status(reply: StatusReply, record: "Record") -> str:
    name = record.status.name if record.status is not None else str(reply.status)
    return name if not record.message or reply.status == Status.OK else f"{name}: {record.message}"


def _names(reply: NameReply, record: "Record") -> str:
    if record.entries == 1:
        return f"NAME {reply.entries[0].name[:200].decode('utf-8', 'backslashreplace')}"
    return f"{record.entries} names"


_SHOWN: dict[type, Callable[..., str]] = {
    StatusReply: _status,
    NameReply: _names,
    HandleReply: lambda reply, _: f"HANDLE {reply.handle.decode('utf-8', 'backslashreplace')}",
    DataReply: lambda _, record: f"{record.bytes} bytes",
    AttrsReply: lambda reply, _: f"ATTRS {_attributes(reply.attributes)}",
    VersionReply: lambda reply, _: f"VERSION {reply.version}",
    ExtendedReply: lambda reply, _: f"{len(reply.data)} bytes of an extension",
}
