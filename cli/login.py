"""The account of one run: whose name, which password, which keys."""

import argparse
import os
import pwd
import secrets

from libsshd.authentication import AuthorizedKey, AuthorizedKeys, Credentials, read_password_file
from libsshd_cli import CommandError

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is easily taken for another


class Login:
    """The account of this run; `made_up` is its password when none was given.

    `account` is the user that the server is going to run as, who may own the files with keys and password, too.
    """

    def __init__(self, options: argparse.Namespace, account: pwd.struct_passwd | None = None) -> None:
        self.user: str = _own_name(account) if options.user is None else options.user
        owner = account and account.pw_uid
        self.keys = _load_keys(options.authorized_keys, owner)
        password = _given_password(options, owner)
        self.made_up = None if password is not None or self.keys else _make_password()
        try:
            secret = password if self.made_up is None else self.made_up
            self.credentials = Credentials(self.user, secret, self.keys)
        except ValueError as error:
            raise CommandError(str(error)) from None


def _own_name(account: pwd.struct_passwd | None) -> str:
    if account is not None:
        return account.pw_name
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "sftp"  # a container's user may have no name


def _make_password() -> str:
    """Return a password of 99 random bits that can be read aloud and never begins with a dash."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))


def _given_password(options: argparse.Namespace, owner: int | None) -> str | None:
    path: str | None = options.password_file
    given: str | None = options.password
    if path is None:
        return given
    try:
        return read_password_file(path, owner)
    except OSError as error:
        raise CommandError(f"the password file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(str(error)) from None


def _load_keys(paths: list[str], owner: int | None) -> AuthorizedKeys:
    found: list[AuthorizedKey] = []
    for path in paths:
        try:
            found += AuthorizedKeys.from_file(path, owner)
        except OSError as error:
            raise CommandError(f"the authorized keys {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise CommandError(str(error)) from None
    if paths and not found:
        raise CommandError(f"there is no usable public key in {', '.join(paths)}")
    return AuthorizedKeys(found)
