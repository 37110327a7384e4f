"""`libsshd completion`: what the shell offers, asked of the shell itself."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Command

ASK = """
libsshd() { command "${program[@]}" "$@"; }
source <(libsshd completion bash)
COMP_WORDS=(libsshd "$@") COMP_CWORD=$# COMPREPLY=()
handler=$(complete -p libsshd | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$handler libsshd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(directory: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of the words."""
    program = " ".join(f"'{word}'" for word in PROGRAM)
    done = subprocess.run(
        ["bash", "--norc", "-c", f"program=({program})\n{ASK}", "bash", *words],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split("\n")) - {""}


def test_bash_offers_commands_options_and_choices(tmp_path: Path) -> None:
    assert {"run", "hostkey", "completion"} <= offered(tmp_path, "")
    assert offered(tmp_path, "run", "--read") == {"--read-only"}
    assert offered(tmp_path, "run", "--log-format", "") == {"text", "json"}
    assert offered(tmp_path, "completion", "") == {"bash", "zsh"}
    assert offered(tmp_path, "hostkey", "--type", "e") == {"ed25519", "ecdsa"}


def test_bash_offers_directories_for_the_root_and_files_for_keys(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert offered(tmp_path, "run", "--root", "f") == {"folder"}
    assert offered(tmp_path, "run", "--host-key", "f") == {"folder", "file"}
    assert offered(tmp_path, "hostkey", "f") == {"folder", "file"}


def test_the_zsh_script_is_zsh(command: Command) -> None:
    done = command.run("completion", "zsh")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("#compdef libsshd\n")
    assert "--authorized-keys" in done.stdout


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_accepts_its_script(command: Command) -> None:
    script = command.run("completion", "zsh").stdout
    subprocess.run(["zsh", "-n"], input=script, text=True, check=True)
