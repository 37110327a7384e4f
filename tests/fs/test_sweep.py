"""What a killed server left is found by its names and by nobody's lock on it; nothing else is touched."""

import os
from errno import EIO
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.fs.sweep import Swept
from libsshd.fs.upload import is_temporary, lock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def swept(root: Path, most: int = 1000) -> Swept:
    with RootedFileSystem(str(root)) as fs:
        return fs.sweep(most, lambda _: True)


def orphan(directory: Path, kind: str = "upload", number: int = 1) -> Path:
    path = directory / f".libsshd-{kind}-{number:024x}"
    path.write_bytes(b"half")
    return path


def test_temporaries_that_nobody_holds_are_removed_wherever_they_are(root: Path) -> None:
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    orphans = [orphan(root), orphan(deep), orphan(deep, "copy")]
    assert swept(root).removed == 3
    assert not any(path.exists() for path in orphans)


def test_nothing_else_is_removed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    kept = [
        orphan(outside),
        root / ".libsshd-upload-1",
        root / ".libsshd-partial-file",
        root / (".libsshd-upload-" + "g" * 24),
    ]
    (root / "link").symlink_to(outside)
    (root / (".libsshd-upload-" + "0" * 24)).mkdir()
    (root / (".libsshd-copy-" + "0" * 24)).symlink_to(outside / kept[0].name)
    for path in kept[1:]:
        path.touch()
    before = set(os.listdir(root))
    with open(orphan(root, number=7), "rb") as held:
        assert lock(held.fileno())
        assert swept(root).removed == 0
    assert set(os.listdir(root)) == before | {orphan(root, number=7).name}
    assert all(path.exists() for path in kept)


def test_a_tree_that_is_too_large_is_not_searched_to_its_end(root: Path) -> None:
    for number in range(20):
        (root / f"d{number}").mkdir()
    assert not swept(root, most=10).complete
    assert swept(root, most=100).complete


def test_what_is_too_deep_is_left_out_and_the_rest_is_searched(root: Path) -> None:
    orphans = []
    for name in "abcdef":  # in whatever order a directory gives them
        (root / name / "/".join("d" * 210)).mkdir(parents=True)
        (root / name / "flat").mkdir()
        orphans.append(orphan(root / name / "flat"))
    found = swept(root, most=10_000)
    assert (found.removed, found.complete) == (6, False)
    assert not any(path.exists() for path in orphans)


def test_in_a_large_directory_it_is_asked_whether_to_go_on(root: Path) -> None:
    for number in range(3000):
        (root / f"f{number}").touch()
    with RootedFileSystem(str(root)) as fs:
        assert fs.sweep(10_000, lambda _: False) == Swept(entries=1000, complete=False)
    assert swept(root, most=2000) == Swept(entries=2000, complete=False)


def test_a_directory_that_cannot_be_read_to_its_end_does_not_end_the_search(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "broken").mkdir()
    found = orphan(root)
    broken = os.stat(root / "broken").st_ino
    scandir = os.scandir

    def failing(fd: int) -> object:
        return _Unreadable() if os.fstat(fd).st_ino == broken else scandir(fd)

    monkeypatch.setattr("os.scandir", failing)
    assert swept(root) == Swept(removed=1, entries=2, complete=False)
    assert not found.exists()


class _Unreadable:
    def __next__(self) -> None:
        raise OSError(EIO, os.strerror(EIO))


def test_names_of_temporaries() -> None:
    assert is_temporary(b".libsshd-upload-" + b"0" * 24)
    assert not is_temporary(b".libsshd-upload-" + b"0" * 24 + b"\n")
    assert not is_temporary(b".libsshd-partial-" + b"0" * 24)
