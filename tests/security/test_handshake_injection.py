"""Class 4: no message is slipped in before the keys. What ssh-audit says of Terrapin is in test_audit.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from libsshd import SFTPServer
from tests.security.conftest import Serve
from tests.security.test_before_login import FIELDS, start_exchange
from tests.support.hostile import Peer
from tests.support.sshwire import Gone, Message, message

INJECTED = [Message.IGNORE, Message.DEBUG, Message.EXT_INFO, Message.UNIMPLEMENTED]


def injected_first(peer: Peer, payload: bytes) -> None:
    peer.greet().send(payload)
    peer.exchange()


def injected_after_kexinit(peer: Peer, payload: bytes) -> None:
    start_exchange(peer).send(payload)
    peer.finish_exchange()


def injected_before_newkeys(peer: Peer, payload: bytes) -> None:
    peer.greet().exchange(before_newkeys=[payload])


PLACES = [injected_first, injected_after_kexinit, injected_before_newkeys]


@pytest.mark.parametrize("number", INJECTED)
@pytest.mark.parametrize("place", PLACES)
def test_strict_exchange_ends_at_any_message_before_newkeys(
    peer: Peer, place: Callable[[Peer, bytes], None], number: Message
) -> None:
    with pytest.raises(Gone):  # noqa: PT012 -- the server may notice at any of these steps
        place(peer, message(number, FIELDS[number]))
        peer.service()


@pytest.mark.parametrize("place", PLACES)
def test_without_strict_exchange_an_ignore_is_harmless(
    server: SFTPServer, place: Callable[[Peer, bytes], None]
) -> None:
    with Peer(server.local_port, strict=False) as peer:
        place(peer, message(Message.IGNORE, FIELDS[Message.IGNORE]))
        peer.service()


@pytest.mark.parametrize("count", [1, 3])
def test_a_packet_cut_out_after_the_keys_is_noticed_whatever_was_slipped_in_before(serve: Serve, count: int) -> None:
    """The Terrapin attack: as many messages in as packets out, so that the numbers fit again.

    With strict exchange the numbers begin anew at NEWKEYS; without, AES-GCM counts by itself and does not verify.
    """
    server = serve()
    ignore = message(Message.IGNORE, FIELDS[Message.IGNORE])
    with Peer(server.local_port, strict=False) as peer:
        peer.greet().exchange(before_newkeys=[ignore] * count)
        for _ in range(count):
            peer.seal(ignore)  # made and never sent
        with pytest.raises(Gone):
            peer.service()


def test_a_client_without_strict_exchange_is_refused_where_it_is_demanded(serve: Serve) -> None:
    server = serve(use_strict_key_exchange=3)
    with Peer(server.local_port, strict=False) as peer, pytest.raises(Gone):
        peer.connect().service()
    with Peer(server.local_port) as peer:
        peer.connect().service()
