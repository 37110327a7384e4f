"""Builds the C core and puts libssh's licence beside it; what the package is stands in pyproject.toml."""

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from cffi import FFI
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).parent))
import build_libssh

NATIVE = Path("libsshd", "_native")
# One binary for every supported CPython; the free-threaded ones have no stable ABI.
STABLE_ABI = not sysconfig.get_config_var("Py_GIL_DISABLED")

STRICT = ["-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fstack-protector-strong"]
HARDENED = ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
GENERATED = ["-O2", "-fvisibility=hidden"]
LINK = ["-Wl,--exclude-libs,ALL", "-Wl,-z,relro,-z,now"]
# LIBSSHD_SANITIZE=1 builds the core for `./dev test --asan`.
SANITIZE = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "-g",
    "-O1",
]
# LIBSSHD_COVERAGE=1 builds it for `./dev coverage`: our C counts its lines and branches, whatever thread runs it.
COVERAGE = ["--coverage", "-fprofile-update=atomic", "-g", "-O0"]
# Both test builds also get calls that fail on demand.
FAULTS = Path("tests", "native", "faults.c")


class BuildCore(build_ext):
    """Compiles our C strictly, the C that cffi generates leniently, and links both with libssh."""

    def build_extension(self, ext: Extension) -> None:
        try:
            libssh = build_libssh.build()
        except build_libssh.BuildError as error:
            raise SystemExit(f"error: {error}") from None
        sanitize = SANITIZE if os.environ.get("LIBSSHD_SANITIZE") else []
        coverage = COVERAGE if os.environ.get("LIBSSHD_COVERAGE") else []
        flags = [*STRICT, *(sanitize or coverage or HARDENED), "-isystem", str(libssh.include)]
        faults = [FAULTS] if sanitize or coverage else []
        ext.sources = [self.generate()]
        ext.include_dirs = [str(NATIVE)]
        ext.extra_compile_args = [*GENERATED, *sanitize]
        ext.extra_objects = [
            *self.compile_core(flags),
            *self.compile_plain(faults, counted=bool(coverage)),
            str(libssh.archive),
        ]
        ext.libraries = ["crypto", "z", "pthread"]
        ext.extra_link_args = [*LINK, *wraps(faults), *sanitize, *coverage[:1]]
        if not (sanitize or coverage or self.inplace):
            ext.extra_link_args.append("-Wl,--strip-debug")
        if not self.inplace:
            self.add_licences(libssh)
        self.force = True
        super().build_extension(ext)

    def generate(self) -> str:
        ffi = FFI()
        ffi.cdef((NATIVE / "cdef.h").read_text())
        ffi.set_source("libsshd._native._core", '#include <stddef.h>\n#include <stdint.h>\n#include "cdef.h"\n')
        target = Path(self.build_temp, "_core.c")
        target.parent.mkdir(parents=True, exist_ok=True)
        ffi.emit_c_code(str(target))
        return str(target)

    def compile_core(self, flags: list[str]) -> list[str]:
        sources = [str(path) for path in sorted(NATIVE.glob("*.c"))]
        macros = [("_GNU_SOURCE", "1"), *build_libssh.DEFINES.items()]
        objects: list[str] = self.compiler.compile(
            sources, output_dir=self.build_temp, macros=macros, extra_postargs=flags
        )
        return objects

    def compile_plain(self, paths: list[Path], *, counted: bool) -> list[str]:
        """Without what makes the core count or check itself."""
        objects: list[str] = self.compiler.compile(
            [str(path) for path in paths],
            output_dir=self.build_temp,
            macros=[("_GNU_SOURCE", "1"), *([("COUNTED", "1")] if counted else [])],
            extra_postargs=["-O1", "-g", "-fno-builtin"],
        )
        return objects

    def add_licences(self, libssh: build_libssh.Libssh) -> None:
        directory = Path(self.build_lib, "libsshd", "_native", "licences")
        directory.mkdir(parents=True, exist_ok=True)
        for path in libssh.licences:
            shutil.copyfile(path, directory / f"libssh-{path.name}.txt")


def wraps(more: Sequence[Path] = ()) -> list[str]:
    """A linker option per function of libssh or libc that a __wrap_NAME of ours stands in for.

    In `more` macros make them: FAULTY(type, NAME, ...) and ALLOCATES(NAME, ...).
    """
    text = "".join(path.read_text() for path in [*NATIVE.glob("*.c"), *more])
    names = re.findall(r"\b__wrap_(\w+)\(|^(?:FAULTY\(\w+, |ALLOCATES\()(\w+),", text, re.MULTILINE)
    return [f"-Wl,--wrap={name}" for name in sorted({one or other for one, other in names})]


class SourceDistribution(sdist):
    """Carries the libssh tarball, so that a build from it needs no network for libssh."""

    def run(self) -> None:
        try:
            build_libssh.fetch(build_libssh.read_lock())
        except build_libssh.BuildError as error:
            raise SystemExit(f"error: {error}") from None
        super().run()


if __name__ == "__main__":  # tests/fuzz reads the flags
    setup(
        packages=[
            *find_packages(include=["libsshd", "libsshd.*"]),
            "libsshd_cli",
            *(f"libsshd_cli.{name}" for name in find_packages("cli")),
        ],
        package_dir={"libsshd_cli": "cli"},
        package_data={"": ["py.typed", "*.pyi"]},
        include_package_data=False,
        ext_modules=[Extension("libsshd._native._core", sources=[], py_limited_api=STABLE_ABI)],
        cmdclass={"build_ext": BuildCore, "sdist": SourceDistribution},
        options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
    )
