"""What `libsshd run` does: one directory, one account, until a signal comes."""

import argparse
import contextlib
import os
import pwd
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from libsshd import HostKey, SFTPServer, SFTPServerError
from libsshd_cli import CommandError, address, descriptors, keyfile, logs, privilege
from libsshd_cli.algorithms import PROFILES
from libsshd_cli.escaping import one_line
from libsshd_cli.login import Login
from libsshd_cli.output import write_lines
from libsshd_cli.requests import check_requests
from libsshd_cli.stopping import StopSignals, serve_until_stopped

_SWITCH_INTERVAL = 0.0002
"""Seconds a thread may keep Python's lock while others want it. Requests take a tenth of that, and with Python's own
5 ms eight clients with small files took a fifth longer."""

_BACKLOG = 4096
"""Who floods us must not fill the queue before accept(2): whoever finds it full waits a second and longer."""

_STALL_TIMEOUT = 300
"""Seconds for which a person may hold up a transfer at the client's terminal."""

_ADDRESS_FAILURES = {
    10013: "port {port} on {host} may not be used by this user; choose one above 1023 by --port",
    10048: "port {port} on {host} is in use by another program; choose one by --port (0: any free one)",
    10049: "{host} is not an address of this machine; choose one by --host",
}
"""Documented codes of a failure to listen, and what to do about each at a command line."""


def serve(options: argparse.Namespace) -> int:
    """Serve as `options` say until a signal comes; CommandError says why that is not possible."""
    logs.configure(options.log_level, options.log_format, sys.stderr)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    account = None if options.run_as is None else privilege.find_account(options.run_as)
    if not options.memory:
        options.root = _checked_root(options.root)
    check_requests("--deny-requests", options.deny_requests)
    check_requests("--allow-requests", options.allow_requests)
    login = Login(options, account)
    keys = [keyfile.load(path) for path in options.host_key] or [keyfile.kept_key()]
    server = _make_server(options, login, keys)
    with StopSignals() as signals, _harness(server, options) as listens:
        try:
            _start(server, options, account)
            listens()
            port = server.local_port
            _announce(_greeting(options, login, keys, port), options.log_format)
            write_lines(address.url(login.user, options.host, port))
            serve_until_stopped(server, signals, options.drain_timeout)
        finally:
            server.shutdown(0)
    return 0


def _harness(server: SFTPServer, options: argparse.Namespace) -> AbstractContextManager[Callable[[], object]]:
    """Put the harness around the server, if anything of it was asked for."""
    if not _has_harness(options):
        return contextlib.nullcontext(lambda: None)
    from libsshd_cli.staging import staged

    return staged(server, options)


def _has_harness(options: argparse.Namespace) -> bool:
    return bool(options.memory or options.faults or options.record or options.control)


def _served(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is served, as arguments of the server, and who may come: a test is not kept out."""
    if not options.memory:
        return {"root_directory": options.root, **_admission(options.max_startups)}
    from libsshd.fs.memory import MemoryFileSystem

    return {"file_system": MemoryFileSystem(), "connection_backlog": _BACKLOG}


def _make_server(options: argparse.Namespace, login: Login, keys: list[HostKey]) -> SFTPServer:
    try:
        server = SFTPServer(
            **_served(options),
            local_host=options.host,
            local_port=options.port,
            use_ipv6=2,
            host_keys=keys,
            max_connections=options.max_connections,
            read_only=options.read_only,
            upload_mode=options.upload_mode,
            deny_requests=options.deny_requests,
            allow_requests=options.allow_requests,
            allow_links=True,
            protocol_version=6,
            server_eol="LF",
            unix_style_date_format=True,
            default_timeout=_STALL_TIMEOUT,
            **PROFILES[options.algorithms],
        )
        for setting in options.set:
            _set(server, setting)
    except SFTPServerError as error:
        raise CommandError(error.description) from None
    server.on_ssh_user_auth_request(login.credentials.decide)
    return server


def _admission(startups: tuple[int, int, int]) -> dict[str, Any]:
    """Settings of a server that strangers can reach: the numbers are OpenSSH's, but for those of one source."""
    begin, rate, full = startups
    return {
        "connection_backlog": _BACKLOG,
        "max_startups": full,
        "max_startups_begin": begin,
        "max_startups_rate": rate,
        "max_startups_per_source": 20,
        "exempt_clients": "127.*,::1",
        "idle_timeout": 900.0,
        "ssh_keep_alive_interval": 60,
        "ssh_keep_alive_count_max": 3,
        "penalty_crash": 90.0,
        "penalty_auth_failed": 5.0,
        "penalty_no_auth": 1.0,
        "penalty_grace_exceeded": 10.0,
    }


def _set(server: SFTPServer, setting: str) -> None:
    if "=" not in setting:
        raise CommandError(f"--set takes NAME=VALUE, not {setting!r}; `libsshd settings` lists the names")
    server.config(setting)


def _checked_root(path: str) -> str:
    try:
        Path(path).stat()
        if not Path(path).is_dir():
            raise CommandError(f"the root {path} is not a directory")
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        return os.path.abspath(path)
    except FileNotFoundError:
        raise CommandError(f"the root {path} does not exist") from None
    except (OSError, ValueError) as error:
        raise CommandError(f"the root {path} cannot be served: {getattr(error, 'strerror', error)}") from None


def _start(server: SFTPServer, options: argparse.Namespace, account: pwd.struct_passwd | None) -> None:
    """All that takes privileges comes first, and then the first thread."""
    descriptors.raise_limit(options.max_connections)
    each = 1 if server.upload_mode == "direct" else 2  # an upload that gets its name later holds its directory, too
    server.max_handles = min(server.max_handles, max(1, descriptors.for_handles(options.max_connections) // each))
    if options.umask is not None:
        os.umask(options.umask)
    privilege.load_everything()
    try:
        server.bind()
        if account is not None:
            privilege.drop_root(account)
            if not options.memory:
                _checked_root(options.root)
        privilege.warn_of_root()
        landlock = not (options.no_landlock or _has_harness(options))  # its files lie anywhere
        privilege.confine(options.root, read_only=options.read_only, landlock=landlock)
        server.start_listening()
    except SFTPServerError as error:
        raise CommandError(_listening_failure(error, options.host, options.port)) from None


def _listening_failure(error: SFTPServerError, host: str, port: int) -> str:
    sentence = _ADDRESS_FAILURES.get(error.code)
    return sentence.format(host=host, port=port) if sentence else error.description


def _greeting(options: argparse.Namespace, login: Login, keys: list[HostKey], port: int) -> dict[str, object]:
    """Return what the person at the terminal needs, by its name; in JSON these are fields of one record."""
    greeting: dict[str, object] = {"serving": "a tree in memory" if options.memory else options.root}
    greeting["access"] = "read-only" if options.read_only else "read and write"
    for number, key in enumerate(keys, start=1):
        name = "host_key" if number == 1 else f"host_key_{number}"
        greeting[name] = f"{key.fingerprint} ({key.type})"
    if login.made_up is not None:
        greeting["password"] = login.made_up
    identities = _private_keys_beside(options.authorized_keys)
    greeting["connect"] = address.sftp_command(login.user, options.host, port, identities)
    if login.keys and not identities:
        greeting["with_a_key"] = "add -i and the path of your private key unless ssh finds it by itself"
    if address.is_everywhere(options.host):
        greeting["elsewhere"] = "from another machine, connect to this one's name or address"
    return greeting


def _private_keys_beside(paths: list[str]) -> list[str]:
    """Return the private keys that lie beside public keys given as X.pub."""
    private = [path.removesuffix(".pub") for path in paths if path.endswith(".pub")]
    return [path for path in private if Path(path).exists()]


def _announce(greeting: dict[str, object], form: str) -> None:
    """Show the greeting whatever the log level: it may hold the only copy of the password."""
    if form == "json":
        fields: dict[str, object] = {"event": "serving", **greeting}
        lines = [logs.as_json(time.time(), "info", "clients can connect", fields)]
    else:
        titles = [name.replace("_", " ").ljust(10) for name in greeting]
        lines = [f"{title}  {one_line(str(greeting[name]))}" for title, name in zip(titles, greeting, strict=True)]
    with contextlib.suppress(OSError):  # clients can be served even when nobody reads this
        print(*lines, sep="\n", file=sys.stderr, flush=True)
