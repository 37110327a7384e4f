"""What an installed libsshd consists of."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from libsshd import _native
from libsshd.version import __version__

ROOT = Path(__file__).parents[1]
LOCK = tomllib.loads((ROOT / "vendor" / "libssh.lock.toml").read_text())


def setup(folder: Path, *command: str) -> Path:
    """Run setup.py with everything it writes below the folder; return the one result."""
    (folder / "info").mkdir()
    places = ["egg_info", f"--egg-base={folder}/info", *command, f"--dist-dir={folder}/dist"]
    subprocess.run([sys.executable, "setup.py", "--quiet", *places], cwd=ROOT, check=True, timeout=600)
    (result,) = (folder / "dist").iterdir()
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return setup(folder, "build", f"--build-base={folder}/build", "bdist_wheel", f"--bdist-dir={folder}/bdist")


def sources(package: str) -> set[str]:
    return {str(path.relative_to(ROOT / package)) for path in (ROOT / package).rglob("*.py")}


def test_the_core_contains_the_pinned_libssh() -> None:
    assert _native.library_versions()["libssh"].split("/")[0] == LOCK["version"]


def test_the_core_shows_nothing_but_its_entry() -> None:
    from libsshd._native import _core  # noqa: TID251

    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", "-f", "just-symbols", str(_core.__file__)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert symbols.stdout.split() == ["PyInit__core"]


def test_a_wheel_holds_every_module_and_no_source_of_the_core(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {f"libsshd/{name}" for name in sources("libsshd")} | {f"libsshd_cli/{name}" for name in sources("cli")}
    assert modules <= names
    assert "libsshd/py.typed" in names
    assert not [name for name in names if name.endswith((".c", ".h"))]


def test_a_wheel_carries_the_licences_and_says_how_to_relink(wheel: Path) -> None:
    info = f"libsshd-{__version__}.dist-info/licenses"
    with zipfile.ZipFile(wheel) as archive:
        assert "LESSER GENERAL PUBLIC LICENSE" in archive.read("libsshd/_native/licences/libssh-COPYING.txt").decode()
        assert "MIT License" in archive.read(f"{info}/LICENSE").decode()
        assert "libssh" in archive.read(f"{info}/vendor/RELINK.md").decode()


def test_a_wheel_works_without_a_compiler(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = "import libsshd._native as n; print(n.__file__); print(n.library_versions()['libssh'])"
    environment = {"PATH": "", "PYTHONPATH": str(tmp_path)}
    output = subprocess.run(
        [sys.executable, "-c", program], cwd="/", env=environment, capture_output=True, text=True, check=True
    )
    place, version = output.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path)
    assert version.startswith(LOCK["version"])


def test_a_source_distribution_carries_what_a_build_needs(tmp_path: Path) -> None:
    archive = setup(tmp_path, "sdist")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    core = {str(path.relative_to(ROOT)) for path in (ROOT / "libsshd" / "_native").glob("*.[ch]")}
    needed = {"setup.py", "build_backend.py", "build_libssh.py", "pyproject.toml", "vendor/RELINK.md", "LICENSE"}
    assert needed | core | {f"vendor/libssh-{LOCK['version']}.tar.xz", "vendor/libssh.lock.toml"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_bare_call_of_dev_lists_its_commands() -> None:
    output = subprocess.run([ROOT / "dev"], capture_output=True, text=True, check=True).stdout
    listed = [line.split()[0] for line in output.splitlines() if re.match("  [a-z]", line)]
    assert listed == ["setup", "run", "test", "fuzz", "coverage", "bench", "lint", "docs"]


def test_dev_refuses_a_command_it_does_not_have() -> None:
    result = subprocess.run([ROOT / "dev", "deploy"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")


def test_the_scripts_are_executable() -> None:
    assert all(os.access(ROOT / name, os.X_OK) for name in ("dev", ".ci/run"))
