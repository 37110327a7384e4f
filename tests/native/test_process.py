"""What a process gives up, in a process of its own, by its effect."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from errno import EACCES
from pathlib import Path

import pytest

from libsshd._native import landlock_version

BEGIN = """
import errno, os
from libsshd._native import process
from tests.native import faulty

def status():
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
"""


def run(script: str) -> None:
    """In a process of its own, which must not complain."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(script) + "\nfaulty.dump()\n"],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path.cwd(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_nothing_is_gained_by_running_a_program() -> None:
    run("""
        assert status()["NoNewPrivs"] == "0"
        process.renounce_privileges()
        assert status()["NoNewPrivs"] == "1"
    """)


def test_no_right_of_root_is_left() -> None:
    run("""
        process.drop_capabilities()
        told = status()
        assert all(int(told[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapInh"))
    """)


def test_a_process_can_be_hidden_from_its_own_user() -> None:
    """What /proc shows of its memory belongs to root, whoever runs it."""
    run("""
        process.conceal()
        assert os.stat("/proc/self/mem").st_uid == 0
    """)


@pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock of use")
def test_what_is_not_allowed_is_denied(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    run(f"""
        process.renounce_privileges()
        version = process.landlock_version()
        everything = process.known_access(version)
        root, inside = os.open("/", os.O_PATH), os.open({str(tmp_path / "in")!r}, os.O_PATH)
        process.restrict({{root: everything & ~process.FileAccess.MAKE_DIR, inside: everything}}, version)
        os.mkdir({str(tmp_path / "in" / "made")!r})
        try:
            os.mkdir({str(tmp_path / "made")!r})
        except OSError as error:
            assert error.errno == {EACCES}
        else:
            raise AssertionError
    """)
