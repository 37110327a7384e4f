"""The harness without pytest: what it gives a client, what it sees, and what stays behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import unittest
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import paramiko
import pytest

from libsshd import testing
from libsshd.constants import Packet
from libsshd.testing import Exchange, Server
from libsshd.testing.client import Channel, Connection, Sftp
from libsshd.wire.buffer import string, u8, u32, u64
from tests.support.command import environment
from tests.testing.clients import failure_of, sftp


@pytest.fixture
def server() -> Iterator[Server]:
    with testing.server(files={"in/a.csv": b"1,2\n", "b.txt": "text"}) as started:
        yield started


def test_a_client_finds_the_files_and_leaves_its_own(server: Server) -> None:
    with sftp(server) as client:
        assert sorted(client.listdir("/")) == ["b.txt", "in"]
        with client.open("/in/a.csv") as file:
            assert file.read() == b"1,2\n"
        with client.open("/out", "wb") as file:
            file.write(b"new")
    assert server.fs["out"] == b"new"


def test_the_key_and_the_host_key_are_those_of_openssh_too(server: Server, tmp_path: Path) -> None:
    done = subprocess.run(
        [*server.openssh(), "-b", "-", server.host],
        input=b"get /in/a.csv got\n",
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_bytes() == b"1,2\n"
    assert server.log.of("LOGIN").last.details == (("method", "publickey"), ("outcome", "accepted"))


def test_a_program_learns_everything_from_its_environment(server: Server) -> None:
    env = server.env()
    assert env["SFTP_URL"] == f"sftp://tester@127.0.0.1:{server.port}"
    assert (env["SFTP_USER"], env["SFTP_PASSWORD"]) == ("tester", "secret")
    assert Path(env["SFTP_KNOWN_HOSTS"]).read_text() == server.known_hosts_line + "\n"
    assert Path(env["SFTP_PRIVATE_KEY"]).stat().st_mode & 0o077 == 0
    server.stop()
    assert not Path(env["SFTP_PRIVATE_KEY"]).exists()


def test_a_wrong_password_does_not_get_in(server: Server) -> None:
    with pytest.raises(paramiko.AuthenticationException), sftp(server, password="wrong"):
        pass
    assert server.log.of("LOGIN").last.details[-1] == ("outcome", "refused")


def test_there_may_be_further_users() -> None:
    with testing.server(users={"bob": "other"}) as server:
        with sftp(server, user="bob", password="other") as client:
            client.mkdir("/d")
        assert server.log.of("MKDIR").last.user == "bob"


def test_settings_are_those_of_the_component() -> None:
    with testing.server(protocol_version=3, read_only=True) as server, sftp(server) as client:
        assert "Read-only" in failure_of(client.mkdir, "/d")


def test_reset_gives_back_the_beginning(server: Server) -> None:
    with sftp(server) as client:
        client.remove("/b.txt")
        server.faults.on("STAT").fail()
        server.network.latency = 0.5
        server.server.read_only = True
        server.server.on_file_open = lambda e: None
        server.reset()
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):
            client.stat("/in")
    assert server.fs.tree() == {"b.txt": b"text", "in/a.csv": b"1,2\n"}
    assert not server.server.on_file_open
    assert not server.server.read_only
    assert len(server.log) == len(server.faults) == server.network.latency == 0
    with sftp(server) as client:
        client.stat("/in")
    assert server.log.of("STAT").last.connection == 1


def test_an_exception_in_a_handler_is_raised_in_the_end() -> None:
    def fail(_: object) -> None:
        raise LookupError("of the handler")

    server = testing.server(files={"f": b""})
    server.server.on_file_open(fail)
    with sftp(server) as client:
        assert "failed" in failure_of(client.open, "/f")
    with pytest.raises(LookupError, match="of the handler"):
        server.__exit__(None, None, None)


def test_an_exception_of_the_body_comes_first_and_tells_of_the_others() -> None:
    def body() -> None:
        with testing.server(files={"f": b""}) as server:
            server.server.on_file_open = lambda e: 1 / 0
            with sftp(server) as client:
                assert "failed" in failure_of(client.open, "/f")
            raise KeyError("of the body")

    with pytest.raises(KeyError) as caught:
        body()
    assert "ZeroDivisionError" in caught.value.__notes__[0]


def test_a_producer_that_fails_is_an_error_of_the_test() -> None:
    server = testing.server()
    server.fs.produce("f", 100, lambda offset, length: bytes(length // 0))
    with sftp(server) as client, client.open("/f") as file:
        assert "Failure" in failure_of(file.read)
    with pytest.raises(ZeroDivisionError):
        server.__exit__(None, None, None)


def test_a_function_that_fails_is_an_error_of_the_test_too() -> None:
    server = testing.server()
    server.faults.on("STAT").call(lambda exchange, proceed: bytes(1 // 0))
    with sftp(server) as client:
        assert "A function of the test failed" in failure_of(client.stat, "/")
        client.lstat("/")
    with pytest.raises(ZeroDivisionError):
        server.__exit__(None, None, None)


def test_what_fails_on_purpose_is_not_printed_where_nobody_wants_to_know() -> None:
    program = """
import logging
from libsshd import testing
from libsshd.testing.client import Channel, Connection, Sftp
with testing.server() as server:
    server.faults.on("STAT").fail()
    connection = Connection(server.host, server.port, 20.0)
    connection.session.userauth_password(server.user, server.password)
    sftp = Sftp(Channel(connection.session))
    try:
        sftp.stat(b"/none")
    except OSError as error:
        print(error)
    connection.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("FAILURE: Failure\n", "")


def test_it_stops_although_a_client_neither_reads_nor_leaves(server: Server) -> None:
    stalls = threading.Event()

    def stall(o: Exchange, _: object) -> None:
        stalls.set()
        o.stall()

    server.fs.produce("big", 1 << 30, lambda offset, length: bytes(length))
    server.faults.on("STAT").call(stall)
    with closing(Connection(server.host, server.port, 20.0)) as connection:
        connection.session.userauth_password(server.user, server.password)
        channel = Channel(connection.session)
        handle = Sftp(channel).open(b"/big", 1)
        for number in range(8):
            channel.send(u8(Packet.READ) + u32(number) + string(handle) + u64(0) + u32(200_000))
        channel.send(u8(Packet.STAT) + u32(9) + string(b"/"))
        assert stalls.wait(20)
        server.stop()
    assert threads() == set()


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("libsshd")}


def test_a_thousand_servers_leave_nothing_behind() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with testing.server():
        pass
    before, names = descriptors(), threads()
    for number in range(1000):
        with testing.server(files={"f": b"x"}) as server:
            if number % 50 == 0:
                with sftp(server) as client:
                    assert client.stat("/f").st_size == 1
    assert threads() <= names
    assert descriptors() <= before + 1


def test_a_start_loads_nothing_heavy() -> None:
    program = "import sys; from libsshd import testing; testing.server().stop(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"asyncio", "cryptography", "unittest", "pytest", "paramiko", "ssh2", "rich", "email", "urllib.request"}
    assert heavy & set(done.stdout.split()) == set()


def test_the_plugin_loads_nothing_of_the_server() -> None:
    program = "import sys, pytest; import libsshd.testing.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    ours = {name for name in done.stdout.split() if name.startswith("libsshd")}
    assert ours == {"libsshd", "libsshd.version", "libsshd.testing", "libsshd.testing.plugin"}


class Case(testing.SFTPServerMixin, unittest.TestCase):
    sftpserver_files = MappingProxyType({"f": b"x"})
    __test__ = False  # it is run by the tests below

    def test_first(self) -> None:
        assert self.sftpserver.fs["f"] == b"x"
        with sftp(self.sftpserver) as client:
            client.remove("/f")
        self.sftpserver.server.on_file_open = lambda e: 1 / 0

    def test_second(self) -> None:
        with sftp(self.sftpserver) as client:
            client.open("/f")


def test_unittest_has_it_as_a_mixin() -> None:
    result = unittest.TestResult()
    suite = unittest.TestSuite([Case("test_first"), Case("test_second"), Case("test_first")])
    suite.run(result)
    assert (result.testsRun, result.errors, result.failures) == (3, [], [])
    assert threads() == set()


def test_a_failing_handler_fails_the_case_of_unittest() -> None:
    class Failing(Case):
        def test_third(self) -> None:
            self.sftpserver.server.on_file_open = lambda e: 1 / 0
            with sftp(self.sftpserver) as client:
                assert "failed" in failure_of(client.open, "/f")

    result = unittest.TestResult()
    unittest.TestSuite([Failing("test_third")]).run(result)
    assert len(result.errors) == 1
    assert "ZeroDivisionError" in result.errors[0][1]


def test_a_recording_is_complete_when_it_stops(tmp_path: Path) -> None:
    with testing.server(files={"f": b"x"}, record=tmp_path / "r") as server, sftp(server) as client:
        client.stat("/f")
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert [line.get("request") for line in lines] == [None, "INIT", "STAT"]
    assert "secret" not in (tmp_path / "r").read_text()
