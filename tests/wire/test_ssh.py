"""SSH messages, byte by byte."""

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.constants import ChannelOpenFailure
from libsshd.wire import ssh
from libsshd.wire.buffer import Malformed, Unsupported

from .client_encoding import string
from .packets import fields

USER = b"\x00\x00\x00\x03joe"  # user name
SERVICE = b"\x00\x00\x00\x0essh-connection"  # service name
KEY = b"\x00\x00\x00\x0bssh-ed25519" + b"\x00\x00\x00\x02KK"
SIGNATURE = b"\x00\x00\x00\x0bssh-ed25519" + b"\x00\x00\x00\x02SS"

EXACT: dict[str, tuple[bytes, ssh.Message]] = {
    "service request": (
        fields(
            b"\x05",  # SSH_MSG_SERVICE_REQUEST
            b"\x00\x00\x00\x0cssh-userauth",  # service name
        ),
        ssh.ServiceRequest(b"ssh-userauth"),
    ),
    "none": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x04none",  # method name
        ),
        ssh.NoneRequest(b"joe", b"ssh-connection", b"none"),
    ),
    "password": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x08password",  # method name
            b"\x00",  # no change
            b"\x00\x00\x00\x02pw",  # password
        ),
        ssh.PasswordRequest(b"joe", b"ssh-connection", b"password", b"pw", None),
    ),
    "password change": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x08password",  # method name
            b"\x01",  # change
            b"\x00\x00\x00\x03old",  # old password
            b"\x00\x00\x00\x03new",  # new password
        ),
        ssh.PasswordRequest(b"joe", b"ssh-connection", b"password", b"old", b"new"),
    ),
    "publickey offer": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x09publickey",  # method name
            b"\x00",  # no signature
            b"\x00\x00\x00\x0bssh-ed25519",  # public key algorithm name
            b"\x00\x00\x00\x15" + KEY,  # public key blob
        ),
        ssh.PublicKeyRequest(
            b"joe",
            b"ssh-connection",
            b"publickey",
            algorithm=b"ssh-ed25519",
            key=KEY,
            key_format=b"ssh-ed25519",
            host_key=None,
            signature=None,
            signature_format=b"",
            signed_length=0,
        ),
    ),
    "publickey proof": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x09publickey",  # method name
            b"\x01",  # signature
            b"\x00\x00\x00\x0cssh-ed25519x",  # public key algorithm name
            b"\x00\x00\x00\x15" + KEY,  # public key
            b"\x00\x00\x00\x15" + SIGNATURE,  # signature
        ),
        ssh.PublicKeyRequest(
            b"joe",
            b"ssh-connection",
            b"publickey",
            algorithm=b"ssh-ed25519x",
            key=KEY,
            key_format=b"ssh-ed25519",
            host_key=None,
            signature=SIGNATURE,
            signature_format=b"ssh-ed25519",
            signed_length=1 + 7 + 18 + 13 + 1 + 16 + 25,
        ),
    ),
    "host-bound publickey proof": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x23publickey-hostbound-v00@openssh.com",  # method name
            b"\x01",  # signature
            b"\x00\x00\x00\x0bssh-ed25519",  # public key algorithm name
            b"\x00\x00\x00\x15" + KEY,  # public key
            b"\x00\x00\x00\x02HK",  # server host key
            b"\x00\x00\x00\x15" + SIGNATURE,  # signature
        ),
        ssh.PublicKeyRequest(
            b"joe",
            b"ssh-connection",
            b"publickey-hostbound-v00@openssh.com",
            algorithm=b"ssh-ed25519",
            key=KEY,
            key_format=b"ssh-ed25519",
            host_key=b"HK",
            signature=SIGNATURE,
            signature_format=b"ssh-ed25519",
            signed_length=1 + 7 + 18 + 39 + 1 + 15 + 25 + 6,
        ),
    ),
    "keyboard-interactive": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x14keyboard-interactive",  # method name
            b"\x00\x00\x00\x02en",  # language tag
            b"\x00\x00\x00\x03pam",  # submethods
        ),
        ssh.KeyboardInteractiveRequest(b"joe", b"ssh-connection", b"keyboard-interactive", b"en", b"pam"),
    ),
    "info response": (
        fields(
            b"\x3d",  # SSH_MSG_USERAUTH_INFO_RESPONSE
            b"\x00\x00\x00\x02",  # num-responses
            b"\x00\x00\x00\x02r1",  # response
            b"\x00\x00\x00\x00",  # response, empty
        ),
        ssh.InfoResponse((b"r1", b"")),
    ),
    "subsystem request": (
        fields(
            b"\x62",  # SSH_MSG_CHANNEL_REQUEST
            b"\x00\x00\x00\x05",  # recipient channel
            b"\x00\x00\x00\x09subsystem",  # request type
            b"\x01",  # want reply
            b"\x00\x00\x00\x04sftp",  # subsystem name
        ),
        ssh.ChannelRequest(5, b"subsystem", True, b"\x00\x00\x00\x04sftp", b"sftp"),
    ),
    "exec request": (
        fields(
            b"\x62",  # SSH_MSG_CHANNEL_REQUEST
            b"\x00\x00\x00\x05",  # recipient channel
            b"\x00\x00\x00\x04exec",  # request type
            b"\x00",  # no reply wanted
            b"\x00\x00\x00\x02ls",  # command
        ),
        ssh.ChannelRequest(5, b"exec", False, b"\x00\x00\x00\x02ls", b"ls"),
    ),
}

OPEN_ENDED: dict[str, tuple[bytes, bytes, ssh.Message]] = {
    "unknown method": (
        fields(
            b"\x32",  # SSH_MSG_USERAUTH_REQUEST
            USER,
            SERVICE,
            b"\x00\x00\x00\x09hostbased",  # method name
        ),
        b"\xff\xff",  # what only the method knows
        ssh.UserauthRequest(b"joe", b"ssh-connection", b"hostbased"),
    ),
    "global request": (
        fields(
            b"\x50",  # SSH_MSG_GLOBAL_REQUEST
            b"\x00\x00\x00\x15keepalive@openssh.com",  # request name
            b"\x01",  # want reply
        ),
        b"\xff\xff",  # request-specific data
        ssh.GlobalRequest(b"keepalive@openssh.com", True, b"\xff\xff"),
    ),
    "channel open": (
        fields(
            b"\x5a",  # SSH_MSG_CHANNEL_OPEN
            b"\x00\x00\x00\x07session",  # channel type
            b"\x00\x00\x00\x01",  # sender channel
            b"\x00\x20\x00\x00",  # initial window size
            b"\x00\x00\x80\x00",  # maximum packet size
        ),
        b"\xff\xff",  # channel type specific data
        ssh.ChannelOpen(b"session", 1, 2**21, 2**15, b"\xff\xff"),
    ),
    "channel request": (
        fields(
            b"\x62",  # SSH_MSG_CHANNEL_REQUEST
            b"\xff\xff\xff\xff",  # recipient channel
            b"\x00\x00\x00\x03env",  # request type
            b"\x00",  # no reply wanted
        ),
        b"\xff\xff",  # type-specific data
        ssh.ChannelRequest(0xFFFFFFFF, b"env", False, b"\xff\xff", b""),
    ),
}

exact = pytest.mark.parametrize(("payload", "message"), EXACT.values(), ids=list(EXACT))
open_ended = pytest.mark.parametrize(("head", "data", "message"), OPEN_ENDED.values(), ids=list(OPEN_ENDED))
EVERY_PAYLOAD = [payload for payload, _ in EXACT.values()] + [head + data for head, data, _ in OPEN_ENDED.values()]


@exact
def test_a_message_parses_to_what_its_bytes_say(payload: bytes, message: ssh.Message) -> None:
    assert ssh.parse(payload) == message


@open_ended
def test_data_of_a_type_we_need_not_know_is_kept(head: bytes, data: bytes, message: ssh.Message) -> None:
    assert ssh.parse(head + data) == message


@exact
def test_a_message_cut_anywhere_is_malformed(payload: bytes, message: ssh.Message) -> None:
    for end in range(len(payload)):
        with pytest.raises(Malformed):
            ssh.parse(payload[:end])


@open_ended
def test_an_open_ended_message_cut_before_its_data_is_malformed(
    head: bytes, data: bytes, message: ssh.Message
) -> None:
    for end in range(len(head)):
        with pytest.raises(Malformed):
            ssh.parse(head[:end])


@exact
def test_a_message_must_end_with_its_last_field(payload: bytes, message: ssh.Message) -> None:
    with pytest.raises(Malformed):
        ssh.parse(payload + b"\x00")


@pytest.mark.parametrize("number", sorted(set(range(256)) - {payload[0] for payload in EVERY_PAYLOAD}))
def test_another_message_number_is_unsupported(number: int) -> None:
    with pytest.raises(Unsupported):
        ssh.parse(bytes([number]) + bytes(20))


@pytest.mark.parametrize("name", ["publickey proof", "host-bound publickey proof"])
def test_the_signed_part_ends_where_the_signature_begins(name: str) -> None:
    payload = EXACT[name][0]
    request = ssh.parse(payload)
    assert isinstance(request, ssh.PublicKeyRequest)
    assert request.signature is not None
    assert payload == payload[: request.signed_length] + string(request.signature)


def test_every_true_value_of_the_signature_flag_is_a_proof_over_the_bytes_as_sent() -> None:
    payload = EXACT["publickey proof"][0]
    flag = 1 + 7 + 18 + 13
    request = ssh.parse(payload[:flag] + b"\xff" + payload[flag + 1 :])
    assert isinstance(request, ssh.PublicKeyRequest)
    assert request.signature == SIGNATURE


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x05four"])
def test_a_key_and_a_signature_of_garbage_parse_but_have_no_format(garbage: bytes) -> None:
    head = b"\x32" + USER + SERVICE + string(b"publickey") + b"\x01" + string(b"ssh-ed25519")
    request = ssh.parse(head + string(garbage) + string(garbage))
    assert isinstance(request, ssh.PublicKeyRequest)
    assert (request.key, request.signature) == (garbage, garbage)
    assert (request.key_format, request.signature_format) == (b"", b"")


def test_an_empty_signature_is_not_an_offer() -> None:
    head = b"\x32" + USER + SERVICE + string(b"publickey") + b"\x01" + string(b"a") + string(KEY)
    request = ssh.parse(head + string(b""))
    assert isinstance(request, ssh.PublicKeyRequest)
    assert request.signature == b""
    assert request.signed_length == len(head)


def test_secrets_do_not_show_in_a_repr() -> None:
    change = ssh.PasswordRequest(b"joe", b"ssh-connection", b"password", b"hunter2", b"hunter3")
    assert "hunter" not in repr(change)
    assert "joe" in repr(change)
    assert "hunter" not in repr(ssh.InfoResponse((b"hunter2",)))


def test_an_info_response_with_more_answers_than_bytes_is_refused_at_once() -> None:
    with pytest.raises(Malformed, match="more items"):
        ssh.parse(b"\x3d\xff\xff\xff\xff" + bytes(8))


def parse_quietly(payload: bytes) -> None:
    with suppress(Malformed, Unsupported):
        ssh.parse(payload)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(payload: bytes) -> None:
    parse_quietly(payload)


@given(st.sampled_from(EVERY_PAYLOAD), st.data())
def test_a_message_with_bytes_changed_raises_nothing_else(payload: bytes, data: st.DataObject) -> None:
    changed = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(1, len(payload) - 1))] = data.draw(st.integers(0, 255))
    parse_quietly(bytes(changed))


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_no_length_on_the_wire_is_allocated(payload: bytes) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for at in range(1, len(payload) - 3):
            for length in (0, 1, 2**15, 2**18, 2**31, 2**32 - 1):
                parse_quietly(payload[:at] + length.to_bytes(4, "big") + payload[at + 4 :])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 32768


BUILT: dict[str, tuple[bytes, bytes]] = {
    "service accept": (
        ssh.build_service_accept(b"ssh-userauth"),
        fields(
            b"\x06",  # SSH_MSG_SERVICE_ACCEPT
            b"\x00\x00\x00\x0cssh-userauth",  # service name
        ),
    ),
    "failure": (
        ssh.build_userauth_failure([b"publickey", b"password"]),
        fields(
            b"\x33",  # SSH_MSG_USERAUTH_FAILURE
            b"\x00\x00\x00\x12publickey,password",  # authentications that can continue
            b"\x00",  # partial success
        ),
    ),
    "partial success": (
        ssh.build_userauth_failure([], partial_success=True),
        fields(
            b"\x33",  # SSH_MSG_USERAUTH_FAILURE
            b"\x00\x00\x00\x00",  # authentications that can continue
            b"\x01",  # partial success
        ),
    ),
    "pk ok": (
        ssh.build_userauth_pk_ok(b"ssh-ed25519", KEY),
        fields(
            b"\x3c",  # SSH_MSG_USERAUTH_PK_OK
            b"\x00\x00\x00\x0bssh-ed25519",  # public key algorithm name
            b"\x00\x00\x00\x15" + KEY,  # public key blob
        ),
    ),
    "banner": (
        ssh.build_userauth_banner("gr\u00fc\u00df\r\n", "de"),
        fields(
            b"\x35",  # SSH_MSG_USERAUTH_BANNER
            b"\x00\x00\x00\x08gr\xc3\xbc\xc3\x9f\r\n",  # message
            b"\x00\x00\x00\x02de",  # language tag
        ),
    ),
    "info request": (
        ssh.build_userauth_info_request("name", "do", [("Password: ", False), ("PIN: ", True)]),
        fields(
            b"\x3c",  # SSH_MSG_USERAUTH_INFO_REQUEST
            b"\x00\x00\x00\x04name",  # name
            b"\x00\x00\x00\x02do",  # instruction
            b"\x00\x00\x00\x00",  # language tag
            b"\x00\x00\x00\x02",  # num-prompts
            b"\x00\x00\x00\x0aPassword: ",  # prompt
            b"\x00",  # echo
            b"\x00\x00\x00\x05PIN: ",  # prompt
            b"\x01",  # echo
        ),
    ),
    "request success": (
        ssh.build_request_success(b"\x00\x00\x00\x16"),
        fields(
            b"\x51",  # SSH_MSG_REQUEST_SUCCESS
            b"\x00\x00\x00\x16",  # response specific data
        ),
    ),
    "request failure": (
        ssh.build_request_failure(),
        b"\x52",  # SSH_MSG_REQUEST_FAILURE
    ),
    "channel open failure": (
        ssh.build_channel_open_failure(7, ChannelOpenFailure.UNKNOWN_CHANNEL_TYPE, "no"),
        fields(
            b"\x5c",  # SSH_MSG_CHANNEL_OPEN_FAILURE
            b"\x00\x00\x00\x07",  # recipient channel
            b"\x00\x00\x00\x03",  # reason code
            b"\x00\x00\x00\x02no",  # description
            b"\x00\x00\x00\x00",  # language tag
        ),
    ),
    "channel success": (
        ssh.build_channel_success(7),
        fields(
            b"\x63",  # SSH_MSG_CHANNEL_SUCCESS
            b"\x00\x00\x00\x07",  # recipient channel
        ),
    ),
    "channel failure": (
        ssh.build_channel_failure(7),
        fields(
            b"\x64",  # SSH_MSG_CHANNEL_FAILURE
            b"\x00\x00\x00\x07",  # recipient channel
        ),
    ),
    "exit status": (
        ssh.build_exit_status(7, 1),
        fields(
            b"\x62",  # SSH_MSG_CHANNEL_REQUEST
            b"\x00\x00\x00\x07",  # recipient channel
            b"\x00\x00\x00\x0bexit-status",  # request type
            b"\x00",  # no reply wanted
            b"\x00\x00\x00\x01",  # exit_status
        ),
    ),
}


@pytest.mark.parametrize(("built", "literal"), BUILT.values(), ids=list(BUILT))
def test_a_built_message_has_the_bytes_of_its_rfc(built: bytes, literal: bytes) -> None:
    assert built == literal
