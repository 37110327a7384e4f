"""The three vocabularies of failure."""

import errno
import socket

import pytest

from libsshd import ErrorCode
from libsshd.constants import Status
from libsshd.errors import (
    SFTPServerError,
    StatusError,
    code_for_errno,
    socket_error,
    status_for_errno,
    status_text,
)
from tests.contract import surface

MAPPED = {
    errno.ENOENT: 2,
    errno.EACCES: 3,
    errno.EPERM: 3,
    errno.EEXIST: 11,
    errno.EISDIR: 24,
    errno.ENOTDIR: 19,
    errno.ENOTEMPTY: 18,
    errno.ENOSPC: 14,
    errno.EDQUOT: 15,
    errno.ELOOP: 21,
    errno.ENAMETOOLONG: 20,
    errno.EROFS: 12,
    errno.EOPNOTSUPP: 8,
    errno.EINVAL: 23,
    errno.EBADF: 9,
}


@pytest.mark.parametrize("number", [0, -1, *sorted(errno.errorcode), 99999])
def test_an_errno_has_its_status_and_the_rest_are_failures(number: int) -> None:
    assert status_for_errno(number) == MAPPED.get(number, 4)


def test_every_status_has_a_text_of_its_own() -> None:
    texts = [status_text(status) for status in Status]
    assert all(texts)
    assert len(set(texts)) == len(Status) == 32
    assert status_text(99) == status_text(Status.FAILURE)


def test_a_status_error_carries_status_and_message() -> None:
    error = StatusError(Status.NO_SUCH_FILE, "gone")
    assert (error.status, error.message, str(error)) == (Status.NO_SUCH_FILE, "gone", "gone")
    assert str(StatusError(Status.EOF)) == "End of file"


# --- documented codes ---

SAME_MEANING = {
    errno.EPERM: 10013,
    errno.ENFILE: 10024,
    errno.EPIPE: 10054,
    errno.ENOMEM: 10055,
}
NUMBERS = {
    "EINTR": 10004, "EBADF": 10009, "EACCES": 10013, "EFAULT": 10014, "EINVAL": 10022, "EMFILE": 10024,
    "EWOULDBLOCK": 10035, "EINPROGRESS": 10036, "EALREADY": 10037, "ENOTSOCK": 10038, "EDESTADDRREQ": 10039,
    "EMSGSIZE": 10040, "EPROTOTYPE": 10041, "ENOPROTOOPT": 10042, "EPROTONOSUPPORT": 10043,
    "ESOCKTNOSUPPORT": 10044, "EOPNOTSUPP": 10045, "EPFNOSUPPORT": 10046, "EAFNOSUPPORT": 10047,
    "EADDRINUSE": 10048, "EADDRNOTAVAIL": 10049, "ENETDOWN": 10050, "ENETUNREACH": 10051, "ENETRESET": 10052,
    "ECONNABORTED": 10053, "ECONNRESET": 10054, "ENOBUFS": 10055, "EISCONN": 10056, "ENOTCONN": 10057,
    "ESHUTDOWN": 10058, "ETOOMANYREFS": 10059, "ETIMEDOUT": 10060, "ECONNREFUSED": 10061, "ELOOP": 10062,
    "ENAMETOOLONG": 10063, "EHOSTDOWN": 10064, "EHOSTUNREACH": 10065, "ENOTEMPTY": 10066, "EUSERS": 10068,
    "EDQUOT": 10069, "ESTALE": 10070, "EREMOTE": 10071,
}  # fmt: skip
UNKNOWN_TO_THIS_SYSTEM = {10067, 10091, 10092, 10093}


def test_the_codes_are_the_documented_ones() -> None:
    assert sorted(ErrorCode) == sorted(surface.ERRORS)
    assert len(surface.ERRORS) == 69


def test_every_documented_code_has_a_sentence_of_its_own() -> None:
    sentences = {code.description for code in ErrorCode}
    assert len(sentences) == len(ErrorCode)
    assert all(sentence[0].isupper() or sentence[0].isdigit() for sentence in sentences)
    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_without_a_description_takes_the_sentence_of_its_code(code: ErrorCode) -> None:
    error = SFTPServerError(int(code))
    assert (error.code, error.description) == (code, code.description)
    assert str(error) == f"[{int(code)}] {code.description}"


@pytest.mark.parametrize("number", [0, -1, *sorted(errno.errorcode), 99999])
def test_an_errno_has_the_code_that_means_the_same_and_the_rest_are_invalid_arguments(number: int) -> None:
    documented = {getattr(errno, name): code for name, code in NUMBERS.items()}
    assert code_for_errno(number) == {**documented, **SAME_MEANING}.get(number, 10022)


def test_every_documented_code_of_a_socket_that_can_occur_here_has_an_errno() -> None:
    assert set(NUMBERS.values()) == {code for code in surface.ERRORS if 10000 < code < 11000} - UNKNOWN_TO_THIS_SYSTEM


def test_a_failed_bind_says_what_failed_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as sock:
        with pytest.raises(OSError) as caught:
            sock.bind(taken.getsockname())
        error = socket_error(caught.value, "Cannot listen on 127.0.0.1")
    assert str(error).startswith("[10048] Cannot listen on 127.0.0.1: ")
    assert error.description.endswith(ErrorCode.ADDRESS_IN_USE.description)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (socket.EAI_NONAME, 11001),
        (socket.EAI_AGAIN, 11002),
        (socket.EAI_FAIL, 11003),
        (socket.EAI_SYSTEM, 11003),
        (socket.EAI_NODATA, 11004),
        (socket.EAI_ADDRFAMILY, 10047),
        (socket.EAI_FAMILY, 10047),
        (socket.EAI_MEMORY, 10055),
    ],
)
def test_a_name_that_is_not_resolved_has_a_code_of_the_resolver(number: int, code: int) -> None:
    assert socket_error(socket.gaierror(number, "words"), "No way to x").code == code


def test_the_error_of_a_resolver_is_not_taken_for_an_errno() -> None:
    with pytest.raises(socket.gaierror) as caught:
        socket.getaddrinfo("::1", None, socket.AF_INET)
    assert socket_error(caught.value, "Cannot listen").code == 10047


def test_a_deadline_of_python_is_a_timeout() -> None:
    assert socket_error(TimeoutError("timed out"), "Cannot send").code == 10060


def test_an_error_without_a_code_keeps_the_words_of_the_system() -> None:
    assert str(socket_error(OSError(errno.ENOSPC, "No space"), "Cannot send")) == "[10022] Cannot send: No space."
    assert str(socket_error(OSError("odd"), "Cannot send")) == "[10022] Cannot send: odd."


def test_a_description_of_the_caller_wins() -> None:
    assert str(SFTPServerError(2001, "No directory /x.")) == "[2001] No directory /x."
    assert SFTPServerError(4711).description == "Error 4711."
