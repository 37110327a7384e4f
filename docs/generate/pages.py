"""The pages that are made from the tables of the library, each by one function."""

import inspect
from collections.abc import Callable, Iterator
from enum import Enum, Flag
from typing import Final, get_args, get_origin, get_type_hints

import libsshd
from libsshd import HostKey, SFTPServer, constants, settings
from libsshd.certificates import AlternateCertificates, CertificateStore
from libsshd.connections import SFTPConnection, SFTPConnections
from libsshd.errors import ErrorCode, status_text
from libsshd.events import EVENTS, BeforeAndAfter, Event, FileEvent, Hook
from libsshd.naming import pythonic
from libsshd.prompts import KeyboardInteractivePrompts
from libsshd.settings import CERTIFICATE_SETTINGS, CONNECTION_SETTINGS, PROMPT_SETTINGS, READ_ONLY, SETTINGS

from .harness import testing_page
from .links import DOCS, ROOT
from .pieces import (
    KINDS,
    UndocumentedError,
    class_entries,
    documented,
    documented_member,
    method_entry,
    page,
    property_entry,
    public,
    setting_entry,
    table,
    text_of,
    type_name,
    value_of,
)
from .protocol import protocol_page
from .words import (
    ADDED,
    CONFIG,
    DOCUMENTED,
    EVENT_NAMES,
    METHODS,
    PARAMETERS,
    PROPERTIES,
    TOPICS,
)

_SETTINGS = """\
Keywords of `SFTPServer(...)` and its attributes, under either spelling. Those marked `Config()` setting, and the
added ones, can be read and written as text too: `server.config("MaxConnections=50")`.

Unless something else is said, a change counts for connections that begin after it. What belongs to a
[connection](connections.md) or a [host key](server.md#host-keys) is on those pages."""

_CONNECTIONS = """\
`server.sftp_connections` holds the connections by number. The documented arrays are its columns:
`server.SFTPConnectionRemoteHost[0]` is `server.sftp_connections[0].remote_host`.

Settings of a connection are also `server.config("NAME[0]=VALUE")`; without the number they are what later connections
begin with, but for UserAuthBanner and SFTPErrorMessage, which count only inside an event. All of it is gone with the
connection."""

_EVENTS = """\
A handler takes the event. It is attached as a decorator, by assignment, or with `add()`;
[the guide](../guide/events.md) says which of them run when.

Parameters that go in and out may be set, under either spelling; setting another is an AttributeError. In events of
requests, -1 and an empty text mean that the client did not send, or is not sent, that attribute."""

_ERRORS = """\
Public methods raise `SFTPServerError`; `code` is one of these numbers, `description` a sentence that says what to do.
The event [Error](events.md#error) and the end of a connection ([Disconnected](events.md#disconnected)) have the same
numbers."""


def settings_page() -> str:
    placed = " ".join(TOPICS.values()).split()
    if sorted(placed) != sorted(SETTINGS):
        raise UndocumentedError(f"TOPICS: {set(SETTINGS) ^ set(placed)}")
    blocks = [_SETTINGS, text_of(settings.Settings, "Settings").partition("\n\n")[2]]
    for topic, names in TOPICS.items():
        blocks.append(f"## {topic}")
        for name in names.split():
            blocks += setting_entry(SETTINGS[name])
    return page("Settings", *blocks)


def server_page() -> str:
    members = [(name, member) for name, member in public(SFTPServer) if name not in SETTINGS]
    methods = [entry for entry in members if inspect.isfunction(entry[1])]
    properties = [entry for entry in members if isinstance(entry[1], property)]
    blocks = [text_of(SFTPServer, "SFTPServer"), "## Methods"]
    for name, function in methods:
        theirs = DOCUMENTED.get(name)
        blocks += method_entry(name, function, f"### {theirs or name}", "" if theirs else f" · {ADDED}")
    blocks.append("## Properties")
    blocks.append("Besides the [settings](settings.md):")
    for name, member in properties:
        theirs = DOCUMENTED.get(name)
        blocks += property_entry(name, member, f"### {theirs or name}", "" if theirs else f" · {ADDED}")
    blocks += [
        "## Prompts",
        "`keyboard_interactive_prompts`, the documented arrays KeyboardInteractivePrompt..., is:",
    ]
    blocks.append(text_of(KeyboardInteractivePrompts, "KeyboardInteractivePrompts"))
    for setting in PROMPT_SETTINGS.values():
        blocks += setting_entry(setting)
    blocks += class_entries(KeyboardInteractivePrompts, "KeyboardInteractivePrompts")
    blocks += ["## Host keys", "`alt_ssh_certs` is:", text_of(AlternateCertificates, "AlternateCertificates")]
    blocks += class_entries(AlternateCertificates, "AltSSHCerts")
    blocks += ["### One store", text_of(CertificateStore, "CertificateStore")]
    blocks.append(
        "The names in `Config()` are AltSSHCertStoreType[0] and so on; those of the server's own key follow."
    )
    for setting in CERTIFICATE_SETTINGS.values():
        alternate = "" if setting.attribute == "encoded" else f" and Alt{setting.name}[i]"
        blocks += setting_entry(setting, level=4, name=setting.name + alternate)
    blocks += class_entries(CertificateStore, "AltSSHCert", level=4)
    blocks += ["### HostKey", text_of(HostKey, "HostKey"), *class_entries(HostKey, level=4)]
    return page("SFTPServer", *blocks)


def connections_page() -> str:
    blocks = [_CONNECTIONS, "## The collection", text_of(SFTPConnections, "SFTPConnections"), "## One connection"]
    blocks += [text_of(SFTPConnection, "SFTPConnection"), *class_entries(SFTPConnection, "SFTPConnection")]
    return page("Connections", *blocks)


def _moment(event: type[Event]) -> str:
    if issubclass(event, BeforeAndAfter):
        return "before and after the operation"
    return "after the operation" if issubclass(event, FileEvent) else "of a connection"


def event_entry(event: type[Event]) -> list[str]:
    hints = get_type_hints(event)
    defaults = {name: field.default for name, field in event.__dataclass_fields__.items()}
    rows = []
    for name in event.parameters():
        hint = hints[name]
        kind = get_args(hint)[0] if get_origin(hint) is Final else hint
        begins = "" if not isinstance(defaults[name], (int, str, bytes)) else value_of(defaults[name])
        if name not in PARAMETERS:
            raise UndocumentedError(f"{event.__name__}.{name}")
        direction = "in, out" if name in event.writable else "in"
        rows.append([f"`{name}`", documented(name), type_name(kind), direction, begins, PARAMETERS[name]])
    mark = "" if event.__name__ in EVENT_NAMES else f" · {ADDED}"
    return [
        f"## {event.__name__}",
        f"`on_{pythonic(event.__name__)}` · {_moment(event)}{mark}",
        text_of(event, event.__name__),
        table(["Parameter", "Documented", "Type", "Direction", "Begins as", "Meaning"], rows),
    ]


def events_page() -> str:
    blocks = [_EVENTS]
    for event in EVENTS:
        blocks += event_entry(event)
    blocks += ["## Hook", "What `on_...` is.", text_of(Hook, "Hook"), *class_entries(Hook, level=3)]
    return page("Events", *blocks)


def errors_page() -> str:
    def rows() -> Iterator[list[str]]:
        for code in ErrorCode:
            if not code.description:
                raise UndocumentedError(code.name)
            yield [str(int(code)), f"`{code.name}`", code.description]

    return page(
        "Errors",
        _ERRORS,
        text_of(ErrorCode, "ErrorCode"),
        table(["Code", "Name", "Meaning"], rows()),
    )


def constants_page() -> str:
    blocks = ["All of them are in `libsshd`."]
    for name, kind in vars(constants).items():
        if name in libsshd.__all__:
            rows = [[_number(member), f"`{called}`"] for called, member in kind.__members__.items()]
            if kind is constants.Status:
                rows = [[*row, status_text(int(row[0]))] for row in rows]
            head = ["Value", "Name", "Text"][: len(rows[0])]
            blocks += [f"## {name}", text_of(kind, name), table(head, rows)]
    return page("Constants", *blocks)


def _number(member: Enum) -> str:
    return f"{member.value:#x}" if isinstance(member, Flag) else str(member.value)


def index_page() -> str:
    """All documented names, so that a reader who knows one finds the member."""
    rows: dict[str, tuple[str, str]] = {}
    for name in METHODS:
        rows[name] = f"`{pythonic(name)}()`", f"[method](server.md#{name.lower()})"
    for setting in SETTINGS.values():
        kind = KINDS[setting.kind].replace("`", "")
        rows[setting.name] = f"`{setting.attribute}`", f"[{kind}](settings.md#{setting.name.lower()})"
    for name in (*PROPERTIES, *CONFIG, *READ_ONLY, *(entry.name for entry in CONNECTION_SETTINGS.values())):
        if documented_member("SFTPConnection", attribute := _attribute(name)):
            rows[name] = f"`sftp_connections[id].{attribute}`", f"[of a connection](connections.md#{name.lower()})"
        elif name.startswith("KeyboardInteractivePrompt") and name != "KeyboardInteractivePromptCount":
            attribute = pythonic(name.removeprefix("KeyboardInteractivePrompt"))
            rows[name] = f"`keyboard_interactive_prompts[i].{attribute}`", f"[of a prompt](server.md#{name.lower()})"
        else:
            rows[name] = f"`{pythonic(name)}`", f"[property](server.md#{name.lower()})"
    for setting in CERTIFICATE_SETTINGS.values():
        if setting.attribute != "encoded":
            rows[f"Alt{setting.name}"] = f"`alt_ssh_certs[i].{setting.attribute}`", "[host key](server.md#one-store)"
    for event in EVENTS:
        name = event.__name__
        rows[name] = f"`on_{pythonic(name)}`", f"[event](events.md#{name.lower()})"
    return page(
        "Reference",
        "[The server](server.md), [settings](settings.md), [connections](connections.md), [events](events.md), "
        "[errors](errors.md), [constants](constants.md).",
        "Every documented name, and those that were added:",
        table(["Documented", "Here", "What"], ([name, *rows[name]] for name in sorted(rows, key=str.lower))),
    )


def _attribute(name: str) -> str:
    """What a documented name may be called on a connection."""
    for setting in CONNECTION_SETTINGS.values():
        if setting.name == name:
            return setting.attribute
    return pythonic(name.removeprefix("SFTPConnection")) if name != "SFTPConnectionCount" else ""


def examples_page() -> str:
    blocks = ["Whole programs, in `examples/`. Each prints the address to give to a client."]
    for program in sorted((ROOT / "examples").glob("*.py")):
        number, _, title = program.stem.partition("_")
        title = title.replace("_", " ").capitalize()
        blocks += [f"## {int(number)}. {title}", f"```python\n{program.read_text()}```"]
    return page("Examples", *blocks)


PAGES: dict[str, Callable[[], str]] = {
    "reference/index.md": index_page,
    "reference/server.md": server_page,
    "reference/settings.md": settings_page,
    "reference/connections.md": connections_page,
    "reference/events.md": events_page,
    "reference/errors.md": errors_page,
    "reference/constants.md": constants_page,
    "examples.md": examples_page,
    "protocol.md": protocol_page,
    "testing.md": testing_page,
}


def write() -> None:
    for name, make in PAGES.items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(make())


def stale() -> list[str]:
    """Pages that do not say what the tables say now, and pages that nothing makes."""
    found = {str(path.relative_to(DOCS)) for path in (DOCS / "reference").glob("*.md")}
    wrong = [
        name for name, make in PAGES.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != make()
    ]
    return wrong + sorted(found - set(PAGES))
