"""SSHUserAuthRequest and the settings around it, byte by byte."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from libsshd import HostKey, SFTPServer, SSHUserAuthRequest
from tests.support.account import KEY, OTHER_KEY, PASSWORD
from tests.support.command import wait_until
from tests.support.door import Door, Rule, accept, methods, passing, right, text_of
from tests.support.hostile import Peer, auth_request, key_blob, offer, password_request, signed_request
from tests.support.rawsftp import Code, Cursor, RawSFTP, Type, string, u32
from tests.support.sshwire import Gone, Message, message

NO_MORE_AUTH_METHODS = 14
ALL = "password,publickey,keyboard-interactive"
KEY_TEXT = text_of(KEY)
Open = Callable[..., tuple[SFTPServer, Door]]


@pytest.fixture(scope="module")
def host_key() -> HostKey:
    return HostKey.generate()


@pytest.fixture
def opened(tmp_path: Path, host_key: HostKey) -> Iterator[Open]:
    """Starts a server with a door: `opened({"password": accept}, max_auth_attempts=2)`."""
    with ExitStack() as stack:

        def begin(rules: Mapping[str, Rule], **settings: Any) -> tuple[SFTPServer, Door]:
            wanted: dict[str, Any] = {"local_host": "127.0.0.1", "local_port": 0, "root_directory": str(tmp_path)}
            more = {"failure_delay": 0.0, "default_auth_methods": ALL}
            server = SFTPServer(host_keys=[host_key], **(wanted | more | settings))
            door = Door(rules)
            server.on_ssh_user_auth_request = door
            stack.enter_context(server)
            return server, door

        yield begin


@pytest.fixture
def knock() -> Iterator[Callable[[SFTPServer], Peer]]:
    """A client that asked for ssh-userauth and has said nothing else."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(Peer(server.local_port)).connect().service()


Knock = Callable[[SFTPServer], Peer]
NONE = auth_request(b"alice", b"none")
GOOD_PASSWORD = password_request(b"alice", PASSWORD.encode())
OFFER = offer(b"alice", b"ssh-ed25519", key_blob(KEY))
KEYBOARD = auth_request(b"alice", b"keyboard-interactive", string(b""), string(b""))


def proof(peer: Peer, **how: Any) -> bytes:
    return signed_request(peer.session_id, b"alice", KEY, **how)


def answers(*texts: bytes) -> bytes:
    return message(Message.USERAUTH_INFO_RESPONSE, u32(len(texts)), *map(string, texts))


def failure(payload: bytes) -> tuple[str, bool]:
    """Methods and partial success of a USERAUTH_FAILURE."""
    assert payload[0] == Message.USERAUTH_FAILURE, payload
    cursor = Cursor(payload[1:])
    names, partial = cursor.string(), cursor.take(1)
    cursor.end()
    return names.decode(), partial == b"\1"


def refusal(peer: Peer, request: bytes) -> tuple[str, bool]:
    peer.send(request)
    return failure(peer.answer())


def info(payload: bytes) -> tuple[bytes, list[tuple[bytes, bool]]]:
    """Instruction and prompts of a USERAUTH_INFO_REQUEST."""
    assert payload[0] == Message.USERAUTH_PK_OK, "60 is also the number of INFO_REQUEST"
    cursor = Cursor(payload[1:])
    assert cursor.string() == b""
    instruction, language = cursor.string(), cursor.string()
    assert language == b""
    prompts = [(cursor.string(), cursor.take(1) == b"\1") for _ in range(cursor.u32())]
    cursor.end()
    return instruction, prompts


def prompted(peer: Peer) -> tuple[bytes, list[tuple[bytes, bool]]]:
    peer.send(KEYBOARD)
    return info(peer.answer())


# --- the event ---


def test_the_event_begins_with_nothing_granted_and_the_default_methods(opened: Open, knock: Knock) -> None:
    starts = []

    def note(e: SSHUserAuthRequest) -> None:
        starts.append(
            (e.user, e.service, e.accept, e.partial_success, e.available_methods, e.home_dir, e.key_algorithm)
        )

    server, _ = opened({"none": note})
    assert refusal(knock(server), NONE) == (ALL, False)
    assert starts == [("alice", "ssh-connection", False, False, ALL, "", "")]


def test_a_key_is_told_as_in_authorized_keys_with_its_algorithm(opened: Open, knock: Knock) -> None:
    algorithms = []
    server, door = opened({"publickey": lambda e: algorithms.append(e.key_algorithm)})
    knock(server).attempt(OFFER)
    line = KEY.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert door.seen == [("publickey", line.split()[1].decode())]
    assert base64.b64decode(door.seen[0][1]) == key_blob(KEY)
    assert algorithms == ["ssh-ed25519"]


def test_none_is_heard_every_time_and_lets_in_who_is_accepted(opened: Open, knock: Knock) -> None:
    server, door = opened({})
    door.rules = {"none": lambda e: setattr(e, "accept", len(door.seen) == 3)}
    peer = knock(server)
    assert [peer.attempt(NONE) for _ in range(3)] == [Message.USERAUTH_FAILURE] * 2 + [Message.USERAUTH_SUCCESS]
    assert door.seen == [("none", "")] * 3


@pytest.mark.parametrize("what", ["a handler that raises", "no handler"])
def test_nobody_gets_in_without_an_answer(opened: Open, knock: Knock, what: str) -> None:
    def fail(e: SSHUserAuthRequest) -> None:
        e.accept, e.available_methods = True, "keyboard-interactive"
        raise RuntimeError("broken")

    server, _ = opened({"password": fail})
    if what == "no handler":
        server.on_ssh_user_auth_request = None
    assert refusal(knock(server), GOOD_PASSWORD) == (ALL, False), "nothing of what a failed handler set is left"


@pytest.mark.parametrize(
    "wrong",
    [
        {"available_methods": ["password"]},
        {"available_methods": None},
        {"home_dir": 1},
        {"home_dir": "a\0b"},
        {"home_dir": "\ud800"},
    ],
)
def test_an_answer_that_is_no_text_is_the_handlers_mistake(
    opened: Open, knock: Knock, wrong: Mapping[str, Any]
) -> None:
    def answer(e: SSHUserAuthRequest) -> None:
        e.accept = True
        for name, value in wrong.items():
            setattr(e, name, value)

    server, _ = opened({"password": answer})
    errors: list[int] = []
    server.on_error = lambda e: errors.append(e.error_code)
    assert refusal(knock(server), GOOD_PASSWORD) == (ALL, False)
    assert errors == [2002]


# --- the list of methods ---


def test_a_changed_list_lasts_in_its_order_without_blanks(opened: Open, knock: Knock) -> None:
    server, _ = opened({"none": methods(" publickey ,keyboard-interactive, password")})
    peer = knock(server)
    wanted = ("publickey,keyboard-interactive,password", False)
    assert refusal(peer, NONE) == refusal(peer, password_request(b"alice", b"wrong")) == wanted


def test_none_is_never_in_the_list_sent(opened: Open, knock: Knock) -> None:
    server, _ = opened({}, default_auth_methods="none,password")
    assert refusal(knock(server), NONE) == ("password", False)


@pytest.mark.parametrize("request_", [GOOD_PASSWORD, OFFER, KEYBOARD], ids=["password", "publickey", "keyboard"])
def test_a_method_outside_the_list_is_refused_unheard_and_counts(opened: Open, knock: Knock, request_: bytes) -> None:
    rules = {"none": methods("hostbased"), "password": accept, "publickey": accept, "keyboard-interactive": accept}
    server, door = opened(rules, max_auth_attempts=2)
    peer = knock(server)
    assert refusal(peer, NONE) == refusal(peer, request_) == ("hostbased", False)
    peer.send(request_)
    assert peer.end().reason == NO_MORE_AUTH_METHODS
    assert door.methods == ["none"]


def test_a_method_that_is_no_default_opens_for_who_gets_it_listed(opened: Open, knock: Knock) -> None:
    server, _ = opened({"none": methods("password"), "password": right(PASSWORD)}, default_auth_methods="publickey")
    peer = knock(server)
    assert peer.attempt(GOOD_PASSWORD) == Message.USERAUTH_FAILURE
    assert refusal(peer, NONE) == ("password", False)
    assert peer.attempt(GOOD_PASSWORD) == Message.USERAUTH_SUCCESS
    assert refusal(knock(server), password_request(b"alice", b"x")) == ("publickey", False), "another connection"


# --- several factors ---


def test_partial_success_wins_over_accept_and_an_untouched_list_loses_the_method(opened: Open, knock: Knock) -> None:
    def both(e: SSHUserAuthRequest) -> None:
        e.accept = e.partial_success = True

    server, _ = opened({"password": both})
    peer = knock(server)
    assert refusal(peer, GOOD_PASSWORD) == ("publickey,keyboard-interactive", True)
    assert refusal(peer, GOOD_PASSWORD) == ("publickey,keyboard-interactive", False), "it was passed already"


def test_a_key_and_a_password_together(opened: Open, knock: Knock) -> None:
    rules = {"publickey": passing(KEY_TEXT, "password"), "password": right(PASSWORD)}
    server, door = opened(rules, default_auth_methods="publickey")
    peer = knock(server)
    assert refusal(peer, GOOD_PASSWORD) == ("publickey", False)
    assert peer.attempt(OFFER) == Message.USERAUTH_PK_OK
    assert refusal(peer, proof(peer)) == ("password", True)
    assert refusal(peer, proof(peer)) == ("password", False)
    assert peer.attempt(GOOD_PASSWORD) == Message.USERAUTH_SUCCESS
    assert door.methods == ["publickey", "publickey", "password"]


@pytest.mark.parametrize("first", ["an offer", "a wrong proof"])
def test_what_was_granted_to_a_key_counts_only_with_its_proof(opened: Open, knock: Knock, first: str) -> None:
    """Else the password alone would open what needs key and password."""
    rules = {"publickey": passing(KEY_TEXT, "password"), "password": accept}
    server, door = opened(rules, default_auth_methods="publickey")
    peer = knock(server)
    if first == "an offer":
        assert peer.attempt(OFFER) == Message.USERAUTH_PK_OK
    else:
        assert refusal(peer, proof(peer, damage=1)) == ("publickey", False)
    assert refusal(peer, GOOD_PASSWORD) == ("publickey", False)
    assert door.methods == ["publickey"]


def test_one_key_offered_and_another_proven(opened: Open, knock: Knock) -> None:
    server, _ = opened({"publickey": passing(KEY_TEXT, "password"), "password": accept})
    peer = knock(server)
    assert peer.attempt(OFFER) == Message.USERAUTH_PK_OK
    assert refusal(peer, signed_request(peer.session_id, b"alice", OTHER_KEY)) == (ALL, False)
    assert refusal(peer, signed_request(peer.session_id, b"alice", OTHER_KEY, blob=key_blob(KEY))) == (ALL, False)
    assert refusal(peer, proof(peer)) == ("password", True)


def test_prompts_are_one_factor_by_the_last_event_alone(opened: Open, knock: Knock) -> None:
    def both(e: SSHUserAuthRequest) -> None:
        e.accept = e.partial_success = True
        e.available_methods = "password"

    rules = {"keyboard-interactive-1": both, "keyboard-interactive": passing("", "publickey"), "publickey": accept}
    server, door = opened(rules)
    server.config("KeyboardInteractivePrompts=Code: ")
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, answers(b"1")) == ("publickey", True)
    assert peer.attempt(proof(peer)) == Message.USERAUTH_SUCCESS
    assert door.methods == ["keyboard-interactive-1", "keyboard-interactive", "publickey"]


def test_a_refused_answer_takes_back_what_the_last_event_granted(opened: Open, knock: Knock) -> None:
    rules = {"keyboard-interactive": passing("", "password"), "password": accept}
    server, _ = opened(rules, default_auth_methods="keyboard-interactive")
    server.config("KeyboardInteractivePrompts=Code: ")
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, answers(b"wrong")) == ("keyboard-interactive", False)
    assert refusal(peer, GOOD_PASSWORD) == ("keyboard-interactive", False)


def test_the_last_event_of_a_refused_dialogue_may_change_the_list(opened: Open, knock: Knock) -> None:
    server, _ = opened({"keyboard-interactive": methods("password")})
    server.config("KeyboardInteractivePrompts=Code: ")
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, answers(b"wrong")) == ("password", False)


def test_user_and_service_stay_those_of_the_first_factor(opened: Open, knock: Knock) -> None:
    server, _ = opened({"password": passing(PASSWORD), "publickey": accept})
    peer = knock(server)
    assert refusal(peer, GOOD_PASSWORD)[1]
    peer.send(signed_request(peer.session_id, b"bob", KEY))
    assert peer.end().reason == NO_MORE_AUTH_METHODS


def test_the_home_of_an_earlier_factor_stays_unless_a_later_one_names_another(opened: Open, knock: Knock) -> None:
    def first(e: SSHUserAuthRequest) -> None:
        e.partial_success, e.home_dir, e.available_methods = True, "/home", "publickey"
        server.sftp_connections[e.connection_id].restrict_user_to_home_dir = True

    server, _ = opened({"password": first, "publickey": accept})
    Path(server.root_directory, "home").mkdir()
    peer = knock(server)
    assert refusal(peer, GOOD_PASSWORD)[1]
    assert peer.attempt(proof(peer)) == Message.USERAUTH_SUCCESS
    client = RawSFTP(peer.sftp()).init()
    assert client.ask(Type.REALPATH, string(b".")).names[0][0] == b"/home"
    assert client.ask(Type.STAT, string(b"/")).code == Code.PERMISSION_DENIED


def test_partial_successes_count_as_no_failures_but_end_some_time(opened: Open, knock: Knock) -> None:
    def go_round(e: SSHUserAuthRequest) -> None:
        e.partial_success = True
        e.available_methods = "password" if e.available_methods != "password" else "password,publickey"

    server, door = opened({"password": go_round}, max_auth_attempts=1)
    peer = knock(server)
    with pytest.raises(Gone):  # noqa: PT012 -- which of them is the last is the server's choice
        for _ in range(200):
            assert refusal(peer, GOOD_PASSWORD)[1]
    assert len(door.seen) > 10


# --- keyboard-interactive ---

TWO = "KeyboardInteractivePrompts=Colour: ,echo=True;Code: ,echo=False"


def test_prompts_go_out_with_their_echo_and_the_message(opened: Open, knock: Knock) -> None:
    server, _ = opened({}, keyboard_interactive_message="Two questions, Jürgen")
    server.config(TWO)
    wanted = ("Two questions, Jürgen".encode(), [(b"Colour: ", True), (b"Code: ", False)])
    assert prompted(knock(server)) == wanted


def test_the_prompts_of_the_array_are_sent_when_the_connection_has_none(opened: Open, knock: Knock) -> None:
    server, door = opened({})
    server.keyboard_interactive_prompt_count = 2
    first = server.keyboard_interactive_prompts[0]
    first.prompt, first.echo = "Colour: ", True
    peer = knock(server)
    assert prompted(peer)[1] == [(b"Colour: ", True), (b" ", False)], "a prompt must not be empty on the wire"
    peer.attempt(answers(b"blue", b"1"))
    assert door.seen[:2] == [("keyboard-interactive-1", "blue"), ("keyboard-interactive-2", "1")]


def test_prompts_set_for_a_connection_are_its_own(opened: Open, knock: Knock) -> None:
    def own(e: SSHUserAuthRequest) -> None:
        if e.user == "alice":
            server.config(f"KeyboardInteractivePrompts[{e.connection_id}]=Hello {e.user}: ,echo=True")

    server, _ = opened({"none": own})
    server.config(TWO)
    peer = knock(server)
    peer.attempt(NONE)
    assert prompted(peer)[1] == [(b"Hello alice: ", True)]
    assert len(prompted(knock(server))[1]) == 2


def test_each_answer_is_an_event_and_then_a_last_one(opened: Open, knock: Knock) -> None:
    rules = {
        "keyboard-interactive-1": right("blue"),
        "keyboard-interactive-2": right("k\udcff"),
        "keyboard-interactive": accept,
    }
    server, door = opened(rules)
    server.config(TWO)
    peer = knock(server)
    prompted(peer)
    assert peer.attempt(answers(b"blue", b"k\xff")) == Message.USERAUTH_SUCCESS
    assert door.seen == [
        ("keyboard-interactive-1", "blue"), ("keyboard-interactive-2", "k\udcff"), ("keyboard-interactive", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("refused", ["keyboard-interactive-1", "keyboard-interactive-2", "keyboard-interactive"])
def test_one_refusal_refuses_and_still_every_event_fires(opened: Open, knock: Knock, refused: str) -> None:
    names = ["keyboard-interactive-1", "keyboard-interactive-2", "keyboard-interactive"]
    server, door = opened({name: accept for name in names if name != refused})
    server.config(TWO)
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, answers(b"blue", b"1")) == (ALL, False)
    assert door.methods == names


def keyboard_accepts() -> dict[str, Rule]:
    return dict.fromkeys(("keyboard-interactive-1", "keyboard-interactive-2", "keyboard-interactive"), accept)


@pytest.mark.parametrize("count", [0, 1, 3, 200])
def test_a_wrong_number_of_answers_is_a_failed_attempt_without_an_event(
    opened: Open, knock: Knock, count: int
) -> None:
    server, door = opened(keyboard_accepts(), max_auth_attempts=2)
    server.config(TWO)
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, answers(*[b"x"] * count)) == (ALL, False)
    prompted(peer)
    peer.send(answers(*[b"x"] * count))
    assert peer.end().reason == NO_MORE_AUTH_METHODS
    assert door.seen == []


def test_answers_are_taken_once(opened: Open, knock: Knock) -> None:
    server, door = opened({})
    server.config(TWO)
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, answers(b"1", b"2")) == (ALL, False)
    door.rules = keyboard_accepts()
    assert refusal(peer, answers(b"1", b"2")) == (ALL, False)
    assert len(door.seen) == 3


@pytest.mark.parametrize("between", [NONE, password_request(b"alice", b"wrong"), auth_request(b"alice", b"x")])
def test_a_request_ahead_of_the_answers_is_the_end_of_the_prompts(opened: Open, knock: Knock, between: bytes) -> None:
    server, door = opened(keyboard_accepts())
    server.config(TWO)
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, between) == (ALL, False)
    assert refusal(peer, answers(b"1", b"2")) == (ALL, False)
    assert not [name for name in door.methods if name.startswith("keyboard")]


def test_answers_that_nobody_asked_for_count(opened: Open, knock: Knock) -> None:
    server, door = opened(keyboard_accepts(), max_auth_attempts=3)
    peer = knock(server)
    assert refusal(peer, answers()) == refusal(peer, answers(b"x")) == (ALL, False)
    peer.send(answers())
    assert peer.end().reason == NO_MORE_AUTH_METHODS
    assert door.seen == []


def test_answers_that_cannot_be_read_are_a_failed_attempt(opened: Open, knock: Knock) -> None:
    server, door = opened(keyboard_accepts())
    server.config(TWO)
    peer = knock(server)
    prompted(peer)
    assert refusal(peer, answers(b"1", b"2")[:-1]) == (ALL, False)
    assert refusal(peer, answers(b"1", b"2")) == (ALL, False), "the prompts are gone"
    assert door.seen == []


def test_without_prompts_only_the_last_event_fires(opened: Open, knock: Knock) -> None:
    server, door = opened(keyboard_accepts())
    peer = knock(server)
    assert prompted(peer) == (b"", [])
    assert peer.attempt(answers()) == Message.USERAUTH_SUCCESS
    assert door.seen == [("keyboard-interactive", "")]


def test_prompts_that_are_never_answered_end_some_time(opened: Open, knock: Knock) -> None:
    server, _ = opened({})
    peer = knock(server)
    with pytest.raises(Gone):  # noqa: PT012 -- which of them is the last is the server's choice
        for _ in range(200):
            prompted(peer)


# --- the event after a signature ---

SIGNED = {"fire_auth_request_after_sig": True}


def test_a_valid_signature_is_told_after_the_key(opened: Open, knock: Knock) -> None:
    server, door = opened(
        {"publickey": accept, "sigstatus": lambda e: presets.append((e.accept, e.partial_success))}, **SIGNED
    )
    presets: list[tuple[bool, bool]] = []
    peer = knock(server)
    assert peer.attempt(OFFER) == Message.USERAUTH_PK_OK
    assert door.seen == [("publickey", KEY_TEXT)], "an offer has no signature"
    assert peer.attempt(proof(peer)) == Message.USERAUTH_SUCCESS
    assert door.seen[1:] == [("publickey", KEY_TEXT), ("sigstatus", "1")]
    assert presets == [(True, False)]


def test_an_invalid_signature_is_told_and_nobody_can_rescue_it(opened: Open, knock: Knock) -> None:
    presets: list[bool] = []

    def rescue(e: SSHUserAuthRequest) -> None:
        presets.append(e.accept)
        e.accept = True
        e.available_methods = "password"

    server, door = opened({"publickey": accept, "sigstatus": rescue}, **SIGNED)
    peer = knock(server)
    assert refusal(peer, proof(peer, damage=1)) == (ALL, False)
    assert door.seen == [("publickey", KEY_TEXT), ("sigstatus", "0")]
    assert presets == [False]


def test_clearing_accept_after_a_valid_signature_is_a_veto(opened: Open, knock: Knock) -> None:
    server, door = opened({"publickey": accept, "sigstatus": lambda e: setattr(e, "accept", False)}, **SIGNED)
    peer = knock(server)
    assert refusal(peer, proof(peer)) == (ALL, False)
    assert door.methods == ["publickey", "sigstatus"]


def test_accept_after_a_valid_signature_does_not_make_one_factor_all(opened: Open, knock: Knock) -> None:
    def enlarge(e: SSHUserAuthRequest) -> None:
        assert (e.accept, e.partial_success, e.available_methods) == (False, True, "password")
        e.accept, e.partial_success = True, False

    server, _ = opened({"publickey": passing(KEY_TEXT, "password"), "sigstatus": enlarge}, **SIGNED)
    peer = knock(server)
    assert refusal(peer, proof(peer)) == ("password", True)


def test_a_refused_key_has_no_second_event(opened: Open, knock: Knock) -> None:
    server, door = opened({"sigstatus": accept}, **SIGNED)
    peer = knock(server)
    assert refusal(peer, proof(peer)) == (ALL, False)
    assert door.methods == ["publickey"]


def test_there_is_no_second_event_unless_asked_for(opened: Open, knock: Knock) -> None:
    server, door = opened({"publickey": accept})
    peer = knock(server)
    assert peer.attempt(proof(peer)) == Message.USERAUTH_SUCCESS
    assert door.methods == ["publickey"]


def test_a_signature_algorithm_outside_the_list_fails_unheard_and_the_connection_lives(
    opened: Open, knock: Knock
) -> None:
    rules = {"publickey": accept, "password": right(PASSWORD)}
    server, door = opened(rules, ssh_pub_key_auth_sig_algorithms="rsa-sha2-512")
    peer = knock(server)
    assert refusal(peer, OFFER) == refusal(peer, proof(peer)) == (ALL, False)
    assert door.seen == []
    assert peer.attempt(GOOD_PASSWORD) == Message.USERAUTH_SUCCESS


# --- attempts ---


def test_failures_are_counted_offers_too_and_the_last_is_error_1300(opened: Open, knock: Knock) -> None:
    server, _ = opened({}, max_auth_attempts=3)
    errors: list[int] = []
    server.on_error = lambda e: errors.append(e.error_code)
    peer = knock(server)
    for request in (NONE, OFFER, NONE, password_request(b"alice", b"x"), NONE):
        assert refusal(peer, request) == (ALL, False)
    peer.send(OFFER)
    assert peer.end().reason == NO_MORE_AUTH_METHODS
    wait_until(lambda: errors == [1300], "the error is told once")


def test_none_ends_some_time(opened: Open, knock: Knock) -> None:
    server, _ = opened({})
    peer = knock(server)
    with pytest.raises(Gone):  # noqa: PT012 -- which of them is the last is the server's choice
        for _ in range(200):
            assert peer.attempt(NONE) == Message.USERAUTH_FAILURE


def test_zero_attempts_is_no_limit(opened: Open, knock: Knock) -> None:
    server, _ = opened({"password": right(PASSWORD)}, max_auth_attempts=0)
    peer = knock(server)
    for number in range(100):
        assert peer.attempt(password_request(b"alice", b"%d" % number)) == Message.USERAUTH_FAILURE
    assert peer.attempt(GOOD_PASSWORD) == Message.USERAUTH_SUCCESS


@pytest.mark.parametrize("at_once", [64, 0])
def test_failures_without_a_limit_are_not_without_delay(opened: Open, knock: Knock, at_once: int) -> None:
    server, _ = opened({}, max_auth_attempts=0, failure_delay=60.0)
    peer = knock(server)
    for _ in range(at_once):
        assert peer.attempt(OFFER) == Message.USERAUTH_FAILURE
    peer.send(OFFER if at_once else GOOD_PASSWORD)
    with pytest.raises(TimeoutError):
        peer.receive(0.2)


def test_nothing_is_heard_after_success(opened: Open, knock: Knock) -> None:
    server, door = opened({"password": accept})
    peer = knock(server)
    assert peer.attempt(GOOD_PASSWORD) == Message.USERAUTH_SUCCESS
    peer.send(GOOD_PASSWORD, KEYBOARD, answers())
    peer.end()
    assert door.methods == ["password"]


# --- banner, home, code page ---


def banner(payload: bytes) -> str:
    assert payload[0] == Message.USERAUTH_BANNER, payload
    cursor = Cursor(payload[1:])
    text, language = cursor.string(), cursor.string()
    cursor.end()
    assert language == b""
    return text.decode()


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (NONE, Message.USERAUTH_FAILURE),
        (OFFER, Message.USERAUTH_PK_OK),
        (GOOD_PASSWORD, Message.USERAUTH_SUCCESS),
        (password_request(b"alice", b"x"), Message.USERAUTH_FAILURE),
    ],
    ids=["none", "offer", "success", "failure"],
)
def test_a_banner_goes_ahead_of_the_answer_once(opened: Open, knock: Knock, request_: bytes, reply: Message) -> None:
    def show(e: SSHUserAuthRequest) -> None:
        if len(door.seen) == 1:
            server.config(f"UserAuthBanner[{e.connection_id}]=Grüße an {e.user}\n")
        e.accept = e.auth_param in (PASSWORD, KEY_TEXT)

    server, door = opened(dict.fromkeys(["none", "publickey", "password"], show))
    peer = knock(server)
    peer.send(request_)
    assert banner(peer.receive()) == "Grüße an alice\n"
    assert peer.answer()[0] == reply
    assert server.config("UserAuthBanner[0]") == ""
    if reply != Message.USERAUTH_SUCCESS:
        assert peer.attempt(NONE) == Message.USERAUTH_FAILURE


def test_every_banner_of_a_dialogue_is_shown(opened: Open, knock: Knock) -> None:
    def show(e: SSHUserAuthRequest) -> None:
        server.config(f"UserAuthBanner[{e.connection_id}]={e.auth_method}")

    server, _ = opened(dict.fromkeys(keyboard_accepts(), show))
    server.config(TWO)
    peer = knock(server)
    prompted(peer)
    peer.send(answers(b"1", b"2"))
    assert [banner(peer.receive()) for _ in range(3)] == list(keyboard_accepts())
    assert failure(peer.answer()) == (ALL, False)


def test_the_banner_of_the_last_failure_is_still_shown(opened: Open, knock: Knock) -> None:
    def show(e: SSHUserAuthRequest) -> None:
        server.config(f"UserAuthBanner[{e.connection_id}]=Enough")

    server, _ = opened({"password": show}, max_auth_attempts=1)
    peer = knock(server)
    peer.send(GOOD_PASSWORD)
    assert banner(peer.receive()) == "Enough"
    assert peer.end().reason == NO_MORE_AUTH_METHODS


def test_a_banner_set_outside_the_event_has_no_effect(opened: Open, knock: Knock) -> None:
    server, _ = opened({})
    connected: list[int] = []
    server.on_connected = lambda e: connected.append(e.connection_id)
    peer = knock(server)
    server.config(f"UserAuthBanner[{connected[0]}]=too early")
    assert peer.attempt(NONE) == Message.USERAUTH_FAILURE


def test_the_home_directory_is_that_of_the_event_that_let_the_user_in(
    opened: Open, knock: Knock, tmp_path: Path
) -> None:
    def first(e: SSHUserAuthRequest) -> None:
        e.partial_success, e.home_dir = True, "/first"

    def second(e: SSHUserAuthRequest) -> None:
        e.accept, e.home_dir = True, "/second"

    server, _ = opened({"password": first, "publickey": second})
    peer = knock(server)
    assert refusal(peer, GOOD_PASSWORD)[1]
    assert peer.attempt(proof(peer)) == Message.USERAUTH_SUCCESS
    assert RawSFTP(peer.sftp()).init().ask(Type.REALPATH, string(b".")).names[0][0] == b"/second"


def test_user_names_are_read_in_the_code_page(opened: Open, knock: Knock) -> None:
    users = []
    server, _ = opened({"none": lambda e: users.append(e.user)}, code_page=1252)
    knock(server).attempt(auth_request(b"J\xfcrgen", b"none"))
    server, _ = opened({"none": lambda e: users.append(e.user)})
    knock(server).attempt(auth_request("Jürgen".encode(), b"none"))
    assert users == ["Jürgen", "Jürgen"]


# --- what is told about it ---


def test_no_message_holds_a_secret(opened: Open, knock: Knock, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    server, _ = opened({"password": right(PASSWORD)}, log_level=3)
    server.config(TWO)
    server.on_ssh_status = lambda e: told.append(e.message)
    server.on_log = lambda e: told.append(e.message)
    server.on_error = lambda e: told.append(e.description)
    with caplog.at_level(logging.DEBUG, "libsshd"):
        peer = knock(server)
        peer.attempt(password_request(b"alice", b"s3cret-guess"))
        prompted(peer)
        peer.attempt(answers(b"s3cret-one", b"s3cret-two"))
        assert peer.attempt(GOOD_PASSWORD) == Message.USERAUTH_SUCCESS
    told += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert any("alice" in text and "password" in text for text in told), told
    for secret in ("s3cret", PASSWORD):
        forms = (secret, secret.encode().hex(), secret.encode().hex(" "))
        assert not [text for text in told if any(form in text for form in forms)]


def test_a_strange_name_cannot_write_lines_into_the_messages(opened: Open, knock: Knock) -> None:
    told: list[str] = []
    server, _ = opened({})
    server.on_ssh_status = lambda e: told.append(e.message)
    knock(server).attempt(auth_request(b"a\nb\x1b[2J" + b"c" * 60_000, b"none"))
    mine = [text for text in told if "a?b" in text]
    assert mine
    assert all(text.isprintable() and len(text) < 200 for text in mine)
