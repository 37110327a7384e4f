"""Methods, the login as real clients see it, and settings that stand alone."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import paramiko
import pytest

from libsshd import Disconnected, HostKey, SFTPServer, SFTPServerError, SSHUserAuthRequest, __version__
from tests.contract.conftest import Connect, Serve, sftp_of
from tests.contract.covering import covers
from tests.contract.surface import CONFIG, PROPERTIES
from tests.support.account import KEY, USER
from tests.support.command import wait_until
from tests.support.door import Door, accept, right
from tests.support.hostile import Peer, auth_request, signed_request
from tests.support.sshwire import DEADLINE, HOST, Message


@pytest.fixture
def ends() -> list[Disconnected]:
    """How connections ended."""
    return []


def is_open(transport: paramiko.Transport) -> bool:
    return bool(transport.is_active())


def error_of(action: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(SFTPServerError) as caught:
        action(*arguments)
    return caught.value.code


# --- methods ---


@covers("StartListening", "StopListening", "Listening", "LocalPort")
def test_a_server_that_stopped_can_start_again_at_its_port(serve: Serve, connect: Connect) -> None:
    server = serve()
    port = server.local_port
    first = connect(server)
    server.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    server.start_listening()
    assert server.local_port == port
    second = connect(server)
    assert sftp_of(first).listdir("/") == sftp_of(second).listdir("/") == []


@covers("Disconnect", "SFTPConnectionConnected", "Disconnected")
@pytest.mark.parametrize("how", ["method", "property"])
def test_one_connection_is_ended_and_the_others_stay(
    serve: Serve, connect: Connect, ends: list[Disconnected], how: str
) -> None:
    server = serve()
    server.on_disconnected.add(ends.append)
    transports = [connect(server) for _ in range(3)]
    if how == "method":
        server.disconnect(1)
    else:
        server.sftp_connections[1].connected = False
    wait_until(lambda: not is_open(transports[1]), "the client is told")
    wait_until(lambda: len(ends) == 1, "Disconnected")
    assert (ends[0].connection_id, ends[0].status_code, ends[0].description) == (1, 0, "OK")
    wait_until(lambda: error_of(server.disconnect, 1) == 126, "the number is free")
    assert [connection.id for connection in server.sftp_connections] == [0, 2]
    assert sftp_of(transports[0]).listdir("/") == sftp_of(transports[2]).listdir("/") == []


@covers("Shutdown", "Disconnected")
def test_shutdown_stops_to_listen_and_ends_every_connection(
    serve: Serve, connect: Connect, ends: list[Disconnected]
) -> None:
    server = serve()
    server.on_disconnected.add(ends.append)
    transports = [connect(server) for _ in range(3)]
    server.shutdown()
    assert not server.listening
    assert server.sftp_connection_count == 0
    assert sorted((end.connection_id, end.status_code) for end in ends) == [(0, 0), (1, 0), (2, 0)]
    for transport in transports:
        wait_until(lambda transport=transport: not is_open(transport), "the client is told")  # type: ignore[misc]
    with pytest.raises(ConnectionRefusedError):
        connect(server)


@covers("Reset", "AltSSHCertCount", "KeyboardInteractivePromptCount")
def test_reset_ends_everything_and_gives_back_the_defaults(serve: Serve, connect: Connect) -> None:
    server = serve(max_auth_attempts=3, tcp_no_delay=False, use_ipv6=2, ssh_encryption_algorithms="aes128-ctr")
    server.ssh_cert = HostKey.generate("ecdsa")
    server.config("UserAuthBanner=hello")
    server.config("KeyboardInteractivePrompts=Code: ")
    server.keyboard_interactive_prompts.add("Colour: ")
    transport = connect(server)
    server.alt_ssh_cert_count = 1
    server.reset()
    wait_until(lambda: not is_open(transport), "the client is told")
    fresh = SFTPServer()
    plain = [member.name for member in PROPERTIES if not member.indexed]
    for name in plain + [setting.name for setting in CONFIG if not setting.indexed]:
        assert getattr(server, name) == getattr(fresh, name)
    for setting in CONFIG:
        if setting.indexed == "connection" and setting.access == "rw":
            assert server.config(setting.name) == fresh.config(setting.name)
    assert server.host_keys == []
    assert error_of(server.start_listening) == 1301
    assert server.on_ssh_user_auth_request, "handlers stay attached"


@covers("Config")
def test_what_is_written_as_text_counts_for_clients(serve: Serve, connect: Connect) -> None:
    server = serve()
    assert server.config("serversshversionstring=SSH-2.0-by_text") == ""
    assert server.config("ServerSSHVersionString") == "SSH-2.0-by_text"
    assert connect(server).remote_version == "SSH-2.0-by_text"


@covers("RootDirectory")
def test_the_root_is_what_clients_see_and_a_change_counts_for_those_who_come_later(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
        (root / root.name).touch()
    server = serve(root_directory=str(roots[0]))
    first = sftp_of(connect(server))
    server.root_directory = str(roots[1])
    second = sftp_of(connect(server))
    assert first.listdir("/") == ["one"]
    assert second.listdir("/") == ["two"]
    assert first.normalize("../../..") == "/"


@covers("RootDirectory")
def test_a_root_that_is_no_directory_is_error_2001(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "missing", tmp_path / "file"):
        assert error_of(lambda root=root: serve(root_directory=str(root))) == 2001


@covers("ConnectionUID", "SFTPConnectionCount")
def test_a_uid_is_never_used_again_though_the_number_is(serve: Serve, connect: Connect) -> None:
    server = serve()
    seen = set()
    for _ in range(3):
        transport = connect(server)
        seen.add(server.config("ConnectionUID[0]"))
        assert server.sftp_connection_count == 1
        transport.close()
        wait_until(lambda: server.sftp_connection_count == 0, "the number is free")
    assert len(seen) == 3
    assert "" not in seen


# --- the login ---


def begun(server: SFTPServer) -> paramiko.Transport:
    """A client that has keys and has not asked for anything. The caller closes it."""
    transport = paramiko.Transport(socket.create_connection((HOST, server.local_port), timeout=DEADLINE))
    transport.start_client(timeout=DEADLINE)
    return transport


Questions = list[tuple[str, str, list[tuple[str, bool]]]]


def answer(server: SFTPServer, *answers: str, user: str = USER) -> Questions:
    """Logs in by keyboard-interactive; title, instruction and prompts of each question."""
    asked: Questions = []

    def reply(title: str, instruction: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        asked.append((title, instruction, list(prompts)))
        return list(answers) if prompts else []

    with begun(server) as transport:
        transport.auth_interactive(user, reply)
        assert transport.is_authenticated()
    return asked


@covers(
    "KeyboardInteractiveMessage", "KeyboardInteractivePromptCount", "KeyboardInteractivePromptPrompt",
    "KeyboardInteractivePromptEcho", "DefaultAuthMethods", "SSHUserAuthRequest",
)  # fmt: skip
def test_a_client_is_asked_what_the_arrays_say(serve: Serve) -> None:
    server = serve(default_auth_methods="keyboard-interactive", keyboard_interactive_message="Two questions")
    server.keyboard_interactive_prompt_count = 2
    for index, (text, echo) in enumerate([("Colour: ", True), ("Code: ", False)]):
        server.keyboard_interactive_prompts[index].prompt = text
        server.keyboard_interactive_prompts[index].echo = echo
    door = Door(
        {
            "keyboard-interactive-1": right("blue"),
            "keyboard-interactive-2": right("1234"),
            "keyboard-interactive": accept,
        }
    )
    server.on_ssh_user_auth_request = door
    prompts = [("Colour: ", True), ("Code: ", False)]
    assert answer(server, "blue", "1234") == [("", "Two questions", prompts)]
    assert door.seen[-3:] == [
        ("keyboard-interactive-1", "blue"), ("keyboard-interactive-2", "1234"), ("keyboard-interactive", ""),
    ]  # fmt: skip
    with pytest.raises(paramiko.AuthenticationException):
        answer(server, "red", "1234")
    server.keyboard_interactive_prompt_count = 1
    assert answer(server, "blue") == [("", "Two questions", prompts[:1])]


@covers("KeyboardInteractivePrompts", "ConnectionUID")
def test_a_connection_is_asked_what_is_set_for_it(serve: Serve) -> None:
    server = serve(default_auth_methods="keyboard-interactive")
    server.keyboard_interactive_prompts.add("of all: ")

    @server.on_ssh_user_auth_request
    def login(e: SSHUserAuthRequest) -> None:
        e.accept = e.auth_method.startswith("keyboard")
        if e.auth_method == "none" and e.user == USER:
            server.config(f"KeyboardInteractivePrompts[{e.connection_id}]=Name;a=b; ,echo=Yes")

    def prompts(user: str) -> list[str]:
        with begun(server) as transport:
            with pytest.raises(paramiko.BadAuthenticationType):
                transport.auth_none(user)
            asked: list[str] = []

            def reply(_: str, __: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
                asked.extend(text for text, _ in prompts)
                return ["x"] * len(prompts)

            transport.auth_interactive(user, reply)
            return asked

    assert prompts(USER) == ["Name", "a=b", " "]
    assert prompts("bob") == ["of all: "]
    server.config("KeyboardInteractivePrompts=for all others: ")
    assert prompts("bob") == ["for all others: "]


@covers("DefaultAuthMethods")
@pytest.mark.parametrize("methods", ["password", "publickey,password", "keyboard-interactive"])
def test_the_methods_are_what_a_client_is_told(serve: Serve, methods: str) -> None:
    server = serve(default_auth_methods=methods)
    with begun(server) as transport, pytest.raises(paramiko.BadAuthenticationType) as caught:
        transport.auth_none(USER)
    assert caught.value.allowed_types == methods.split(",")


@covers("MaxAuthAttempts")
@pytest.mark.parametrize("most", [1, 3])
def test_so_many_failures_end_a_connection(serve: Serve, most: int) -> None:
    server = serve(max_auth_attempts=most)
    with begun(server) as transport:
        for _ in range(most):
            assert is_open(transport)
            with pytest.raises(paramiko.SSHException):
                transport.auth_password(USER, "wrong", fallback=False)
        wait_until(lambda: not is_open(transport), "the server hangs up")


@covers("FireAuthRequestAfterSig")
@pytest.mark.parametrize("fires", [True, False])
def test_what_came_of_a_signature_is_told_when_asked_for(serve: Serve, fires: bool) -> None:
    server = serve(fire_auth_request_after_sig=fires)
    told: list[tuple[str, str]] = []
    server.on_ssh_user_auth_request.add(lambda e: told.append((e.auth_method, e.auth_param)))
    with Peer(server.local_port) as peer:
        peer.connect().service()
        wrong = signed_request(peer.session_id, USER.encode(), KEY, damage=1)
        assert peer.attempt(wrong) == Message.USERAUTH_FAILURE
        assert peer.attempt(signed_request(peer.session_id, USER.encode(), KEY)) == Message.USERAUTH_SUCCESS
    expected = ["publickey", "sigstatus", "publickey", "sigstatus"] if fires else ["publickey"] * 2
    assert [method for method, _ in told] == expected
    assert [value for method, value in told if method == "sigstatus"] == (["0", "1"] if fires else [])


@covers("UserAuthBanner")
def test_a_banner_set_in_the_event_is_shown_to_that_client(serve: Serve) -> None:
    server = serve()

    def greet(e: SSHUserAuthRequest) -> None:
        if e.user == USER:
            server.sftp_connections[e.connection_id].user_auth_banner = f"Grüezi {e.user}\n"

    server.on_ssh_user_auth_request.add(greet)
    for user, banner in ((USER, "Grüezi alice\n".encode()), ("bob", None)):
        with begun(server) as transport:
            with pytest.raises(paramiko.BadAuthenticationType):
                transport.auth_none(user)
            assert transport.get_banner() == banner


@covers("CodePage")
@pytest.mark.parametrize(
    ("code_page", "sent"), [(65001, "Jürgen".encode()), (1252, b"J\xfcrgen"), (850, b"J\x81rgen")]
)
def test_a_user_is_named_in_the_code_page(serve: Serve, code_page: int, sent: bytes) -> None:
    server = serve(code_page=code_page)
    users: list[str] = []
    server.on_ssh_user_auth_request.add(lambda e: users.append(e.user))
    with Peer(server.local_port) as peer:
        peer.connect().service().attempt(auth_request(sent, b"none"))
    assert users == ["Jürgen"]


# --- settings that stand alone ---


@covers("UseIOCP", "UseWindowsMessages", "UseInternalSecurityAPI")
@pytest.mark.parametrize("name", ["UseIOCP", "UseWindowsMessages", "UseInternalSecurityAPI"])
def test_what_only_windows_knows_is_kept_and_hurts_nobody(serve: Serve, connect: Connect, name: str) -> None:
    server = serve()
    for value in (server.config(name) != "True", server.config(name) == "True"):
        assert server.config(f"{name}={value}") == ""
        assert server.config(name) == str(value)
        assert sftp_of(connect(server)).listdir("/") == []


@covers("UseIOCP", "UseWindowsMessages")
def test_one_way_of_windows_excludes_the_other(serve: Serve, connect: Connect) -> None:
    server = serve(use_windows_messages=True)
    server.config("UseIOCP=True")
    assert server.config("UseWindowsMessages") == "False"
    connect(server)


@covers("UseFIPSCompliantAPI")
def test_compliance_is_not_feigned(serve: Serve, connect: Connect) -> None:
    server = serve()
    with pytest.raises(SFTPServerError, match="validated"):
        server.config("UseFIPSCompliantAPI=True")
    server.config("UseFIPSCompliantAPI=False")
    assert server.config("UseFIPSCompliantAPI") == "False"
    connect(server)


@covers("BuildInfo")
def test_the_build_is_named_as_clients_see_it(serve: Serve, connect: Connect) -> None:
    server = serve()
    assert server.config("BuildInfo") == server.build_info
    assert f"libsshd {__version__}" in server.build_info
    assert connect(server).remote_version == f"SSH-2.0-libsshd_{__version__}"


@covers("LicenseInfo")
def test_the_licence_has_five_lines_with_labels(serve: Serve) -> None:
    lines = serve().config("LicenseInfo").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "Product", "Product Key", "License Source", "License Type", "Last Valid Build",
    ]  # fmt: skip
    assert all(line.partition(": ")[2] for line in lines)
    assert lines[0] == "Product: libsshd"
