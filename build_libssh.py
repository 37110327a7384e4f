"""Gets the libssh release that vendor/libssh.lock.toml pins and builds it as a static library.

Nothing that fails the checksum is ever unpacked. The result is kept under a name made of everything that goes
into it (release, options, compiler, versions of the headers), so a second build takes no time and no network.

    python build_libssh.py                  build, print the directory
    python build_libssh.py --fetch          only make sure the tarball is in vendor/
    python build_libssh.py --requirements   print what `pip install` must add before a build here
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENDOR = ROOT / "vendor"
TARBALL_VARIABLE = "LIBSSHD_LIBSSH_TARBALL"
APT_HELPER = "/usr/lib/apt/apt-helper"
PATIENCE = 6  # seconds for a name, a connection, the next bytes
OLDEST_CMAKE = (3, 14)

# Also needed by whoever includes libssh's internal headers: they size structures with it.
DEFINES = {"MAX_BUF_SIZE": "131072"}

CMAKE_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_C_FLAGS": " ".join(f"-D{name}={value}" for name, value in DEFINES.items()),
    "CMAKE_C_FLAGS_RELEASE": "-O3 -DNDEBUG",
    "CMAKE_POSITION_INDEPENDENT_CODE": "ON",
    "BUILD_SHARED_LIBS": "OFF",
    "WITH_SERVER": "ON",
    "WITH_SFTP": "ON",
    "WITH_ZLIB": "ON",
    "WITH_GSSAPI": "OFF",
    "WITH_NACL": "OFF",
    "WITH_PCAP": "OFF",
    "WITH_EXEC": "OFF",
    "WITH_EXAMPLES": "OFF",
    "WITH_DEBUG_CALLTRACE": "OFF",
    "WITH_SYMBOL_VERSIONING": "OFF",
}

# Prints what the result depends on besides our own options.
PROBE = """\
#include <openssl/opensslv.h>
#include <zlib.h>
openssl OPENSSL_VERSION_TEXT
zlib ZLIB_VERSION
"""


class BuildError(Exception):
    """libssh cannot be had or built; the text says what was tried and what to do."""


@dataclass(frozen=True)
class Lock:
    version: str
    sha256: str
    url: str
    debian: str  # path below the site of a Debian archive


@dataclass(frozen=True)
class Libssh:
    """A finished build."""

    directory: Path

    @property
    def include(self) -> Path:
        """Public and internal headers, and the config.h of this build."""
        return self.directory / "include"

    @property
    def archive(self) -> Path:
        return self.directory / "libssh.a"

    @property
    def licences(self) -> list[Path]:
        return [self.directory / "COPYING", self.directory / "BSD"]


def read_lock() -> Lock:
    return Lock(**tomllib.loads((VENDOR / "libssh.lock.toml").read_text()))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- the tarball ---


def fetch(lock: Lock) -> Path:
    """The verified tarball, from the first source that has it.

    Raises BuildError with the whole list of sources tried.
    """
    cached = VENDOR / f"libssh-{lock.version}.tar.xz"
    failures: list[str] = []
    for name, get in _sources(lock, cached):
        try:
            tarball = get()
            _verify(tarball, lock)
        except (OSError, BuildError, subprocess.SubprocessError) as error:
            failures.append(f"  {name}: {error}")
            continue
        if tarball.parent != VENDOR and name != TARBALL_VARIABLE:
            return _keep(tarball, cached)
        return tarball
    raise BuildError(
        f"libssh {lock.version} could not be had:\n"
        + "\n".join(failures)
        + f"\nPut a copy of {lock.url}\n(sha256 {lock.sha256})"
        + f"\nat {cached}, or name its path in {TARBALL_VARIABLE}."
    )


def _sources(lock: Lock, cached: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    given = os.environ.get(TARBALL_VARIABLE)
    if given:
        yield TARBALL_VARIABLE, lambda: Path(given).absolute()
    yield str(cached), lambda: cached
    with tempfile.TemporaryDirectory(prefix="libssh-") as directory:
        target = Path(directory, cached.name)
        yield lock.url, lambda: _download(lock.url, target)
        for site in _debian_sites():
            url = f"{site.rstrip('/')}/{lock.debian}"
            yield url, lambda url=url: _download_with_apt(url, target)  # type: ignore[misc]


def _verify(tarball: Path, lock: Lock) -> None:
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if found != lock.sha256:
        raise BuildError(f"sha256 is {found}, not the one of the lock file")


def _keep(tarball: Path, cached: Path) -> Path:
    with _replacing(cached) as partial:
        shutil.copyfile(tarball, partial)
    return cached


def _download(url: str, target: Path) -> Path:
    # The look-up of a name obeys no time-out of its own, so it runs where it can be left behind.
    say(f"fetching {url}")
    answers: queue.Queue[HTTPResponse | Exception] = queue.Queue()

    def request() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=PATIENCE))  # noqa: S310
        except Exception as error:  # noqa: BLE001
            answers.put(error)

    threading.Thread(target=request, daemon=True).start()
    try:
        answer = answers.get(timeout=2 * PATIENCE)
    except queue.Empty:
        raise BuildError(f"no answer within {2 * PATIENCE} s") from None
    if isinstance(answer, Exception):
        raise BuildError(str(answer))
    with answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file)
    return target


def _debian_sites() -> list[str]:
    """The sites this machine's apt is configured for, none elsewhere."""
    if not shutil.which("apt-get"):
        return []
    command = ["apt-get", "indextargets", "--format", "$(SITE)"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return list(dict.fromkeys(answer.stdout.split()))


def _download_with_apt(url: str, target: Path) -> Path:
    # apt knows its proxies, mirrors and passwords.
    say(f"fetching {url}")
    options = [
        f"-oAcquire::http::Timeout={PATIENCE}",
        f"-oAcquire::https::Timeout={PATIENCE}",
        "-oAcquire::Retries=0",
    ]
    command = [APT_HELPER, *options, "download-file", url, str(target)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if answer.returncode:
        reasons = re.findall(r"^E: (.*)", answer.stderr, re.MULTILINE)
        raise BuildError(reasons[0] if reasons else f"apt-helper failed with {answer.returncode}")
    return target


# --- the library ---


def build() -> Libssh:
    """The finished library, built now if this machine has none yet. Raises BuildError."""
    target = _target()
    if not target.is_dir():
        with _locked(target):
            if not target.is_dir():
                _compile(target)
    return Libssh(target)


def requirements() -> list[str]:
    """What the package installer must provide before build() can run here. Raises BuildError."""
    if _target().is_dir():
        return []
    wanted = []
    if _cmake_version() < OLDEST_CMAKE:
        wanted.append("cmake>=" + ".".join(map(str, OLDEST_CMAKE)))
    if not _tool("ninja"):
        wanted.append("ninja")
    return wanted


def _target() -> Path:
    inputs = repr((read_lock(), sorted(CMAKE_OPTIONS.items()), _surroundings()))
    return _cache_directory() / f"libssh-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}"


def _cache_directory() -> Path:
    # A source distribution is unpacked anew for each build, so its results live with the user.
    if (ROOT / ".git").exists():
        return ROOT / "build"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "libsshd")


def _surroundings() -> str:
    """Compiler, OpenSSL and zlib of this machine as text. Raises BuildError when one is missing."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if not shutil.which(compiler[0]):
        raise BuildError(f"no C compiler ({compiler[0]}): install gcc, on Debian: apt-get install gcc libc6-dev")
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout
    command = [*compiler, "-E", "-P", "-x", "c", "-"]
    headers = subprocess.run(command, input=PROBE, capture_output=True, text=True, check=False)
    if headers.returncode:
        raise BuildError(
            "headers of OpenSSL or zlib are missing, on Debian: apt-get install libssl-dev zlib1g-dev\n"
            + headers.stderr
        )
    return version.partition("\n")[0] + "".join(re.findall(r"^(?:openssl|zlib) .*$", headers.stdout, re.MULTILINE))


def _compile(target: Path) -> None:
    lock = read_lock()
    tarball = fetch(lock)
    say(f"building libssh {lock.version} (once, about 20 s)")
    with (
        _replacing(target) as partial,
        tempfile.TemporaryDirectory(dir=target.parent, prefix="work-") as work,
    ):
        _run([_cmake(), "-E", "tar", "xf", str(tarball)], work)
        source, output = Path(work, f"libssh-{lock.version}"), Path(work, "output")
        options = [f"-D{name}={value}" for name, value in CMAKE_OPTIONS.items()]
        ninja = [f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}"]
        _run([_cmake(), "-G", "Ninja", "-S", str(source), "-B", str(output), *options, *ninja], work)
        _run([_cmake(), "--build", str(output), "--target", "ssh"], work)
        _collect(source, output, partial)
        _show_source(source)


def _collect(source: Path, output: Path, partial: Path) -> None:
    partial.mkdir()
    shutil.copytree(source / "include", partial / "include", ignore=shutil.ignore_patterns("CMakeLists.txt"))
    shutil.copytree(output / "include", partial / "include", ignore=_all_but_headers, dirs_exist_ok=True)
    shutil.copy(output / "config.h", partial / "include")
    shutil.copy(output / "src" / "libssh.a", partial)
    for name in ("COPYING", "BSD"):
        shutil.copy(source / name, partial)


def _all_but_headers(_directory: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".h") and name != "libssh"]


def _show_source(source: Path) -> None:
    # A checkout keeps the source for reading; builds never start from it.
    readable = VENDOR / source.name
    if (ROOT / ".git").exists() and not readable.exists():
        (source / "compile_commands.json").unlink(missing_ok=True)
        shutil.copytree(source, readable)


def _run(command: list[str], directory: str) -> None:
    result = subprocess.run(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode:
        tail = "\n".join(result.stdout.splitlines()[-40:])
        raise BuildError(f"{shlex.join(command)} failed:\n{tail}")


def _tool(name: str) -> str | None:
    """A program of the running interpreter's environment or of the machine."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return shutil.which(name, path=path)


def _cmake() -> str:
    cmake = _tool("cmake")
    if cmake is None or not _tool("ninja"):
        raise BuildError("cmake and ninja are needed to build libssh: pip install cmake ninja")
    return cmake


def _cmake_version() -> tuple[int, ...]:
    cmake = _tool("cmake")
    if cmake is None:
        return (0,)
    answer = subprocess.run([cmake, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0,)


# --- files ---


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A name to write to; it becomes the target in one step, or vanishes with the exception."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="partial-") as directory:
        partial = Path(directory, target.name)
        yield partial
        partial.rename(target)


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["--fetch"]:
            print(fetch(read_lock()))
        elif arguments == ["--requirements"]:
            print("\n".join(requirements()))
        elif not arguments:
            print(build().directory)
        else:
            say(__doc__ or "")
            return 2
    except BuildError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
