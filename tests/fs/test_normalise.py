"""Virtual paths have one form, decided by the text alone."""

from errno import EINVAL
from functools import reduce
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libsshd.fs.base import join, normalise


@pytest.mark.parametrize(
    ("path", "start", "expected"),
    [
        (b"/", b"/", b"/"),
        (b"", b"/", b"/"),
        (b"", b"/home/u1", b"/home/u1"),
        (b".", b"/home/u1", b"/home/u1"),
        (b"..", b"/home/u1", b"/home"),
        (b"a", b"/home/u1", b"/home/u1/a"),
        (b"/a/b", b"/home", b"/a/b"),
        (b"/a//b/", b"/", b"/a/b"),
        (b"//a", b"/", b"/a"),
        (b"/a/./b/.", b"/", b"/a/b"),
        (b"/a/../b", b"/", b"/b"),
        (b"/..", b"/", b"/"),
        (b"../../../etc/passwd", b"/home", b"/etc/passwd"),
        (b"/a/../../../b", b"/", b"/b"),
        (b"/...", b"/", b"/..."),
        (b"/.hidden/..x", b"/", b"/.hidden/..x"),
        (b"/a\\..\\b", b"/", b"/a\\..\\b"),
        (b"/\xff\xfe/\n", b"/", b"/\xff\xfe/\n"),
    ],
)
def test_a_path_has_one_form(path: bytes, start: bytes, expected: bytes) -> None:
    assert normalise(path, start) == expected


@pytest.mark.parametrize("path", [b"\0", b"/a\0", b"/a\0/../b", b"a\0b"])
def test_a_nul_is_refused(path: bytes) -> None:
    with pytest.raises(OSError) as caught:
        normalise(path)
    assert caught.value.errno == EINVAL


@settings(database=None, deadline=None)
@given(st.lists(st.sampled_from([b"/", b".", b"..", b"a", b"\xff", b" ", b"\\"])).map(b"".join))
def test_nothing_is_left_to_climb_with_and_a_second_pass_changes_nothing(path: bytes) -> None:
    result = normalise(path)
    assert result.startswith(b"/")
    assert not {b"", b".", b".."} & set(result[1:].split(b"/")) or result == b"/"
    assert normalise(result) == result


@settings(database=None, deadline=None)
@given(st.lists(st.sampled_from([b"", b"/", b".", b"..", b"a", b"b/c", b"../d", b"/e", b"/f/..", b"//g/", b"\0"])))
def test_joined_paths_lead_where_one_after_the_other_leads(paths: list[bytes]) -> None:
    try:
        expected = reduce(lambda start, path: normalise(path, start), paths, b"/home/u1")
    except OSError:
        with pytest.raises(OSError):
            join(b"/home/u1", *paths)
        return
    assert join(b"/home/u1", *paths) == expected


def test_joining_does_not_take_longer_and_longer() -> None:
    began = process_time()
    join(b"/", b"/a" * 60_000, *[b"a"] * 27_000)  # as much as a packet holds
    assert process_time() - began < 1
