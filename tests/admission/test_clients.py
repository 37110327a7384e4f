"""Who may connect: lists of addresses, patterns and names."""

import socket

import pytest

from libsshd.admission import ClientList
from libsshd.admission import clients as module

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
