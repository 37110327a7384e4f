"""The authentication dialogue of one connection: RFC 4252.

Rules:
- Every request gets an answer and every failure counts, whatever made it fail.
- A key offered is not a key proven: only a valid signature lets anyone in.
- User and service are those of the first request; a request for others ends the connection.
"""

import base64
import logging
import time
from collections.abc import Callable

from libsshd._native import Connection as NativeConnection
from libsshd.events import Hook, SSHUserAuthRequest
from libsshd.settings import Settings
from libsshd.wire import ssh

from . import journal

_CONNECTION_SERVICE = b"ssh-connection"
_REQUESTS_MOST = 64
"""Of all requests together: accepted offers of keys count no failure but must end some time."""
_SIGNATURE_KEYS = {b"rsa-sha2-256": b"ssh-rsa", b"rsa-sha2-512": b"ssh-rsa"}


class LoginError(Exception):
    """The connection must end; the text is for the client."""


class Login:
    """Belongs to its connection's thread; `user` is set once somebody is in."""

    def __init__(
        self,
        native: NativeConnection,
        settings: Settings,
        hook: Hook[SSHUserAuthRequest],
        connection_id: int,
        pause: Callable[[float], object],
        facts: dict[str, object],
    ) -> None:
        self.user: str | None = None
        self.home_dir = ""
        self._native = native
        self._settings = settings
        self._hook = hook
        self._connection_id = connection_id
        self._pause = pause
        self._facts = facts
        self._methods = settings.default_auth_methods
        self._frozen: tuple[bytes, bytes] | None = None
        self._requests = 0
        self._failures = 0
        self._asked_none = False
        self._signature_algorithms = settings.ssh_pub_key_auth_sig_algorithms.encode().split(b",")

    def handle(self, request: ssh.UserauthRequest, payload: bytes) -> bool:
        """Answers one request; True when it let the user in. Raises LoginError."""
        began = time.monotonic()
        self._freeze(request)
        self._requests += 1
        if self._requests > _REQUESTS_MOST:
            raise LoginError("Too many authentication requests")
        if isinstance(request, ssh.PublicKeyRequest):
            accepted = self._public_key(request, payload)
        elif isinstance(request, ssh.PasswordRequest):
            accepted = self._password(request)
        else:
            accepted = self._other(request)
        if accepted is None:
            return False
        if accepted:
            self.user = request.user.decode("utf-8", "surrogateescape")
            self._native.authenticated()
            return True
        self._fail(request, began)
        return False

    def malformed(self) -> None:
        """A request that cannot be read is a failed attempt. Raises LoginError."""
        self._fail(None, time.monotonic())

    def _freeze(self, request: ssh.UserauthRequest) -> None:
        if self._frozen is None:
            self._frozen = (request.user, request.service)
        elif self._frozen != (request.user, request.service):
            raise LoginError("Change of user name or service is not allowed")

    def _other(self, request: ssh.UserauthRequest) -> bool:
        if not isinstance(request, ssh.NoneRequest):
            return False
        return self._ask(request, b"none", "").accept

    def _password(self, request: ssh.PasswordRequest) -> bool:
        if request.new_password is not None or not self._offered(b"password"):
            return False
        return self._ask(request, b"password", request.password.decode("utf-8", "surrogateescape")).accept

    def _public_key(self, request: ssh.PublicKeyRequest, payload: bytes) -> bool | None:
        """None: the offered key may be used, the answer is sent."""
        if not self._offered(b"publickey") or not self._usable(request):
            return False
        blob = base64.b64encode(request.key).decode()
        if not self._ask(request, b"publickey", blob, request.algorithm.decode()).accept:
            return False
        if request.signature is None:
            self._native.send(ssh.build_userauth_pk_ok(request.algorithm, request.key))
            return None
        return self._native.verify(payload, request.signed_length, request.key, request.signature)

    def _usable(self, request: ssh.PublicKeyRequest) -> bool:
        """Algorithm, key and signature must be of one kind, and one that is allowed."""
        if request.algorithm not in self._signature_algorithms:
            return False
        if request.key_format != _SIGNATURE_KEYS.get(request.algorithm, request.algorithm):
            return False
        if request.host_key is not None and request.host_key != self._native.host_key():
            return False
        return request.signature is None or request.signature_format == request.algorithm

    def _offered(self, method: bytes) -> bool:
        return method.decode() in self._method_names()

    def _method_names(self) -> list[str]:
        return [name.strip() for name in self._methods.split(",") if name.strip()]

    def _ask(
        self, request: ssh.UserauthRequest, method: bytes, parameter: str, algorithm: str = ""
    ) -> SSHUserAuthRequest:
        event = SSHUserAuthRequest(
            connection_id=self._connection_id,
            user=request.user.decode("utf-8", "surrogateescape"),
            service=request.service.decode("utf-8", "surrogateescape"),
            auth_method=method.decode(),
            auth_param=parameter,
            key_algorithm=algorithm,
            available_methods=self._methods,
        )
        if request.service != _CONNECTION_SERVICE or not self._hook.fire(event) or "\0" in event.home_dir:
            event.accept = False
        self._methods = event.available_methods
        self.home_dir = event.home_dir
        return event

    def _fail(self, request: ssh.UserauthRequest | None, began: float) -> None:
        """USERAUTH_FAILURE, late enough that its time tells nothing. Raises LoginError after too many."""
        asked_none = isinstance(request, ssh.NoneRequest) and not self._asked_none
        if asked_none:
            self._asked_none = True  # how clients learn the methods; only the first is free
        else:
            self._failures += 1
            self._log_failure(request)
        if request is None or (not isinstance(request, ssh.NoneRequest) and not _is_offer(request)):
            self._pause(began + self._settings.failure_delay - time.monotonic())
        if 0 < self._settings.max_auth_attempts <= self._failures:
            raise LoginError("Too many authentication failures")
        methods = [name.encode() for name in self._method_names()]
        self._native.send(ssh.build_userauth_failure(methods))

    def _log_failure(self, request: ssh.UserauthRequest | None) -> None:
        offer = request is not None and _is_offer(request)
        journal.record(
            logging.DEBUG if offer else logging.WARNING,
            "login-failed",
            "key not accepted" if offer else "login failed",
            self._facts,
            user=request.user if request else None,
            method=request.method if request else None,
            attempt=self._failures,
        )


def _is_offer(request: ssh.UserauthRequest) -> bool:
    return isinstance(request, ssh.PublicKeyRequest) and request.signature is None
