"""Class 2: who proves what, and nobody else; every request to log in gets an answer, counts, and proves itself."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from libsshd import SFTPServer, SSHUserAuthRequest
from tests.security.conftest import Serve
from tests.support.account import KEY, OTHER_KEY, let_in
from tests.support.hostile import Peer, auth_request, key_blob, offer, password_request, signed_request
from tests.support.rawsftp import Code, Cursor, RawSFTP, Type, string, u32
from tests.support.sshwire import Gone, Message, message

NO_MORE_AUTH_METHODS = 14
GARBAGE = b"\xff" * 40
RSA_KEY = rsa.generate_private_key(65537, 2048)


def openssh_blob(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def dsa_blob() -> bytes:
    """A blob of the right shape: p of 1,024 bits, q, g and y (RFC 4253, section 6.6)."""
    p, q, g, y = b"\x00\xc1" + bytes(range(127)), b"\x00\xf1" + bytes(range(19)), b"\x02", b"\x01" + bytes(100)
    return string(b"ssh-dss") + string(p) + string(q) + string(g) + string(y)


def failure(payload: bytes) -> tuple[list[bytes], bool]:
    """Methods and partial success of a USERAUTH_FAILURE."""
    assert payload[0] == Message.USERAUTH_FAILURE, payload
    cursor = Cursor(payload[1:])
    methods, partial = cursor.string(), cursor.take(1)
    cursor.end()
    return methods.split(b","), partial == b"\1"


@pytest.fixture
def knocking(peer: Peer) -> Peer:
    """After the key exchange and the request for ssh-userauth."""
    return peer.connect().service()


UNUSABLE: dict[str, Callable[[], bytes]] = {
    "DSA key": lambda: offer(b"alice", b"ssh-dss", dsa_blob()),
    "unknown key type": lambda: offer(b"alice", b"ssh-xmss@openssh.com", string(b"ssh-xmss@openssh.com") + GARBAGE),
    "garbage blob": lambda: offer(b"alice", b"ssh-ed25519", GARBAGE),
    "empty blob": lambda: offer(b"alice", b"ssh-ed25519", b""),
    "empty algorithm": lambda: offer(b"alice", b"", key_blob(KEY)),
    "algorithm of another key": lambda: offer(b"alice", b"rsa-sha2-512", key_blob(KEY)),
    "algorithm not in the list": lambda: offer(b"alice", b"ssh-rsa", openssh_blob(RSA_KEY.public_key())),
    "curve of another size": lambda: offer(
        b"alice",
        b"ecdsa-sha2-nistp256",
        openssh_blob(ec.generate_private_key(ec.SECP384R1()).public_key()),
    ),
    "algorithm that is not text": lambda: offer(b"alice", b"\xff\xfe", key_blob(KEY)),
    "key text that is a path": lambda: offer(b"alice", b"ssh-ed25519", b"/home/alice/.ssh/authorized_keys"),
    "truncated point": lambda: offer(b"alice", b"ssh-ed25519", string(b"ssh-ed25519") + string(bytes(31))),
    "other bytes after the key": lambda: offer(b"alice", b"ssh-ed25519", key_blob(KEY) + b"\0"),
    "no public key fields": lambda: auth_request(b"alice", b"publickey"),
    "cut in the blob": lambda: offer(b"alice", b"ssh-ed25519", key_blob(KEY))[:-5],
    "only the number": lambda: message(Message.USERAUTH_REQUEST),
    "length of 4 GiB": lambda: message(Message.USERAUTH_REQUEST, u32(0xFFFFFFFF), b"alice"),
    "unknown method": lambda: auth_request(b"alice", b"telepathy", b"now"),
    "empty method": lambda: auth_request(b"alice", b""),
    "hostbased": lambda: auth_request(b"alice", b"hostbased", string(b"ssh-ed25519")),
    "password without text": lambda: auth_request(b"alice", b"password"),
    "password change": lambda: auth_request(b"alice", b"password", b"\1", string(b"Open-Sesame.7"), string(b"new")),
    "wrong password": lambda: password_request(b"alice", b"open sesame"),
    "empty password": lambda: password_request(b"alice", b""),
    "password with a tail": lambda: password_request(b"alice", b"Open-Sesame.7") + b"\0",
    "keyboard-interactive": lambda: auth_request(b"alice", b"keyboard-interactive", string(b""), string(b"")),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_request_is_answered_and_the_good_key_still_works(knocking: Peer, kind: str) -> None:
    knocking.send(UNUSABLE[kind]())
    methods, partial = failure(knocking.answer())
    assert methods == [b"password", b"publickey"]
    assert not partial
    assert knocking.attempt(offer(b"alice", b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_PK_OK
    proof = signed_request(knocking.session_id, b"alice", KEY)
    assert knocking.attempt(proof) == Message.USERAUTH_SUCCESS


@pytest.mark.parametrize("kind", UNUSABLE)
def test_every_unusable_request_counts(serve: Serve, kind: str) -> None:
    request = UNUSABLE[kind]()
    with Peer(serve(max_auth_attempts=3).local_port) as peer:
        peer.connect().service()
        for _ in range(2):
            assert peer.attempt(request) == Message.USERAUTH_FAILURE
        peer.send(request)
        assert peer.end().reason == NO_MORE_AUTH_METHODS


def test_six_failures_of_different_kinds_end_the_connection(knocking: Peer) -> None:
    kinds = ("DSA key", "unknown key type", "garbage blob", "cut in the blob", "wrong password", "unknown method")
    requests = [UNUSABLE[kind]() for kind in kinds]
    for request in requests[:5]:
        assert knocking.attempt(request) == Message.USERAUTH_FAILURE
    knocking.send(requests[5])
    assert knocking.end().reason == NO_MORE_AUTH_METHODS


def test_none_counts_no_failure_but_ends_some_time(serve: Serve) -> None:
    with Peer(serve(max_auth_attempts=1).local_port) as peer:
        peer.connect().service()
        none = auth_request(b"alice", b"none")
        assert peer.attempt(none) == peer.attempt(none) == Message.USERAUTH_FAILURE
        with pytest.raises(Gone):  # noqa: PT012 -- which of them is the last is the server's choice
            for _ in range(200):
                peer.attempt(none)


def test_accepted_offers_without_proof_end_some_time(knocking: Peer) -> None:
    request = offer(b"alice", b"ssh-ed25519", key_blob(KEY))
    with pytest.raises(Gone):  # noqa: PT012 -- which of them is the last is the server's choice
        for _ in range(200):
            assert knocking.attempt(request) == Message.USERAUTH_PK_OK


@pytest.mark.parametrize("methods", ["publickey,password", "password", "publickey", "keyboard-interactive,publickey"])
def test_the_method_list_is_the_one_that_was_set(serve: Serve, methods: str) -> None:
    with Peer(serve(default_auth_methods=methods).local_port) as peer:
        peer.connect().service()
        peer.send(auth_request(b"alice", b"none"))
        assert failure(peer.answer()) == (methods.encode().split(b","), False)


def test_a_method_that_is_not_in_the_list_lets_nobody_in(serve: Serve) -> None:
    with Peer(serve(default_auth_methods="publickey").local_port) as peer:
        peer.connect().service()
        assert peer.attempt(password_request(b"alice", b"Open-Sesame.7")) == Message.USERAUTH_FAILURE
    with Peer(serve(default_auth_methods="password").local_port) as peer:
        peer.connect().service()
        assert peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_FAILURE
        proof = signed_request(peer.session_id, b"alice", KEY)
        assert peer.attempt(proof) == Message.USERAUTH_FAILURE


@pytest.mark.parametrize("answers", [(), (b"Open-Sesame.7",), (b"a", b"b", b"c")])
def test_answers_that_nobody_asked_for_let_nobody_in(knocking: Peer, answers: tuple[bytes, ...]) -> None:
    knocking.send(message(Message.USERAUTH_INFO_RESPONSE, u32(len(answers)), *map(string, answers)))
    try:
        assert knocking.answer()[0] == Message.USERAUTH_FAILURE
    except Gone:
        return
    assert knocking.attempt(password_request(b"alice", b"Open-Sesame.7")) == Message.USERAUTH_SUCCESS


# --- an offer proves nothing ---


def test_the_key_that_signs_is_the_one_that_counts(knocking: Peer) -> None:
    for key, answer in ((KEY, Message.USERAUTH_PK_OK), (OTHER_KEY, Message.USERAUTH_FAILURE)):
        assert knocking.attempt(offer(b"alice", b"ssh-ed25519", key_blob(key))) == answer
    stranger = signed_request(knocking.session_id, b"alice", OTHER_KEY)
    assert knocking.attempt(stranger) == Message.USERAUTH_FAILURE
    assert knocking.attempt(offer(b"alice", b"ssh-ed25519", key_blob(OTHER_KEY))) == Message.USERAUTH_FAILURE
    assert knocking.attempt(signed_request(knocking.session_id, b"alice", KEY)) == Message.USERAUTH_SUCCESS


WRONG_PROOFS: dict[str, Callable[[bytes], bytes]] = {
    "signature of another key": lambda sid: signed_request(sid, b"alice", OTHER_KEY, blob=key_blob(KEY)),
    "damaged signature": lambda sid: signed_request(sid, b"alice", KEY, damage=1),
    "signature for another session": lambda sid: signed_request(bytes(32), b"alice", KEY),
    "signature for another user": lambda sid: signed_request(sid, b"alice", KEY, signed_user=b"bob"),
    "signature of another algorithm": lambda sid: signed_request(sid, b"alice", KEY, algorithm=b"rsa-sha2-512"),
    "empty signature": lambda sid: head_of_proof() + string(b""),
    "signature without bytes": lambda sid: head_of_proof() + string(string(b"ssh-ed25519") + string(b"")),
    "short signature": lambda sid: head_of_proof() + string(string(b"ssh-ed25519") + string(bytes(63))),
    "long signature": lambda sid: signed_request(sid, b"alice", KEY) + b"\0",
    "format that disagrees": lambda sid: head_of_proof() + string(string(b"ssh-rsa") + string(bytes(64))),
    "garbage": lambda sid: head_of_proof() + string(GARBAGE),
    "nothing at all": lambda sid: head_of_proof(),
}


def head_of_proof() -> bytes:
    return auth_request(b"alice", b"publickey", b"\1", string(b"ssh-ed25519"), string(key_blob(KEY)))


@pytest.mark.parametrize("kind", WRONG_PROOFS)
def test_a_wrong_proof_after_a_good_offer_fails_and_counts(serve: Serve, kind: str) -> None:
    with Peer(serve(max_auth_attempts=2).local_port) as peer:
        peer.connect().service()
        assert peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_PK_OK
        assert peer.attempt(WRONG_PROOFS[kind](peer.session_id)) == Message.USERAUTH_FAILURE
        peer.send(WRONG_PROOFS[kind](peer.session_id))
        assert peer.end().reason == NO_MORE_AUTH_METHODS


def test_a_good_proof_is_accepted_after_all_the_wrong_ones(serve: Serve) -> None:
    with Peer(serve(max_auth_attempts=0).local_port) as peer:
        peer.connect().service()
        for make in WRONG_PROOFS.values():
            assert peer.attempt(make(peer.session_id)) == Message.USERAUTH_FAILURE
        assert peer.attempt(signed_request(peer.session_id, b"alice", KEY)) == Message.USERAUTH_SUCCESS


def host_bound(session_id: bytes, host_key: bytes) -> bytes:
    """A proof that names the server's key too (publickey-hostbound-v00@openssh.com)."""
    fields = (b"\1", string(b"ssh-ed25519"), string(key_blob(KEY)), string(host_key))
    head = auth_request(b"alice", b"publickey-hostbound-v00@openssh.com", *fields)
    return head + string(string(b"ssh-ed25519") + string(KEY.sign(string(session_id) + head)))


def test_a_proof_bound_to_another_host_key_lets_nobody_in(knocking: Peer) -> None:
    for other in (b"", key_blob(KEY), knocking.host_key[:-1]):
        assert knocking.attempt(host_bound(knocking.session_id, other)) == Message.USERAUTH_FAILURE
    proof = host_bound(knocking.session_id, knocking.host_key)
    assert knocking.attempt(proof) == Message.USERAUTH_SUCCESS


@pytest.mark.parametrize("named", [b"ssh-rsa", b"rsa-sha2-512"])
def test_rsa_with_sha1_lets_nobody_in(serve: Serve, named: bytes) -> None:
    def accept(event: SSHUserAuthRequest) -> None:
        event.accept = event.auth_method == "publickey"

    server = serve()
    server.on_ssh_user_auth_request = accept
    with Peer(server.local_port) as peer:
        peer.connect().service()
        blob = openssh_blob(RSA_KEY.public_key())
        head = auth_request(b"alice", b"publickey", b"\1", string(named), string(blob))
        signed = RSA_KEY.sign(string(peer.session_id) + head, PKCS1v15(), hashes.SHA1())  # noqa: S303
        assert peer.attempt(head + string(string(named) + string(signed))) == Message.USERAUTH_FAILURE
        good = auth_request(b"alice", b"publickey", b"\1", string(b"rsa-sha2-512"), string(blob))
        proof = RSA_KEY.sign(string(peer.session_id) + good, PKCS1v15(), hashes.SHA512())
        assert peer.attempt(good + string(string(b"rsa-sha2-512") + string(proof))) == Message.USERAUTH_SUCCESS


@pytest.mark.parametrize(
    "changed",
    [
        lambda sid: signed_request(sid, b"bob", KEY),
        lambda sid: password_request(b"alice ", b"Open-Sesame.7"),
        lambda sid: auth_request(b"alice", b"none", service=b"ssh-other"),
    ],
    ids=["user at the proof", "user at the password", "service"],
)
def test_a_change_of_user_or_service_ends_the_connection(serve: Serve, changed: Callable[[bytes], bytes]) -> None:
    server = serve()
    server.on_ssh_user_auth_request = accept_everybody
    with Peer(server.local_port) as peer:
        peer.connect().service()
        assert peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_PK_OK
        peer.send(changed(peer.session_id))
        assert peer.end().reason == NO_MORE_AUTH_METHODS


def accept_everybody(event: SSHUserAuthRequest) -> None:
    event.accept = True


def test_a_service_that_is_not_ssh_connection_lets_nobody_in(serve: Serve) -> None:
    server = serve()
    server.on_ssh_user_auth_request = accept_everybody
    with Peer(server.local_port) as peer:
        peer.connect().service()
        request = auth_request(b"alice", b"password", b"\0", string(b"x"), service=b"ssh-other")
        assert peer.attempt(request) == Message.USERAUTH_FAILURE


def test_nobody_gets_in_without_a_handler_or_when_it_raises(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def break_down(event: SSHUserAuthRequest) -> None:
        event.accept = True
        raise RuntimeError("the directory of users is away")

    server = serve()
    for handler in (None, break_down):
        server.on_ssh_user_auth_request = handler
        with Peer(server.local_port) as peer:
            peer.connect().service()
            assert peer.attempt(password_request(b"alice", b"Open-Sesame.7")) == Message.USERAUTH_FAILURE
            assert peer.attempt(auth_request(b"alice", b"none")) == Message.USERAUTH_FAILURE
    caplog.clear()  # the failed handler is logged with its traceback, which is right


def test_a_user_name_of_64_kib_or_of_wild_bytes_is_only_a_failure(server: SFTPServer) -> None:
    for user in (b"", b"\0", b"\xff\xfe", b"../../etc", b"a" * 60_000):
        with Peer(server.local_port) as peer:
            peer.connect().service()
            assert peer.attempt(password_request(user, b"Open-Sesame.7")) == Message.USERAUTH_FAILURE


# --- certificates ---


def make_certificate(directory: Path) -> tuple[Ed25519PrivateKey, bytes]:
    """A key and a valid certificate for it, by an authority nobody knows."""
    for name in ("authority", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True, timeout=60
        )
    subprocess.run(
        ["ssh-keygen", "-q", "-s", directory / "authority", "-I", "id", "-n", "alice", directory / "user.pub"],
        check=True,
        timeout=60,
    )
    key = serialization.load_ssh_private_key((directory / "user").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key, base64.b64decode((directory / "user-cert.pub").read_bytes().split()[1])


@pytest.mark.parametrize("named", [b"ssh-ed25519-cert-v01@openssh.com", b"ssh-ed25519"])
def test_certificates_are_refused(serve: Serve, tmp_path: Path, named: bytes) -> None:
    key, certificate = make_certificate(tmp_path)
    server = serve()
    server.on_ssh_user_auth_request = accept_everybody_with_a_key
    with Peer(server.local_port) as peer:
        peer.connect().service()
        assert peer.attempt(offer(b"alice", named, certificate)) == Message.USERAUTH_FAILURE
        proof = signed_request(peer.session_id, b"alice", key, blob=certificate, algorithm=named)
        assert peer.attempt(proof) == Message.USERAUTH_FAILURE
        assert peer.attempt(signed_request(peer.session_id, b"alice", key)) == Message.USERAUTH_SUCCESS


def accept_everybody_with_a_key(event: SSHUserAuthRequest) -> None:
    event.accept = event.auth_method == "publickey"


def test_handlers_see_the_offered_key_before_any_proof_and_only_a_proof_logs_in(serve: Serve) -> None:
    asked = []

    def note(event: SSHUserAuthRequest) -> None:
        asked.append(event.auth_method)
        let_in(event)

    server = serve()
    server.on_ssh_user_auth_request = note
    with Peer(server.local_port) as peer:
        peer.connect().service()
        assert peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_PK_OK
        assert asked == ["publickey"]
        peer.send(message(Message.CHANNEL_OPEN, string(b"session"), u32(0), u32(1 << 20), u32(1 << 15)))
        gone = peer.end()
    assert gone.reason != 11, "the early channel ends it, not a deadline"


# --- what belongs to a key goes with its proof ---

A, B = KEY, OTHER_KEY


def offer_both(peer: Peer) -> None:
    for key in (A, B):
        assert peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(key))) == Message.USERAUTH_PK_OK


def offer_only_the_other(peer: Peer) -> None:
    assert peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(B))) == Message.USERAUTH_PK_OK


def prove_the_other_wrongly(peer: Peer) -> None:
    proof = signed_request(peer.session_id, b"alice", A, blob=key_blob(B))
    assert peer.attempt(proof) == Message.USERAUTH_FAILURE


def fail_by_password(peer: Peer) -> None:
    assert peer.attempt(password_request(b"alice", b"of somebody else")) == Message.USERAUTH_FAILURE


@pytest.mark.parametrize("before", [offer_both, offer_only_the_other, prove_the_other_wrongly, fail_by_password])
@pytest.mark.parametrize("home", ["/a", ""])
def test_the_home_is_that_of_the_key_that_signed(
    serve: Serve, root: Path, before: Callable[[Peer], None], home: str
) -> None:
    def house(event: SSHUserAuthRequest) -> None:
        event.accept = event.auth_method == "publickey"
        key = base64.b64decode(event.auth_param) if event.accept else b""
        event.home_dir = home if key == key_blob(A) else "/b"

    server = serve()
    server.on_ssh_user_auth_request = house
    with Peer(server.local_port) as peer:
        before(peer.connect().service())
        assert peer.attempt(signed_request(peer.session_id, b"alice", A)) == Message.USERAUTH_SUCCESS
        assert start_of_session(peer) == (home or "/").encode()


def start_of_session(peer: Peer) -> bytes:
    return RawSFTP(peer.sftp()).init().ask(Type.REALPATH, string(b".")).names[0][0]


def password_then_key(server: SFTPServer) -> None:
    """The first factor brings home and restriction, the second says nothing of either."""

    @server.on_ssh_user_auth_request
    def factors(event: SSHUserAuthRequest) -> None:
        if event.auth_method == "password":
            event.partial_success, event.available_methods, event.home_dir = True, "publickey", "/a"
            server.sftp_connections[event.connection_id].restrict_user_to_home_dir = True
        event.accept = event.auth_method == "publickey"


def test_restrictions_of_the_first_factor_survive_the_second(serve: Serve, root: Path) -> None:
    (root / "a").mkdir()
    (root / "secret").write_text("not for alice")
    server = serve()
    password_then_key(server)
    with Peer(server.local_port) as peer:
        peer.connect().service().send(password_request(b"alice", b"x"))
        assert failure(peer.answer()) == ([b"publickey"], True)
        assert peer.attempt(password_request(b"alice", b"x")) == Message.USERAUTH_FAILURE, "a factor counts once"
        assert peer.attempt(signed_request(peer.session_id, b"alice", KEY)) == Message.USERAUTH_SUCCESS
        assert start_of_session(peer) == b"/a"
        sftp = RawSFTP(peer.sftp()).init()
        assert sftp.ask(Type.STAT, string(b"/secret")).code == Code.PERMISSION_DENIED


def test_one_factor_of_two_opens_nothing(serve: Serve) -> None:
    server = serve()
    password_then_key(server)
    with Peer(server.local_port) as peer:
        peer.connect().service().send(password_request(b"alice", b"x"))
        assert failure(peer.answer()) == ([b"publickey"], True)
        peer.send(message(Message.CHANNEL_OPEN, string(b"session"), u32(0), u32(1 << 20), u32(1 << 15)))
        peer.end()


@pytest.mark.parametrize("blob", [b"", GARBAGE, b"/home/alice/.ssh/authorized_keys", string(b"ssh-ed25519")])
def test_what_is_no_key_proves_nothing_though_the_handler_accepts_it(serve: Serve, blob: bytes) -> None:
    server = serve()
    server.on_ssh_user_auth_request = accept_everybody_with_a_key
    with Peer(server.local_port) as peer:
        peer.connect().service()
        head = auth_request(b"alice", b"publickey", b"\1", string(b"ssh-ed25519"), string(blob))
        for signature in (KEY.sign(string(peer.session_id) + head), bytes(64)):
            proof = head + string(string(b"ssh-ed25519") + string(signature))
            assert peer.attempt(proof) == Message.USERAUTH_FAILURE
