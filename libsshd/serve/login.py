"""The authentication dialogue of one connection: RFC 4252, and RFC 4256 for keyboard-interactive.

Rules:
- Every request gets an answer and every failure counts, whatever made it fail.
- A key offered is not a key proven: only a valid signature lets anyone in, and only with it counts what a handler
  granted to the key. The same holds for answers to prompts of which one was refused.
- User and service are those of the first request; a request for others ends the connection.
- A name that is no user's (see is_user_name) is refused like a wrong password, and no handler hears of it.
- A method outside the list of the moment is refused and no handler hears of it; "none" is always heard.
"""

import base64
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from libsshd._native import Connection as NativeConnection
from libsshd.authentication import is_user_name
from libsshd.errors import ErrorCode
from libsshd.events import SSHUserAuthRequest, is_text
from libsshd.settings import ConnectionSettings, Prompt, Settings, parse_prompts
from libsshd.wire import ssh

from .journal import Journal

_CONNECTION_SERVICE = b"ssh-connection"
_REQUESTS_MOST = 64
"""Of requests that count as no failure, as an accepted offer of a key does: they must end some time. And of failures
that are answered at once, where the number of failures has no limit."""
_SIGNATURE_KEYS = {b"rsa-sha2-256": b"ssh-rsa", b"rsa-sha2-512": b"ssh-rsa"}
_SHOWN_MOST = 64
"""Characters of a stranger's name in a message."""


@cache
def _encoded(names: str) -> frozenset[bytes]:
    return frozenset(name.encode() for name in _names(names))


class LoginError(Exception):
    """The connection must end; the text is for the client."""


class _Verdict(IntEnum):
    """What becomes of a request, each more than the one before."""

    REFUSED = 0
    PARTIAL = 1
    ACCEPTED = 2


@dataclass(slots=True)
class _Dialogue:
    """Prompts that wait for their answers."""

    request: ssh.UserauthRequest
    prompts: int


class Login:
    """Belongs to its connection's thread; `user` is set once somebody is in.

    `values` are the settings of this connection, which handlers may change; `prompts` are those of the server.
    `ask` runs the handlers of an event and tells whether there were any and none failed. `pause` lets seconds pass.
    `encoding` is that of user names, a Python codec.
    """

    __slots__ = (
        "_banners", "_connection_id", "_dialogue", "_encoding", "_failures", "_frozen", "_journal",
        "_methods", "_name", "_native", "_pause", "_prompts", "_run_handlers", "_settings",
        "_signature_algorithms", "_uncounted", "_values", "home_dir", "user",
    )  # fmt: skip

    def __init__(
        self,
        native: NativeConnection,
        settings: Settings,
        values: ConnectionSettings,
        prompts: Sequence[Prompt],
        ask: Callable[[SSHUserAuthRequest], bool],
        connection_id: int,
        pause: Callable[[float], object],
        journal: Journal,
        *,
        encoding: str = "utf-8",
    ) -> None:
        self.user: str | None = None
        self.home_dir = ""
        self._name = ""
        self._native = native
        self._settings = settings
        self._values = values
        self._prompts = tuple(prompts)
        self._run_handlers = ask
        self._connection_id = connection_id
        self._pause = pause
        self._journal = journal
        self._encoding = encoding
        self._methods = _names(settings.default_auth_methods)
        self._signature_algorithms = _encoded(settings.ssh_pub_key_auth_sig_algorithms)
        self._frozen: tuple[bytes, bytes] | None = None
        self._dialogue: _Dialogue | None = None
        self._banners: list[str] = []
        self._uncounted = 0
        self._failures = 0

    @property
    def name(self) -> str:
        """Of the user that the client says it is."""
        return self._name

    @property
    def has_failed(self) -> bool:
        """Whether an attempt was refused; to ask for the methods is none."""
        return self._failures > 0

    def handle(self, request: ssh.UserauthRequest, payload: bytes) -> bool:
        """Answers one request; True when it let the user in. Raises LoginError."""
        began = time.monotonic()
        self._freeze(request)
        self._abandon()
        self._journal.status(f"User {_shown(self._name)} {_wish(request)}")
        return self._conclude(self._judge(request, payload), request, began)

    def respond(self, response: ssh.InfoResponse) -> bool:
        """Takes the answers to the prompts that were sent; True when they let the user in. Raises LoginError."""
        began = time.monotonic()
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is None:
            return self._conclude(_Verdict.REFUSED, None, began)
        verdict = _Verdict.REFUSED
        if len(response.responses) == dialogue.prompts:
            verdict = self._judge_answers(dialogue.request, response.responses)
        return self._conclude(verdict, dialogue.request, began)

    def malformed(self) -> None:
        """A request that cannot be read is a failed attempt. Raises LoginError."""
        self._abandon()
        self._conclude(_Verdict.REFUSED, None, time.monotonic())

    # --- what surrounds a request ---

    def _freeze(self, request: ssh.UserauthRequest) -> None:
        if self._frozen is None:
            self._frozen = (request.user, request.service)
            try:
                self._name = request.user.decode(self._encoding, "surrogateescape")
            except UnicodeDecodeError:  # not in UTF-8, where every byte has its place
                raise LoginError("The user name cannot be read") from None
        elif self._frozen != (request.user, request.service):
            raise LoginError("Change of user name or service is not allowed")

    def _abandon(self) -> None:
        """A new request is the end of prompts that wait for answers (RFC 4252 section 5)."""
        if self._dialogue is not None:
            self._dialogue = None
            self._spend()

    def _spend(self) -> None:
        self._uncounted += 1
        if self._uncounted > _REQUESTS_MOST:
            raise LoginError("Too many authentication requests")

    def _conclude(self, verdict: _Verdict | None, request: ssh.UserauthRequest | None, began: float) -> bool:
        """Sends the answer unless a question was sent instead (None)."""
        if verdict is _Verdict.ACCEPTED:
            self.user = self._name
            self._send_banners()
            self._native.authenticated()
            return True
        if verdict is _Verdict.PARTIAL:
            self._spend()
            self._journal.status(f"One factor is proven; to go on: {', '.join(self._methods)}")
            self._send_failure(partial=True)
        elif verdict is not None:
            self._fail(request, began)
        return False

    def _fail(self, request: ssh.UserauthRequest | None, began: float) -> None:
        """USERAUTH_FAILURE, late enough that its time tells nothing. Raises LoginError after too many."""
        if isinstance(request, ssh.NoneRequest):  # how clients learn the methods
            self._spend()
        else:
            self._failures += 1
            self._log_failure(request)
        if not _is_question(request) or self._failures > _REQUESTS_MOST:
            self._pause(began + self._settings.failure_delay - time.monotonic())
        if 0 < self._settings.max_auth_attempts <= self._failures:
            self._send_banners()
            raise LoginError("Too many authentication failures")
        self._send_failure(partial=False)

    def _log_failure(self, request: ssh.UserauthRequest | None) -> None:
        offer = _is_question(request)
        self._journal.status("Key not accepted" if offer else f"Attempt {self._failures} to log in failed")
        self._journal.record(
            logging.DEBUG if offer else logging.WARNING,
            "login-failed",
            "key not accepted" if offer else "login failed",
            user=request.user if request else None,
            method=request.method if request else None,
            attempt=self._failures,
        )

    def _send_failure(self, *, partial: bool) -> None:
        methods = [name.encode("ascii", "replace") for name in self._methods if name != "none"]
        self._send(ssh.build_userauth_failure(methods, partial))

    def _send(self, payload: bytes) -> None:
        self._send_banners()
        self._native.send(payload)

    def _send_banners(self) -> None:
        """What handlers put up since the last answer goes ahead of this one."""
        banners, self._banners = self._banners, []
        for banner in banners:
            self._native.send(ssh.build_userauth_banner(banner))

    # --- one method each; None: a question was sent ---

    def _judge(self, request: ssh.UserauthRequest, payload: bytes) -> _Verdict | None:
        if request.service != _CONNECTION_SERVICE or not is_user_name(self._name):
            return _Verdict.REFUSED
        if isinstance(request, ssh.NoneRequest):
            return self._take(self._ask(request, "none"), "none")
        if isinstance(request, ssh.PasswordRequest):
            return self._password(request)
        if isinstance(request, ssh.PublicKeyRequest):
            return self._public_key(request, payload)
        if isinstance(request, ssh.KeyboardInteractiveRequest):
            return self._keyboard(request)
        return _Verdict.REFUSED

    def _password(self, request: ssh.PasswordRequest) -> _Verdict:
        if request.new_password is not None or "password" not in self._methods:
            return _Verdict.REFUSED
        return self._take(self._ask(request, "password", _secret(request.password)), "password")

    def _public_key(self, request: ssh.PublicKeyRequest, payload: bytes) -> _Verdict | None:
        if "publickey" not in self._methods or not self._usable(request):
            return _Verdict.REFUSED
        event = self._ask(request, "publickey", base64.b64encode(request.key).decode(), request.algorithm.decode())
        if not _granted(event):
            return self._take(event, "publickey")
        if request.signature is None:
            self._spend()
            self._send(ssh.build_userauth_pk_ok(request.algorithm, request.key))
            return None
        valid = self._native.verify(payload, request.signed_length, request.key, request.signature)
        if self._settings.fire_auth_request_after_sig:
            event = self._tell_signature(request, event, valid)
        return self._take(event, "publickey") if valid else _Verdict.REFUSED

    def _usable(self, request: ssh.PublicKeyRequest) -> bool:
        """Algorithm, key and signature must be of one kind, and one that is allowed."""
        if request.algorithm not in self._signature_algorithms:
            return False
        if request.key_format != _SIGNATURE_KEYS.get(request.algorithm, request.algorithm):
            return False
        if request.host_key is not None and request.host_key != self._native.host_key():
            return False
        return request.signature is None or request.signature_format == request.algorithm

    def _tell_signature(
        self, request: ssh.PublicKeyRequest, decided: SSHUserAuthRequest, valid: bool
    ) -> SSHUserAuthRequest:
        """The event after the check: what was decided may be taken back there, never enlarged."""
        presets = _answer(decided) if valid else {}
        event = self._ask(request, "sigstatus", str(int(valid)), decided.key_algorithm, **presets)
        if _granted(event) > _granted(decided):
            event.preset(accept=decided.accept, partial_success=decided.partial_success)
        return event

    def _keyboard(self, request: ssh.KeyboardInteractiveRequest) -> _Verdict | None:
        if "keyboard-interactive" not in self._methods:
            return _Verdict.REFUSED
        own = self._values.keyboard_interactive_prompts
        # a prompt must not be empty (RFC 4256 section 3.2)
        prompts = [(text or " ", echo) for text, echo in (parse_prompts(own) if own else self._prompts)]
        self._dialogue = _Dialogue(request, len(prompts))
        self._send(ssh.build_userauth_info_request("", self._settings.keyboard_interactive_message, prompts))
        return None

    def _judge_answers(self, request: ssh.UserauthRequest, answers: Sequence[bytes]) -> _Verdict:
        """All events fire whatever becomes of the first: the time it takes must not tell which answer was wrong."""
        events = [
            self._ask(request, f"keyboard-interactive-{number}", _secret(answer))
            for number, answer in enumerate(answers, 1)
        ]
        last = self._ask(request, "keyboard-interactive")
        if _granted(last) and not all(event.accept for event in events):
            return _Verdict.REFUSED
        return self._take(last, "keyboard-interactive")

    # --- handlers ---

    def _ask(
        self, request: ssh.UserauthRequest, method: str, parameter: str = "", algorithm: str = "", **presets: object
    ) -> SSHUserAuthRequest:
        """The event after the handlers; when one failed, nothing of what they set is left."""
        event = SSHUserAuthRequest(
            connection_id=self._connection_id,
            user=self._name,
            service=request.service.decode(),
            auth_method=method,
            auth_param=parameter,
            key_algorithm=algorithm,
            available_methods=",".join(self._methods),
        )
        nothing = _answer(event)
        event.preset(**presets)
        self._values.user_auth_banner = ""
        ok = self._run_handlers(event)
        banner, self._values.user_auth_banner = self._values.user_auth_banner, ""
        if banner:
            self._banners.append(banner)
        if ok and not (_is_text(event.available_methods) and _is_text(event.home_dir)):
            ok = False
            text = "A handler of SSHUserAuthRequest must leave texts in AvailableMethods and HomeDir."
            self._journal.error(ErrorCode.IO_FAILURE, text)
        if not ok:
            event.preset(**nothing)
        return event

    def _take(self, event: SSHUserAuthRequest, method: str) -> _Verdict:
        """Keeps what the handlers set; a list they left alone loses the method that was passed."""
        verdict = _granted(event)
        methods = _names(event.available_methods)
        if verdict is _Verdict.PARTIAL and methods == self._methods:
            methods = [name for name in methods if name != method]
        self._methods = methods
        if verdict is not _Verdict.REFUSED:  # what was meant for another key or person is nobody's
            self.home_dir = event.home_dir or self.home_dir  # of an earlier factor: a home is not lost by silence
        return verdict


def _names(methods: str) -> list[str]:
    return [name.strip() for name in methods.split(",") if name.strip()]


def _shown(name: str) -> str:
    """A stranger's name as it may stand in a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:_SHOWN_MOST])


def _secret(password: bytes) -> str:
    return password.decode("utf-8", "surrogateescape")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and is_text(value)


def _answer(event: SSHUserAuthRequest) -> dict[str, object]:
    """What handlers may set."""
    return {name: getattr(event, name) for name in event.writable}


def _granted(event: SSHUserAuthRequest) -> _Verdict:
    if event.partial_success:
        return _Verdict.PARTIAL
    return _Verdict.ACCEPTED if event.accept else _Verdict.REFUSED


def _wish(request: ssh.UserauthRequest) -> str:
    if isinstance(request, ssh.NoneRequest):
        return "asks for the methods"
    if isinstance(request, ssh.PublicKeyRequest):
        return "offers a key" if request.signature is None else "proves a key"
    if isinstance(request, (ssh.PasswordRequest, ssh.KeyboardInteractiveRequest)):
        return f"asks for {request.method.decode()}"
    return "asks for an unknown method"


def _is_question(request: ssh.UserauthRequest | None) -> bool:
    """Whether it proves nothing and so gives nothing away: answered at once."""
    return isinstance(request, ssh.NoneRequest) or (
        isinstance(request, ssh.PublicKeyRequest) and request.signature is None
    )
