"""Builds the harnesses around the C core, with the sources and the flags of setup.py.

A harness is a target (what is tried) with an entry (who calls it): libFuzzer, or a program that runs the files it is
given once, which any compiler and any tool can take: `program("session", VARIANTS["plain"], directory)`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import runpy
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import build_libssh

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
NATIVE = ROOT / SETUP["NATIVE"]

WRAPPED = ("read", "write", "poll", "pread", "pwrite", "close")  # what world.c stands in for
TARGETS = {
    "session": ("session.c", "model.c", "tree.c", "world.c"),
    "resolve": ("resolve.c", "world.c"),
}

PROGRAMS = {"threads": ("threads.c",)}
"""Those with a `main` of their own, and nothing that stands in for calls."""

FUZZER = "fuzzer.c"
MUTATORS = {"session": "mutator.c"}  # for libFuzzer


@dataclass(frozen=True)
class Variant:
    """How a harness is built: compiler, options of all that is compiled and linked, more for linking, the entry."""

    compiler: str
    options: tuple[str, ...]
    entry: str = "replay.c"
    link: tuple[str, ...] = ()


SANITIZED = tuple(SETUP["SANITIZE"])
VARIANTS = {
    "fuzzer": Variant("clang", (*SANITIZED, "-fsanitize=fuzzer-no-link"), FUZZER, ("-fsanitize=fuzzer",)),
    "replay": Variant("cc", SANITIZED),
    "plain": Variant("cc", ("-g",)),
    "tsan": Variant("cc", ("-fsanitize=thread", "-g", "-O1")),
}


def program(target: str, variant: Variant, directory: Path) -> Path:
    """The harness, made anew in `directory` if anything it is made of has changed."""
    directory.mkdir(parents=True, exist_ok=True)
    made = directory / target
    stamp = directory / f"{target}.made-of"
    with _alone(directory):
        ingredients = _ingredients(variant)
        if not stamp.exists() or stamp.read_text() != ingredients:
            _build(target, variant, directory / "objects", made)
            stamp.write_text(ingredients)
    return made


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ingredients(variant: Variant) -> str:
    digest = hashlib.sha256(repr(variant).encode())
    for path in sorted([*NATIVE.glob("*.[ch]"), *HERE.glob("*.[ch]"), ROOT / "setup.py", Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build(target: str, variant: Variant, objects: Path, made: Path) -> None:
    """The core becomes a library, so that a harness holds only what it needs of it, and often no libssh."""
    objects.mkdir(exist_ok=True)
    libssh = build_libssh.build()
    core = _compile(variant, sorted(NATIVE.glob("*.c")), objects, libssh)
    own = _compile(variant, _sources(target, variant), objects, libssh)
    library = objects / "core.a"
    library.unlink(missing_ok=True)
    _run("ar", "rcs", library, *core)
    wraps = [*SETUP["wraps"](), *(f"-Wl,--wrap={name}" for name in WRAPPED if target in TARGETS)]
    libraries: list[str | Path] = [library, libssh.archive, "-lcrypto", "-lz", "-lpthread"]
    _run(variant.compiler, *variant.options, *variant.link, *wraps, *own, *libraries, "-o", made)


def _sources(target: str, variant: Variant) -> list[Path]:
    if target in PROGRAMS:
        return [HERE / name for name in PROGRAMS[target]]
    mutator = [MUTATORS[target]] if variant.entry == FUZZER and target in MUTATORS else []
    return [HERE / name for name in (*TARGETS[target], variant.entry, *mutator)]


def _compile(variant: Variant, sources: list[Path], objects: Path, libssh: build_libssh.Libssh) -> list[Path]:
    macros = [f"-D{name}={value}" for name, value in {"_GNU_SOURCE": "1", **build_libssh.DEFINES}.items()]
    flags = [*SETUP["STRICT"], *macros, *variant.options, f"-I{NATIVE}", "-isystem", str(libssh.include)]

    def compile_one(source: Path) -> Path:
        made = objects / f"{source.parent.name}-{source.stem}.o"
        _run(variant.compiler, *flags, "-c", source, "-o", made)
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)
