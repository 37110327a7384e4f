"""Class 16: what a password check tells nobody: whether the user exists, how near the guess was.

Times are compared by how often one of a pair is the longer: half of the pairs when there is no difference, whatever
the machine is busy with, for both are taken in turns. A server that leaks shows that the comparison would see it.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import FrameType

import pytest

from libsshd import SFTPServer, SSHUserAuthRequest
from libsshd.authentication import SECRET_LIMIT, AuthorizedKeys, Credentials
from tests.conftest import Rounds
from tests.security.conftest import Serve
from tests.support.account import KEY
from tests.support.hostile import Peer, key_blob, offer, password_request
from tests.support.sshwire import Message

PASSWORD = "Open-Sesame.7"
ACCOUNT = Credentials("alice", PASSWORD)
GUESSES = {
    "a known user": ("alice", "Open-Sesame.8"),
    "an unknown user": ("carol", "Open-Sesame.8"),
    "nothing right": ("carol", "xxxx-xxxxxx.x"),
    "an unknown user who has the password": ("carol", PASSWORD),
}


def guess(user: str, password: str) -> SSHUserAuthRequest:
    return SSHUserAuthRequest(
        connection_id=0, user=user, service="ssh-connection", auth_method="password", auth_param=password,
        key_algorithm="", available_methods="password",
    )  # fmt: skip


def work(action: Callable[[], object]) -> list[str]:
    """Every function that is called and returned from, in order."""
    seen: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        seen.append(f"{event} {getattr(argument, '__qualname__', frame.f_code.co_qualname)}")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("kind", GUESSES)
def test_the_same_work_is_done_for_every_guess(kind: str) -> None:
    def done(user: str, password: str) -> list[str]:
        event = guess(user, password)
        calls = work(lambda: ACCOUNT.decide(event))
        assert event.accept == ((user, password) == ("alice", PASSWORD))
        return calls

    right = done("alice", PASSWORD)
    assert sum("compare_digest" in call for call in right) >= 2, "the name and the password"
    assert done(*GUESSES[kind]) == right


def test_an_account_without_a_password_does_the_same_work() -> None:
    keys = AuthorizedKeys.parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGy4tQCdnDg7EGlKbsFJOoYUTb6t74BKyZK/moa0iUvT")
    bare = Credentials("alice", None, keys)
    assert work(lambda: bare.decide(guess("alice", "x"))) == work(lambda: ACCOUNT.decide(guess("alice", "x")))


def longer(first: list[float], second: list[float]) -> float:
    """How often one of the first is longer than one of the second, over all pairs; 0.5 when nothing differs."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    below = wins = ties = position = 0
    while position < len(ranked):
        end = position
        while end < len(ranked) and ranked[end][0] == ranked[position][0]:
            end += 1
        theirs = sum(which for _, which in ranked[position:end])
        ours = end - position - theirs
        wins += ours * below
        ties += ours * theirs
        below += theirs
        position = end
    return (wins + ties / 2) / (len(first) * len(second))


def taken(samples: int, first: Callable[[], float], second: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Both in turns, each as often ahead of the other."""
    times: tuple[list[float], list[float]] = ([], [])
    order = [0, 1]
    for _ in range(samples):
        random.shuffle(order)
        for which in order:
            times[which].append((first, second)[which]())
    return times


def test_the_comparison_is_half_for_equals_and_all_for_a_difference() -> None:
    assert longer([1, 2, 3], [1, 2, 3]) == 0.5
    assert (longer([4, 5], [1, 2, 3]), longer([1, 2], [3])) == (1.0, 0.0)
    assert longer([2, 2], [1, 2, 3]) == 0.5


@pytest.mark.rounds
def test_a_check_takes_as_long_for_a_known_user_as_for_an_unknown_one(rounds: Rounds) -> None:
    def seconds(kind: str) -> Callable[[], float]:
        event = guess(*GUESSES[kind])

        def take() -> float:
            began = time.perf_counter()
            ACCOUNT.decide(event)
            return time.perf_counter() - began

        return take

    # Nanoseconds do differ, as those of `True & False` and `False & False`; no clock behind a network sees them.
    known, unknown = taken(rounds(4000, 10_000), seconds("a known user"), seconds("an unknown user"))
    assert median(known) == pytest.approx(median(unknown), rel=0.05)


def asking(server: SFTPServer, user: bytes) -> tuple[Peer, Callable[[], float]]:
    peer = Peer(server.local_port).connect().service()

    def take() -> float:
        began = time.perf_counter()
        assert peer.attempt(password_request(user, b"Open-Sesame.8")) == Message.USERAUTH_FAILURE
        return time.perf_counter() - began

    return peer, take


def share_on_the_wire(server: SFTPServer, samples: int) -> float:
    """Of pairs of connections, each used a few times, how often the known user's answer is the later one."""
    pairs = 40
    shares = []
    for _ in range(samples // pairs):
        (known, ask_known), (unknown, ask_unknown) = asking(server, b"alice"), asking(server, b"carol")
        with known, unknown:
            shares.append(longer(*taken(pairs, ask_known, ask_unknown)))
    return sum(shares) / len(shares)


@pytest.mark.rounds
def test_an_answer_comes_as_late_for_a_known_user_as_for_an_unknown_one(serve: Serve, rounds: Rounds) -> None:
    server = serve(max_auth_attempts=0)
    server.on_ssh_user_auth_request = ACCOUNT.decide
    assert 0.4 < share_on_the_wire(server, rounds(800, 10_000)) < 0.6


def test_a_server_that_leaks_is_found_out(serve: Serve) -> None:
    """The same comparison, with a handler that hashes the password of known users only."""
    server = serve(max_auth_attempts=0)

    def leak(event: SSHUserAuthRequest) -> None:
        if event.user == "alice":
            hashlib.pbkdf2_hmac("sha256", event.auth_param.encode(), b"salt", 5000)

    server.on_ssh_user_auth_request = leak
    assert share_on_the_wire(server, 120) > 0.8


# --- the delay ---


def test_no_failure_is_answered_before_the_delay_and_no_question_is_held_up(serve: Serve) -> None:
    server = serve(failure_delay=0.3)
    server.on_ssh_user_auth_request = ACCOUNT.decide
    for user in (b"alice", b"carol"):
        with Peer(server.local_port) as peer:
            peer.connect().service()
            began = time.monotonic()
            assert peer.attempt(password_request(user, b"wrong")) == Message.USERAUTH_FAILURE
            assert time.monotonic() - began >= 0.3
            began = time.monotonic()
            for _ in range(4):
                assert peer.attempt(offer(user, b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_FAILURE
            assert time.monotonic() - began < 4 * 0.3


def test_by_default_a_failure_costs_time(root: Path) -> None:
    assert SFTPServer(root_directory=str(root)).failure_delay >= 0.3


# --- the length ---


@pytest.mark.parametrize("length", [SECRET_LIMIT + 1, SECRET_LIMIT * 2, 30_000])
def test_a_password_beyond_the_limit_never_fits_however_it_begins(serve: Serve, length: int) -> None:
    longest = "x" * SECRET_LIMIT
    account = Credentials("alice", longest)
    server = serve()
    server.on_ssh_user_auth_request = account.decide
    with Peer(server.local_port) as peer:
        peer.connect().service()
        assert peer.attempt(password_request(b"alice", b"x" * length)) == Message.USERAUTH_FAILURE
        assert peer.attempt(password_request(b"alice", longest.encode())) == Message.USERAUTH_SUCCESS


@pytest.mark.parametrize("length", [100_000, 250_000])
def test_a_password_that_fills_packets_ends_the_connection_unheard(serve: Serve, length: int) -> None:
    heard: list[str] = []
    server = serve()
    server.on_ssh_user_auth_request = lambda event: heard.append(event.auth_method)
    with Peer(server.local_port) as peer:
        peer.connect().service().send(password_request(b"alice", b"x" * length))
        peer.end()
    assert heard == []


def test_no_more_of_a_password_is_hashed_than_the_limit() -> None:
    hashed = [guess("alice", "x" * length) for length in (SECRET_LIMIT + 1, 1 << 24)]
    short, long = (work(lambda event=event: ACCOUNT.decide(event)) for event in hashed)  # type: ignore[misc]
    assert short == long
