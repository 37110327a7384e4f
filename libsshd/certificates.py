"""The documented SSHCert... and AltSSHCert... members: where a host key comes from, and the key once it is loaded."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from libsshd.errors import SFTPServerError
from libsshd.hostkeys import Certificate, HostKey, find, find_encoded, open_store
from libsshd.items import Items
from libsshd.settings import ALTERNATE_COUNT, CERTIFICATE_SETTINGS, CertificateSettings

_STORE_TYPES = "PFX (2, 3), PEM (6, 7), PPK (14, 15), XML (16, 17), JWK (18, 19) or any of them (99)"


class CertificateStore(CertificateSettings):
    """One host key and its store. Setting `subject` or `encoded` loads the key; when none is found `subject` is "".

    `key` is the loaded key and may be set directly, which needs no store. `changed` is called after every change.
    """

    __slots__ = ("_changed", "_key", "_reason")

    def __init__(self, changed: Callable[[], object]) -> None:
        self._key: HostKey | None = None
        self._reason = f"Set ssh_cert, or the store and then the subject of a certificate: {_STORE_TYPES}."
        self._changed: Callable[[], object] = lambda: None
        super().__init__()
        self._changed = changed

    if TYPE_CHECKING:  # text may be assigned, bytes are read

        @property
        def store(self) -> bytes: ...
        @store.setter
        def store(self, value: bytes | str) -> None: ...
        @property
        def encoded(self) -> bytes: ...
        @encoded.setter
        def encoded(self, value: bytes | str) -> None: ...

    @property
    def key(self) -> HostKey | None:
        """The private key, None while nothing usable is loaded."""
        return self._key

    @key.setter
    def key(self, key: HostKey | None) -> None:
        self._key = key
        object.__setattr__(self, "subject", "" if key is None else "*")
        self._changed()

    @property
    def why_not(self) -> str:
        """Why there is no key, as a sentence."""
        return self._reason

    def __setattr__(self, name: str, value: object) -> None:
        setting = CERTIFICATE_SETTINGS.get(name)
        if setting is None:
            object.__setattr__(self, name, value)
            return
        object.__setattr__(self, name, setting.accept(value))
        if name == "subject":
            self._load(lambda certificates: find(certificates, self.subject), wanted=bool(self.subject))
        elif name == "encoded":
            self._load(lambda certificates: find_encoded(certificates, self.encoded), wanted=bool(self.encoded))
        self._changed()

    def _load(self, choose: Callable[[list[Certificate]], Certificate | None], *, wanted: bool) -> None:
        self._key = None
        found: Certificate | None = None
        if wanted and self.store:
            try:
                found = choose(open_store(self.store_type, self.store, self.store_password))
                self._reason = "No certificate in the store of the host key is the one asked for."
            except SFTPServerError as error:
                self._reason = error.description
        if found is not None:
            self._key = found.key
            object.__setattr__(self, "encoded", found.encoded)
        object.__setattr__(self, "subject", "" if found is None else found.subject or "*")


class AlternateCertificates(Items[CertificateStore]):
    """Further host keys by index; `resize()` changes how many there are."""

    __slots__ = ()

    def __init__(self, changed: Callable[[], object]) -> None:
        super().__init__(ALTERNATE_COUNT, lambda: CertificateStore(changed), changed)
