"""address.py: the URL and the line to paste mean the address they were made from."""

import shlex
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd_cli import address


@pytest.mark.parametrize(
    ("user", "host", "expected"),
    [
        ("bob", "127.0.0.1", "sftp://bob@127.0.0.1:22"),
        ("bob", "localhost", "sftp://bob@localhost:22"),
        ("bob", "::1", "sftp://bob@[::1]:22"),
        ("bob", "fe80::1%eth0", "sftp://bob@[fe80::1%25eth0]:22"),
        ("a@b:c/d e%", "::", "sftp://a%40b%3Ac%2Fd%20e%25@[::]:22"),
        ("é\udcff", "::1", "sftp://%C3%A9%FF@[::1]:22"),
    ],
)
def test_a_url_is_ascii_with_encoded_user_and_bracketed_address(user: str, host: str, expected: str) -> None:
    assert address.url(user, host, 22) == expected


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_every_user_name_survives_the_url(user: str) -> None:
    parts = urlsplit(address.url(user, "127.0.0.1", 2222))
    assert (unquote(parts.username or ""), parts.hostname, parts.port) == (user, "127.0.0.1", 2222)


@pytest.mark.parametrize(
    ("user", "host", "identities", "expected"),
    [
        ("bob", "127.0.0.1", [], "sftp -P 22 bob@127.0.0.1"),
        ("bob", "0.0.0.0", [], "sftp -P 22 bob@127.0.0.1"),  # noqa: S104
        ("bob", "::", [], "sftp -P 22 'bob@[::1]'"),
        ("bob", "127.0.0.1", ["a key"], "sftp -P 22 -i 'a key' bob@127.0.0.1"),
        ("-oProxyCommand=x", "127.0.0.1", [], "sftp -P 22 -o 'User=\"-oProxyCommand=x\"' 127.0.0.1"),
        ('a "b\\', "::1", ["k"], r"""sftp -P 22 -i k -o 'User="a \"b\\"' '[::1]'"""),
    ],
)
def test_the_line_to_paste_is_quoted_for_a_shell(user: str, host: str, identities: list[str], expected: str) -> None:
    assert address.sftp_command(user, host, 22, identities) == expected


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_no_user_name_adds_a_word_to_the_line(user: str) -> None:
    words = shlex.split(address.sftp_command(user, "127.0.0.1", 22))
    assert words[:3] == ["sftp", "-P", "22"]
    assert words[3:] in ([f"{user}@127.0.0.1"], ["-o", words[4 % len(words)], "127.0.0.1"])


@pytest.mark.parametrize("user", ["bob", "a b", "a:b", "a@b", "é%20#x"])
@pytest.mark.parametrize("host", ["::1", "127.0.0.1", "localhost"])
def test_openssh_takes_the_line_for_that_user_host_and_port(user: str, host: str, tmp_path: Path) -> None:
    transport = tmp_path / "transport"
    transport.write_text('#!/bin/sh\nexec ssh -F none -G "$@" >"$0.settings"\n')
    transport.chmod(0o700)
    line = address.sftp_command(user, host, 4711).replace("sftp", f"sftp -S {transport}", 1)
    # The client fails in the end: nothing answers behind this transport.
    subprocess.run(line, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    settings = (tmp_path / "transport.settings").read_text().splitlines()
    assert {f"user {user}", f"hostname {host}", "port 4711"} <= set(settings)
