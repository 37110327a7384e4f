"""SSH messages with a variable layout: RFC 4252 (authentication), RFC 4254 (connection), RFC 4256 (keyboard).

A payload is what the transport layer carries; its first byte is the message number. Strings stay bytes.
Rule: a message must end with its last field. These messages decide who gets in, and a byte that one side
overlooks is how two sides come to read different things.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from libsshd.constants import ChannelOpenFailure, SSHMessage
from libsshd.wire.buffer import Malformed, Reader, Unsupported, boolean, string, text, u8, u32


@dataclass(slots=True)
class ServiceRequest:
    service: bytes


@dataclass(slots=True)
class UserauthRequest:
    """What all authentication requests begin with (RFC 4252, section 5); by itself, an unknown method."""

    user: bytes
    service: bytes
    method: bytes


@dataclass(slots=True)
class NoneRequest(UserauthRequest):
    """Section 5.2: asks which methods there are."""


@dataclass(slots=True)
class PasswordRequest(UserauthRequest):
    """Section 8; `new_password` is None unless the client asks for a change."""

    password: bytes = field(repr=False)
    new_password: bytes | None = field(repr=False)


@dataclass(slots=True)
class PublicKeyRequest(UserauthRequest):
    """Section 7, and publickey-hostbound-v00@openssh.com.

    `signature` is None in an offer, which proves nothing. The signed data is string(session id) and
    payload[:signed_length]; signed_length is 0 in an offer. `host_key` is the server key the client saw, None
    in plain publickey. `key_format` and `signature_format` are the names inside the two blobs, b"" when there
    is none: the caller must check that they agree with `algorithm`.
    """

    algorithm: bytes
    key: bytes
    key_format: bytes
    host_key: bytes | None
    signature: bytes | None
    signature_format: bytes
    signed_length: int


@dataclass(slots=True)
class KeyboardInteractiveRequest(UserauthRequest):
    """RFC 4256, section 3.1; `submethods` is the client's hint, a name-list."""

    language: bytes
    submethods: bytes


@dataclass(slots=True)
class InfoResponse:
    """RFC 4256, section 3.4."""

    responses: tuple[bytes, ...] = field(repr=False)


@dataclass(slots=True)
class GlobalRequest:
    """RFC 4254, section 4; `data` is what follows `want_reply`."""

    name: bytes
    want_reply: bool
    data: bytes


@dataclass(slots=True)
class ChannelOpen:
    """RFC 4254, section 5.1; window and packet size in bytes, `data` is what the channel type adds."""

    channel_type: bytes
    sender_channel: int
    initial_window: int
    maximum_packet: int
    data: bytes


@dataclass(slots=True)
class ChannelRequest:
    """RFC 4254, section 5.4; `data` is what follows `want_reply`.

    `argument` is the one string of `subsystem` and `exec` (section 6.5), b"" in other requests.
    """

    recipient_channel: int
    name: bytes
    want_reply: bool
    data: bytes
    argument: bytes


Message: TypeAlias = ServiceRequest | UserauthRequest | InfoResponse | GlobalRequest | ChannelOpen | ChannelRequest


def parse(payload: bytes) -> Message:
    """The message in a payload; raises Malformed, or Unsupported for a number not in the table below."""
    r = Reader(payload)
    number = r.u8()
    parser = _PARSERS.get(number)
    if parser is None:
        raise Unsupported(f"unknown SSH message {number}")
    message = parser(r)
    r.finish()
    return message


def _service_request(r: Reader) -> ServiceRequest:
    return ServiceRequest(r.string())


def _userauth_request(r: Reader) -> UserauthRequest:
    user, service, method = r.string(), r.string(), r.string()
    parser = _METHODS.get(method)
    if parser is None:
        r.rest()
        return UserauthRequest(user, service, method)
    return parser(r, user, service, method)


def _password(r: Reader, user: bytes, service: bytes, method: bytes) -> PasswordRequest:
    changes = r.boolean()
    return PasswordRequest(user, service, method, r.string(), r.string() if changes else None)


def _public_key(r: Reader, user: bytes, service: bytes, method: bytes) -> PublicKeyRequest:
    return _key_request(r, user, service, method, host_bound=False)


def _host_bound_public_key(r: Reader, user: bytes, service: bytes, method: bytes) -> PublicKeyRequest:
    return _key_request(r, user, service, method, host_bound=True)


def _key_request(r: Reader, user: bytes, service: bytes, method: bytes, *, host_bound: bool) -> PublicKeyRequest:
    has_signature = r.boolean()
    algorithm = r.string()
    key = r.string()
    host_key = r.string() if host_bound else None
    signed_length = r.position if has_signature else 0
    signature = r.string() if has_signature else None
    return PublicKeyRequest(
        user=user,
        service=service,
        method=method,
        algorithm=algorithm,
        key=key,
        key_format=_blob_format(key),
        host_key=host_key,
        signature=signature,
        signature_format=_blob_format(signature or b""),
        signed_length=signed_length,
    )


def _blob_format(blob: bytes) -> bytes:
    """The name a key or signature begins with.

    A blob that has none is no reason to drop the message: it was well formed, and gets its refusal.
    """
    try:
        return Reader(blob).string()
    except Malformed:
        return b""


def _keyboard_interactive(r: Reader, user: bytes, service: bytes, method: bytes) -> KeyboardInteractiveRequest:
    return KeyboardInteractiveRequest(user, service, method, r.string(), r.string())


def _info_response(r: Reader) -> InfoResponse:
    return InfoResponse(tuple(r.string() for _ in range(r.count(4))))


def _global_request(r: Reader) -> GlobalRequest:
    return GlobalRequest(r.string(), r.boolean(), r.rest())


def _channel_open(r: Reader) -> ChannelOpen:
    return ChannelOpen(r.string(), r.u32(), r.u32(), r.u32(), r.rest())


def _channel_request(r: Reader) -> ChannelRequest:
    channel, name, want_reply, data = r.u32(), r.string(), r.boolean(), r.rest()
    argument = _only_string(data) if name in (b"subsystem", b"exec") else b""
    return ChannelRequest(channel, name, want_reply, data, argument)


def _only_string(data: bytes) -> bytes:
    r = Reader(data)
    value = r.string()
    r.finish()
    return value


_PARSERS: dict[int, Callable[[Reader], Message]] = {
    SSHMessage.SERVICE_REQUEST: _service_request,
    SSHMessage.USERAUTH_REQUEST: _userauth_request,
    SSHMessage.USERAUTH_INFO_RESPONSE: _info_response,
    SSHMessage.GLOBAL_REQUEST: _global_request,
    SSHMessage.CHANNEL_OPEN: _channel_open,
    SSHMessage.CHANNEL_REQUEST: _channel_request,
}

_METHODS: dict[bytes, Callable[[Reader, bytes, bytes, bytes], UserauthRequest]] = {
    b"none": lambda _r, user, service, method: NoneRequest(user, service, method),
    b"password": _password,
    b"publickey": _public_key,
    b"publickey-hostbound-v00@openssh.com": _host_bound_public_key,
    b"keyboard-interactive": _keyboard_interactive,
}


def build_service_accept(service: bytes) -> bytes:
    """RFC 4253, section 10."""
    return u8(SSHMessage.SERVICE_ACCEPT) + string(service)


def build_userauth_failure(methods: Iterable[bytes], partial_success: bool = False) -> bytes:
    """RFC 4252, section 5.1; `methods` are those that can continue."""
    return u8(SSHMessage.USERAUTH_FAILURE) + string(b",".join(methods)) + boolean(partial_success)


def build_userauth_pk_ok(algorithm: bytes, key: bytes) -> bytes:
    """RFC 4252, section 7: the offered key may be used; both fields as in the offer."""
    return u8(SSHMessage.USERAUTH_PK_OK) + string(algorithm) + string(key)


def build_userauth_banner(message: str, language: str = "") -> bytes:
    """RFC 4252, section 5.4."""
    return u8(SSHMessage.USERAUTH_BANNER) + text(message) + text(language)


def build_userauth_info_request(name: str, instruction: str, prompts: Sequence[tuple[str, bool]]) -> bytes:
    """RFC 4256, section 3.2; a prompt is a text, not empty, and whether the answer is echoed."""
    fields = b"".join(text(prompt) + boolean(echo) for prompt, echo in prompts)
    head = u8(SSHMessage.USERAUTH_INFO_REQUEST) + text(name) + text(instruction) + text("")
    return head + u32(len(prompts)) + fields


def build_request_success(data: bytes = b"") -> bytes:
    """RFC 4254, section 4."""
    return u8(SSHMessage.REQUEST_SUCCESS) + data


def build_request_failure() -> bytes:
    """RFC 4254, section 4."""
    return u8(SSHMessage.REQUEST_FAILURE)


def build_channel_open_failure(channel: int, reason: ChannelOpenFailure, description: str) -> bytes:
    """RFC 4254, section 5.1; `channel` is the client's number, as in all messages about channels."""
    return u8(SSHMessage.CHANNEL_OPEN_FAILURE) + u32(channel) + u32(reason) + text(description) + text("")


def build_channel_success(channel: int) -> bytes:
    """RFC 4254, section 5.4."""
    return u8(SSHMessage.CHANNEL_SUCCESS) + u32(channel)


def build_channel_failure(channel: int) -> bytes:
    """RFC 4254, section 5.4."""
    return u8(SSHMessage.CHANNEL_FAILURE) + u32(channel)


def build_exit_status(channel: int, status: int) -> bytes:
    """RFC 4254, section 6.10."""
    request = string(b"exit-status") + boolean(False) + u32(status)
    return u8(SSHMessage.CHANNEL_REQUEST) + u32(channel) + request
