"""`libsshd hostkey`, and the key that `run` makes for itself."""

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from libsshd_cli.keyfile import state_directory
from tests.cli.conftest import Command
from tests.support.command import DEADLINE


def openssh_fingerprint(path: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


@pytest.mark.parametrize(
    ("options", "key_type"),
    [
        ([], "ssh-ed25519"),
        (["--type", "ed25519"], "ssh-ed25519"),
        (["--type", "ecdsa"], "ecdsa-sha2-nistp256"),
        (["--type", "rsa"], "ssh-rsa"),
    ],
)
def test_a_missing_key_is_made_and_shown_and_then_only_shown(
    options: list[str], key_type: str, command: Command
) -> None:
    path = command.home / "key"
    made = command.run("hostkey", path, *options)
    shown = command.run("hostkey", path)
    assert (made.returncode, made.stderr) == (0, f"made a new host key in {path}\n")
    assert (shown.returncode, shown.stderr) == (0, "")
    fingerprint, line = shown.stdout.splitlines()
    assert made.stdout == shown.stdout
    assert fingerprint == f"{openssh_fingerprint(path)} ({key_type})"
    public = subprocess.run(["ssh-keygen", "-yf", path], capture_output=True, text=True, check=True).stdout
    assert line.split()[:2] == public.split()[:2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(command.home.iterdir()) == [path]


def test_a_key_of_openssh_is_shown(command: Command) -> None:
    path = command.home / "key"
    subprocess.run(["ssh-keygen", "-qN", "", "-t", "ecdsa", "-b", "384", "-f", path], check=True)
    assert command.run("hostkey", path).stdout.startswith(
        f"{openssh_fingerprint(path)} (ecdsa-sha2-nistp384)\necdsa-sha2-nistp384 AAAA"
    )


def test_a_key_of_another_type_than_asked_for_is_not_replaced(command: Command) -> None:
    path = command.home / "key"
    command.run("hostkey", path)
    before = path.read_bytes()
    done = command.run("hostkey", path, "--type", "rsa")
    assert done.stderr == f"libsshd: {path} holds a key of type ssh-ed25519 already; name another file\n"
    assert (done.returncode, done.stdout, path.read_bytes()) == (2, "", before)


def unusable_keys(home: Path) -> dict[str, str]:
    """Make host keys that must not be used; return what is said about each."""
    (home / "garbage").write_text("garbage")
    (home / "empty").touch()
    (home / "folder").mkdir()
    (home / "large").write_bytes(b"x" * 70_000)
    (home / "dangling").symlink_to("nowhere")
    for name, passphrase in {"open": "", "public": "", "locked": "secret"}.items():
        subprocess.run(["ssh-keygen", "-qN", passphrase, "-t", "ed25519", "-f", home / name], check=True)
    for path in home.iterdir():
        if path.exists():
            path.chmod(0o600)
    (home / "open").chmod(0o644)
    return {
        "garbage": "the host key garbage is not an unencrypted private key",
        "empty": "the host key empty is not an unencrypted private key",
        "folder": "the host key folder ",
        "large": "the host key large is too large",
        "dangling": "there is no host key dangling",
        "open": "the host key open can be read by others (mode 0644)",
        "public.pub": "the host key public.pub is not an unencrypted private key",
        "locked": "the host key locked is not an unencrypted private key",
    }


@pytest.mark.parametrize("arguments", [["hostkey"], ["run", "--port", "0", "--host-key"]])
def test_an_unusable_key_is_one_sentence_and_status_2(arguments: list[str], command: Command) -> None:
    for name, sentence in unusable_keys(command.home).items():
        done = command.run(*arguments, name)
        assert (name, done.returncode, done.stdout) == (name, 2, "")
        assert done.stderr.startswith(f"libsshd: {sentence}")
        assert done.stderr.count("\n") == 1


def test_a_key_that_cannot_be_written_is_one_sentence(command: Command) -> None:
    done = command.run("hostkey", "missing/key")
    assert done.stderr == "libsshd: the host key missing/key cannot be written: No such file or directory\n"
    assert done.returncode == 2


def test_first_starts_at_once_agree_on_one_key(command: Command) -> None:
    started = [command.begin(["run", "--port", "0"]) for _ in range(6)]
    fingerprints = set()
    for process, log in started:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"sftp://"), log.read_text()
        fingerprints.add(next(line for line in log.read_text().splitlines() if line.startswith("host key")))
        process.terminate()
    assert [process.wait(DEADLINE) for process, _ in started] == [0] * 6
    directory = command.home / ".local" / "state" / "libsshd"
    assert fingerprints == {f"host key    {openssh_fingerprint(directory / 'host_ed25519')} (ssh-ed25519)"}
    assert [path.name for path in directory.iterdir()] == ["host_ed25519"]


def test_the_kept_key_can_be_read_by_its_owner_alone(command: Command) -> None:
    command.serve().stop()
    state = command.home / ".local" / "state"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (state.parent, state, *state.rglob("*"))}
    assert modes == {
        state.parent: 0o700,
        state: 0o700,
        state / "libsshd": 0o700,
        state / "libsshd" / "host_ed25519": 0o600,
    }


def test_the_kept_key_lies_in_the_xdg_directory_unless_that_is_relative(command: Command) -> None:
    for value, expected in {
        str(command.home / "xdg"): "xdg/libsshd",
        "relative": ".local/state/libsshd",
    }.items():
        command.environment["XDG_STATE_HOME"] = value
        command.serve().stop()
        assert (command.home / expected / "host_ed25519").exists()
    assert not (command.home / "relative").exists()


def test_a_state_directory_that_cannot_be_made_is_one_sentence(command: Command) -> None:
    (command.home / "file").touch()
    done = command.run("run", "--port", "0", XDG_STATE_HOME=str(command.home / "file"))
    reason = "Not a directory; give one by --host-key"
    assert done.stderr == f"libsshd: no host key can be kept in {command.home}/file/libsshd: {reason}\n"
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a home that belongs to somebody else")
def test_root_keeps_no_key_in_the_home_of_somebody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """sudo may leave HOME as it was, and its owner could have put a link there."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory() == tmp_path / ".local" / "state" / "libsshd"
    os.chown(tmp_path, 65534, 65534)
    assert state_directory() == Path(pwd.getpwuid(0).pw_dir, ".local", "state", "libsshd")
