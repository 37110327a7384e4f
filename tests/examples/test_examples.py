"""The numbered programs run as they stand, each with a real client."""

import base64
import hmac
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import paramiko
import pytest

from tests.support.command import DEADLINE, end, environment

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))


class Example:
    """A running program; it runs in `place` and is stopped as by Ctrl-C."""

    def __init__(self, number: int, place: Path) -> None:
        self.place = place
        (self.program,) = EXAMPLES.glob(f"{number:02}_*.py")
        argv = [sys.executable, "-u", str(self.program)]
        with open(place / "stderr", "wb") as errors:
            self.process = subprocess.Popen(
                argv, cwd=place, env=environment(place), stdout=subprocess.PIPE, stderr=errors
            )
        self.address = urlsplit(self.line())

    def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
        assert ready, f"{self.program.name} printed nothing: {self.errors}"
        return self.process.stdout.readline().decode().rstrip("\n")

    @property
    def errors(self) -> str:
        return (self.place / "stderr").read_text()

    def transport(self) -> paramiko.Transport:
        assert self.address.scheme == "sftp", f"{self.program.name}: {self.errors}"
        transport = paramiko.Transport((self.address.hostname or "", self.address.port or 0))
        transport.start_client(timeout=DEADLINE)
        return transport

    @contextmanager
    def client(self, user: str = "bob", password: str = "secret") -> Iterator[paramiko.SFTPClient]:
        with self.transport() as transport:
            transport.auth_password(user, password)
            sftp = transport.open_sftp_client()
            assert sftp is not None
            yield sftp

    def stop(self) -> None:
        try:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(DEADLINE)
        finally:
            end(self.process)
        assert self.errors.endswith("KeyboardInterrupt\n")
        assert self.errors.count("Traceback") == 1


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Callable[[int], Example]]:
    with ExitStack() as stack:

        def run(number: int) -> Example:
            started = Example(number, tmp_path)
            stack.callback(started.stop)
            return started

        yield run


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_fits_a_screen(program: Path) -> None:
    assert len(program.read_text().splitlines()) < 60


def test_there_are_six_examples() -> None:
    assert [program.name[:3] for program in PROGRAMS] == ["01_", "02_", "03_", "04_", "05_", "06_"]


def test_the_minimal_server_serves_the_current_directory(example: Callable[[int], Example], tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_bytes(b"1")
    with example(1).client() as sftp:
        assert "here.txt" in sftp.listdir()


def test_the_minimal_server_knows_one_password(example: Callable[[int], Example]) -> None:
    started = example(1)
    with pytest.raises(paramiko.AuthenticationException), started.client(password="wrong"):
        pass


def test_users_see_their_own_directory_alone(example: Callable[[int], Example], tmp_path: Path) -> None:
    started = example(2)
    with started.client("alice", "wonder") as sftp:
        sftp.putfo(BytesIO(b"mine"), "/note")
    with started.client("bob", "builder") as sftp:
        assert sftp.listdir("/") == []
    assert (tmp_path / "users" / "alice" / "note").read_bytes() == b"mine"


def test_users_log_in_by_key_too(example: Callable[[int], Example], tmp_path: Path) -> None:
    key = paramiko.ECDSAKey.generate()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "bob.pub").write_text(f"{key.get_name()} {key.get_base64()} bob\n")
    started = example(2)
    with started.transport() as transport:
        assert transport.auth_publickey("bob", key) == []
    with started.transport() as transport, pytest.raises(paramiko.AuthenticationException):
        transport.auth_publickey("alice", key)


def test_events_veto_what_a_drop_box_does_not_take(example: Callable[[int], Example]) -> None:
    started = example(3)
    with started.client() as sftp:
        for path, reason in (
            ("/a.txt", "Put it into /inbox"),
            ("/inbox/a.EXE", "No programs, please"),
        ):
            with pytest.raises(PermissionError, match=reason):
                sftp.open(path, "w")
        sftp.putfo(BytesIO(b"data"), "/inbox/a.txt")
        assert started.line() == "complete /inbox/a.txt"
        with pytest.raises(PermissionError, match="There is a file of that name"):
            sftp.open("/inbox/a.txt", "w")
        with pytest.raises(PermissionError, match="What is here stays as it is"):
            sftp.remove("/inbox/a.txt")
        with sftp.open("/inbox/a.txt") as file:
            assert file.read(100) == b"data"


def test_an_upload_that_was_cut_off_is_reported_as_such(example: Callable[[int], Example]) -> None:
    started = example(3)
    with started.client() as sftp:
        file = sftp.open("/inbox/half", "w")
        file.write(b"1234")
        file.flush()
    assert started.line() == "incomplete /inbox/half 4"


def test_a_polling_loop_serves(example: Callable[[int], Example], tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_bytes(b"1")
    started = example(4)
    with started.client() as sftp, sftp.open("here.txt") as file:
        assert file.read(100) == b"1"
    assert started.line() == "closed: /here.txt"


def digits() -> str:
    """What an authenticator shows now (RFC 6238)."""
    mac = hmac.digest(base64.b32decode("JBSWY3DPEHPK3PXP"), (int(time.time()) // 30).to_bytes(8, "big"), "sha1")
    number = int.from_bytes(mac[mac[19] & 15 :][:4], "big") & 0x7FFFFFFF
    return f"{number % 1000000:06}"


def test_two_factors_let_in_together(example: Callable[[int], Example]) -> None:
    with example(5).transport() as transport:
        assert transport.auth_password("bob", "secret") == ["keyboard-interactive"]
        assert transport.auth_interactive("bob", lambda *_: [digits()]) == []
        sftp = transport.open_sftp_client()
        assert sftp is not None
        assert sftp.normalize(".") == "/"


@pytest.mark.parametrize("answer", ["", "000000x"])
def test_one_factor_is_not_enough(example: Callable[[int], Example], answer: str) -> None:
    with example(5).transport() as transport:
        transport.auth_password("bob", "secret")
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_interactive("bob", lambda *_: [answer])


def test_the_second_factor_alone_is_not_even_asked_for(example: Callable[[int], Example]) -> None:
    with example(5).transport() as transport, pytest.raises(paramiko.AuthenticationException):
        transport.auth_interactive("bob", lambda *_: [digits()])


def test_a_dict_is_a_file_system(example: Callable[[int], Example]) -> None:
    data = os.urandom(300_000)
    with example(6).client() as sftp:
        assert sftp.listdir() == ["hello.txt"]
        assert sftp.open("hello.txt").read(100) == b"Hello!\n"
        sftp.putfo(BytesIO(data), "/random")
        assert sftp.stat("/random").st_size == len(data)
        assert sftp.open("/random").read(2 * len(data)) == data
        with pytest.raises(FileNotFoundError):
            sftp.stat("/missing")
        with pytest.raises(FileNotFoundError):
            sftp.open("/missing")
        sftp.remove("/random")
        assert sftp.listdir() == ["hello.txt"]
