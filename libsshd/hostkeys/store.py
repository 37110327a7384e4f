"""Certificate stores of the documented component: opened, and searched for a subject or a certificate."""

import base64
import os
import re
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

from libsshd.constants import CertStoreType
from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.hostkeys.certificate import Certificate, Unusable, require
from libsshd.hostkeys.key import KEY_SIZE_MAX, open_at_once


class _Format(NamedTuple):
    """How keys are written: the module that reads it, its two store types and most bytes it may take."""

    name: str
    module: str
    file: CertStoreType
    blob: CertStoreType
    size_max: int = KEY_SIZE_MAX


_PFX = _Format("PFX", "pfx", CertStoreType.PFX_FILE, CertStoreType.PFX_BLOB, 1024 * 1024)
_PEM = _Format("PEM", "pem", CertStoreType.PEM_KEY_FILE, CertStoreType.PEM_KEY_BLOB)
_PPK = _Format("PPK", "ppk", CertStoreType.PPK_FILE, CertStoreType.PPK_BLOB)
_XML = _Format("XML", "keyxml", CertStoreType.XML_FILE, CertStoreType.XML_BLOB)
_JWK = _Format("JWK", "jwk", CertStoreType.JWK_FILE, CertStoreType.JWK_BLOB)
_FORMATS = (_PFX, _PEM, _PPK, _XML, _JWK)

_OPENINGS = (  # how content begins, behind white space
    (re.compile(rb"PuTTY-User-Key-File-"), _PPK),
    (re.compile(rb"<"), _XML),
    (re.compile(rb"\{|[\w-]+(\.[\w-]*){3}\.[\w-]+\s*\Z"), _JWK),  # the latter is encrypted (RFC 7516 section 3.1)
    (re.compile(rb"\x30[\x80-\x84]"), _PFX),
    (re.compile(rb".*-----BEGIN ", re.DOTALL), _PEM),
)

_REFUSALS = {
    (0, 1): "Certificate stores of Windows (types 0 and 1) do not exist here",
    (4, 5): "Java key stores (types 4 and 5) are read by Java alone",
    (8, 9, 10, 11, 12, 13): "Stores of types 8 to 13 hold no private key, which a host key needs",
    (20, 23): "Security keys (types 20 and 23) cannot be host keys here",
    (21, 22): "Key stores of Bouncy Castle (types 21 and 22) are read by Java and .NET alone",
}
_ADVICE = (
    "use PFX (type 2 with the name of a file, 3 with its content), PEM (6, 7), PPK (14, 15), XML (16, 17), "
    "JWK (18, 19), or 99 for any of them"
)
_STORE_SIZE_MAX = 2 * _PFX.size_max  # Base64 takes a third more
_NAME_MAX = 255


def open_store(store_type: int, store: bytes | str, password: str = "") -> list[Certificate]:
    """Reads every private key of a store, in its order (SSHCertStoreType, SSHCertStore, SSHCertStorePassword).

    `store` is the name of a file or its content, as `store_type` (a CertStoreType) says; with AUTO, a file that
    exists wins. Content may be in Base64.

    Raises:
        SFTPServerError: 1301, with a sentence that says why there is no key and what to do.
    """
    expected = _expected(store_type)
    is_file = _is_file(store) if expected is None else store_type == expected.file
    try:
        if not store:
            raise Unusable("is empty")
        _check_password(password)
        content = _read(store) if is_file else _as_bytes(store)
        return _certificates(_plain(content), expected, password)
    except Unusable as error:
        subject = _called(store) if is_file else "The host key store"
        raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, f"{subject} {error}.") from None


def find(certificates: Sequence[Certificate], subject: str) -> Certificate | None:
    """The certificate with exactly this subject, else the first that contains it; "*" and "" take the first."""
    if subject in ("*", ""):
        return next(iter(certificates), None)
    same = (each for each in certificates if each.subject == subject)
    containing = (each for each in certificates if subject in each.subject)
    return next(same, None) or next(containing, None)


def find_encoded(certificates: Sequence[Certificate], encoded: bytes) -> Certificate | None:
    """The key that this certificate (PEM, DER or Base64) was issued for, together with it (SSHCertEncoded).

    None for what is no certificate.

    Raises:
        SFTPServerError: 1301 when the library that reads certificates is missing.
    """
    try:
        x509 = require("x509")
    except Unusable as error:
        raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, f"The certificate {error}.") from None
    try:
        wanted = x509.load(encoded)
        pairs: list[Certificate] = [x509.pair(each.key, [wanted]) for each in certificates]
    except Unusable:
        return None
    return next((each for each in pairs if each.encoded), None)


# --- what the type asks for ---


def _expected(store_type: int) -> _Format | None:
    """The format that the type names, None for any. Raises SFTPServerError for types that cannot serve."""
    if store_type == CertStoreType.AUTO:
        return None
    for form in _FORMATS:
        if store_type in (form.file, form.blob):
            return form
    refusals = (sentence for types, sentence in _REFUSALS.items() if store_type in types)
    sentence = next(refusals, f"There is no certificate store type {store_type}")
    raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, f"{sentence}; {_ADVICE}.")


def _check_password(password: str) -> None:
    try:
        password.encode()
    except UnicodeEncodeError:
        raise Unusable("cannot be opened with a password that UTF-8 does not express") from None


# --- from a name or content to content ---


def _is_file(store: bytes | str) -> bool:
    try:
        return bool(store) and os.path.isfile(store)
    except ValueError:  # NUL, surrogates
        return False


def _read(name: bytes | str) -> bytes:
    """The content of a file. Raises Unusable."""
    try:
        with open(name, "rb", opener=open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unusable("is not a regular file")
            return file.read(_STORE_SIZE_MAX + 1)
    except Unusable:
        raise
    except (OSError, ValueError) as error:
        if _format(_plain(_as_bytes(name))):
            raise Unusable("is given by its content; use the type for content, or the name of a file") from None
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise Unusable(f"cannot be read: {reason}") from None


def _as_bytes(store: bytes | str) -> bytes:
    return store if isinstance(store, bytes) else store.encode(errors="replace")


def _plain(content: bytes) -> bytes:
    """The content without a mark of UTF-8, white space before it and Base64 around it."""
    content = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _format(content):
        return content
    try:
        decoded = base64.b64decode(b"".join(content.split()), validate=True)
    except ValueError:
        return content
    return decoded if _format(decoded) else content


def _called(store: bytes | str) -> str:
    """The file for a message, unless it may be a key by mistake."""
    name = os.fsdecode(store)
    if not name or _format(_plain(_as_bytes(store))) or len(name) > _NAME_MAX or not name.isprintable():
        return "The host key store"
    return f"The host key store {name}"


# --- from content to keys ---


def _format(content: bytes) -> _Format | None:
    return next((form for opening, form in _OPENINGS if opening.match(content)), None)


def _certificates(content: bytes, expected: _Format | None, password: str) -> list[Certificate]:
    found = _format(content)
    if found is None:
        raise Unusable(f"is no {expected.name}" if expected else "is no file, and no PFX, PEM, PPK, XML or JWK")
    if expected and found is not expected:
        raise Unusable(f"holds {found.name}, not {expected.name}; use type {found.file} or {found.blob}")
    if len(content) > found.size_max:
        raise Unusable(f"is too large for {found.name} ({found.size_max} bytes at most)")
    read: Callable[[bytes, str], list[Certificate]] = require(found.module).read
    return read(content, password)
