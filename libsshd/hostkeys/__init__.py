"""Host keys: made, read from files, texts and the certificate stores of the documented component, and saved."""

from libsshd.hostkeys.certificate import Certificate
from libsshd.hostkeys.key import HostKey
from libsshd.hostkeys.store import find, find_encoded, open_store

__all__ = ["Certificate", "HostKey", "find", "find_encoded", "open_store"]
