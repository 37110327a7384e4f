"""Where build_libssh.py takes the tarball from: each case runs a copy of it against sources made for the test."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
APT_HELPER = Path("/usr/lib/apt/apt-helper")
CONTENT = b"the pinned release"
CACHED = "vendor/libssh-1.2.3.tar.xz"
DEBIAN = "pool/libssh.orig.tar.xz"


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Checkout:
    """A tree with nothing but build_libssh.py and its lock file."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.programs = root / "programs"
        self.programs.mkdir(parents=True)
        (root / "vendor").mkdir()
        shutil.copy(REPOSITORY / "build_libssh.py", root)
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        (root / "vendor" / "libssh.lock.toml").write_text(
            f'version = "1.2.3"\nsha256 = "{sha256}"\nurl = "{url}"\ndebian = "{DEBIAN}"\n'
        )

    @property
    def cached(self) -> Path:
        return self.root / CACHED

    def write(self, name: str, content: bytes = CONTENT) -> Path:
        path = self.root / name
        path.write_bytes(content)
        return path

    def use_apt_site(self, site: str) -> None:
        program = self.programs / "apt-get"
        program.write_text(f'#!/bin/sh\n[ "$1" = indextargets ] && echo {site} && echo {site}\n')
        program.chmod(0o755)

    def fetch(self, tarball: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.programs), "HOME": str(self.root)}
        if tarball:
            environment["LIBSSHD_LIBSSH_TARBALL"] = str(tarball)
        command = [sys.executable, "-W", "error", str(self.root / "build_libssh.py"), "--fetch"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a web server, and the folder it serves."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.fixture
def offline(tmp_path: Path) -> Iterator[Checkout]:
    """A tree whose release site refuses connections, on a machine without apt."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Checkout(tmp_path / "tree", f"http://127.0.0.1:{taken.getsockname()[1]}/libssh.tar.xz")


def test_the_tarball_named_in_the_environment_comes_first(offline: Checkout) -> None:
    offline.write(CACHED)
    named = offline.write("mine.tar.xz")
    assert offline.fetch(named).stdout.strip() == str(named)


def test_a_cached_tarball_needs_no_network(offline: Checkout) -> None:
    offline.write(CACHED)
    assert offline.fetch().stdout.strip() == str(offline.cached)


def test_a_tarball_with_another_checksum_is_passed_over(offline: Checkout) -> None:
    named = offline.write("mine.tar.xz", b"something else")
    offline.write(CACHED)
    assert offline.fetch(named).stdout.strip() == str(offline.cached)


def test_a_download_is_kept_for_the_next_time(tmp_path: Path, site: tuple[str, Path]) -> None:
    address, folder = site
    (folder / "libssh.tar.xz").write_bytes(CONTENT)
    tree = Checkout(tmp_path / "tree", f"{address}/libssh.tar.xz")
    assert tree.fetch().stdout.strip() == str(tree.cached)
    (folder / "libssh.tar.xz").unlink()
    assert tree.fetch().returncode == 0
    assert tree.cached.read_bytes() == CONTENT


def test_a_tampered_download_is_refused_and_not_kept(tmp_path: Path, site: tuple[str, Path]) -> None:
    address, folder = site
    (folder / "libssh.tar.xz").write_bytes(b"tampered with")
    tree = Checkout(tmp_path / "tree", f"{address}/libssh.tar.xz")
    result = tree.fetch()
    assert result.returncode == 1
    assert "sha256 is" in result.stderr
    assert os.listdir(tree.root / "vendor") == ["libssh.lock.toml"]


@pytest.mark.skipif(not APT_HELPER.exists(), reason="not a Debian machine")
def test_the_archive_that_apt_is_configured_for_is_the_last_source(offline: Checkout, site: tuple[str, Path]) -> None:
    address, folder = site
    (folder / "pool").mkdir()
    (folder / DEBIAN).write_bytes(CONTENT)
    offline.use_apt_site(address)
    assert offline.fetch().stdout.strip() == str(offline.cached)


def test_a_failure_lists_every_source_and_says_what_to_do(offline: Checkout, site: tuple[str, Path]) -> None:
    address, _ = site
    offline.use_apt_site(address)
    missing = offline.root / "missing.tar.xz"
    result = offline.fetch(missing)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    tried = [line.strip().split(": ")[0] for line in result.stderr.splitlines() if line.startswith("  ")]
    assert [source.rpartition("/")[2] for source in tried] == [
        "LIBSSHD_LIBSSH_TARBALL",
        "libssh-1.2.3.tar.xz",
        "libssh.tar.xz",
        "libssh.orig.tar.xz",
    ]
    assert hashlib.sha256(CONTENT).hexdigest() in result.stderr
    assert str(offline.cached) in result.stderr
