"""The table of requests and extensions by version, in the middle of docs/protocol.md."""

from collections.abc import Iterator

from libsshd.constants import Packet
from libsshd.serve.operations import OPERATIONS
from libsshd.serve.routes import WATCHED
from libsshd.wire import messages as m
from libsshd.wire.buffer import Reader
from libsshd.wire.codec import Codec, codec_for
from libsshd.wire.extensions import Extension

from .pieces import UndocumentedError, table, with_parts

VERSIONS = (3, 4, 5, 6)
_ENOUGH = bytes(256)  # zeros for the fields of any request

REQUESTS = {
    "OPEN": "Opens a file, and makes it, empties it or locks it as asked.",
    "CLOSE": "Ends a handle; the first error that a WRITE met comes here again.",
    "READ": "Reads from an offset, at most 255 KiB.",
    "WRITE": "Writes at an offset; at the end, whatever the offset, if opened with APPEND.",
    "LSTAT": "Attributes of a path; of a link itself.",
    "FSTAT": "Attributes of what is open.",
    "SETSTAT": "Changes attributes of a path; follows links.",
    "FSETSTAT": "Changes attributes of what is open.",
    "OPENDIR": "Opens a directory.",
    "READDIR": "The next entries of a directory, with their attributes.",
    "REMOVE": "Removes a file or a link.",
    "MKDIR": "Makes a directory.",
    "RMDIR": "Removes an empty directory.",
    "REALPATH": "The canonical form of a path.",
    "STAT": "Attributes of a path; follows links.",
    "RENAME": "Moves; what has the new name already stays, unless flags of version 5 and 6 say otherwise.",
    "READLINK": "The target of a link, as it is stored.",
    "SYMLINK": "Makes a symbolic link.",
    "LINK": "Makes a symbolic or a hard link.",
    "BLOCK": "Locks a range of bytes.",
    "UNBLOCK": "Takes the lock of a range back.",
}
"""What each request does."""

EXTENSIONS = {
    "posix-rename@openssh.com": "Moves, and replaces what has the new name.",
    "statvfs@openssh.com": "Sizes of the file system of a path.",
    "fstatvfs@openssh.com": "Sizes of the file system of what is open.",
    "hardlink@openssh.com": "Makes a hard link.",
    "fsync@openssh.com": "Returns when the file is on the disk.",
    "lsetstat@openssh.com": "SETSTAT that does not follow links.",
    "limits@openssh.com": "The largest packet, READ and WRITE, and the most handles.",
    "expand-path@openssh.com": "REALPATH that knows `~` and `~user`.",
    "copy-data": "Copies a range from one open file to another, on the server.",
    "users-groups-by-id@openssh.com": "Names of users and groups by their numbers.",
    "home-directory": "The directory where the login of a user starts.",
    "check-file": "Announces check-file-name and check-file-handle.",
    "check-file-name": "Hashes of a file, whole or in blocks.",
    "check-file-handle": "Hashes of an open file, whole or in blocks.",
    "md5-hash": "The MD5 of a range of a file.",
    "md5-hash-handle": "The MD5 of a range of an open file.",
    "copy-file": "Copies a file by its name, on the server.",
    "space-available": "Bytes in all and free, of the file system and of the user.",
    "get-temp-folder": "Where temporary files may be put.",
    "make-temp-folder": "Makes a new directory for temporary files.",
    "ranges@asyncssh.com": "Which ranges of a sparse file have data.",
    "text-seek": "Goes to a line of a file opened as text.",
    "vendor-id": "Who made the other side; sent by both.",
    "versions": "Announces the versions that version-select takes.",
    "version-select": "Another version, as the first request only.",
    "newline": "Announces how lines end in files opened as text.",
    "supported": "Announces attributes, flags and extensions of version 5.",
    "supported2": "Announces attributes, flags, locks and extensions of version 6.",
    "default-fs-attribs@vandyke.com": "Announces that case counts in names, and that none is reserved.",
    "acl-supported": "Announces what can be done with ACLs: nothing.",
    "filename-charset": "Announces the encoding that names have on the disk.",
    "filename-translation-control": "Turns the translation of names off and on.",
    "symlink-order@rjk.greenend.org.uk": "Announces which path SYMLINK has first.",
}
"""What each extension does."""


def spoken() -> dict[int, Codec]:
    """The codec of each version there is."""
    codecs = {}
    for version in VERSIONS:
        try:
            codecs[version] = codec_for(version)
        except ValueError:
            continue
    return codecs


def _facts(messages: list[type]) -> tuple[str, str]:
    """Names for policies and events of what a request decodes to."""
    names = dict.fromkeys(f"`{OPERATIONS[message].name}`" for message in messages if message in OPERATIONS)
    events = dict.fromkeys(WATCHED[message][0].__name__ for message in messages if message in WATCHED)
    return ", ".join(names), ", ".join(f"[{name}](reference/events.md#{name.lower()})" for name in events)


def _messages(packet: Packet) -> list[type]:
    if packet == Packet.LINK:
        return [m.Symlink, m.Hardlink]
    return [getattr(m, packet.name.capitalize())]


def _words(words: dict[str, str], name: str) -> str:
    if name not in words:
        raise UndocumentedError(f"{name} in docs/generate/protocol.py")
    return words[name]


def _requests(codecs: dict[int, Codec]) -> Iterator[list[str]]:
    known = {version: codec.requests() for version, codec in codecs.items()}
    for packet in Packet:
        versions = [packet in known.get(version, ()) for version in VERSIONS]
        if any(versions) and packet != Packet.EXTENDED:
            yield [packet.name, _words(REQUESTS, packet.name), *map(_cell, versions), *_facts(_messages(packet))]


def _extensions(codecs: dict[int, Codec]) -> Iterator[list[str]]:
    entries: dict[str, dict[int, Extension]] = {}
    for version, codec in codecs.items():
        for entry in codec.extensions:
            entries.setdefault(entry.name.decode(), {})[version] = entry
    for name, by_version in entries.items():
        versions = [version in by_version for version in VERSIONS]
        messages = [type(message) for message in map(_decoded, by_version.values()) if message is not None]
        yield [f"`{name}`", _words(EXTENSIONS, name), *map(_cell, versions), *_facts(messages)]


def _decoded(entry: Extension) -> m.Request | None:
    """What an extension decodes to, from a request full of zeros."""
    if entry.decode is None:
        return None
    return entry.decode(0, Reader(_ENOUGH), lambda _: m.Attributes())


def _cell(known: bool) -> str:
    return "yes" if known else ""


def tables() -> str:
    """Both tables as Markdown. Raises UndocumentedError."""
    codecs = spoken()
    rest = ["What it does", *map(str, VERSIONS), "Policies call it", "Event"]
    requests = table(["Request", *rest], _requests(codecs))
    extensions = table(["Extension", *rest], _extensions(codecs))
    return f"{requests}\n\n{extensions}"


def protocol_page() -> str:
    """The page as it is, with its tables made anew."""
    return with_parts("protocol.md", tables())
