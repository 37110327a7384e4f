"""What counts as one source of connections: an address, or the network that somebody was given."""

import functools

from .clients import parse_address

NOWHERE = ""
"""The source of a peer without an address: of a Unix socket."""


@functools.lru_cache(maxsize=1024)
def source_of(address: str, ipv4_bits: int, ipv6_bits: int) -> str:
    """The key of the source that a numeric address belongs to, which are its first bits.

    Whoever has one IPv6 address usually has 2**64 of them (RFC 6177), so that bits beyond 64 tell nobody apart.
    """
    parsed = parse_address(address)
    if parsed is None:
        return NOWHERE
    bits = ipv4_bits if parsed.version == 4 else ipv6_bits
    return f"{parsed.version}:{int(parsed) >> (parsed.max_prefixlen - bits):x}"
