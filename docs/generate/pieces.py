"""Pieces of pages: facts, tables, and an entry for each public member of a class."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_origin, get_type_hints

from libsshd.connections import SFTPConnection
from libsshd.naming import pythonic
from libsshd.settings import CONNECTION_SETTINGS, READ_ONLY, Kind, Setting

from .links import DOCS
from .words import ADDED, AT_ONCE, DOCUMENTED, DOCUMENTED_DEFAULTS, FOR_THE_SERVER, WHEN_IT_STARTS

GENERATED = (
    "<!-- Made by docs/generate from the tables of the library: change those, then run ./dev docs --write. -->"
)


BEGIN = "<!-- What follows is made by docs/generate from the tables of the library: ./dev docs --write. -->"
END = "<!-- The end of what is made. -->"


class UndocumentedError(Exception):
    """Something public has no documentation."""


_WORDS = {"ssh": "SSH", "sftp": "SFTP", "atime": "ATime", "mtime": "MTime"}


def documented(name: str) -> str:
    """The documented spelling of a PEP 8 name."""
    return "".join(_WORDS.get(word, word.capitalize()) for word in name.split("_"))


def text_of(thing: Any, name: str) -> str:
    """The docstring as Markdown, with what it raises as a list. Raises UndocumentedError."""
    text = inspect.getdoc(thing)
    if not text:
        raise UndocumentedError(name)
    text, _, errors = text.partition("\nRaises:\n")
    if not errors:
        return text.rstrip()
    entries = [re.sub(r"\s+", " ", entry).strip() for entry in re.split(r"\n    (?=\S)", f"\n{errors.rstrip()}")]
    return "\n".join([text.rstrip(), "\nRaises:\n", *(f"- {entry}" for entry in entries if entry)])


def with_parts(page: str, *parts: str) -> str:
    """A page of docs as it is, with what stands in the places for made parts made anew, in order."""
    text = (DOCS / page).read_text()
    before, *places = text.split(BEGIN)
    if len(places) != len(parts) or not all(END in place for place in places):
        raise UndocumentedError(f"{page} has other places for what is made than {len(parts)}")
    made = (f"{BEGIN}\n\n{part}\n\n{END}{place.partition(END)[2]}" for part, place in zip(parts, places, strict=True))
    return before + "".join(made)


def type_name(hint: Any) -> str:
    if hint is None or hint is type(None):
        return "None"
    args = get_args(hint)
    if args and get_origin(hint) is not None:
        if "Union" in str(get_origin(hint)):
            return " | ".join(type_name(arg) for arg in args)
        return str(hint).replace("typing.", "").replace("builtins.", "")
    return str(getattr(hint, "__name__", hint))


def range_of(setting: Setting) -> str:
    if setting.least is None or setting.type not in (int, float):
        return ""
    if setting.most is None or setting.most >= 2**31 - 1 or setting.most == 1e9:
        return f", {setting.least:g} or more"
    return f", {setting.least:g} to {setting.most:.15g}"


def value_of(value: object) -> str:
    if isinstance(value, str):
        value = value or '""'
    if isinstance(value, bytes):
        value = repr(value)
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{value}`"


def default_of(setting: Setting) -> str:
    theirs = DOCUMENTED_DEFAULTS.get(setting.name)
    note = f" ([documented](../coming-from-the-manual.md#other-defaults): `{theirs}`)" if theirs else ""
    default = str(setting.default)
    if len(default) < 60:
        return f"default {value_of(setting.default)}{note}"
    return f"default {', '.join(f'`{name}`' for name in default.split(','))}"


KINDS = {Kind.PROPERTY: "property", Kind.SETTING: "`Config()` setting", Kind.ADDED: f"{ADDED} setting"}


def setting_entry(setting: Setting, *, level: int = 3, name: str = "") -> list[str]:
    """Heading, facts and meaning of a member of the tables."""
    if not setting.doc:
        raise UndocumentedError(setting.name)
    facts = [f"`{setting.attribute}`", KINDS[setting.kind]]
    facts += [f"{type_name(setting.type)}{range_of(setting)}", default_of(setting)]
    if setting.locked is not None:
        facts.append(f"not while the server listens (error {int(setting.locked)})")
    elif setting.attribute in AT_ONCE:
        facts.append("a change counts at once")
    elif setting.attribute in WHEN_IT_STARTS:
        facts.append("read when the server starts to listen")
    return [f"{'#' * level} {name or setting.name}", " · ".join(facts), setting.doc]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(title: str, *blocks: str) -> str:
    return "\n\n".join([f"# {title}", GENERATED, *blocks]) + "\n"


# --- members of classes ---


def public(cls: type) -> Iterator[tuple[str, Any]]:
    """Names and members that the class and its bases within the library define, in order."""
    seen: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("libsshd"):
            seen.update(vars(base))
    for name, member in seen.items():
        if name[0] != "_" and name not in FOR_THE_SERVER and not inspect.ismemberdescriptor(member):
            yield name, member


def signature(name: str, function: Any) -> str:
    hints = inspect.signature(function)
    shown = [str(parameter) for name, parameter in hints.parameters.items() if name not in ("self", "cls")]
    kinds = [parameter.kind for name, parameter in hints.parameters.items() if name not in ("self", "cls")]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        shown.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    back = hints.return_annotation
    result = "" if back in (None, inspect.Signature.empty) else f" -> {getattr(back, '__name__', back)}"
    return f"{name}({', '.join(shown)}){result}"


def method_entry(name: str, function: Any, heading: str, mark: str) -> list[str]:
    plain = getattr(function, "__func__", function)
    shown = re.sub(r"libsshd(\.\w+)+\.", "", signature(name, plain))
    return [heading, f"`{shown}`{mark}", text_of(plain, name)]


def property_entry(name: str, member: property, heading: str, mark: str) -> list[str]:
    hint = get_type_hints(member.fget).get("return") if member.fget else None
    access = "may be set" if member.fset else "read-only"
    return [heading, f"`{name}` · {type_name(hint)}, {access}{mark}", text_of(member, name)]


def class_entries(cls: type, prefix: str = "", level: int = 3) -> list[str]:
    """An entry for each public method and property; `prefix` begins the documented names."""
    blocks: list[str] = []
    for name, member in public(cls):
        theirs = documented_member(prefix, name)
        heading = f"{'#' * level} {theirs or name}"
        mark = "" if theirs or not prefix else f" · {ADDED}"
        setting = CONNECTION_SETTINGS.get(name) if cls is SFTPConnection else None
        if setting is not None:
            own = text_of(member, name) if isinstance(member, property) else setting.doc
            blocks += [*setting_entry(setting)[:-1], own]
        elif isinstance(member, property):
            blocks += property_entry(name, member, heading, mark)
        elif inspect.isfunction(member) or isinstance(member, classmethod):
            blocks += method_entry(name, member, heading, mark)
    return blocks


def documented_member(prefix: str, name: str) -> str | None:
    """The documented name of a member, None for one that was added."""
    if prefix == "SFTPConnection" and name in vars(SFTPConnection):
        if name in CONNECTION_SETTINGS:
            return CONNECTION_SETTINGS[name].name
        for config in READ_ONLY:
            if pythonic(config) == name:
                return config
    return DOCUMENTED.get(name if prefix in ("", "server") else f"{pythonic(prefix)}_{name}")
