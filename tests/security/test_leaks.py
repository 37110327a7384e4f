"""Class 13: replies are about the virtual name space alone; what exists outside answers like what does not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from libsshd import SSHUserAuthRequest
from libsshd.fs.base import normalise
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire import messages as m
from libsshd.wire.messages import Attributes
from tests.contract.support_files import Site
from tests.support.dialect import Dialect, listing
from tests.support.rawsftp import ChannelStream, RawSFTP, Type, u32

from .asking import Asker, in_process, served
from .forms import FORMS, Form, values_of
from .test_escapes import OPERATIONS, Stage, stage

__all__ = ["stage"]

# --- the file system ---


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        return error.errno


EXISTING_AND_MISSING = [
    ("outside", "nowhere"),
    ("outside/secret", "outside/nothing"),
    ("outside/dir", "outside/nothing"),
    ("outside/dir/deep", "nowhere/dir/deep"),
    ("root10/secret", "root11/secret"),
]


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_exists_outside_answers_like_what_does_not(stage: Stage, operation: str, walk: bool) -> None:
    def answers(target: str) -> Iterator[object]:
        for path in (b"/probe", b"/probe/x", normalise(os.fsencode(target))):
            stage.clear()
            stage.build_plain()
            (stage.root / "probe").symlink_to(target)
            yield comparable(operation, outcome(partial(OPERATIONS[operation], fs, path)))

    with RootedFileSystem(str(stage.root), walk=walk) as fs:
        for existing, missing in EXISTING_AND_MISSING:
            for pattern in (
                "{base}/{name}",
                "../{name}",
                "../" * 40 + "{base}/{name}",
                "plain/deep/../../../{name}",
            ):
                first, second = (
                    list(answers(pattern.format(base=stage.base, name=name))) for name in (existing, missing)
                )
                assert first == second, (existing, pattern)


def comparable(operation: str, answer: object) -> object:
    """What of an answer may not depend on the world outside: all but the link's own inode, dates and text."""
    if isinstance(answer, Attributes):
        return (answer.file_type, answer.permissions, answer.link_count)
    return "text" if operation in ("readlink", "realpath") and isinstance(answer, bytes) else answer


# --- the wire ---

PAIRS = [  # of the same length, as the size of a link is its target's
    ("outside", "nowhere"),
    ("outside/secret", "outside/absent"),
    ("root10/dir/deep", "root11/dir/deep"),
]
PATTERNS = ("{base}/{name}", "plain/deep/../../../{name}")


@contextmanager
def with_a_root(stage: Stage, *, walk: bool) -> Iterator[Asker]:
    with served(stage.root, walk=walk) as asker:
        yield asker


@contextmanager
def with_a_home(stage: Stage, *, walk: bool) -> Iterator[Asker]:
    """The neighbours are inside the root, but outside the home that may not be left."""
    with RootedFileSystem(str(stage.base), walk=walk) as fs:
        inside = fs.restricted_to(b"/root1")
        with in_process(inside, home="/root1") as asker:
            yield asker
        inside.close()


Door = Callable[..., AbstractContextManager[Asker]]
DOORS: dict[str, Door] = {"a root": with_a_root, "a home": with_a_home}


@pytest.fixture(scope="module", params=list(itertools.product(DOORS, ("openat2", "walk"))), ids="-".join)
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Asker]]:
    name, way = request.param
    stage = Stage(tmp_path_factory.mktemp("stage"))
    with DOORS[name](stage, walk=way == "walk") as asker:
        yield stage, asker
    stage.close()


def answers(stage: Stage, asker: Asker, form: Form, target: str, name: str) -> list[bytes]:
    """What is answered for a link to the target, for what is below it, and for the name itself, without request ids.

    The target's text, which clients may read, is taken out.
    """
    told: list[bytes] = []
    put(stage, target)
    for path in (b"probe", b"probe/x", b"../" + name.encode()):
        if told and form.changes:
            put(stage, target)
        heard = asker.explore([form(path), *form.afterwards], form.version)
        if heard[0][0] == Type.HANDLE:
            heard = [b"opened"]  # inside the root, where nothing of that name was; the rest is this moment's
        told += (answer[:1] + answer[5:] for answer in heard)
    return [answer.replace(target.encode(), b"?").replace(name.encode(), b"?") for answer in told]


def put(stage: Stage, target: str) -> None:
    stage.clear()
    stage.build_plain()
    (stage.root / "probe").symlink_to(target)
    for path in (stage.root, *stage.root.rglob("*")):
        os.utime(path, (1000, 1000), follow_symlinks=False)


@pytest.mark.parametrize("form", FORMS.values(), ids=str)
def test_replies_are_the_same_byte_by_byte(door: tuple[Stage, Asker], form: Form) -> None:
    """LSTAT in version 3, which tells neither inode nor time of change of the link itself."""
    stage, asker = door
    for (existing, missing), pattern in itertools.product(PAIRS, PATTERNS):
        told = [
            answers(stage, asker, form, pattern.format(base=stage.base, name=name), name)
            for name in (existing, missing)
        ]
        assert told[0] == told[1], (existing, pattern)


@pytest.mark.parametrize("kind", [m.ExpandPath, m.HomeDirectory])
def test_other_users_are_like_those_that_do_not_exist(door: tuple[Stage, Asker], kind: type) -> None:
    asker, sign = door[1], b"~" if kind is m.ExpandPath else b""
    told = {asker.ask([kind(0, sign + name)])[0][5:] for name in (b"daemon", b"nobody", b"nosuchuser", b"x" * 300)}
    assert len(told) == 1


# --- the real root ---


NAMED = (b".", b"/", b"file", b"link", b"absolute", b"fifo", b"missing/x", b"n" * 256, b"a\0b", b"loop")


def everything(client: RawSFTP) -> Iterator[bytes]:
    """All that a server says to a client that asks for all there is, by names that exist and that do not."""
    asker = Asker(lambda: client, (3,))
    for form in FORMS.values():
        if form.version == 3:
            for path in (
                b".",
                b"/",
                b"file",
                b"link",
                b"absolute",
                b"fifo",
                b"missing/x",
                b"n" * 256,
                b"a\0b",
                b"loop",
            ):
                yield from asker.explore([form(path), *form.afterwards])
    for kind in (m.GetTempFolder, m.MakeTempFolder, m.Limits, m.UsersGroupsById):
        yield from asker.ask([kind(**values_of(kind))])


@pytest.mark.parametrize("restrict", [False, True], ids=["free", "restricted"])
@pytest.mark.parametrize("user_root", ["", "user"], ids=["the root", "a root of the user's"])
def test_no_reply_names_the_place_of_the_root(tmp_path: Path, user_root: str, restrict: bool) -> None:
    """Over SSH, the packets of the negotiation included, in versions 3 and 6."""
    with Site(tmp_path, protocol_version=6, allow_links=True) as site:

        @site.server.on_ssh_user_auth_request.add
        def settle(event: SSHUserAuthRequest) -> None:
            connection = site.server.sftp_connections[event.connection_id]
            event.home_dir = "/home"
            connection.restrict_user_to_home_dir = restrict
            if user_root:
                connection.user_root_directory = str(site.root / user_root)

        home = site.root / user_root / "home"
        home.mkdir(parents=True)
        (home / "file").write_bytes(b"content")
        (home / "link").symlink_to("file")
        (home / "absolute").symlink_to("/home/file")
        (home / "loop").symlink_to("loop")
        os.mkfifo(home / "fifo")
        transport = site.login()
        heard = [*hello(RawSFTP(ChannelStream(transport)))]
        heard += everything(RawSFTP(ChannelStream(transport)))
        secrets = [os.fsencode(path) for path in (site.root, tmp_path, site.root / user_root)]
        assert not [reply for reply in heard for secret in secrets if secret in reply]
        assert not [reply for reply in heard if user_root and b"/" + user_root.encode() in reply]
        assert len(heard) > 300


def hello(client: RawSFTP) -> Iterator[bytes]:
    client.send(bytes([Type.INIT]) + u32(6))
    yield client.packet()


@pytest.mark.parametrize("version", [3, 6])
@pytest.mark.parametrize("is_home", [False, True], ids=["a root", "a home"])
def test_above_the_root_there_is_the_root(tmp_path: Path, is_home: bool, version: int) -> None:
    """The entry ".." has nothing of the directory that really lies there."""
    parent, root = tmp_path / "parent", tmp_path / "parent" / "root"
    root.mkdir(parents=True)
    parent.chmod(0o711)
    os.utime(parent, (1, 1))
    with RootedFileSystem(str(parent if is_home else root)) as fs:
        inside: Any = fs.restricted_to(b"/root") if is_home else fs
        with in_process(inside, home="/root" if is_home else "") as asker:
            listed = listing(asker.clients[version], Dialect(version), b"")
        if is_home:
            inside.close()
    assert isinstance(listed, list)
    found = dict(listed)
    assert found[b".."].fields == found[b"."].fields


def test_a_link_is_told_as_it_is_stored(stage: Stage) -> None:
    """Even one that names the place of the root, as an administrator may have made it.

    A text that is changed for the root's own place alone would tell whoever makes such a link that he guessed right.
    """
    target = f"{stage.root}/plain/file"
    (stage.root / "made").symlink_to(target)
    with served(stage.root) as asker:
        asker.ask([m.Symlink(0, target.encode(), b"/guessed")])
        made, guessed = (answer[5:] for answer in asker.ask([m.Readlink(0, b"/made"), m.Readlink(0, b"/guessed")]))
    assert made == guessed
    assert target.encode() in made
