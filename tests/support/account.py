"""The one account of servers that run inside the tests: alice, with a password or with one key."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libsshd import SSHUserAuthRequest
from tests.support.hostile import key_blob

USER = "alice"
PASSWORD = "Open-Sesame.7"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def let_in(event: SSHUserAuthRequest) -> None:
    """A handler: the right user with the right secret or the right key."""
    if event.user == USER and event.auth_method == "password":
        event.accept = event.auth_param == PASSWORD
    elif event.user == USER and event.auth_method == "publickey":
        event.accept = event.auth_param == base64.b64encode(key_blob(KEY)).decode()
