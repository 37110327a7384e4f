"""`libsshd sftp-server`: its options, which are those of OpenSSH's; what they lead to is in subsystem.py."""

import argparse
from typing import Any

from libsshd_cli.umask import umask

LOG_LEVELS = ("QUIET", "FATAL", "ERROR", "INFO", "VERBOSE", "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3")
LOG_FACILITIES = ("DAEMON", "USER", "AUTH", *(f"LOCAL{number}" for number in range(8)))
FEATURES = ("requests",)
UPLOAD_MODES = ("direct", "atomic", "atomic-keep")


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "sftp-server",
        help="speak SFTP on standard input and output, for sshd",
        description="Speak SFTP on standard input and output: the Subsystem sftp of an OpenSSH server.",
        epilog="In sshd_config: Subsystem sftp /path/of/libsshd sftp-server",
        allow_abbrev=False,
    )
    _add_service_options(parser)
    _add_log_options(parser)
    parser.add_argument("word", metavar="WORD", nargs="*", help="ignored: `scp -D` names the host and the subsystem")
    parser.set_defaults(command=_serve, parser=parser)


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is served")
    add = group.add_argument
    add("--root", metavar="DIR", help="directory that the client sees as / (default: the whole file system)")
    start = "directory to start in; %%%%, %%d and %%u are %%, home and name of the user (default: the current one)"
    add("-d", dest="start", metavar="DIR", help=start)
    add("-u", dest="umask", metavar="UMASK", type=umask, help="umask of new files, octal (default: inherited)")
    add("-R", dest="read_only", action="store_true", help="refuse everything that would change a file")
    add("-P", dest="deny_requests", metavar="LIST", default="", help="requests to refuse, with commas between them")
    add("-p", dest="allow_requests", metavar="LIST", default="", help="the only requests to answer, less those of -P")
    modes = "how files get their content: direct, atomic or atomic-keep (default: direct)"
    add("--upload-mode", metavar="MODE", choices=UPLOAD_MODES, default="direct", help=modes)
    queries = "list what there is and exit: requests, which are what -P and -p take"
    add("-Q", dest="feature", metavar="FEATURE", type=str.lower, choices=FEATURES, help=queries)
    no_landlock = "do not have the kernel lock away the files outside the root"
    add("--no-landlock", action="store_true", help=no_landlock)
    highest = "highest version of SFTP to speak (default: 6)"
    add("--max-version", metavar="N", type=int, choices=range(3, 7), default=6, help=highest)


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("log")
    add = group.add_argument
    add("-e", dest="to_stderr", action="store_true", help="log to standard error instead of syslog")
    add(
        "-l",
        dest="log_level",
        metavar="LEVEL",
        type=str.upper,
        choices=LOG_LEVELS,
        default="ERROR",
        help=f"least level to log: {', '.join(LOG_LEVELS)} (default: ERROR)",
    )
    add(
        "-f",
        dest="log_facility",
        metavar="FACILITY",
        type=str.upper,
        choices=LOG_FACILITIES,
        default="AUTH",
        help="facility of syslog: DAEMON, USER, AUTH, LOCAL0 to LOCAL7 (default: AUTH)",
    )


def _serve(options: argparse.Namespace) -> int:
    from libsshd_cli import subsystem

    return subsystem.list_requests() if options.feature else subsystem.serve(options)
