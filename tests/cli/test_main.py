"""The command as a whole: help, versions, and failures in one sentence."""

import re
import subprocess
import sys

import pytest

from tests.cli.conftest import PROGRAM, Command


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["hostkey", "--help"], ["completion", "-h"]])
def test_help_comes_without_loading_the_server(arguments: list[str]) -> None:
    script = (
        "import sys, libsshd_cli.__main__ as command\n"
        "try: command.main(sys.argv[1:])\n"
        "finally: sys.exit('libsshd' in sys.modules or 'shtab' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: libsshd")


def test_versions_are_those_of_the_three_parts(command: Command) -> None:
    done = command.run("--version")
    assert re.fullmatch(r"libsshd \d+\.\d+\.\d+\S* \(libssh \d+\.\d+\.\d+, OpenSSL \d+\.\d+\.\d+\w*\)\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_bare_command_lists_the_commands(command: Command) -> None:
    done = command.run()
    assert (done.returncode, done.stderr) == (2, "")
    commands = ["run", "sftp-server", "check", "bench", "settings", "hostkey", "completion"]
    assert re.findall(r"^    ([a-z-]+)\b", done.stdout, re.MULTILINE) == commands


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--colour"], "libsshd: unrecognized arguments: --colour; see libsshd --help"),
        (["walk"], "libsshd: argument COMMAND: invalid choice: 'walk'"),
        (["run", "--colour"], "libsshd run: unrecognized arguments: --colour; see libsshd run --help"),
        (["run", "--pass", "x"], "libsshd run: unrecognized arguments: --pass x"),
        (
            ["run", "--port", "65536"],
            "libsshd run: argument --port: '65536' is not a port number, 0 to 65535",
        ),
        (["run", "--host", ""], "libsshd run: argument --host: an address is needed; 0.0.0.0 or :: is every one"),
        (["run", "--port", "-1"], "libsshd run: argument --port: '-1' is not a port number"),
        (["run", "--port", "٣"], "libsshd run: argument --port: '٣' is not a port number"),
        (["run", "--port", "9" * 5000], "libsshd run: argument --port: "),
        (
            ["run", "--max-connections", "0"],
            "libsshd run: argument --max-connections: '0' is not a number of 1 or",
        ),
        (
            ["run", "--max-startups", "x"],
            "libsshd run: argument --max-startups: 'x' is not a number of 1 or more",
        ),
        (["run", "--max-startups", "10:30"], "libsshd run: argument --max-startups: '10:30' is not N or START:RATE"),
        (["run", "--max-startups", "10:101:100"], "libsshd run: argument --max-startups: '10:101:100' is not N or"),
        (["run", "--max-startups", "100:30:10"], "libsshd run: argument --max-startups: '100:30:10' is not N or"),
        (["run", "--max-startups", "0:30:10"], "libsshd run: argument --max-startups: '0' is not a number of 1"),
        (
            ["run", "--drain-timeout", "nan"],
            "libsshd run: argument --drain-timeout: 'nan' is not a number of sec",
        ),
        (
            ["run", "--drain-timeout", "-1"],
            "libsshd run: argument --drain-timeout: '-1' is not a number of secon",
        ),
        (
            ["run", "--drain-timeout", "inf"],
            "libsshd run: argument --drain-timeout: 'inf' is not a number of sec",
        ),
        (["run", "--log-level", "loud"], "libsshd run: argument --log-level: invalid choice: 'loud'"),
        (
            ["run", "--password", "a", "--password-file", "b"],
            "libsshd run: argument --password-file: not allowed",
        ),
        (["run", "two\nlines"], r"libsshd run: unrecognized arguments: two\nlines; see libsshd run --help"),
        (
            ["hostkey"],
            "libsshd hostkey: the following arguments are required: FILE; see libsshd hostkey --help",
        ),
        (["completion", "fish"], "libsshd completion: argument SHELL: invalid choice: 'fish'"),
    ],
)
def test_wrong_arguments_get_one_sentence_and_status_2(arguments: list[str], sentence: str, command: Command) -> None:
    done = command.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_a_result_that_cannot_be_written_is_one_sentence(command: Command) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, "completion", "bash"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.stderr == b"libsshd: standard output cannot be written: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_do_no_harm(closed: str, command: Command) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, "hostkey", command.home / "key"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert (command.home / "key").exists()
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or done.stdout.startswith("SHA256:")
