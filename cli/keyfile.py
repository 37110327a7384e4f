"""Host keys in files: read, made, and the one that `libsshd run` keeps for itself."""

import contextlib
import os
import pwd
import sys
from pathlib import Path

from libsshd import HostKey
from libsshd_cli import CommandError


def load(path: str) -> HostKey:
    """Return the host key in `path`; CommandError says why it cannot be used."""
    try:
        return HostKey.from_file(path)
    except FileNotFoundError:
        raise CommandError(f"there is no host key {path}; make it with: libsshd hostkey {path}") from None
    except OSError as error:
        raise CommandError(f"the host key {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(str(error)) from None


def make(path: str, kind: str) -> HostKey | None:
    """Make the key; None when another process made the file in the meantime."""
    key = HostKey.generate(kind)
    try:
        key.save(path)
    except FileExistsError:
        return None
    except OSError as error:
        raise CommandError(f"the host key {path} cannot be written: {error.strerror}") from None
    print(f"made a new host key in {path}", file=sys.stderr)
    return key


def state_directory() -> Path:
    """Return where this user's state lives (XDG base directories: a relative XDG_STATE_HOME is ignored)."""
    configured = os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(configured) if configured.startswith("/") else _home() / ".local" / "state"
    except RuntimeError:
        raise CommandError("there is no home directory for a host key; give one by --host-key") from None
    return base / "libsshd"


def _home() -> Path:
    """Return the home directory of the user whose rights this process has: sudo may leave HOME another's."""
    home = Path.home()
    if os.geteuid() == 0 and home.exists() and home.stat().st_uid != 0:
        return Path(pwd.getpwuid(0).pw_dir)
    return home


def kept_key() -> HostKey:
    """Return the host key of this user, made on first use."""
    directory = state_directory()
    path = directory / "host_ed25519"
    if not path.exists():
        try:
            _make_kept_key(directory, path)
        except OSError as error:
            reason = f"no host key can be kept in {directory}: {error.strerror}; give one by --host-key"
            raise CommandError(reason) from None
    return load(str(path))


def _make_kept_key(directory: Path, path: Path) -> None:
    missing = [part for part in (directory, *directory.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(mode=0o700, exist_ok=True)
    # The file appears complete, and only once: of two first starts one wins and both load its key.
    with contextlib.suppress(FileExistsError):
        HostKey.generate("ed25519").save(path)
