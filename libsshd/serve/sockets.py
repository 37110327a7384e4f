"""Sockets: those that listen for clients, and the options of those that were accepted."""

import contextlib
import logging
import select
import socket
from errno import EADDRINUSE, EAFNOSUPPORT

from libsshd.errors import ErrorCode, SFTPServerError, socket_error

from . import journal

IPV4_ONLY, IPV6_ONLY, BOTH = range(3)
"""Values of UseIPv6."""

_FAMILIES = ({socket.AF_INET}, {socket.AF_INET6}, {socket.AF_INET, socket.AF_INET6})
_EVERYWHERE = ""
"""For Python the address that is all addresses of a family."""
_MAPPED = "::ffff:"
"""How an IPv4 address begins as one of IPv6 (RFC 4291, section 2.5.5.2)."""
_PORT_MAX = 65535
_PORT_ATTEMPTS = 16
"""Ports to try for one that is free at every address, where the system may choose."""

_SIZE_MAX = 2**31 - 1
_SECONDS_MAX = 32767
_PROBES_MAX = 127
"""The kernel refuses larger values."""

Address = tuple[int, str, tuple[int, ...]]
"""Family, numeric address, and what follows the port in the family's form: nothing, or flow and zone of IPv6."""


def listen(host: str, port: int, *, backlog: int, use_ipv6: int, exclusive: bool) -> list[socket.socket]:
    """Blocking sockets that listen on every address of `host`, or on all of this machine when it is empty.

    `host` is a name or an address. `use_ipv6` is a value of UseIPv6: 0 IPv4 only, 1 IPv6 only, 2 both, which is IPv4
    alone on a machine without IPv6. With `port` 0 the system chooses one, the same for all sockets. Unless
    `exclusive`, servers of the same user that say so too share the port, and the system deals out the clients.

    Raises:
        SFTPServerError: 100xx or 110xx, such as 10013 without the privilege for the port, 10047 when there is no
            address of the wanted kind, 10048 when the port is taken, 11001 when nobody has that name.
    """
    where = f"Cannot listen on {f'[{host}]' if ':' in host else host or '*'}:{port}"
    if not 0 <= port <= _PORT_MAX:
        raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{where}: ports go from 0 to {_PORT_MAX}.")
    attempts = 1 if port else _PORT_ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _listen_at(_addresses(host, use_ipv6), port, backlog, use_ipv6, exclusive)
        except OSError as error:
            if error.errno != EADDRINUSE or not attempts:
                raise socket_error(error, where) from None


def _addresses(host: str, use_ipv6: int) -> list[Address]:
    if use_ipv6 != IPV4_ONLY and not _has_ipv6():
        if use_ipv6 == IPV6_ONLY:
            raise OSError(EAFNOSUPPORT, "This machine has no IPv6")
        use_ipv6 = IPV4_ONLY
    if not host:
        return [(socket.AF_INET if use_ipv6 == IPV4_ONLY else socket.AF_INET6, _EVERYWHERE, ())]
    found = [address for address in _resolve(host) if address[0] in _FAMILIES[use_ipv6]]
    if not found:
        raise OSError(EAFNOSUPPORT, "No address of that kind")
    return found


def _has_ipv6() -> bool:
    """A kernel may know IPv6 and yet have no address of it, as in many containers."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def _resolve(host: str) -> list[Address]:
    """All addresses of a name, each once."""
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # too long, for example
        raise socket.gaierror(socket.EAI_NONAME, "No name") from None
    return list(dict.fromkeys((family, str(name), tuple(map(int, zone))) for family, *_, (name, _, *zone) in entries))


def _listen_at(
    addresses: list[Address], port: int, backlog: int, use_ipv6: int, exclusive: bool
) -> list[socket.socket]:
    sockets = []
    with contextlib.ExitStack() as opened:
        for family, address, zone in addresses:
            sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not refused for connections of a former run
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, not exclusive)
            if family == socket.AF_INET6:
                for_both = use_ipv6 == BOTH and address == _EVERYWHERE
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not for_both)
            sock.bind((address, port, *zone))
            sock.listen(backlog)
            port = sock.getsockname()[1]
            sockets.append(sock)
        opened.pop_all()
    return sockets


def tune(
    sock: socket.socket, *, in_buffer: int, out_buffer: int, no_delay: bool,
    keep_alive_time_ms: int, keep_alive_interval_ms: int, keep_alive_retry_count: int,
) -> None:  # fmt: skip
    """Sets the options of an accepted socket; never fails.

    Sizes are bytes, times milliseconds, rounded up to whole seconds; 0, and a size or option the system does not
    take, leaves the system's value. TCP keep-alive is always on: who vanishes without a word must not stay. On a
    Unix socket only the sizes have an effect.
    """
    _set(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if 0 < in_buffer <= _SIZE_MAX:
        _set(sock, socket.SOL_SOCKET, socket.SO_RCVBUF, in_buffer)
    if 0 < out_buffer <= _SIZE_MAX:
        _set(sock, socket.SOL_SOCKET, socket.SO_SNDBUF, out_buffer)
    if in_buffer or out_buffer:
        _log_sizes(sock)
    if sock.family not in _FAMILIES[BOTH]:
        return
    _set(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY, no_delay)
    if keep_alive_time_ms > 0:
        _set(sock, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _seconds(keep_alive_time_ms))
    if keep_alive_interval_ms > 0:
        _set(sock, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _seconds(keep_alive_interval_ms))
    if keep_alive_retry_count > 0:
        _set(sock, socket.IPPROTO_TCP, socket.TCP_KEEPCNT, min(keep_alive_retry_count, _PROBES_MAX))


def hung_up(sock: socket.socket | None) -> bool:
    """Whether the peer has closed its side, whatever it sent before that and nobody has read yet."""
    if sock is None:
        return True
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    return bool(poller.poll(0))


def plain(address: str) -> str:
    """An address as programs know it: an IPv4 client of a socket for both kinds is an IPv4 client."""
    return address.removeprefix(_MAPPED) if "." in address else address


def _seconds(milliseconds: int) -> int:
    return min(-(-milliseconds // 1000), _SECONDS_MAX)


def _set(sock: socket.socket, level: int, option: int, value: int) -> None:
    try:
        sock.setsockopt(level, option, value)
    except OSError as error:
        journal.record(logging.DEBUG, "socket-option", "socket option not set", option=option, reason=str(error))


def _log_sizes(sock: socket.socket) -> None:
    """The system rounds and limits sizes as it likes."""
    if not journal.enabled(logging.DEBUG):
        return
    with contextlib.suppress(OSError):
        received, sent = (sock.getsockopt(socket.SOL_SOCKET, size) for size in (socket.SO_RCVBUF, socket.SO_SNDBUF))
        journal.record(logging.DEBUG, "socket-buffers", "sizes in effect", in_buffer=received, out_buffer=sent)
