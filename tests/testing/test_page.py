"""docs/testing.md: every example on it is run as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from libsshd.testing import Rules

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
TESTS = [code for code in PYTHON if re.search(r"^(def test_|class )", code, re.MULTILINE)]

CLIENT = """
import io, threading
from contextlib import contextmanager

import paramiko
import pytest

from libsshd import HostKey, SFTPServer, testing


@contextmanager
def sftp(server):
    with paramiko.SSHClient() as ssh:
        name, blob = server.host_key.public_line.split()
        key = paramiko.Ed25519Key(data=__import__("base64").b64decode(blob))
        ssh.get_host_keys().add(f"[{server.host}]:{server.port}", name, key)
        ssh.connect(server.host, server.port, server.user, server.password, look_for_keys=False, allow_agent=False)
        yield ssh.open_sftp()


def upload(server, path, content=b"content"):
    with sftp(server) as client:
        client.putfo(io.BytesIO(content), path)


def download(server, path):
    with sftp(server) as client, client.open(path) as file:
        return file.read()


def tail(server, path, count):
    with sftp(server) as client, client.open(path) as file:
        file.seek(-count, io.SEEK_END)
        return file.read()


def listing(server, path):
    with sftp(server) as client:
        return client.listdir(path)


def rename(server, old, new):
    with sftp(server) as client:
        client.rename(old, new)
"""


def test_the_tests_on_the_page_pass(pytester: pytest.Pytester) -> None:
    body = "\n\n".join([CLIENT, *(code for code in TESTS if "sftpserver_options" not in code)])
    options = next(code for code in TESTS if "sftpserver_options" in code)
    pytester.makepyfile(test_body=body, test_options=CLIENT + options)
    count = len(re.findall(r"^ *def test_", "".join(TESTS), re.MULTILINE))
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", timeout=120)
    done.assert_outcomes(passed=count)


def test_each_of_the_first_examples_has_five_lines_at_most() -> None:
    bodies = re.split(r"^def test_.*\n", TESTS[0], flags=re.MULTILINE)[1:]
    assert len(bodies) == 5
    assert all(len(body.strip().splitlines()) <= 5 for body in bodies)


@pytest.mark.parametrize("code", [code for code in PYTHON if code not in TESTS])
def test_what_is_no_test_runs(code: str) -> None:
    exec(compile(code, "testing.md", "exec"), {})  # noqa: S102 - it is our own page


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "toml"])
def test_rules_in_a_file_are_right(code: str) -> None:
    rules = Rules()
    for rule in tomllib.loads(code)["rule"]:
        rules.add(rule)
    assert len(rules) == 2
