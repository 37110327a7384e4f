"""Lists of clients: by address, by pattern, by name."""

import ipaddress
import re
import socket
import time

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
        if (address := parse_address(entry)) is not None:
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
        peer = parse_address(address)
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
        addresses = (parse_address(str(entry[4][0])) for entry in found)
        return frozenset(address for address in addresses if address is not None), _REMEMBERED


def parse_address(text: str) -> _IPv4 | _IPv6 | None:
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
