"""What a command gives up, once, before its first thread: root, core dumps, new privileges, files out of the root."""

import contextlib
import grp
import logging
import os
import pwd
import resource
import time
from importlib import import_module

from libsshd._native import FileAccess, conceal, drop_capabilities, landlock_version, renounce_privileges, restrict
from libsshd_cli import CommandError

_LOGGER = logging.getLogger("libsshd.command")

_READING = FileAccess.READ_FILE | FileAccess.READ_DIR
_SERVING = (
    _READING
    | FileAccess.WRITE_FILE
    | FileAccess.TRUNCATE
    | FileAccess.REMOVE_DIR
    | FileAccess.REMOVE_FILE
    | FileAccess.MAKE_DIR
    | FileAccess.MAKE_REG
    | FileAccess.MAKE_SYM
    | FileAccess.REFER
    | FileAccess.MAKE_SOCK  # this and the next are not made here, but what others made may be given another name
    | FileAccess.MAKE_FIFO
)
"""All that requests need. Nothing may be executed, and no device made or driven."""

_NAMES = (
    "passwd",
    "group",
    "nsswitch.conf",
    "hosts",
    "host.conf",
    "resolv.conf",
    "gai.conf",
    "services",
    "ld.so.cache",
)
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", os.path.dirname(os.__file__))
_SERVICES = ("/run/systemd/resolve", "/run/systemd/userdb", "/run/resolvconf", "/run/NetworkManager", "/var/lib/sss")
"""What the names of users and hosts come from, below /etc and elsewhere; what is missing is left out."""

_LATE_MODULES = ("encodings.idna", "encodings.unicode_escape", "hashlib", "linecache", "socket", "tokenize")
"""What is loaded by the first use of something else."""


def load_everything() -> None:
    """Load what Python and libc would load later, when the files it comes from may be out of reach."""
    for name in _LATE_MODULES:
        import_module(name)
    time.tzset()
    with contextlib.suppress(KeyError):
        pwd.getpwuid(os.getuid())
    with contextlib.suppress(KeyError):
        grp.getgrgid(os.getgid())


def find_account(name: str) -> pwd.struct_passwd:
    """Return the entry of a user, given by name or number; CommandError when root cannot become that user here."""
    try:
        account = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    except (KeyError, ValueError, OverflowError):
        raise CommandError(f"--run-as: this machine has no user {name!r}") from None
    if account.pw_uid == 0:
        raise CommandError("--run-as: root would still be root; name another user")
    if os.geteuid() not in (0, account.pw_uid):
        raise CommandError(f"--run-as: only root can become {account.pw_name}; start it as root or as that user")
    return account


def drop_root(account: pwd.struct_passwd) -> None:
    """Become that user for good, with all of the user's groups; CommandError when that cannot be."""
    if os.geteuid() != 0:
        return
    user, group = account.pw_uid, account.pw_gid
    try:
        os.initgroups(account.pw_name, group)
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
        drop_capabilities()
    except OSError as error:
        raise CommandError(f"--run-as: this process cannot become {account.pw_name}: {error.strerror}") from None
    if _is_root_again():
        raise CommandError("--run-as: root cannot be given up for good here, so nothing is served")


def _is_root_again() -> bool:
    try:
        os.setresuid(-1, 0, -1)
    except PermissionError:
        return False
    return True


def warn_of_root() -> None:
    """Say so when the server is going to serve as root."""
    if os.geteuid() == 0:
        fields = {"event": "root"}
        _LOGGER.warning("serving as root; name a user with fewer rights by --run-as", extra={"fields": fields})


def confine(root: str, *, read_only: bool, landlock: bool, level: int = logging.INFO) -> None:
    """Give up core dumps and new privileges, and with `landlock` all files but those of `root`; raises OSError.

    The last is not to be had everywhere, which is logged.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    conceal()
    renounce_privileges()
    if landlock:
        _lock_into(root, read_only=read_only, level=level)


def _lock_into(root: str, *, read_only: bool, level: int) -> None:
    version = landlock_version()
    reason = "" if version else "this kernel has none, or not since 5.19"
    if version:
        serving = _READING if read_only else _SERVING
        try:
            _restrict({root: serving} if root == "/" else {**_within_reach(), root: serving}, version)
        except OSError as error:
            reason = error.strerror or str(error)
    fields: dict[str, object] = {"event": "landlock", "version": version, "root": root}
    if reason:
        _LOGGER.warning("files outside the root are not locked away", extra={"fields": fields | {"reason": reason}})
    else:
        _LOGGER.log(level, "files outside the root are locked away", extra={"fields": fields})


def _within_reach() -> dict[str, FileAccess]:
    """What the process goes on reading besides the root."""
    # As root no more of /etc than names need, which lasts until one of these files is replaced.
    settings = [f"/etc/{name}" for name in _NAMES] if os.geteuid() == 0 else ["/etc"]
    found = [path for path in (*settings, *_LIBRARIES, *_SERVICES) if os.path.exists(path)]
    return {**dict.fromkeys(found, _READING), os.devnull: FileAccess.READ_FILE | FileAccess.WRITE_FILE}


def _restrict(rules: dict[str, FileAccess], version: int) -> None:
    with contextlib.ExitStack() as opened:
        allowed: dict[int, FileAccess] = {}
        for path, access in rules.items():
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            opened.callback(os.close, fd)
            allowed[fd] = access
        restrict(allowed, version)
