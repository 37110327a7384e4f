"""The three vocabularies of failure."""

import errno

import pytest

from libsshd.constants import Status
from libsshd.errors import ErrorCode, SFTPServerError, StatusError, status_for_errno, status_text

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


@pytest.mark.parametrize("code", [104, 106, 107, 108, 126, 1300, 1301, 2001, 2002, 2003])
def test_a_documented_code_has_a_sentence(code: int) -> None:
    error = SFTPServerError(ErrorCode(code))
    assert error.code == code
    assert error.description.endswith(".")
    assert str(error) == f"[{code}] {error.description}"


def test_a_description_of_the_caller_wins() -> None:
    assert str(SFTPServerError(2001, "No directory /x.")) == "[2001] No directory /x."
    assert SFTPServerError(4711).description == "Error 4711."
