"""SFTPServer as a program uses it: life cycle, settings, errors, handlers, shutdown."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from libsshd import HostKey, SFTPServer, SFTPServerError, SSHUserAuthRequest

KEY = HostKey.generate("ed25519")


def accept_secret(e: SSHUserAuthRequest) -> None:
    e.accept = e.auth_method == "password" and e.auth_param == "secret"


def make(root: Path, **settings: Any) -> SFTPServer:
    options: dict[str, Any] = {
        "root_directory": str(root),
        "local_host": "127.0.0.1",
        "local_port": 0,
        "failure_delay": 0.0,
    }
    server = SFTPServer(host_keys=[KEY], **{**options, **settings})
    server.on_ssh_user_auth_request = accept_secret
    return server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SFTPServer]:
    with make(tmp_path) as running:
        yield running


def log_in(server: SFTPServer, password: str = "secret") -> paramiko.Transport:
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", server.local_port), timeout=10))
    transport.connect(username="bob", password=password)
    return transport


def sftp_on(transport: paramiko.Transport) -> paramiko.SFTPClient:
    client = paramiko.SFTPClient.from_transport(transport)
    assert client is not None
    return client


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "the condition did not come true in time"
        threading.Event().wait(0.01)


# --- life cycle ---


def test_the_ephemeral_port_is_readable_once_listening(server: SFTPServer) -> None:
    assert server.listening
    assert server.url == f"sftp://127.0.0.1:{server.local_port}"
    assert server.local_port > 0


def test_a_client_gets_what_lies_in_the_root(server: SFTPServer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello")
    transport = log_in(server)
    with sftp_on(transport).open("/a.txt") as file:
        assert file.read() == b"hello"
    transport.close()


def test_starting_twice_is_error_104(server: SFTPServer) -> None:
    with pytest.raises(SFTPServerError) as caught:
        server.start_listening()
    assert caught.value.code == 104


@pytest.mark.parametrize(("name", "code"), [("local_port", 106), ("local_host", 107), ("max_connections", 108)])
def test_what_the_socket_was_made_from_is_locked_while_listening(server: SFTPServer, name: str, code: int) -> None:
    with pytest.raises(SFTPServerError) as caught:
        setattr(server, name, getattr(server, name))
    assert caught.value.code == code


def test_without_a_host_key_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(SFTPServerError) as caught:
        SFTPServer(root_directory=str(tmp_path), local_port=0).start_listening()
    assert caught.value.code == 1301


@pytest.mark.parametrize("missing", ["no/such/directory"])
def test_without_a_root_nothing_starts(tmp_path: Path, missing: str) -> None:
    with pytest.raises(SFTPServerError) as caught:
        make(tmp_path, root_directory=missing).start_listening()
    assert caught.value.code == 2001


def test_a_list_without_a_usable_algorithm_is_refused_with_a_reason(tmp_path: Path) -> None:
    server = make(tmp_path)
    with pytest.raises(SFTPServerError, match="aes256-gcm"):
        server.ssh_encryption_algorithms = "arcfour"


def test_a_second_key_of_one_kind_is_refused_with_a_reason(tmp_path: Path) -> None:
    server = make(tmp_path)
    server.host_keys.append(HostKey.generate("ed25519"))
    with pytest.raises(SFTPServerError, match="second"):
        server.start_listening()


def test_a_busy_port_is_error_10048(server: SFTPServer, tmp_path: Path) -> None:
    with pytest.raises(SFTPServerError) as caught:
        make(tmp_path, local_port=server.local_port).start_listening()
    assert caught.value.code == 10048


def test_an_unknown_setting_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        make(tmp_path, no_such_setting=1)


def test_an_unknown_member_is_an_attribute_error(server: SFTPServer) -> None:
    with pytest.raises(AttributeError):
        server.no_such_member  # type: ignore[attr-defined]  # noqa: B018


def test_after_stop_listening_connections_carry_on_and_new_ones_are_refused(
    server: SFTPServer, tmp_path: Path
) -> None:
    transport = log_in(server)
    client = sftp_on(transport)
    server.stop_listening()
    (tmp_path / "late").write_bytes(b"x")
    assert client.listdir("/") == ["late"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.local_port), timeout=5)
    transport.close()


def test_a_server_can_be_started_again_after_shutdown(tmp_path: Path) -> None:
    server = make(tmp_path)
    for _ in range(2):
        server.start_listening()
        log_in(server).close()
        server.shutdown()
        assert not server.listening


def test_shutdown_leaves_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    make(tmp_path).shutdown()
    threads, before = threading.active_count(), descriptors()
    with make(tmp_path) as server:
        transports = [log_in(server) for _ in range(3)]
    for transport in transports:
        transport.close()
    until(lambda: threading.active_count() <= threads)
    until(lambda: descriptors() <= before)


def test_serve_forever_returns_after_shutdown(tmp_path: Path) -> None:
    server = make(tmp_path)
    server.start_listening()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.shutdown()
    thread.join(10)
    assert not thread.is_alive()


# --- shutdown ---


def test_a_drain_lets_an_open_file_be_finished_and_opens_no_other(server: SFTPServer, tmp_path: Path) -> None:
    transport = log_in(server)
    client = sftp_on(transport)
    file = client.open("/up", "wb")
    file.write(b"first")
    stopping = threading.Thread(target=server.shutdown, args=(30.0,))
    stopping.start()

    def refused() -> bool:
        try:
            client.open("/other", "wb").close()
        except OSError:
            return True
        return False

    until(refused)
    file.write(b" second")
    file.close()
    stopping.join(10)
    assert not stopping.is_alive()
    assert (tmp_path / "up").read_bytes() == b"first second"
    transport.close()


def test_a_second_shutdown_ends_the_drain_at_once(server: SFTPServer) -> None:
    transport = log_in(server)
    client = sftp_on(transport)
    held = client.open("/up", "wb")
    held.write(b"x")
    stopping = threading.Thread(target=server.shutdown, args=(600.0,))
    stopping.start()
    server.shutdown(0)
    stopping.join(15)
    assert not stopping.is_alive()
    until(lambda: not transport.is_active())


# --- handlers ---


def test_without_a_handler_nobody_gets_in(tmp_path: Path) -> None:
    server = make(tmp_path)
    server.on_ssh_user_auth_request = None
    with server, pytest.raises(paramiko.AuthenticationException):
        log_in(server)


def test_a_handler_that_raises_lets_nobody_in_and_the_server_lives_on(tmp_path: Path) -> None:
    server = make(tmp_path)
    calls: list[str] = []

    @server.on_ssh_user_auth_request
    def broken(e: SSHUserAuthRequest) -> None:
        calls.append(e.auth_method)
        if len(calls) == 1:
            raise RuntimeError("broken")

    with server:
        with pytest.raises(paramiko.AuthenticationException):
            log_in(server)
        log_in(server).close()
    assert "password" in calls


def test_the_event_tells_user_method_and_password(tmp_path: Path) -> None:
    server = make(tmp_path)
    seen: list[tuple[str, str, str, str]] = []
    server.on_ssh_user_auth_request.add(lambda e: seen.append((e.user, e.service, e.auth_method, e.auth_param)))
    with server:
        log_in(server).close()
    assert ("bob", "ssh-connection", "password", "secret") in seen


def test_the_home_directory_of_the_event_is_where_relative_paths_begin(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "f").write_bytes(b"1")
    server = make(tmp_path)

    @server.on_ssh_user_auth_request
    def at_home(e: SSHUserAuthRequest) -> None:
        e.home_dir = "/home"

    with server:
        transport = log_in(server)
        client = sftp_on(transport)
        assert client.normalize(".") == "/home"
        assert client.listdir("") == ["f"]
        transport.close()


# --- the log ---


def test_a_client_without_a_common_cipher_is_told_about_in_the_log(
    server: SFTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libsshd")
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", server.local_port), timeout=10))
    transport.get_security_options().ciphers = ("aes128-cbc",)
    with pytest.raises((paramiko.SSHException, EOFError)):
        transport.connect(username="bob", password="secret")
    transport.close()
    until(lambda: any("no match" in str(getattr(r, "fields", {}).get("reason")) for r in caplog.records))


def test_a_probe_that_never_speaks_leaves_nothing_above_debug(
    server: SFTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "libsshd")
    socket.create_connection(("127.0.0.1", server.local_port), timeout=10).close()
    until(lambda: any(getattr(r, "fields", {}).get("event") == "disconnect" for r in caplog.records))
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


# --- limits ---


def test_connections_beyond_the_limit_are_closed_at_once(tmp_path: Path) -> None:
    with make(tmp_path, max_connections=1) as server:
        transport = log_in(server)
        surplus = socket.create_connection(("127.0.0.1", server.local_port), timeout=10)
        assert surplus.recv(100) == b""
        surplus.close()
        transport.close()


def test_handles_are_limited_per_channel_and_given_back(tmp_path: Path) -> None:
    with make(tmp_path, max_handles_per_channel=4) as server:
        transport = log_in(server)
        client = sftp_on(transport)
        files = [client.open(f"/f{n}", "wb") for n in range(4)]
        with pytest.raises(OSError, match="Too many open files"):
            client.open("/one-more", "wb")
        for file in files:
            file.close()
        client.open("/one-more", "wb").close()
        transport.close()


def test_handles_are_limited_per_connection(tmp_path: Path) -> None:
    with make(tmp_path, max_handles_per_channel=4, max_handles_per_connection=6) as server:
        transport = log_in(server)
        first, second = sftp_on(transport), sftp_on(transport)
        held = [first.open(f"/a{n}", "wb") for n in range(4)] + [second.open(f"/b{n}", "wb") for n in range(2)]
        with pytest.raises(OSError, match="Too many open files"):
            second.open("/b2", "wb")
        assert len(held) == 6
        transport.close()
