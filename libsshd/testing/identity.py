"""Who may log in to a server of the harness, and what a client needs to know of it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from libsshd.authentication import AuthorizedKeys, Credentials
from libsshd.events import SSHUserAuthRequest
from libsshd.hostkeys import HostKey


class Accounts:
    """Users by their passwords; one key opens every account."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self.key = HostKey.generate()
        keys = AuthorizedKeys.parse(self.key.public_line)
        self._credentials = {user: Credentials(user, password, keys) for user, password in passwords.items()}

    def decide(self, e: SSHUserAuthRequest) -> None:
        """A handler of SSHUserAuthRequest."""
        credentials = self._credentials.get(e.user)
        if credentials is not None:
            credentials.decide(e)


class ClientFiles:
    """What programs read from files, made when it is first asked for."""

    def __init__(self) -> None:
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def path(self, name: str, content: str) -> Path:
        """A file that only we can read."""
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="libsshd-")
        path = Path(self._directory.name, name)
        if not path.exists() or path.read_text() != content:
            path.touch(0o600)
            path.write_text(content)
        return path

    def remove(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.cleanup()
