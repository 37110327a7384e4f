"""The keys that the server shows itself with: SSHCert..., AltSSHCert... and Connected's Cert...."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest

from libsshd import CertStoreType, Connected, Disconnected, Error, HostKey, SFTPServer, SFTPServerError
from tests.contract.conftest import Connect, Serve
from tests.contract.covering import covers
from tests.hostkeys import material
from tests.hostkeys.material import PASSWORD, SUBJECT, Material
from tests.support.account import let_in
from tests.support.command import wait_until
from tests.support.hostile import Peer

KEYLESS = [*range(2), 4, 5, *range(8, 14), *range(20, 24), 98]
"""Store types that no host key can come from here."""


@pytest.fixture(scope="module")
def rsa_key(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material.make(tmp_path_factory.mktemp("rsa") / "key", material.KINDS["rsa"])


@pytest.fixture(scope="module")
def ecdsa_key(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material.make(tmp_path_factory.mktemp("ecdsa") / "key", material.KINDS["ecdsa256"])


@pytest.fixture
def bare(root: Path) -> SFTPServer:
    """It has no key yet."""
    return SFTPServer(local_host="127.0.0.1", local_port=0, root_directory=str(root), failure_delay=0.0)


Shown = Callable[..., str]


@pytest.fixture
def shown(connect: Connect) -> Shown:
    """The host key that a client gets, as a line of known_hosts: `shown(server, "rsa-sha2-512")`."""

    def key(server: SFTPServer, *algorithms: str) -> str:
        def prepare(transport: paramiko.Transport) -> None:
            if algorithms:
                transport.get_security_options().key_types = algorithms

        found = connect(server, prepare=prepare).get_remote_server_key()
        return f"{found.get_name()} {found.get_base64()}"

    return key


def error_of(action: Callable[[], object]) -> SFTPServerError:
    with pytest.raises(SFTPServerError) as caught:
        action()
    return caught.value


def running(server: SFTPServer) -> SFTPServer:
    server.on_ssh_user_auth_request = let_in
    return server


# --- SSHCert... ---


@covers("SSHCertStoreType", "SSHCertStore", "SSHCertStorePassword", "SSHCertSubject")
@pytest.mark.parametrize("name", ["pkcs8", "traditional", "openssh", "pfx", "ppk2", "ppk3", "xml", "jwk"])
@pytest.mark.parametrize("form", ["file", "content", "any"])
def test_a_client_sees_the_key_of_the_store(
    bare: SFTPServer, shown: Shown, rsa_key: Material, tmp_path: Path, name: str, form: str
) -> None:
    store_type, write = material.FORMATS[name]
    password = "" if name == "xml" else PASSWORD
    content = write(rsa_key, password, tmp_path)
    (tmp_path / "store").write_bytes(content)
    server: Any = bare
    server.SSHCertStoreType = {"file": store_type, "content": store_type + 1, "any": CertStoreType.AUTO}[form]
    server.SSHCertStore = content if form == "content" else str(tmp_path / "store")
    server.SSHCertStorePassword = password
    assert error_of(bare.start_listening).code == 1301, "the subject, set last, loads the key"
    server.SSHCertSubject = "*"
    assert bare.ssh_cert_subject == (SUBJECT if name == "pfx" else "*")
    with running(bare):
        assert shown(bare) == rsa_key.public_line


@covers("SSHCertSubject", "SSHCertStore")
@pytest.mark.parametrize(
    ("asked", "found"), [(SUBJECT, SUBJECT), ("sftp.example", SUBJECT), ("*", SUBJECT), ("nobody", ""), ("", "")]
)
def test_a_subject_is_searched_whole_then_in_parts_and_empty_when_there_is_none(
    bare: SFTPServer, shown: Shown, rsa_key: Material, tmp_path: Path, asked: str, found: str
) -> None:
    bare.ssh_cert_store_type = CertStoreType.PFX_BLOB
    bare.ssh_cert_store = base64.b64encode(material.pfx(rsa_key, "", tmp_path))
    bare.ssh_cert_subject = asked
    assert bare.ssh_cert_subject == found
    if found:
        with running(bare):
            assert shown(bare) == rsa_key.public_line
    else:
        assert error_of(bare.start_listening).code == 1301


@covers("SSHCertEncoded", "SSHCertSubject")
def test_a_certificate_names_the_key_in_the_store(
    bare: SFTPServer, shown: Shown, rsa_key: Material, ecdsa_key: Material, tmp_path: Path
) -> None:
    bare.ssh_cert_store_type = CertStoreType.PEM_KEY_BLOB
    bare.ssh_cert_store = material.pkcs8(ecdsa_key, "", tmp_path) + material.pkcs8(rsa_key, "", tmp_path)
    bare.ssh_cert_encoded = material.certificate_pem(rsa_key.private)
    assert bare.ssh_cert_subject == SUBJECT
    with running(bare):
        assert shown(bare) == rsa_key.public_line
    bare.ssh_cert_encoded = b"no certificate"
    assert bare.ssh_cert_subject == ""
    assert error_of(bare.start_listening).code == 1301


@covers("SSHCertStoreType", "StartListening")
@pytest.mark.parametrize("store_type", KEYLESS)
def test_a_type_without_a_key_is_an_error_that_names_those_with_one(bare: SFTPServer, store_type: int) -> None:
    bare.ssh_cert_store_type = store_type
    bare.ssh_cert_subject = "*"
    assert bare.ssh_cert_subject == ""
    error = error_of(bare.start_listening)
    assert error.code == 1301
    assert "PFX" in error.description
    assert "PEM" in error.description


@covers("SSHCertStorePassword")
def test_a_wrong_password_loads_nothing_and_the_error_says_why(
    bare: SFTPServer, rsa_key: Material, tmp_path: Path
) -> None:
    bare.ssh_cert_store_type = CertStoreType.PFX_BLOB
    bare.ssh_cert_store = material.pfx(rsa_key, PASSWORD, tmp_path)
    bare.ssh_cert_store_password = "wrong"
    bare.ssh_cert_subject = "*"
    error = error_of(bare.start_listening)
    assert error.code == 1301
    assert "password" in error.description
    assert "wrong" not in error.description


@covers("SSHCertSubject")
def test_a_key_that_changes_while_the_server_listens_is_shown_to_those_who_come_later(
    serve: Serve, shown: Shown, rsa_key: Material, ed25519: HostKey, tmp_path: Path
) -> None:
    server = serve()
    server.host_keys = []
    server.ssh_cert = ed25519
    assert shown(server) == ed25519.public_line
    server.ssh_cert_store_type = CertStoreType.PEM_KEY_BLOB
    server.ssh_cert_store = material.openssh(rsa_key, "", tmp_path)
    server.ssh_cert_subject = "*"
    assert shown(server) == rsa_key.public_line


# --- AltSSHCert... ---


@covers(
    "AltSSHCertCount", "AltSSHCertStoreType", "AltSSHCertStore", "AltSSHCertStorePassword", "AltSSHCertSubject",
    "Config",
)  # fmt: skip
def test_the_key_is_the_one_that_fits_what_the_client_asks_for(
    serve: Serve, shown: Shown, ed25519: HostKey, rsa_key: Material, ecdsa_key: Material, tmp_path: Path
) -> None:
    server = serve()
    server.config("AltSSHCertCount=2")
    blob = base64.b64encode(material.pfx(rsa_key, PASSWORD, tmp_path)).decode()
    pem = material.pkcs8(ecdsa_key, "", tmp_path).decode()
    for index, (store_type, store, password) in enumerate([(3, blob, PASSWORD), (7, pem, "")]):
        server.config(f"AltSSHCertStoreType[{index}]={store_type}")
        server.config(f"AltSSHCertStore[{index}]={store}")
        server.config(f"AltSSHCertStorePassword[{index}]={password}")
        server.config(f"AltSSHCertSubject[{index}]=*")
    assert server.config("AltSSHCertStore[0]") == blob, "reading gives back what was set"
    assert server.config("AltSSHCertStore[1]") == pem
    assert server.config("AltSSHCertSubject[0]") == SUBJECT
    assert shown(server, "ssh-ed25519") == ed25519.public_line
    assert shown(server, "rsa-sha2-512") == rsa_key.public_line
    assert shown(server, "ecdsa-sha2-nistp256") == ecdsa_key.public_line
    server.config("AltSSHCertCount=1")
    with pytest.raises((paramiko.SSHException, EOFError)):  # which of them is a matter of its threads
        shown(server, "ecdsa-sha2-nistp256")
    assert shown(server, "rsa-sha2-512") == rsa_key.public_line


@covers("AltSSHCertStore")
def test_a_store_assigned_as_bytes_is_read_as_base64(serve: Serve, rsa_key: Material, tmp_path: Path) -> None:
    server = serve()
    server.alt_ssh_cert_count = 1
    content = material.pfx(rsa_key, "", tmp_path)
    server.alt_ssh_certs[0].store = content
    assert server.alt_ssh_certs[0].store == content
    assert server.config("AltSSHCertStore[0]") == base64.b64encode(content).decode()


@covers("AltSSHCertSubject", "AltSSHCertCount")
def test_an_alternate_that_is_not_loaded_is_an_error(bare: SFTPServer, ed25519: HostKey) -> None:
    bare.ssh_cert = ed25519
    bare.alt_ssh_cert_count = 1
    bare.alt_ssh_certs[0].store_type = CertStoreType.PEM_KEY_FILE
    bare.alt_ssh_certs[0].store = b"/no/such/file"
    bare.alt_ssh_certs[0].subject = "*"
    error = error_of(bare.start_listening)
    assert error.code == 1301
    assert "/no/such/file" in error.description


# --- Connected's Cert... ---


def other_key(e: Connected, key: Material, tmp_path: Path) -> None:
    e.cert_store_type = CertStoreType.PFX_FILE
    e.cert_store = str(tmp_path / "key.pfx")
    e.cert_password = PASSWORD
    e.cert_subject = "sftp.example"


def test_a_list_that_names_no_algorithm_of_any_key_is_an_error(bare: SFTPServer, ed25519: HostKey) -> None:
    bare.host_keys = [ed25519]
    bare.config("SSHPublicKeyAlgorithms=rsa-sha2-512,ecdsa-sha2-nistp256")
    assert error_of(bare.start_listening).code == 1301
    bare.config("SSHPublicKeyAlgorithms=rsa-sha2-512,ssh-ed25519")
    with bare:
        assert bare.listening


@covers("Connected")
def test_one_connection_is_shown_another_key_alone(
    serve: Serve, shown: Shown, ed25519: HostKey, rsa: HostKey, ecdsa_key: Material, tmp_path: Path
) -> None:
    (tmp_path / "key.pfx").write_bytes(material.pfx(ecdsa_key, PASSWORD, tmp_path))
    server = serve(host_keys=[ed25519, rsa])
    seen: list[tuple[int, str, int, bytes | str, str, str]] = []

    @server.on_connected
    def choose(e: Connected) -> None:
        seen.append((e.status_code, e.description, e.cert_store_type, e.cert_store, e.cert_password, e.cert_subject))
        if e.connection_id == 1:
            other_key(e, ecdsa_key, tmp_path)

    assert shown(server) == ed25519.public_line
    assert shown(server) == ecdsa_key.public_line
    assert shown(server) == ed25519.public_line
    assert seen == [(0, "OK", 0, b"", "", "")] * 3


@covers("Connected", "Error")
@pytest.mark.parametrize(
    "wrong",
    [
        {"cert_store": "/no/such/file"},
        {"cert_password": "wrong"},
        {"cert_subject": "nobody"},
        {"cert_store_type": CertStoreType.JKS_FILE},
    ],
    ids=["store", "password", "subject", "type"],
)
def test_a_key_for_one_connection_that_cannot_be_loaded_drops_it_with_an_error(
    serve: Serve, shown: Shown, ed25519: HostKey, ecdsa_key: Material, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    (tmp_path / "key.pfx").write_bytes(material.pfx(ecdsa_key, PASSWORD, tmp_path))
    server = serve()
    errors: list[Error] = []
    ends: list[Disconnected] = []
    server.on_error.add(errors.append)
    server.on_disconnected.add(ends.append)

    @server.on_connected
    def choose(e: Connected) -> None:
        other_key(e, ecdsa_key, tmp_path)
        for name, value in wrong.items():
            setattr(e, name, value)

    with Peer(server.local_port) as peer:
        assert peer.end_of_stream()
    wait_until(lambda: len(ends) == 1, "Disconnected")
    assert [(error.connection_id, error.error_code) for error in errors] == [(0, 1301)]
    assert errors[0].description
    server.on_connected = None
    assert shown(server) == ed25519.public_line


@covers("Connected", "Error")
@pytest.mark.parametrize(
    ("name", "value"),
    [("cert_store", 7), ("cert_store_type", "3"), ("cert_password", None), ("cert_subject", 7)],
)
def test_a_key_for_one_connection_that_is_nonsense_is_an_error_too(
    serve: Serve, shown: Shown, ed25519: HostKey, name: str, value: object
) -> None:
    server = serve()
    errors: list[Error] = []
    server.on_error.add(errors.append)

    @server.on_connected
    def choose(e: Connected) -> None:
        e.cert_store_type, e.cert_store = CertStoreType.PFX_BLOB, b"x"
        setattr(e, name, value)

    with Peer(server.local_port) as peer:
        assert peer.end_of_stream()
    wait_until(lambda: server.sftp_connection_count == 0, "the connection is gone")
    assert [error.error_code for error in errors] == [1301]
    server.on_connected = None
    assert shown(server) == ed25519.public_line
