"""The SSH transport as set: algorithms, versions, strict exchange, new keys, patience."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libsshd import Connected, Disconnected, Error, HostKey, Log, SFTPServer, StrictKex
from tests.contract.conftest import Connect, Serve, sftp_of
from tests.contract.covering import covers
from tests.support.account import KEY, PASSWORD, USER
from tests.support.command import run, wait_until
from tests.support.hostile import Peer, password_request
from tests.support.link import openssh_options
from tests.support.place import MIB, noise
from tests.support.rawsftp import RawSFTP, Type, string, u32
from tests.support.sshwire import DEADLINE, HOST, Message, message

TIMED_OUT = 10060
VERSION_NOT_SUPPORTED = 8
KEEP_ALIVE = message(Message.GLOBAL_REQUEST, string(b"keepalive@openssh.com"), b"\1")
STRICT_SERVER = b"kex-strict-s-v00@openssh.com"


def offer_of(server: SFTPServer) -> list[list[str]]:
    """The lists of the server's KEXINIT: kex, host keys, ciphers, MACs, compression, the last three twice."""
    with Peer(server.local_port) as peer:
        fields = peer.greet().expect(Message.KEXINIT)
        fields.take(16)
        lists = [fields.string().decode().split(",") for _ in range(8)]
    wait_until(lambda: server.sftp_connection_count == 0, "nobody is connected")
    return lists


def only(**preferences: tuple[str, ...]) -> Callable[[paramiko.Transport], object]:
    """Makes a paramiko client offer these and nothing else: `only(ciphers=("aes192-ctr",))`."""

    def prepare(transport: paramiko.Transport) -> None:
        options = transport.get_security_options()
        for name, values in preferences.items():
            setattr(options, name, values)

    return prepare


def exchanges(server: SFTPServer) -> list[str]:
    """Collects what SSHStatus says about exchanges that were completed."""
    told: list[str] = []
    server.on_ssh_status.add(lambda e: told.append(e.message) if e.message.startswith("Keys exchanged") else None)
    return told


def agreed(transport: Any, what: str) -> str:
    """What a paramiko client uses in both directions: cipher, mac or compression."""
    chosen, other = (getattr(transport, f"{side}_{what}") for side in ("local", "remote"))
    assert chosen == other
    return str(chosen)


# --- algorithms ---


@covers("SSHEncryptionAlgorithms")
def test_the_cipher_is_the_clients_first_that_is_on_the_list(serve: Serve, connect: Connect) -> None:
    server = serve(ssh_encryption_algorithms="aes256-ctr,arcfour,aes192-ctr")
    assert offer_of(server)[2:4] == [["aes256-ctr", "aes192-ctr"]] * 2, "what nobody has is not offered"
    transport = connect(server)
    assert agreed(transport, "cipher") == "aes192-ctr"
    assert server.ssh_encryption_algorithms == "aes256-ctr,arcfour,aes192-ctr"


@covers("SSHMacAlgorithms")
def test_the_mac_is_from_the_list(serve: Serve, connect: Connect) -> None:
    server = serve(ssh_mac_algorithms="hmac-sha2-512,hmac-sha1", ssh_encryption_algorithms="aes128-ctr")
    assert offer_of(server)[4:6] == [["hmac-sha2-512", "hmac-sha1"]] * 2
    assert agreed(connect(server), "mac") == "hmac-sha2-512"


@covers("SSHKeyExchangeAlgorithms")
def test_the_key_exchange_is_from_the_list(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.config("SSHKeyExchangeAlgorithms=diffie-hellman-group16-sha512,ecdh-sha2-nistp384")
    offered = [name for name in offer_of(server)[0] if not name.startswith(("ext-info", "kex-strict"))]
    assert offered == ["diffie-hellman-group16-sha512", "ecdh-sha2-nistp384"]
    told = exchanges(server)
    connect(server)
    assert told[0].startswith("Keys exchanged by ecdh-sha2-nistp384;")


@covers("SSHCompressionAlgorithms")
@pytest.mark.parametrize("name", ["none", "zlib", "zlib@openssh.com"])
def test_compression_is_from_the_list(serve: Serve, connect: Connect, root: Path, name: str) -> None:
    (root / "text").write_bytes(b"all work and no play\n" * 10_000)
    server = serve(ssh_compression_algorithms=name)
    assert offer_of(server)[6:8] == [[name]] * 2
    transport = connect(server, prepare=lambda client: client.use_compression(name != "none"))
    assert agreed(transport, "compression") == name
    with sftp_of(transport).open("/text") as file:
        assert file.read() == (root / "text").read_bytes()


@covers("SSHPublicKeyAlgorithms")
def test_the_host_key_algorithm_is_from_the_list(
    serve: Serve, connect: Connect, ed25519: HostKey, rsa: HostKey
) -> None:
    server = serve(host_keys=[ed25519, rsa])
    every = ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]
    assert offer_of(server)[1] == every, "those without a key are left out"
    server.config("SSHPublicKeyAlgorithms=rsa-sha2-256,ecdsa-sha2-nistp256,x509v3-sign-rsa,ssh-ed25519")
    assert offer_of(server)[1] == ["rsa-sha2-256", "ssh-ed25519"]
    transport = connect(server, prepare=only(key_types=("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519")))
    assert transport.host_key_type == "rsa-sha2-256"
    assert transport.get_remote_server_key().get_base64() == rsa.public_line.split()[1]


@covers("SSHPubKeyAuthSigAlgorithms")
def test_signatures_outside_the_list_are_refused_and_the_list_is_announced(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "id").write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "id"))
    server = serve()

    def log_in() -> bytes:
        with paramiko.Transport(socket.create_connection((HOST, server.local_port), timeout=DEADLINE)) as transport:
            transport.start_client(timeout=DEADLINE)
            transport.auth_publickey(USER, key)
            announced: bytes = transport.server_extensions["server-sig-algs"]  # type: ignore[attr-defined]
            return announced

    assert b"ssh-ed25519" in log_in().split(b",")
    server.config("SSHPubKeyAuthSigAlgorithms=ssh-ed25519,rsa-sha2-256")
    assert log_in() == b"ssh-ed25519,rsa-sha2-256"
    asked: list[str] = []
    server.on_ssh_user_auth_request.add(lambda e: asked.append(e.auth_method))
    server.config("SSHPubKeyAuthSigAlgorithms=rsa-sha2-512,rsa-sha2-256")
    with pytest.raises(paramiko.SSHException):
        log_in()
    assert "publickey" not in asked


@covers("SSHEncryptionAlgorithms", "SSHKeyExchangeAlgorithms", "SSHMacAlgorithms", "Error")
@pytest.mark.parametrize(
    "preferences",
    [{"ciphers": ("aes128-cbc",)}, {"kex": ("ecdh-sha2-nistp521",)},
     {"digests": ("hmac-md5",), "ciphers": ("aes128-ctr",)}, {"key_types": ("ecdsa-sha2-nistp256",)}],
    ids=["cipher", "kex", "mac", "host key"],
)  # fmt: skip
def test_a_client_without_a_common_algorithm_is_dropped_with_an_error(
    serve: Serve, connect: Connect, preferences: dict[str, tuple[str, ...]]
) -> None:
    server = serve()
    errors: list[Error] = []
    server.on_error.add(errors.append)
    with pytest.raises((paramiko.SSHException, EOFError)):
        connect(server, prepare=only(**preferences))
    wait_until(lambda: len(errors) == 1, "an Error event")
    assert errors[0].connection_id == 0
    connect(server)


# --- versions ---


@covers("ServerSSHVersionString", "ClientSSHVersionString")
def test_each_side_learns_how_the_other_calls_itself(serve: Serve, connect: Connect) -> None:
    server = serve(server_ssh_version_string="SSH-2.0-Tea_Pot short and stout")
    seen: list[str] = []
    server.on_ssh_user_auth_request.add(
        lambda e: seen.append(server.config(f"ClientSSHVersionString[{e.connection_id}]"))
    )
    transport = connect(server)
    assert transport.remote_version == "SSH-2.0-Tea_Pot short and stout"
    assert set(seen) == {transport.local_version}


@covers("SSHVersionPattern")
@pytest.mark.parametrize("pattern", ["*paramiko*", "SSH-2.0-p*,SSH-2.0-q*", " x* , *_5.*"])
def test_a_client_whose_version_fits_no_pattern_is_dropped(serve: Serve, connect: Connect, pattern: str) -> None:
    server = serve()
    server.config(f"SSHVersionPattern={pattern}")
    connect(server)
    with Peer(server.local_port) as peer:
        assert peer.greet().end().reason == VERSION_NOT_SUPPORTED


def test_the_usual_pattern_takes_no_other_version(serve: Serve) -> None:
    with Peer(serve().local_port) as peer:
        peer.version = b"SSH-2.9-later"
        assert peer.greet().exchange().end().reason == VERSION_NOT_SUPPORTED


# --- strict key exchange ---


@covers("UseStrictKeyExchange", "NegotiatedStrictKex")
@pytest.mark.parametrize("use", StrictKex)
def test_strict_exchange_with_a_client_that_can(serve: Serve, connect: Connect, use: StrictKex) -> None:
    server = serve(use_strict_key_exchange=use)
    assert (STRICT_SERVER.decode() in offer_of(server)[0]) is (use != StrictKex.DISABLED)
    before: list[str] = []
    server.on_connected = lambda e: before.append(server.config(f"NegotiatedStrictKex[{e.connection_id}]"))
    connect(server)
    agreed = server.sftp_connections[0].negotiated_strict_kex
    assert agreed is (use != StrictKex.DISABLED)
    assert server.config("NegotiatedStrictKex[0]") == str(agreed)
    assert before == ["False"]


@covers("UseStrictKeyExchange", "NegotiatedStrictKex")
@pytest.mark.parametrize(
    ("use", "cipher", "stays"),
    [
        (StrictKex.DISABLED, "aes128-cbc", True),
        (StrictKex.ENABLED, "aes128-cbc", True),
        (StrictKex.REJECT_AFFECTED, "aes128-cbc", False),
        (StrictKex.REJECT_AFFECTED, "aes128-gcm@openssh.com", True),
        (StrictKex.REQUIRED, "aes128-gcm@openssh.com", False),
    ],
)
def test_strict_exchange_with_a_client_that_cannot(
    serve: Serve, connect: Connect, use: StrictKex, cipher: str, stays: bool
) -> None:
    macs = "hmac-sha2-256-etm@openssh.com"
    server = serve(use_strict_key_exchange=use, ssh_encryption_algorithms=cipher, ssh_mac_algorithms=macs)
    errors: list[Error] = []
    server.on_error.add(errors.append)
    if stays:
        connect(server, strict_kex=False)
        assert server.config("NegotiatedStrictKex[0]") == "False"
        return
    with pytest.raises((paramiko.SSHException, EOFError)):
        connect(server, strict_kex=False)
    wait_until(lambda: len(errors) == 1, "an Error event")
    assert "strict" in errors[0].description.lower()
    connect(server, strict_kex=True)


@covers("UseStrictKeyExchange")
@pytest.mark.parametrize("use", StrictKex)
def test_openssh_works_whatever_the_use_of_strict_exchange(serve: Serve, tmp_path: Path, use: StrictKex) -> None:
    server = serve(use_strict_key_exchange=use)
    server.on_ssh_user_auth_request = lambda e: setattr(e, "accept", True)
    assert run(["sftp", *openssh_options(server.local_port), "-b", "-", HOST], home=tmp_path, stdin=b"pwd\n")


# --- new keys ---


@covers("KeyRenegotiationThreshold", "SSHStatus")
@pytest.mark.parametrize("threshold", [0, MIB])
def test_new_keys_are_made_after_so_many_bytes_of_both_directions(
    serve: Serve, connect: Connect, root: Path, threshold: int
) -> None:
    server = serve(key_renegotiation_threshold=threshold)
    told = exchanges(server)
    content = noise(3 * MIB)
    sftp = sftp_of(connect(server))
    with sftp.open("/file", "wb") as file:
        file.set_pipelined(True)
        file.write(content)
    with sftp.open("/file", "rb") as file:
        file.prefetch(len(content))
        assert file.read() == content
    assert (root / "file").read_bytes() == content
    assert len(told) == 1 if threshold == 0 else len(told) >= 3


@covers("ExchangeKeys", "SSHStatus")
def test_keys_are_exchanged_on_demand_while_a_file_is_read(serve: Serve, connect: Connect, root: Path) -> None:
    content = noise(8 * MIB)
    (root / "file").write_bytes(content)
    server = serve()
    told = exchanges(server)
    begun: list[str] = []
    server.on_ssh_status.add(lambda e: begun.append(e.message) if "begun by the server" in e.message else None)
    with sftp_of(connect(server)).open("/file", "rb") as file:
        file.prefetch(len(content))
        read = file.read(MIB)
        for number in (2, 3):
            server.exchange_keys(0)
            read += file.read(MIB)
            wait_until(lambda number=number: len(told) == number, "new keys")  # type: ignore[misc]
        assert read + file.read() == content
    assert len(begun) == 2


# --- patience ---


@pytest.fixture
def ends() -> list[Disconnected]:
    """How connections ended."""
    return []


@pytest.fixture
def patient(serve: Serve, ends: list[Disconnected]) -> Serve:
    """Starts servers that set no limit to anybody's silence."""

    def begin(**settings: Any) -> SFTPServer:
        server = serve(**{"login_timeout": 0.0, "default_timeout": 0, **settings})
        server.on_disconnected.add(ends.append)
        return server

    return begin


def timed_out(ends: list[Disconnected]) -> None:
    """One connection has ended, for its silence."""
    wait_until(lambda: len(ends) == 1, "Disconnected")
    assert ends[0].status_code == TIMED_OUT
    assert ends[0].description.startswith("[10060] ")


def log_in(peer: Peer) -> Peer:
    assert peer.service().attempt(password_request(USER.encode(), PASSWORD.encode())) == Message.USERAUTH_SUCCESS
    return peer


@covers("DefaultConnectionTimeout", "Disconnected")
def test_silence_before_the_first_keys_ends_a_connection_and_later_it_does_not(
    patient: Serve, ends: list[Disconnected]
) -> None:
    server = patient(default_connection_timeout=1)
    with Peer(server.local_port) as later, Peer(server.local_port) as silent:
        later.connect()
        assert silent.greet().end_of_stream()
        timed_out(ends)
        log_in(later)


@covers("DefaultTimeout", "SFTPConnectionTimeout")
def test_silence_during_a_login_ends_a_connection_and_a_quiet_user_stays(
    patient: Serve, ends: list[Disconnected]
) -> None:
    server = patient(default_timeout=1)
    with Peer(server.local_port) as quiet:
        quiet.login()
        assert server.sftp_connections[0].timeout == 1, "its first value"
        with Peer(server.local_port) as silent:
            assert silent.connect().service().end_of_stream()
        timed_out(ends)
        quiet.round_trip()


@covers("SFTPConnectionTimeout")
def test_a_connection_has_a_timeout_of_its_own(patient: Serve, ends: list[Disconnected]) -> None:
    server = patient()

    @server.on_connected
    def hurry(e: Connected) -> None:
        if e.connection_id == 1:
            server.sftp_connections[1].timeout = 1

    with Peer(server.local_port) as patient_one:
        patient_one.connect()
        with Peer(server.local_port) as silent:
            assert silent.connect().end_of_stream()
        timed_out(ends)
        log_in(patient_one)


@covers("SFTPConnectionTimeout")
def test_a_timeout_set_later_counts_for_the_rest_of_a_packet(patient: Serve, ends: list[Disconnected]) -> None:
    server = patient()
    with Peer(server.local_port) as peer:
        channel = peer.login().sftp()
        RawSFTP(channel).init()
        channel.send(u32(9) + bytes([Type.LSTAT]))
        server.sftp_connections[0].timeout = 1
        assert peer.end_of_stream()
    timed_out(ends)


@covers("SSHKeepAliveInterval", "SSHKeepAliveCountMax", "Disconnected")
def test_a_client_that_does_not_answer_is_given_up(patient: Serve, ends: list[Disconnected]) -> None:
    server = patient(ssh_keep_alive_interval=1, ssh_keep_alive_count_max=1)
    with Peer(server.local_port) as peer:
        peer.login()
        assert peer.receive() == KEEP_ALIVE
        peer.send(message(Message.REQUEST_FAILURE))
        assert peer.receive() == KEEP_ALIVE, "an answer of any kind is a sign of life"
        assert not ends
        assert peer.end_of_stream()
    timed_out(ends)


@covers("MaxReadTime")
def test_what_is_owed_leaves_when_the_read_time_is_over_though_more_waits(serve: Serve) -> None:
    """Each request is held, where nothing is sent by itself, until the client has the answer to the one before."""
    server = serve(max_read_time=1, log_level=2)
    answered = threading.Semaphore(1)
    in_time: list[bool] = []

    @server.on_log
    def hold(e: Log) -> None:
        if e.message.startswith(f"SFTP packet type {Type.LSTAT} received"):
            in_time.append(answered.acquire(timeout=DEADLINE / 2))
            due = time.monotonic() + 0.002
            while time.monotonic() < due:
                pass

    with Peer(server.local_port) as peer:
        sftp = RawSFTP(peer.login().sftp()).init()
        sftp.post_all([sftp.request(Type.LSTAT, string(b"/")) for _ in range(10)])
        for _ in range(10):
            sftp.reply()
            answered.release()
    assert in_time == [True] * 10
