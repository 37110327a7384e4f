"""Who may connect."""

import socket

import pytest

from libsshd import admission as module
from libsshd.admission import Admission, ClientList

# --- how many ---


class Visitor:
    def __init__(self) -> None:
        self.evicted = False

    def evict(self) -> None:
        self.evicted = True


def test_there_is_room_until_the_limit_and_again_after_somebody_left() -> None:
    admission = Admission(max_connections=2, max_startups=0)
    first, second, third = Visitor(), Visitor(), Visitor()
    assert admission.enter(first)
    assert admission.enter(second)
    assert not admission.enter(third)
    admission.leave(first)
    assert admission.enter(third)


def test_zero_is_no_limit() -> None:
    admission = Admission(0, 0)
    assert all(admission.enter(Visitor()) for _ in range(1000))


def test_the_oldest_unfinished_key_exchange_makes_room() -> None:
    admission = Admission(0, max_startups=2)
    first, second, third = Visitor(), Visitor(), Visitor()
    assert admission.enter(first)
    assert admission.enter(second)
    assert admission.enter(third)
    assert (first.evicted, second.evicted, third.evicted) == (True, False, False)


def test_who_has_finished_the_key_exchange_is_not_evicted() -> None:
    admission = Admission(0, max_startups=2)
    first, second, third = Visitor(), Visitor(), Visitor()
    admission.enter(first)
    admission.keys_exchanged(first)
    admission.enter(second)
    assert admission.enter(third)
    assert (first.evicted, second.evicted) == (False, True)


def test_when_all_are_logging_in_the_newcomer_is_turned_away() -> None:
    admission = Admission(0, max_startups=1)
    first = Visitor()
    admission.enter(first)
    admission.keys_exchanged(first)
    assert not admission.enter(Visitor())


def test_who_is_logged_in_takes_no_start_up() -> None:
    admission = Admission(0, max_startups=1)
    first, second = Visitor(), Visitor()
    admission.enter(first)
    admission.keys_exchanged(first)
    admission.logged_in(first)
    assert admission.enter(second)
    assert not first.evicted


def test_leaving_twice_or_unknown_does_no_harm() -> None:
    admission = Admission(1, 1)
    visitor = Visitor()
    admission.enter(visitor)
    admission.leave(visitor)
    admission.leave(visitor)
    assert admission.enter(Visitor())


def test_limits_may_change_and_count_for_the_next_one() -> None:
    admission = Admission(1, 0)
    first, second, third = Visitor(), Visitor(), Visitor()
    assert admission.enter(first)
    assert not admission.enter(second)
    admission.limit(2, 1)
    assert admission.enter(second)
    assert first.evicted
    admission.limit(1, 0)
    assert not admission.enter(third)
    admission.limit(0, 0)
    assert admission.enter(third)


# --- from where ---

MATCHES = [
    ("*", "203.0.113.7", True),
    ("*", "2001:db8::1", True),
    ("*", "", True),
    ("", "203.0.113.7", False),
    (" , ,", "203.0.113.7", False),
    ("203.0.113.7", "203.0.113.7", True),
    ("203.0.113.7", "203.0.113.70", False),
    ("203.0.113.7", "::ffff:203.0.113.7", True),
    ("::ffff:203.0.113.7", "203.0.113.7", True),
    ("203.0.113.7", "", False),
    ("203.0.113.7", "/run/socket", False),
    (" 192.0.2.1 ,\t203.0.113.7 ", "203.0.113.7", True),
    ("10.*", "10.1.2.3", True),
    ("10.*", "110.1.2.3", False),
    ("10.*", "::ffff:10.1.2.3", True),
    ("1.*", "10.1.2.3", False),
    ("1*", "1234::5", False),
    ("*.7", "203.0.113.7", True),
    ("203.*.113.*", "203.0.113.7", True),
    ("203.*.113.*", "203.0.114.7", False),
    ("203.0.113.*7", "203.0.113.17", True),
    ("20*3*7", "203.0.113.7", True),
    ("10.*.1", "10x.1", False),
    ("2001:db8::1", "2001:DB8:0:0:0:0:0:1", True),
    ("2001:0DB8:0000::0001", "2001:db8::1", True),
    ("2001:db8::1", "2001:db8::2", False),
    ("fe80::1", "fe80::1%eth0", True),
    ("fe80::1%eth0", "fe80::1", True),
    ("2001:DB8:*", "2001:db8::1", True),
    ("2001:0db8:*", "2001:db8::1", True),
    ("2001:db8:*", "2001:db80::1", False),
    ("2001:db8:*:0:0:0:0:1", "2001:db8::1", True),
    ("2001:db8:0000:*", "2001:db8::1", True),
    ("2001:db8:0:*", "2001:db8:1::1", False),
    ("fe80::*", "fe80::a", True),
    ("*:*", "fe80::a", True),
    ("*:*", "203.0.113.7", False),
    ("*.*", "fe80::a", False),
]


@pytest.mark.parametrize(("text", "address", "expected"), MATCHES)
def test_an_address_matches_by_its_value_or_by_a_pattern(text: str, address: str, expected: bool) -> None:
    assert ClientList(text).matches(address) is expected


@pytest.mark.parametrize(
    "entry",
    ["*.example.com", "local*", "10.0.0.0/8", "1.2.3", "256.1.1.1", "10.1.2.3:22", "[::1]", "a..b", "fe80*", "a b"],
)
def test_an_entry_that_could_never_match_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError) as caught:
        ClientList(f"192.0.2.1,{entry}")
    assert entry in str(caught.value)


def test_a_host_name_stands_for_its_addresses() -> None:
    assert ClientList("LocalHost").matches("127.0.0.1")
    assert not ClientList("localhost").matches("203.0.113.7")


def test_a_name_nobody_has_matches_nobody() -> None:
    assert not ClientList("host.invalid," + "x" * 70).matches("127.0.0.1")


class NameService:
    """Stands for the system's, and counts questions."""

    def __init__(self) -> None:
        self.answer: str | OSError = "203.0.113.7"
        self.questions = 0

    def getaddrinfo(self, host: str, port: None, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.questions += 1
        if isinstance(self.answer, OSError):
            raise self.answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (self.answer, 0))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameService:
    service = NameService()
    monkeypatch.setattr(socket, "getaddrinfo", service.getaddrinfo)
    return service


@pytest.mark.parametrize("text", ["*,somebody", "203.0.113.7,somebody", "somebody,203.*"])
def test_no_name_is_looked_up_when_an_address_decides(names: NameService, text: str) -> None:
    assert ClientList(text).matches("203.0.113.7")
    assert names.questions == 0


def test_the_addresses_of_a_name_are_remembered(names: NameService) -> None:
    clients = ClientList("somebody")
    assert clients.matches("203.0.113.7")
    assert not clients.matches("203.0.113.8")
    assert names.questions == 1


def test_a_name_is_looked_up_again_after_a_while(names: NameService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 0.0)
    clients = ClientList("somebody")
    assert clients.matches("203.0.113.7")
    names.answer = "203.0.113.8"
    assert not clients.matches("203.0.113.7")
    names.answer = socket.gaierror(socket.EAI_NONAME, "gone")
    assert not clients.matches("203.0.113.8")


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_AGAIN, "silent"), OSError(24, "no descriptor")])
def test_a_name_service_that_fails_unblocks_nobody(
    names: NameService, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 0.0)
    blocked = ClientList("somebody")
    assert blocked.matches("203.0.113.7")
    names.answer = error
    assert blocked.matches("203.0.113.7")
