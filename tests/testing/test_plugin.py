"""The pytest plugin, as projects that use it run it."""

from __future__ import annotations

import pytest

CLIENT = """
    from contextlib import contextmanager
    import paramiko, pytest

    @contextmanager
    def sftp(server):
        with paramiko.Transport((server.host, server.port)) as transport:
            transport.connect(username=server.user, password=server.password)
            yield paramiko.SFTPClient.from_transport(transport)
"""
OPTIONS = ("-p", "no:cacheprovider", "-W", "error")


def run(pytester: pytest.Pytester, program: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(client=CLIENT)
    pytester.makepyfile(f"    from client import *\n{program}")
    return pytester.runpytest_subprocess(*OPTIONS, *options, timeout=90)


def test_each_test_gets_it_as_new(pytester: pytest.Pytester) -> None:
    program = """
    ports = set()

    @pytest.mark.parametrize("number", range(3))
    def test_new(sftpserver, number):
        ports.add(sftpserver.port)
        assert sftpserver.fs.tree() == {}
        assert (len(sftpserver.log), len(sftpserver.faults), len(ports)) == (0, 0, 1)
        sftpserver.faults.on("MKDIR").fail()
        sftpserver.network.latency = 0.01
        with sftp(sftpserver) as client:
            client.open("/f", "wb").close()
            transport = client.get_channel().get_transport()
        assert sftpserver.fs.tree() == {"f": b""}
    """
    run(pytester, program).assert_outcomes(passed=3)


def test_what_a_handler_raises_fails_the_test_that_caused_it(pytester: pytest.Pytester) -> None:
    program = """
    def test_fails(sftpserver):
        sftpserver.server.on_file_open = lambda e: 1 / 0
        with sftp(sftpserver) as client, pytest.raises(OSError):
            client.open("/f", "wb")

    def test_is_not_to_blame(sftpserver):
        with sftp(sftpserver) as client:
            client.open("/f", "wb").close()
    """
    done = run(pytester, program)
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*ZeroDivisionError*", "*SFTP conversation with sftp://tester@127.0.0.1:*"])


def test_what_is_raised_behind_the_last_line_is_an_error_of_the_test(pytester: pytest.Pytester) -> None:
    program = """
    import threading

    def test_late(sftpserver):
        @sftpserver.server.on_disconnected
        def fail(e):
            raise LookupError("late")
        with sftp(sftpserver) as client:
            client.stat("/")

    def test_next(sftpserver):
        with sftp(sftpserver) as client:
            client.stat("/")
    """
    done = run(pytester, program)
    outcomes = done.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 1
    done.stdout.fnmatch_lines(["*LookupError: late*"])


def test_a_test_that_failed_shows_the_conversation(pytester: pytest.Pytester) -> None:
    program = """
    def test_fails(sftpserver):
        with sftp(sftpserver) as client:
            client.mkdir("/made")
        assert False
    """
    done = run(pytester, program)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*SFTP conversation*", "*MKDIR        /made*-> OK"])


def test_options_are_overridden_in_any_scope(pytester: pytest.Pytester) -> None:
    program = """
    @pytest.fixture(scope="session")
    def sftpserver_options():
        return {"user": "bob", "password": "pw"}

    class TestOther:
        @pytest.fixture
        def sftpserver_options(self):
            return {"user": "carol"}

        @pytest.fixture
        def sftpserver_files(self):
            return {"f": b"x"}

        def test_carol(self, sftpserver):
            with sftp(sftpserver) as client:
                assert client.listdir("/") == ["f"]
            assert sftpserver.log.of("LOGIN").last.user == "carol"

    def test_bob(sftpserver):
        with sftp(sftpserver) as client:
            assert client.listdir("/") == []
        assert sftpserver.log.of("LOGIN").last.user == "bob"
    """
    run(pytester, program).assert_outcomes(passed=2)


def test_a_client_that_stays_connected_holds_nobody_up(pytester: pytest.Pytester) -> None:
    program = """
    kept = []

    @pytest.mark.parametrize("number", range(2))
    def test_stays(sftpserver, number):
        transport = paramiko.Transport((sftpserver.host, sftpserver.port))
        transport.connect(username=sftpserver.user, password=sftpserver.password)
        client = paramiko.SFTPClient.from_transport(transport)
        kept.append(client.open("/f", "wb"))
    """
    run(pytester, program, "-W", "ignore").assert_outcomes(passed=2)


def test_workers_have_servers_of_their_own(pytester: pytest.Pytester) -> None:
    program = """
    @pytest.mark.parametrize("number", range(8))
    def test_it(sftpserver, sftpserver_factory, number):
        other = sftpserver_factory({"f": b"x"})
        for server in (sftpserver, other):
            with sftp(server) as client:
                client.mkdir("/d")
        assert other.fs["f"] == b"x" and sftpserver.fs.tree() == {"d/": None}
    """
    run(pytester, program, "-n", "2").assert_outcomes(passed=8)


def test_nothing_is_left_when_the_session_ends(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
    import os, threading

    def pytest_unconfigure(config):
        names = sorted(t.name for t in threading.enumerate() if t.name.startswith("libsshd"))
        print("LEFT", names, len([n for n in os.listdir("/tmp") if n.startswith("libsshd-")]) >= 0)
        assert names == []
    """)
    program = """
    def test_it(sftpserver, sftpserver_factory):
        sftpserver_factory().private_key_file
        with sftp(sftpserver) as client:
            client.stat("/")
    """
    done = run(pytester, program, "-s")
    done.assert_outcomes(passed=1)
    assert "LEFT [] True" in done.stdout.str()


def test_a_thousand_fixtures_leave_nothing(pytester: pytest.Pytester) -> None:
    program = """
    import os, threading
    seen = []

    @pytest.mark.parametrize("number", range(1000))
    def test_it(sftpserver, number):
        sftpserver.fs["f"] = b"x"
        if number % 40 == 0:
            with sftp(sftpserver) as client:
                assert client.stat("/f").st_size == 1

    def test_nothing_is_left(sftpserver):
        names = [t.name for t in threading.enumerate() if t.name.startswith("libsshd")]
        assert names == ["libsshd-listener"], names
        assert len(os.listdir("/proc/self/fd")) < 40
    """
    run(pytester, program, "-q").assert_outcomes(passed=1001)
