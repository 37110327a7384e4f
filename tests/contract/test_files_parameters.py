"""File attributes as the parameters of events, in every version of the protocol."""

from dataclasses import replace

import pytest

from libsshd.constants import FileType
from libsshd.events import GetAttributes
from libsshd.serve.parameters import attributes_from, parameters_of
from libsshd.wire.messages import Attributes

EVERYTHING = Attributes(
    size=1 << 40, permissions=0o100640, file_type=FileType.REGULAR,
    atime=1_000_000_001, atime_ns=123_456_789, mtime=1_000_000_002, mtime_ns=5, createtime=0, createtime_ns=7_000_000,
    owner="jürgen".encode(), group=b"staff", allocation_size=4096, attrib_bits=1, attrib_bits_valid=3, text_hint=2,
    mime_type=b"text/plain", link_count=3, untranslated_name=b"\xff",
)  # fmt: skip
PARAMETERS = {
    "file_type": 1, "file_size": 1 << 40, "file_owner": "jürgen", "file_group": "staff", "file_permissions": 0o640,
    "file_atime": 1_000_000_001_123, "file_create_time": 7, "file_mtime": 1_000_000_002_000,
    "file_attrib_bits": 1, "file_attrib_bits_valid": 3,
    "other_attributes": "AllocationSize=4096;TextHint=2;LinkCount=3;MIMEType=text/plain;UntranslatedName=\udcff;"
    "ATimeNS=123456789;CreateTimeNS=7000000;MTimeNS=5",
}  # fmt: skip


def event(**parameters: object) -> GetAttributes:
    made = GetAttributes(connection_id=0, user="alice", path="/", flags=0)
    made.preset(**parameters)
    return made


def test_every_attribute_of_a_later_version_has_its_parameter_and_comes_back() -> None:
    assert parameters_of(EVERYTHING, True) == PARAMETERS
    assert attributes_from(event(**PARAMETERS), True, None) == EVERYTHING


def test_owners_are_numbers_in_version_3_and_texts_later() -> None:
    both = Attributes(uid=1000, gid=100, owner=b"alice", group=b"users")
    assert parameters_of(both, False)["file_owner"] == "1000"
    assert parameters_of(both, True)["file_owner"] == "alice"
    assert parameters_of(replace(both, owner=None), True)["file_owner"] == "1000"
    three, four = (attributes_from(event(file_owner="7", file_group="8"), named, None) for named in (False, True))
    assert (three.uid, three.gid, three.owner, three.group) == (7, 8, None, None)
    assert (four.uid, four.gid, four.owner, four.group) == (None, None, b"7", b"8")


def test_nothing_known_is_nothing_sent() -> None:
    assert attributes_from(event(**parameters_of(Attributes(), True)), True, None) == Attributes()


def test_the_change_time_that_no_parameter_carries_stays_as_it_was_found() -> None:
    found = Attributes(ctime=5, ctime_ns=6)
    assert attributes_from(event(), True, found) == found


@pytest.mark.parametrize(
    ("milliseconds", "others", "expected"),
    [
        (1_999, "", (1, 999_000_000)),
        (1_999, "MTimeNS=5", (1, 5)),
        (1_999, "MTimeNS=999999999", (1, 999_999_999)),
        (1_999, "MTimeNS=1000000000", (1, 999_000_000)),
        (1_999, "MTimeNS=-1", (1, 999_000_000)),
        (1_999, "MTimeNS=²", (1, 999_000_000)),
        (-1, "MTimeNS=5", (None, 0)),
        (0, "", (0, 0)),
    ],
)
def test_nanoseconds_count_before_the_rest_of_the_milliseconds(
    milliseconds: int, others: str, expected: tuple[int | None, int]
) -> None:
    result = attributes_from(event(file_mtime=milliseconds, other_attributes=others), True, None)
    assert (result.mtime, result.mtime_ns) == expected


@pytest.mark.parametrize(
    ("permissions", "kind", "expected"),
    [
        (0o640, FileType.REGULAR, 0o100640),
        (0o750, FileType.DIRECTORY, 0o040750),
        (0o40750, FileType.UNKNOWN, 0o040750),
        (0o40750, FileType.REGULAR, 0o100750),
        (0o640, FileType.UNKNOWN, 0o640),
        (-1, FileType.DIRECTORY, 0o040755),
        (-1, FileType.REGULAR, 0o100644),
        (-1, FileType.UNKNOWN, None),
        (0o640, 99, 0o640),
    ],
)
def test_the_type_is_in_the_mode_as_version_3_needs_it(permissions: int, kind: int, expected: int | None) -> None:
    assert attributes_from(event(file_permissions=permissions, file_type=kind), False, None).permissions == expected


def test_texts_with_a_semicolon_are_left_out_and_unknown_names_not_sent() -> None:
    assert parameters_of(Attributes(mime_type=b"a;b", link_count=1), True)["other_attributes"] == "LinkCount=1"
    others = "Shade=blue;;MIMEType=a=b;Odd"
    assert attributes_from(event(other_attributes=others), True, None) == Attributes(mime_type=b"a=b")


@pytest.mark.parametrize(("others", "expected"), [("FileMimeType=a", b"a"), ("FileMimeType=a;MIMEType=b", b"b")])
def test_the_type_of_content_has_two_names(others: str, expected: bytes) -> None:
    assert attributes_from(event(other_attributes=others), True, None).mime_type == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"file_owner": "root"}, "FileOwner is a number here, not 'root'"),
        ({"file_group": "٣"}, "FileGroup is a number here"),
        ({"file_owner": str(1 << 32)}, "FileOwner is below 4294967296"),
        ({"file_size": 1 << 64}, "FileSize is below"),
        ({"file_attrib_bits": 1 << 32}, "FileAttribBits is below"),
        ({"other_attributes": "TextHint=256"}, "TextHint is below 256"),
        ({"other_attributes": "LinkCount=many"}, "LinkCount is a number here"),
    ],
)
def test_what_no_field_can_hold_is_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attributes_from(event(**parameters), False, None)
