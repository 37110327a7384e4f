"""Who may connect: from which addresses, how many at once, and how many that have not logged in."""

import ipaddress
import re
import socket
import threading
import time
from typing import Protocol

_IPv4 = ipaddress.IPv4Address
_IPv6 = ipaddress.IPv6Address

_IPV4_PATTERN = re.compile(r"[0-9.*]+")
_IPV6_PATTERN = re.compile(r"(?=.*:)[0-9a-f:*]+")
_HOST_NAME = re.compile(r"(?=.*[^0-9.])[\w-]+(\.[\w-]+)*\.?")
_LEADING_ZEROS = re.compile(r"(?<![0-9a-f*])0+(?=[0-9a-f])")
_NO_SUCH_HOST = {socket.EAI_NONAME, socket.EAI_NODATA}
_REMEMBERED = 60.0
"""Seconds for which the addresses of a host name are taken from memory."""
_RETRY = 5.0
"""Seconds before a name service that failed is asked again."""


class ClientList:
    """The value of AllowedClients or BlockedClients: a comma list of host names and addresses.

    An address may have "*" anywhere, for any text; blanks around entries do not count. IPv6 addresses are equal in
    every spelling; a pattern is compared with the short and the full form. A host name stands for the addresses it
    resolves to now: what a client's address is called in reverse is the client's word, and never asked.

    Keep one for as long as the value is the same, for it remembers names. Any thread may ask it.

    Raises:
        ValueError: an entry is none of these: a name with "*", a network with its mask, an incomplete address.
    """

    def __init__(self, text: str) -> None:
        entries = {entry.strip().lower() for entry in text.split(",")} - {""}
        self._everybody = any(not entry.strip("*") for entry in entries)
        self._addresses: set[_IPv4 | _IPv6] = set()
        self._patterns: dict[int, list[re.Pattern[str]]] = {4: [], 6: []}
        self._names: dict[str, _Name] = {}
        self._nobody = not entries
        for entry in sorted(entries):
            self._add(entry)

    def _add(self, entry: str) -> None:
        if (address := _parse(entry)) is not None:
            self._addresses.add(address)
        elif "*" in entry and _IPV4_PATTERN.fullmatch(entry):
            self._patterns[4] += [_compile(entry)]
        elif "*" in entry and _IPV6_PATTERN.fullmatch(entry):
            self._patterns[6] += [_compile(entry), _compile(_LEADING_ZEROS.sub("", entry))]
        elif _HOST_NAME.fullmatch(entry):
            self._names[entry] = _Name(entry)
        else:
            raise ValueError(f"{entry!r} is no host name, address, or address with *")

    def matches(self, address: str) -> bool:
        """Whether a peer is meant; `address` is its numeric address.

        Host names are looked up when nothing else matches, which may take as long as the name service takes.
        A peer without an address (of a Unix socket) is meant by "*" only.
        """
        if self._everybody or self._nobody:
            return self._everybody
        peer = _parse(address)
        if peer is None:
            return False
        if peer in self._addresses:
            return True
        spellings = _spellings(peer)
        if any(pattern.fullmatch(text) for pattern in self._patterns[peer.version] for text in spellings):
            return True
        return any(peer in name.addresses() for name in self._names.values())


class _Name:
    """A host name and the addresses it had when they were last asked for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: frozenset[_IPv4 | _IPv6] = frozenset()
        self._due = 0.0

    def addresses(self) -> frozenset[_IPv4 | _IPv6]:
        """Without a lock: threads that come at the same time ask the name service each for itself."""
        if time.monotonic() >= self._due:
            self._known, seconds = self._ask()
            self._due = time.monotonic() + seconds
        return self._known

    def _ask(self) -> tuple[frozenset[_IPv4 | _IPv6], float]:
        """The addresses, and how long to keep them. A name service that fails must not unblock anybody."""
        try:
            found = socket.getaddrinfo(self._name, None, type=socket.SOCK_STREAM)
        except OSError as error:
            return (frozenset(), _REMEMBERED) if error.errno in _NO_SUCH_HOST else (self._known, _RETRY)
        except UnicodeError:  # too long, for example
            return frozenset(), _REMEMBERED
        addresses = (_parse(str(entry[4][0])) for entry in found)
        return frozenset(address for address in addresses if address is not None), _REMEMBERED


def _parse(text: str) -> _IPv4 | _IPv6 | None:
    """An address in one form of many: without its zone, and IPv4 as such when it is wrapped in IPv6."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, _IPv6) else address


def _spellings(address: _IPv4 | _IPv6) -> set[str]:
    """The texts a pattern is compared with: of IPv6 the shortest, all groups, and all digits."""
    groups = (group.lstrip("0") or "0" for group in address.exploded.split(":"))
    return {address.compressed, address.exploded} | ({":".join(groups)} if address.version == 6 else set())


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))


class Guest(Protocol):
    """A connection, as far as admission knows it."""

    def evict(self) -> None:
        """Ends the connection soon: it has to make room. From any thread, without waiting."""


class Admission:
    """Counts connections; 0 means no limit. All methods may be called from any thread."""

    def __init__(self, max_connections: int, max_startups: int) -> None:
        self._max_connections = max_connections
        self._max_startups = max_startups
        self._lock = threading.Lock()
        self._guests: set[Guest] = set()
        self._exchanging: dict[Guest, None] = {}  # in order of arrival
        self._logging_in: set[Guest] = set()

    def limit(self, max_connections: int, max_startups: int) -> None:
        """Sets the limits for whoever enters from now on; nobody has to leave."""
        with self._lock:
            self._max_connections = max_connections
            self._max_startups = max_startups

    def enter(self, guest: Guest) -> bool:
        """Whether there is room; when start-ups are full the oldest unfinished key exchange makes some."""
        evicted = None
        with self._lock:
            if 0 < self._max_connections <= len(self._guests):
                return False
            if 0 < self._max_startups <= len(self._exchanging) + len(self._logging_in):
                if not self._exchanging:
                    return False
                evicted = next(iter(self._exchanging))
                del self._exchanging[evicted]
            self._guests.add(guest)
            self._exchanging[guest] = None
        if evicted is not None:
            evicted.evict()
        return True

    def keys_exchanged(self, guest: Guest) -> None:
        with self._lock:
            if guest in self._exchanging:
                del self._exchanging[guest]
                self._logging_in.add(guest)

    def logged_in(self, guest: Guest) -> None:
        with self._lock:
            self._logging_in.discard(guest)

    def leave(self, guest: Guest) -> None:
        with self._lock:
            self._guests.discard(guest)
            self._exchanging.pop(guest, None)
            self._logging_in.discard(guest)
