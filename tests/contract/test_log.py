"""What the server tells the program: Log, SSHStatus and Error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from libsshd import Disconnected, Error, Log, LogLevel, SFTPServer, SSHStatus, SSHUserAuthRequest
from tests.contract.conftest import Connect, Serve, sftp_of
from tests.contract.covering import covers
from tests.support.account import PASSWORD
from tests.support.command import wait_until
from tests.support.hostile import Peer, auth_request, password_request
from tests.support.rawsftp import Code, RawSFTP, Type, string, u32
from tests.support.sshwire import Message


def spell(text: str) -> set[str]:
    """The ways in which a text could stand in a log."""
    return {text, text.encode().hex(), text.encode().hex(" ")}


def holds(messages: list[Log], text: str) -> bool:
    return any(form in message.message for message in messages for form in spell(text))


@pytest.fixture
def logged(serve: Serve, connect: Connect, root: Path) -> Callable[..., list[Log]]:
    """What is logged while a client logs in and reads the file `readme`, up to its end."""
    (root / "readme").write_bytes(b"some content")

    def visit(**settings: object) -> list[Log]:
        server = serve(**settings)
        messages: list[Log] = []
        server.on_log.add(messages.append)
        transport = connect(server)
        with sftp_of(transport).open("/readme") as file:
            assert file.read() == b"some content"
        transport.close()
        wait_until(lambda: server.sftp_connection_count == 0, "the connection has ended")
        return messages

    return visit


@covers("LogLevel", "Log")
@pytest.mark.parametrize("level", LogLevel)
def test_a_level_lets_through_its_messages_and_those_below(logged: Callable[..., list[Log]], level: LogLevel) -> None:
    messages = logged(log_level=level)
    assert {message.log_level for message in messages} == set(range(1, level + 1))
    assert all(message.log_type == "" and message.message for message in messages)
    assert {message.connection_id for message in messages} <= {-1, 0}
    assert holds(messages, "Keys exchanged") is (level >= LogLevel.INFO)
    assert any("SFTP packet type" in message.message for message in messages) is (level >= LogLevel.VERBOSE)
    assert holds(messages, "readme") is (level >= LogLevel.INFO)
    assert holds(messages, "some content") is (level == LogLevel.DEBUG)


@covers("LogLevel")
def test_a_level_that_changes_counts_at_once(serve: Serve, connect: Connect, root: Path) -> None:
    (root / "readme").write_bytes(b"some content")
    server = serve(log_level=0)
    messages: list[Log] = []
    server.on_log.add(messages.append)
    sftp = sftp_of(connect(server))
    sftp.listdir("/")
    assert not messages
    server.config("LogLevel=2")
    with sftp.open("/readme") as file:
        assert file.read() == b"some content"
    for packet in ("type 3 ", "type 4 ", "type 5 "):
        assert any(f"SFTP packet {packet}" in message.message for message in messages), "OPEN, CLOSE and READ"
    server.config("LogLevel=0")
    sftp.listdir("/")
    seen = len(messages)
    sftp.listdir("/")
    assert len(messages) == seen


@covers("MaskSensitive")
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_passwords_and_answers_are_masked_unless_they_shall_not_be(serve: Serve, masked: bool, method: str) -> None:
    server = serve(log_level=3, mask_sensitive=masked, default_auth_methods=method)
    server.config("KeyboardInteractivePrompts=Code: ,echo=False")
    server.on_ssh_user_auth_request = lambda e: setattr(e, "accept", True)
    messages: list[Log] = []
    server.on_log.add(messages.append)
    with paramiko.Transport(("127.0.0.1", server.local_port)) as transport:
        transport.start_client(timeout=20)
        if method == "password":
            transport.auth_password("alice", PASSWORD, fallback=False)
        else:
            transport.auth_interactive("alice", lambda *_: [PASSWORD])
    assert holds(messages, PASSWORD) is not masked
    assert any(message.log_level == 3 for message in messages)


@covers("SSHStatus", "Log")
def test_status_tells_of_the_handshake_the_login_and_the_session(serve: Serve, connect: Connect) -> None:
    server = serve()
    told: list[SSHStatus] = []
    logged: list[Log] = []
    server.on_ssh_status.add(told.append)
    server.on_log.add(logged.append)
    transport = connect(server)
    sftp_of(transport)
    text = "\n".join(event.message for event in told)
    for part in (transport.local_version, "Keys exchanged by", "User alice", "SFTP version 3"):
        assert part in text
    assert {event.connection_id for event in told} == {0}
    assert {event.message for event in told} <= {event.message for event in logged}


@pytest.fixture
def peer(serve: Serve) -> Iterator[tuple[SFTPServer, Peer, list[Error]]]:
    server = serve(max_auth_attempts=1)
    errors: list[Error] = []
    server.on_error.add(errors.append)
    with Peer(server.local_port) as peer:
        yield server, peer, errors


Watched = tuple[SFTPServer, Peer, list[Error]]


@covers("Error", "MaxAuthAttempts")
def test_too_many_failures_to_log_in_are_error_1300(peer: Watched) -> None:
    _, client, errors = peer
    client.connect().service().send(password_request(b"alice", b"wrong"))
    assert client.end().reason == 14
    wait_until(lambda: len(errors) == 1, "an Error event")
    assert (errors[0].connection_id, errors[0].error_code) == (0, 1300)
    assert errors[0].description.endswith(".")


@covers("Error")
def test_a_packet_that_cannot_be_one_ends_its_channel_with_an_error(peer: Watched) -> None:
    _, client, errors = peer
    client.login()
    broken, good = client.sftp(), RawSFTP(client.sftp())
    broken.send(u32(1 << 31))
    client.pump(lambda: broken.closed, "the channel is closed")
    assert [error.connection_id for error in errors] == [0]
    good.init().listing(b"/")


@covers("Error")
def test_a_handler_that_raises_is_told_about_with_its_words(peer: Watched) -> None:
    server, client, errors = peer

    def fail(e: object) -> None:
        raise LookupError("no such account")

    server.on_dir_list = fail
    client.login()
    assert RawSFTP(client.sftp()).init().ask(Type.OPENDIR, string(b"/")).code == Code.FAILURE
    assert [error.error_code for error in errors] == [2002]
    assert "no such account" in errors[0].description


@covers("Error", "Log")
def test_a_handler_of_error_or_log_that_raises_hurts_nobody(serve: Serve, connect: Connect) -> None:
    server = serve(log_level=3)

    def fail(e: object) -> None:
        raise RuntimeError("out of paper")

    server.on_log = fail
    server.on_ssh_status = fail
    server.on_error = fail
    assert sftp_of(connect(server)).listdir("/") == []
    with Peer(server.local_port) as stranger:
        stranger.connect().service()
        assert stranger.attempt(password_request(b"alice", b"wrong")) == Message.USERAUTH_FAILURE


def test_a_message_is_one_line_whatever_a_stranger_calls_himself(serve: Serve) -> None:
    server = serve()
    messages: list[Log] = []
    server.on_log = messages.append
    with Peer(server.local_port) as peer:
        peer.connect().service().attempt(auth_request(b"bob\nlogin accepted: user root", b"none"))
    wait_until(lambda: server.sftp_connection_count == 0, "the connection has ended")
    assert holds(messages, "bob")
    assert not any("\n" in message.message for message in messages)


def test_what_a_handler_of_a_login_raises_may_be_a_password_and_is_told_nowhere(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    errors: list[Error] = []
    server.on_error = errors.append

    @server.on_ssh_user_auth_request
    def look_up(e: SSHUserAuthRequest) -> None:
        if e.auth_method == "password":
            raise KeyError(e.auth_param)

    with pytest.raises(paramiko.AuthenticationException):
        connect(server)
    assert errors[0].description == "A handler of SSHUserAuthRequest failed: KeyError"
    assert "look_up" in caplog.text
    assert PASSWORD not in caplog.text


def test_no_channel_is_opened_while_too_much_waits_for_a_program_that_does_not_poll(serve: Serve) -> None:
    server = serve()
    server.on_disconnected.add(lambda _: None)
    with Peer(server.local_port) as peer:
        peer.login()
        assert peer.open_channel().ask(b"subsystem", string(b"sftp"))
        server.process_idle_events = False
        for _ in range(10_001):
            server._dispatcher.tell(
                server.on_disconnected, Disconnected(connection_id=7, status_code=0, description="OK")
            )
        assert not peer.open_channel().ask(b"subsystem", string(b"sftp"))
        server.do_events()
        assert peer.open_channel().ask(b"subsystem", string(b"sftp"))
        server.process_idle_events = True
