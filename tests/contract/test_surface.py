"""The whole documented surface is there: names in both spellings, types, defaults, access and ranges."""

from __future__ import annotations

import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import pytest

import libsshd
from libsshd import ErrorCode, SFTPServer, SFTPServerError, constants, events
from libsshd.naming import pythonic
from tests.contract.conftest import Serve
from tests.contract.surface import (
    CONFIG,
    CONSTANTS,
    DEVIATIONS,
    ERRORS,
    EVENTS,
    METHODS,
    PROPERTIES,
    TYPES,
    WORDS,
    Event,
    Param,
    Property,
    Setting,
    Value,
)
from tests.support.hostile import Peer

INVALID_ARGUMENT = 10022
UNKNOWN_CONNECTION = 126
ITEMS = {
    "connection": ("SFTPConnection", "sftp_connections"),
    "prompt": ("KeyboardInteractivePrompt", "keyboard_interactive_prompts"),
    "i": ("AltSSHCert", "alt_ssh_certs"),
}
"""What arrays are indexed by: how their names begin, and the collection they are columns of."""
MEMBERS: list[Property | Setting] = [*PROPERTIES, *CONFIG]
PLAIN = [member for member in PROPERTIES if not member.indexed]
ARRAYS = [member for member in PROPERTIES if member.indexed]
GLOBAL = [setting for setting in CONFIG if not setting.indexed]
PER_CONNECTION = [setting for setting in CONFIG if setting.indexed == "connection"]
PER_ALTERNATE = [setting for setting in CONFIG if setting.indexed == "i"]


def named(member: Any) -> str:
    return str(member.name)


def expected(member: Property | Setting) -> Value | None:
    return DEVIATIONS.get(member.name, member.default)


def text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def attribute(member: Property | Setting) -> str:
    """The attribute of an item for a member of an array."""
    prefix, _ = ITEMS[member.indexed]
    return pythonic(member.name.removeprefix(prefix))


def item(server: SFTPServer, member: Property | Setting, index: int = 0) -> Any:
    return getattr(server, ITEMS[member.indexed][1])[index]


@pytest.fixture
def server() -> SFTPServer:
    """It does not listen; there is one prompt and one alternate host key."""
    server = SFTPServer()
    server.keyboard_interactive_prompt_count = server.alt_ssh_cert_count = 1
    return server


@pytest.fixture
def live(serve: Serve) -> Iterator[SFTPServer]:
    """It has one connection, number 0."""
    server = serve()
    with Peer(server.local_port) as peer:
        peer.login()
        yield server


def refused(action: Callable[..., object], *arguments: object, code: int = INVALID_ARGUMENT) -> None:
    with pytest.raises(SFTPServerError) as caught:
        action(*arguments)
    assert caught.value.code == code
    assert caught.value.description.endswith(".")


# --- properties ---


@pytest.mark.parametrize("member", PLAIN, ids=named)
def test_a_property_has_its_type_and_default_in_both_spellings(member: Property) -> None:
    server: Any = SFTPServer()
    for spelling in (member.name, pythonic(member.name)):
        value = getattr(server, spelling)
        assert value == expected(member)
        assert type(value) is TYPES[member.type]


EXAMPLES: dict[str, Value] = {
    "DefaultAuthMethods": "none,password",
    "SSHCompressionAlgorithms": "zlib,none",
    "SSHEncryptionAlgorithms": "aes128-ctr",
    "SSHKeyExchangeAlgorithms": "curve25519-sha256",
    "SSHMacAlgorithms": "hmac-sha2-512",
    "SSHPublicKeyAlgorithms": "rsa-sha2-256",
    "SSHPubKeyAuthSigAlgorithms": "rsa-sha2-256",
    "ServerSSHVersionString": "SSH-2.0-IPWorks SSH Daemon 2016",
    "KeyboardInteractivePrompts": "Code: ,echo=False;Colour: ,echo=True",
    "ServerEOL": "LF",
    "CodePage": 1252,
    "UseFIPSCompliantAPI": False,
    "UseInternalSecurityAPI": False,
    "ProtocolVersion": 6,
    "UseIPv6": 1,
    "LogLevel": 3,
    "UseStrictKeyExchange": 3,
    "SSHCertEncoded": b"not a certificate",
    "SFTPErrorMessage": "",
}
"""Another value than the default, where a text or number like any other will not do."""
UNMATCHED = ("SSHCertSubject", "AltSSHCertSubject")
"""Where nothing is found it is empty, as documented."""


def example(member: Property | Setting) -> Value:
    usual: dict[str, Value] = {"int": 7, "int64": 7, "string": "text", "bytes": b"bytes"}
    return EXAMPLES.get(member.name, usual.get(member.type, not expected(member)))


@pytest.mark.parametrize("member", [m for m in PLAIN if m.access == "rw" and m.name != "Listening"], ids=named)
def test_what_is_assigned_in_one_spelling_is_read_in_the_other(member: Property) -> None:
    value = b"" if member.name == "SSHCertEncoded" else example(member)
    kept = "" if member.name in UNMATCHED else value
    server: Any = SFTPServer()
    setattr(server, member.name, value)
    assert getattr(server, pythonic(member.name)) == kept
    server = SFTPServer()
    setattr(server, pythonic(member.name), value)
    assert getattr(server, member.name) == kept


@pytest.mark.parametrize("member", [member for member in PLAIN if member.access == "ro"], ids=named)
def test_a_read_only_property_cannot_be_assigned(member: Property) -> None:
    server: Any = SFTPServer()
    for spelling in (member.name, pythonic(member.name)):
        with pytest.raises(AttributeError):
            setattr(server, spelling, member.default)


@pytest.mark.parametrize("member", ARRAYS, ids=named)
def test_an_array_is_a_column_of_a_collection(member: Property, live: SFTPServer) -> None:
    live.keyboard_interactive_prompt_count = 1
    value = getattr(item(live, member), attribute(member))
    assert type(value) is TYPES[member.type]
    assert getattr(live, member.name)[0] == getattr(live, pythonic(member.name))[0] == value
    if member.indexed == "prompt":
        assert value == member.default


@pytest.mark.parametrize("member", ARRAYS, ids=named)
def test_an_element_that_is_not_there_is_an_error(member: Property, server: SFTPServer) -> None:
    array = getattr(server, member.name)
    if member.name == "SFTPConnectionConnected":
        assert array[0] is False
        refused(array.__setitem__, 0, True, code=UNKNOWN_CONNECTION)
        return
    for index in (-1, 1):
        refused(
            array.__getitem__, index, code=UNKNOWN_CONNECTION if member.indexed == "connection" else INVALID_ARGUMENT
        )
    if member.indexed == "connection" and member.access == "rw":
        refused(array.__setitem__, 0, b"" if member.type == "bytes" else 1, code=UNKNOWN_CONNECTION)


@pytest.mark.parametrize("member", [member for member in ARRAYS if member.access == "ro"], ids=named)
def test_an_element_of_a_read_only_array_cannot_be_assigned(member: Property, live: SFTPServer) -> None:
    before = getattr(live, member.name)[0]
    with pytest.raises(AttributeError):
        getattr(live, member.name)[0] = before
    with pytest.raises(AttributeError):
        setattr(item(live, member), attribute(member), before)


WRONG: dict[str, tuple[object, ...]] = {
    "bool": (1, "True", None),
    "int": ("7", 7.5, True, None),
    "int64": ("7", 7.5, True, None),
    "string": (7, b"text", None),
    "bytes": (7, None, ["a"]),
}
CHECKED = [member for member in PROPERTIES if member.access == "rw" and member.name != "SFTPConnectionConnected"]


@pytest.mark.parametrize("member", [member for member in CHECKED if member.name != "Listening"], ids=named)
def test_a_value_of_another_type_is_an_error_that_changes_nothing(member: Property, live: SFTPServer) -> None:
    if member.name in ("LocalHost", "LocalPort"):
        live.stop_listening()
    live.keyboard_interactive_prompt_count = 1
    owner, name = (item(live, member), attribute(member)) if member.indexed else (live, pythonic(member.name))
    before = getattr(owner, name)
    for value in WRONG[member.type]:
        refused(setattr, owner, name, value)
        assert getattr(owner, name) == before


def test_a_name_that_nobody_knows_is_an_attribute_error(server: SFTPServer) -> None:
    for name in ("NoSuchMember", "no_such_member", "SFTPConnectionNothing", "KeyboardInteractivePromptNothing"):
        with pytest.raises(AttributeError, match=pythonic(name)):
            getattr(server, name)
        with pytest.raises(AttributeError, match=pythonic(name)):
            setattr(server, name, 1)


# --- methods ---


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_a_method_is_there_in_both_spellings_with_its_parameters(method: Any) -> None:
    server: Any = SFTPServer()
    assert getattr(server, method.name) == getattr(server, pythonic(method.name))
    hints = typing.get_type_hints(getattr(SFTPServer, pythonic(method.name)))
    returns = hints.pop("return")
    assert returns is (TYPES[method.returns] if method.returns else type(None))
    required = [hints[name] for name in hints if name != "drain_timeout"]  # an added one that may be left out
    assert required == [TYPES[kind] for _, kind in method.params]


@pytest.mark.parametrize("name", ["Disconnect", "ExchangeKeys", "SetFileList"])
def test_methods_about_a_connection_that_is_not_there_raise_126(name: str, server: SFTPServer) -> None:
    more = ("a",) if name == "SetFileList" else ()
    for number in (0, -1, 10**9):
        refused(getattr(server, name), number, *more, code=UNKNOWN_CONNECTION)


# --- events ---


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_an_event_has_its_parameters_with_type_and_direction(event: Event) -> None:
    found = getattr(events, event.name)
    hints = typing.get_type_hints(found)
    assert set(found.parameters()) == {pythonic(param.name) for param in event.params}
    assert issubclass(found, events.BeforeAndAfter) is event.before_after
    for param in event.params:
        hint = hints[pythonic(param.name)]
        final = get_origin(hint) is Final
        assert final is (param.access == "ro"), param.name
        kind = get_args(hint)[0] if final else hint
        assert TYPES[param.type] in (kind, *get_args(kind)), param.name


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_a_handler_is_attached_under_each_of_its_names(event: Event) -> None:
    server: Any = SFTPServer()
    added = f"on_{pythonic(event.name)}"
    hook = getattr(server, added)
    assert not hook
    for name in (added, event.name, f"On{event.name}"):
        assert getattr(server, name) is hook
        seen: list[object] = []
        setattr(server, name, seen.append)
        assert hook.handlers == (seen.append,)
    setattr(server, event.name, None)
    assert not hook


def test_the_public_names_are_those_of_a_star_import() -> None:
    for event in EVENTS:
        assert event.name in libsshd.__all__
        assert getattr(libsshd, event.name) is getattr(events, event.name)
    added = {event.__name__ for event in events.EVENTS}
    enumerations = {kind.__name__ for kind in COUNTED.values()} | {"AuthMethod", "KeyAlgorithm"}
    assert added | enumerations <= set(libsshd.__all__)
    assert all(hasattr(libsshd, name) for name in libsshd.__all__)


# --- settings ---


@pytest.mark.parametrize("setting", GLOBAL, ids=named)
def test_a_setting_has_its_default_and_is_a_member_too(setting: Setting) -> None:
    server: Any = SFTPServer()
    value = getattr(server, pythonic(setting.name))
    assert type(value) is TYPES[setting.type]
    assert getattr(server, setting.name) == value
    assert server.config(setting.name) == text(value)
    if expected(setting) is not None:
        assert str(value).lower() == str(expected(setting)).lower(), "CrLF is spelt CRLF here"


@pytest.mark.parametrize("setting", CONFIG, ids=named)
def test_the_name_of_a_setting_has_no_case_and_may_stand_in_blanks(setting: Setting, live: SFTPServer) -> None:
    live.alt_ssh_cert_count = 1
    index = "[0]" if setting.indexed else ""
    value = live.config(setting.name + index)
    for name in (setting.name.upper(), setting.name.lower(), f" {setting.name} "):
        assert live.config(name + index) == value
    if setting.access == "rw" and setting.name != "MaxConnections" and value:
        assert live.config(f" {setting.name.lower()}{index} ={value}") == ""
        assert live.config(setting.name + index) == value


@pytest.mark.parametrize("setting", [s for s in GLOBAL if s.access == "rw"], ids=named)
def test_a_setting_that_is_written_is_read_back(setting: Setting) -> None:
    server: Any = SFTPServer()
    value = example(setting)
    assert server.config(f"{setting.name}={text(value)}") == ""
    assert server.config(setting.name) == text(value)
    assert getattr(server, pythonic(setting.name)) == value
    server = SFTPServer()
    setattr(server, setting.name, value)
    assert server.config(setting.name) == text(value)


@pytest.mark.parametrize("setting", PER_CONNECTION, ids=named)
def test_a_setting_of_a_connection_is_its_own_and_without_index_the_first_value_of_all(
    setting: Setting, live: SFTPServer
) -> None:
    if setting.access == "ro":
        refused(live.config, setting.name)
        assert live.config(f"{setting.name}[0]") == str(getattr(item(live, setting), pythonic(setting.name)))
        return
    first = "" if setting.name == "SFTPErrorMessage" else text(expected(setting))
    assert live.config(setting.name) == live.config(f"{setting.name}[0]") == first
    assert type(getattr(item(live, setting), pythonic(setting.name))) is TYPES[setting.type]
    value = text(example(setting))
    if setting.name != "UserRootDirectory":  # must exist inside the root
        live.config(f"{setting.name}[0]={value}")
        assert (live.config(setting.name), live.config(f"{setting.name}[0]")) == (first, value)
    live.config(f"{setting.name}={value}")
    assert live.config(setting.name) == value


@pytest.mark.parametrize("setting", PER_CONNECTION, ids=named)
def test_a_setting_of_a_connection_that_is_not_there_is_error_126(setting: Setting, server: SFTPServer) -> None:
    refused(server.config, f"{setting.name}[0]", code=UNKNOWN_CONNECTION)
    if setting.access == "rw":
        value = text(example(setting))
        refused(server.config, f"{setting.name}[0]={value}", code=UNKNOWN_CONNECTION)


@pytest.mark.parametrize("setting", PER_ALTERNATE, ids=named)
def test_a_setting_of_an_alternate_host_key_has_an_index(setting: Setting, server: SFTPServer) -> None:
    refused(server.config, setting.name)
    for index in (-1, 1):
        refused(server.config, f"{setting.name}[{index}]")
    kept = "" if setting.name in UNMATCHED else text(example(setting))
    server.config(f"{setting.name}[0]={text(example(setting))}")
    assert server.config(f"{setting.name}[0]") == kept
    assert text(getattr(server, setting.name)[0]) == text(getattr(item(server, setting), attribute(setting))) == kept


@pytest.mark.parametrize("setting", [setting for setting in CONFIG if setting.access == "ro"], ids=named)
def test_a_read_only_setting_cannot_be_written(setting: Setting, live: SFTPServer) -> None:
    index = "[0]" if setting.indexed else ""
    refused(live.config, f"{setting.name}{index}=1")
    owner = item(live, setting) if setting.indexed else live
    with pytest.raises(AttributeError):
        setattr(owner, pythonic(setting.name), "1")


@pytest.mark.parametrize("setting", [setting for setting in GLOBAL if setting.access == "rw"], ids=named)
def test_a_setting_does_not_take_an_index_or_a_value_of_another_type(setting: Setting, server: SFTPServer) -> None:
    before = server.config(setting.name)
    refused(server.config, f"{setting.name}[0]")
    for value in WRONG[setting.type]:
        refused(setattr, server, pythonic(setting.name), value)
    if setting.type != "string":
        for bad in ("", "maybe", "7.5", "seven"):
            refused(server.config, f"{setting.name}={bad}")
    assert server.config(setting.name) == before


@pytest.mark.parametrize("text_", ["NoSuch", "NoSuch=1", "", "=", "LogLevel[", "LogLevel[x]", "[0]", "Log Level"])
def test_what_is_no_setting_is_an_error(text_: str, server: SFTPServer) -> None:
    refused(server.config, text_)


@pytest.mark.parametrize("yes", ["True", "true", "TRUE", "1", "Yes", "yes"])
@pytest.mark.parametrize("no", ["False", "false", "0", "No"])
def test_booleans_are_written_in_many_ways_and_read_in_one(yes: str, no: str, server: SFTPServer) -> None:
    server.config(f"BindExclusively={no}")
    assert server.config("BindExclusively") == "False"
    server.config(f"BindExclusively={yes}")
    assert server.config("BindExclusively") == "True"


def test_a_value_is_everything_behind_the_first_equals_sign(server: SFTPServer) -> None:
    server.config("AltSSHCertStore[0]=-----BEGIN x-----\nab==\n a = b \n")
    assert server.config("AltSSHCertStore[0]") == "-----BEGIN x-----\nab==\n a = b \n"
    server.config("UserAuthBanner= x=y ")
    assert server.config("UserAuthBanner") == " x=y "


BOUNDS = {
    "DirListBufferSize": (0, None),  # 0 is added
    "ProtocolVersion": (3, 6),
    "AltSSHCertCount": (0, None),
    "LogLevel": (0, 3),
    "SSHKeepAliveInterval": (0, None),
    "UseStrictKeyExchange": (0, 3),
    "DefaultConnectionTimeout": (0, None),
    "MaxConnections": (1, 100_000),
    "UseIPv6": (0, 2),
}


def test_every_documented_range_of_numbers_is_tested() -> None:
    ranges = {setting.name for setting in CONFIG if setting.type in ("int", "int64") and setting.range}
    assert ranges - {"CodePage", "AltSSHCertStoreType"} == set(BOUNDS)


@pytest.mark.parametrize(("name", "least", "most"), [(name, *bounds) for name, bounds in BOUNDS.items()])
def test_a_number_outside_the_documented_range_is_an_error(
    name: str, least: int, most: int | None, server: SFTPServer
) -> None:
    for value in [least] + ([] if most is None else [most]):
        server.config(f"{name}={value}")
        assert server.config(name) == str(value)
    for value in [least - 1] + ([] if most is None else [most + 1]):
        refused(server.config, f"{name}={value}")
        if name != "DirListBufferSize":
            refused(setattr, server, pythonic(name), value)


@pytest.mark.parametrize("value", ["libsshd", "SSH-1.99-x", "", "SSH-2.0-a\nb", "SSH-2.0-ü", "SSH-2.0-" + "x" * 300])
def test_a_version_string_begins_with_the_protocol_and_is_one_line(value: str, server: SFTPServer) -> None:
    refused(setattr, server, "server_ssh_version_string", value)


@pytest.mark.parametrize("value", [7, 437000, 1 << 20, -1])
def test_a_code_page_without_a_codec_is_an_error_that_changes_nothing(value: int, server: SFTPServer) -> None:
    refused(setattr, server, "code_page", value)
    assert server.code_page == 65001


@pytest.mark.parametrize("given", ["CRLF", "CrLf", "crlf", "\r\n"])
def test_a_line_end_may_be_given_by_name_or_as_it_is(given: str, server: SFTPServer) -> None:
    server.server_eol = given
    assert server.config("ServerEOL") == "CRLF"


def test_texts_that_only_some_values_make_sense_of_are_checked(server: SFTPServer) -> None:
    for name, value in {
        "ServerEOL": "LFCR",
        "AllowedClients": "10.0.0.0/8",
        "BlockedClients": "10.0.0.0/8",
        "UseFIPSCompliantAPI": "True",
        "KeyboardInteractivePrompts": "Code: ,echo=maybe",
        "SSHMacAlgorithms": "hmac-md5-96",
        "SSHKeyExchangeAlgorithms": "",
    }.items():
        before = server.config(name)
        refused(server.config, f"{name}={value}")
        assert server.config(name) == before
    refused(setattr, server, "default_auth_methods", "password,hostbased")


def test_a_documented_list_of_algorithms_can_be_set_and_is_read_back_whole(server: SFTPServer) -> None:
    for setting in MEMBERS:
        if setting.name.endswith("Algorithms"):
            assert isinstance(setting.default, str)
            setattr(server, setting.name, setting.default)
            assert getattr(server, pythonic(setting.name)) == setting.default


def test_the_documented_default_can_be_set_wherever_another_one_is_taken(server: SFTPServer) -> None:
    documented = {member.name: member.default for member in MEMBERS}
    assert set(documented) >= set(DEVIATIONS)
    for name in DEVIATIONS:
        if name == "DirListBufferSize":
            server.config(f"{name}={text(documented[name])}")
            continue
        setattr(server, name, documented[name])
        assert getattr(server, name) == documented[name]


@pytest.mark.parametrize("member", [m for m in PROPERTIES if m.type == "string" and m.access == "rw"], ids=named)
def test_no_text_holds_a_nul(member: Property, server: SFTPServer) -> None:
    owner, name = (item(server, member), attribute(member)) if member.indexed else (server, pythonic(member.name))
    refused(setattr, owner, name, "a\0b")


@pytest.mark.parametrize("setting", [s for s in CONFIG if s.type == "string" and s.access == "rw"], ids=named)
def test_no_text_of_a_setting_holds_a_nul(setting: Setting, live: SFTPServer) -> None:
    live.alt_ssh_cert_count = 1
    index = "[0]" if setting.indexed else ""
    before = live.config(setting.name + index)
    refused(live.config, f"{setting.name}{index}=a\0b")
    assert live.config(setting.name + index) == before


@pytest.mark.parametrize("value", [-1, 100])
def test_a_store_type_is_between_0_and_99(value: int, server: SFTPServer) -> None:
    refused(setattr, server, "ssh_cert_store_type", value)
    refused(server.config, f"AltSSHCertStoreType[0]={value}")


def test_no_number_of_seconds_is_no_number(server: SFTPServer) -> None:
    refused(setattr, server, "login_timeout", float("nan"))
    server.login_timeout = 1234567.25
    assert server.config("LoginTimeout") == "1234567.25"


# --- errors and constants ---


def test_the_error_codes_are_the_documented_ones_and_each_says_what_to_do() -> None:
    assert sorted(code.value for code in ErrorCode) == sorted(ERRORS)
    assert len(ERRORS) == 69
    for code in ErrorCode:
        assert code.description.endswith("."), code
        assert str(SFTPServerError(code)) == f"[{code.value}] {code.description}"


COUNTED: dict[str, type[Enum]] = {
    "SSH_FX": constants.Status,
    "SSH_FXF": constants.OpenFlags,
    "ACE4": constants.AccessMask,
    "FILEXFER_TYPE": constants.FileType,
    "FILEXFER_ATTR_FLAGS": constants.AttribBits,
    "RENAME": constants.RenameFlags,
    "REALPATH": constants.RealpathControl,
    "CERT_STORE_TYPE": constants.CertStoreType,
    "LOG_LEVEL": constants.LogLevel,
    "STRICT_KEX": constants.StrictKex,
    "USE_IPV6": constants.UseIPv6,
}
PREFIXES = (
    "SSH_FXF_RENAME_", "SSH_FXP_REALPATH_", "SSH_FILEXFER_TYPE_", "SSH_FILEXFER_ATTR_FLAGS_", "SSH_FXF_", "SSH_FX_",
    "ACE4_", "cst",
)  # fmt: skip
SPELT = {"P7BFile": "P7B_FILE", "P7BBlob": "P7B_BLOB"}


@pytest.mark.parametrize("group", CONSTANTS)
def test_the_constants_have_their_documented_values(group: str) -> None:
    members = COUNTED[group].__members__
    for name, value in CONSTANTS[group].items():
        short = next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)
        assert members[SPELT.get(short, pythonic(short).upper())].value == value
    added = {"OpenFlags": {"TEXT"}}.get(COUNTED[group].__name__, set())
    assert len(members) == len(CONSTANTS[group]) + len(added)


@pytest.mark.parametrize(
    ("kind", "words"),
    [(constants.AuthMethod, [*WORDS["AUTH_METHOD"], "sigstatus"]),
     (constants.KeyAlgorithm, [*WORDS["KEY_ALGORITHM"], "ssh-ed25519"])],
)  # fmt: skip
def test_the_words_with_a_meaning_are_constants_too(kind: type[StrEnum], words: list[str]) -> None:
    assert {member.value for member in kind} == set(words)
    assert kind(words[0]) == words[0]


# --- types ---

ANNOTATIONS = {"bool": "bool", "int": "int", "int64": "int", "string": "str", "bytes": "bytes"}
VALUES = {"bool": "True", "int": "1", "int64": "1", "string": '"x"', "bytes": 'b"x"'}
HEAD = "from libsshd import *\nfrom libsshd import SFTPServer\n\nserver = SFTPServer()\n"


def place(member: Property | Setting) -> str:
    return f"server.{ITEMS[member.indexed][1]}[0].{attribute(member)}" if member.indexed else (
        f"server.{pythonic(member.name)}"
    )  # fmt: skip


def users_of_members() -> Iterator[str]:
    for number, member in enumerate(MEMBERS):
        yield f"member{number}: {ANNOTATIONS[member.type]} = {place(member)}"
        if member.access == "rw":
            yield f"{place(member)} = {VALUES[member.type]}"
    for number, method in enumerate(METHODS):
        call = f"server.{pythonic(method.name)}({', '.join(VALUES[kind] for _, kind in method.params)})"
        yield f"result{number}: {ANNOTATIONS[method.returns]} = {call}" if method.returns else call


def use(param: Param) -> str:
    name = pythonic(param.name)
    if param.access == "rw":
        return f"e.{name} = {VALUES[param.type]}"
    return f"told_{name}: {ANNOTATIONS[param.type]} = e.{name}"


def handlers_of(event: Event) -> Iterator[str]:
    hook = f"server.on_{pythonic(event.name)}"
    yield f"@{hook}"
    yield f"def decorated_{event.name}(e: {event.name}) -> None:"
    yield from (f"    {use(param)}" for param in event.params)
    yield f"{hook}.add(decorated_{event.name})"
    yield f"{hook} = decorated_{event.name}"
    yield f"{hook} = None"


def wrong_uses() -> Iterator[str]:
    for member in MEMBERS:
        if member.access == "ro":
            yield f"{place(member)} = {VALUES[member.type]}"
    for event in EVENTS:
        for param in event.params:
            if param.access == "ro":
                write = f"e.{pythonic(param.name)} = {VALUES[param.type]}"
                yield f"def write_{event.name}_{param.name}(e: {event.name}) -> None: {write}"
    yield "server.SFTPConnectionCount"
    yield "server.no_such_member"
    yield "server.local_port = '22'"
    yield "server.on_file_open = 1"
    yield "SFTPServer(no_such_setting=1)"


def test_a_type_checker_accepts_every_member_and_rejects_every_write_to_what_is_read_only(tmp_path: Path) -> None:
    right = [*HEAD.splitlines(), *users_of_members()]
    for event in EVENTS:
        right += handlers_of(event)
    wrong = [*HEAD.splitlines(), *wrong_uses()]
    for name, lines in (("right", right), ("wrong", wrong)):
        (tmp_path / f"{name}.py").write_text("\n".join(lines) + "\n")
    options = ["--strict", "--no-error-summary", "--hide-error-context", "--follow-imports=silent", "--config-file="]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={tmp_path}/cache", "right.py", "wrong.py"],
        env={"MYPYPATH": str(Path(libsshd.__file__).parents[1])},
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    complaints = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in complaints if not line.startswith("wrong.py:")], done.stdout + done.stderr
    rejected = {int(line.split(":")[1]) for line in complaints}
    begin = len(HEAD.splitlines())
    accepted = [line for number, line in enumerate(wrong, 1) if number > begin and number not in rejected]
    assert not accepted
