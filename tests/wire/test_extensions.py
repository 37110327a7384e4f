"""What is announced, and the replies to it."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from libsshd.wire.codec import codec_for
from libsshd.wire.offer import Offer
from libsshd.wire.reply import limits_reply, names_reply, ranges_reply, space_available_reply, statvfs_reply

from .packets import EVERY_REQUEST, fields

codec = codec_for(3)


def test_version_3_announces_names_and_versions() -> None:
    assert codec.announcements(Offer()) == [
        (b"posix-rename@openssh.com", b"1"),
        (b"statvfs@openssh.com", b"2"),
        (b"fstatvfs@openssh.com", b"2"),
        (b"hardlink@openssh.com", b"1"),
        (b"fsync@openssh.com", b"1"),
        (b"lsetstat@openssh.com", b"1"),
        (b"limits@openssh.com", b"1"),
        (b"expand-path@openssh.com", b"1"),
        (b"copy-data", b"1"),
        (b"home-directory", b"1"),
        (b"users-groups-by-id@openssh.com", b"1"),
        (b"copy-file", b"1"),
        (b"check-file", b"1"),
        (b"check-file-name", b"1"),
        (b"check-file-handle", b"1"),
        (b"md5-hash", b"1"),
        (b"md5-hash-handle", b"1"),
        (b"space-available", b"1"),
        (b"get-temp-folder", b"1"),
        (b"make-temp-folder", b"1"),
        (b"ranges@asyncssh.com", b"1"),
        (b"symlink-order@rjk.greenend.org.uk", b"targetpath-linkpath"),
    ]


@pytest.mark.parametrize("name", [e.name for e in codec.extensions if e.decode])
def test_every_extension_that_is_served_has_a_literal(name: bytes) -> None:
    start = len(name).to_bytes(4, "big") + name
    assert [packet for packet in EVERY_REQUEST if packet[0] == 200 and packet[5:].startswith(start)]


VOLUME = {
    "f_bsize": 1,
    "f_frsize": 2,
    "f_blocks": 3,
    "f_bfree": 4,
    "f_bavail": 5,
    "f_files": 6,
    "f_ffree": 7,
    "f_favail": 8,
    "f_fsid": 9,
    "f_flag": 0x1003,
    "f_namemax": 255,
}


def test_a_statvfs_reply_has_eleven_fields_in_order() -> None:
    assert statvfs_reply(SimpleNamespace(**VOLUME)) == fields(
        b"\x00\x00\x00\x00\x00\x00\x00\x01",  # f_bsize
        b"\x00\x00\x00\x00\x00\x00\x00\x02",  # f_frsize
        b"\x00\x00\x00\x00\x00\x00\x00\x03",  # f_blocks
        b"\x00\x00\x00\x00\x00\x00\x00\x04",  # f_bfree
        b"\x00\x00\x00\x00\x00\x00\x00\x05",  # f_bavail
        b"\x00\x00\x00\x00\x00\x00\x00\x06",  # f_files
        b"\x00\x00\x00\x00\x00\x00\x00\x07",  # f_ffree
        b"\x00\x00\x00\x00\x00\x00\x00\x08",  # f_favail
        b"\x00\x00\x00\x00\x00\x00\x00\x09",  # f_fsid
        b"\x00\x00\x00\x00\x00\x00\x00\x03",  # f_flag: only the two documented bits
        b"\x00\x00\x00\x00\x00\x00\x00\xff",  # f_namemax
    )


def test_a_negative_file_system_id_is_sent_as_its_bits() -> None:
    assert statvfs_reply(SimpleNamespace(**VOLUME | {"f_fsid": -1}))[64:72] == b"\xff" * 8


def test_a_real_statvfs_result_fits(tmp_path: Path) -> None:
    volume = os.statvfs(tmp_path)
    assert statvfs_reply(volume)[:8] == volume.f_bsize.to_bytes(8, "big")


def test_a_limits_reply_has_four_fields_in_order() -> None:
    data = limits_reply(packet_length=2**18, read_length=3, write_length=2, open_handles=0)
    assert data == fields(
        b"\x00\x00\x00\x00\x00\x04\x00\x00",  # max-packet-length
        b"\x00\x00\x00\x00\x00\x00\x00\x03",  # max-read-length
        b"\x00\x00\x00\x00\x00\x00\x00\x02",  # max-write-length
        b"\x00\x00\x00\x00\x00\x00\x00\x00",  # max-open-handles: the system's limit
    )


def test_a_reply_of_names_has_two_lists_each_a_string() -> None:
    assert names_reply([b"root", b""], [b"x"]) == fields(
        b"\x00\x00\x00\x0c\x00\x00\x00\x04root\x00\x00\x00\x00",  # usernames
        b"\x00\x00\x00\x05\x00\x00\x00\x01x",  # groupnames
    )
    assert names_reply([], []) == bytes(8)


def test_a_space_available_reply_has_five_fields_in_bytes() -> None:
    volume = SimpleNamespace(**VOLUME | {"f_frsize": 512, "f_blocks": 100, "f_bfree": 40, "f_bavail": 30})
    assert space_available_reply(volume) == fields(
        b"\x00\x00\x00\x00\x00\x00\xc8\x00",  # bytes-on-device
        b"\x00\x00\x00\x00\x00\x00\x50\x00",  # unused-bytes-on-device
        b"\x00\x00\x00\x00\x00\x00\xb4\x00",  # bytes-available-to-user, used or not
        b"\x00\x00\x00\x00\x00\x00\x3c\x00",  # unused-bytes-available-to-user
        b"\x00\x00\x02\x00",  # bytes-per-allocation-unit
    )


def test_a_ranges_reply_has_pairs_and_says_whether_more_follow() -> None:
    assert ranges_reply([(0, 4096), (2**40, 1)], at_end=False) == fields(
        b"\x00\x00\x00\x02",  # count
        b"\x00\x00\x00\x00\x00\x00\x00\x00",  # offset
        b"\x00\x00\x00\x00\x00\x00\x10\x00",  # length
        b"\x00\x00\x01\x00\x00\x00\x00\x00",  # offset
        b"\x00\x00\x00\x00\x00\x00\x00\x01",  # length
        b"\x00",  # at-end
    )
    assert ranges_reply([], at_end=True) == bytes(4) + b"\x01"
