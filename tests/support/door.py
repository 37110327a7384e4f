"""A handler of SSHUserAuthRequest that notes what it was asked and answers by the rules of a test."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libsshd import SSHUserAuthRequest
from tests.support.hostile import key_blob

Rule = Callable[[SSHUserAuthRequest], object]


class Door:
    """`rules` by method; what has no rule is refused. `seen` holds method and parameter of every event."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.rules = rules
        self.seen: list[tuple[str, str]] = []

    def __call__(self, event: SSHUserAuthRequest) -> None:
        self.seen.append((event.auth_method, event.auth_param))
        if event.auth_method in self.rules:
            self.rules[event.auth_method](event)

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.seen]


def accept(event: SSHUserAuthRequest) -> None:
    event.accept = True


def right(parameter: str) -> Rule:
    """Accepts that password, answer or key, and nothing else."""

    def rule(event: SSHUserAuthRequest) -> None:
        event.accept = event.auth_param == parameter

    return rule


def passing(parameter: str, methods: str | None = None) -> Rule:
    """That password, answer or key is one factor; goes on with `methods`, or with the list as it is."""

    def rule(event: SSHUserAuthRequest) -> None:
        event.partial_success = event.auth_param == parameter
        if event.partial_success and methods is not None:
            event.available_methods = methods

    return rule


def methods(names: str) -> Rule:
    """Sets the list."""

    def rule(event: SSHUserAuthRequest) -> None:
        event.available_methods = names

    return rule


def text_of(key: Ed25519PrivateKey) -> str:
    """AuthParam for a key: the second field of its line in authorized_keys."""
    return base64.b64encode(key_blob(key)).decode()
