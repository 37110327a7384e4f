"""Literal packets of versions 4 to 6 where they differ from those of the version before; the rest is shared."""

from libsshd.constants import FileType
from libsshd.wire import messages as m

from .packets import REQUESTS, Literal, fields

Table = dict[str, tuple[Literal, m.Request]]

EXTENDED_PAIRS = fields(
    b"\x00\x00\x00\x02",  # extended_count
    b"\x00\x00\x00\x03a@b",  # extended_type
    b"\x00\x00\x00\x01\xff",  # extended_data
    b"\x00\x00\x00\x03c@d",  # extended_type
    b"\x00\x00\x00\x00",  # extended_data, empty
)
OWNER_TO_CREATETIME = fields(
    b"\x00\x00\x00\x09kim@x.org",  # owner
    b"\x00\x00\x00\x00",  # group: absent
    b"\x00\x00\x01\xa4",  # permissions 0o644
    b"\xff\xff\xff\xff\xff\xff\xff\xff",  # atime: the second before 1970
    b"\x1d\xcd\x65\x00",  # atime_nseconds: half of it
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",  # createtime, the last
    b"\x3b\x9a\xc9\xff",  # createtime_nseconds: 999,999,999
)
MTIME = fields(
    b"\x80\x00\x00\x00\x00\x00\x00\x00",  # mtime, the first
    b"\x00\x00\x00\x00",  # mtime_nseconds
)
SIZE = b"\x00\x00\x00\x01\x00\x00\x00\x02"
TO_MTIME = fields(
    b"\x01",  # type: regular
    SIZE,
    OWNER_TO_CREATETIME,
    MTIME,
)
ACL = b"\x00\x00\x00\x04\x00\x00\x00\x00"  # acl: a string that holds no entries


def every_attribute(**others: object) -> m.Attributes:
    """What the attributes of all later versions have in common."""
    common: dict[str, object] = {
        "size": 0x1_0000_0002,
        "owner": b"kim@x.org",
        "permissions": 0o644,
        "atime": -1,
        "atime_ns": 500_000_000,
        "createtime": 2**63 - 1,
        "createtime_ns": 999_999_999,
        "mtime": -(2**63),
        "file_type": FileType.REGULAR,
        "extended": ((b"a@b", b"\xff"), (b"c@d", b"")),
    }
    return m.Attributes(**(common | others))  # type: ignore[arg-type]


ALL_V4 = fields(
    b"\x80\x00\x01\xfd",  # flags: extended, and all from size to subsecond times
    TO_MTIME,
    ACL,
    EXTENDED_PAIRS,
)
ALL_V4_VALUE = every_attribute(acl=bytes(4))

ALL_V5 = fields(
    b"\x80\x00\x03\xfd",  # valid-attribute-flags: the same and bits
    TO_MTIME,
    ACL,
    b"\x00\x00\x07\xff",  # attrib-bits: all
    EXTENDED_PAIRS,
)
ALL_V5_VALUE = every_attribute(acl=bytes(4), attrib_bits=0x7FF)

ALL_V6 = fields(
    b"\x80\x00\xff\xfd",  # valid-attribute-flags: all
    b"\x09",  # type: fifo
    SIZE,
    b"\x00\x00\x00\x00\x00\x00\x10\x00",  # allocation-size
    OWNER_TO_CREATETIME,
    MTIME,
    b"\x00\x00\x00\x00\x00\x00\x00\x07",  # ctime
    b"\x00\x00\x00\x08",  # ctime-nseconds
    b"\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00",  # acl: a string of flags and no entries
    b"\x00\x00\x08\x04",  # attrib-bits: hidden, translation error
    b"\x00\x00\x08\x06",  # attrib-bits-valid: system too
    b"\x03",  # text-hint: guessed binary
    b"\x00\x00\x00\x0atext/plain",  # mime-type
    b"\x00\x00\x00\x02",  # link-count
    b"\x00\x00\x00\x01\xe9",  # untranslated-name
    EXTENDED_PAIRS,
)
ALL_V6_VALUE = every_attribute(
    file_type=FileType.FIFO,
    allocation_size=4096,
    ctime=7,
    ctime_ns=8,
    acl=b"\x00\x00\x00\x01\x00\x00\x00\x00",
    attrib_bits=0x804,
    attrib_bits_valid=0x806,
    text_hint=3,
    mime_type=b"text/plain",
    link_count=2,
    untranslated_name=b"\xe9",
)

REGULAR = m.Attributes(file_type=FileType.REGULAR)
NO_ATTRIBUTES = fields(
    b"\x00\x00\x00\x00",  # flags: none
    b"\x01",  # type: regular
)


def lsetstat(attributes: Literal, value: m.Attributes) -> tuple[Literal, m.Request]:
    """The one extension that carries attributes."""
    packet = fields(
        b"\xc8",  # SSH_FXP_EXTENDED
        b"\x00\x00\x00\x18",  # id
        b"\x00\x00\x00\x14lsetstat@openssh.com",  # extended-request
        b"\x00\x00\x00\x02/l",  # path
        attributes,
    )
    return packet, m.Lsetstat(24, b"/l", value)


V4: Table = REQUESTS | {
    "text-seek": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x20",  # id
            b"\x00\x00\x00\x09text-seek",  # extended-request
            b"\x00\x00\x00\x011",  # file-handle
            b"\x00\x00\x00\x01\x00\x00\x00\x02",  # line-number
        ),
        m.TextSeek(32, b"1", 2**32 + 2),
    ),
    "open": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\x00\x00\x00\x01",  # id
            b"\x00\x00\x00\x05/\xc3\xa9\xff ",  # filename, not all of it UTF-8
            b"\x00\x00\x00\x5a",  # pflags: WRITE, CREAT, TRUNC, TEXT
            b"\x00\x00\x00\x04",  # flags: permissions
            b"\x01",  # type: regular
            b"\x00\x00\x01\xa4",  # permissions
        ),
        m.Open(
            1,
            b"/\xc3\xa9\xff ",
            0x5A,
            m.Attributes(permissions=0o644, file_type=FileType.REGULAR),
            desired_access=0x102,
        ),
    ),
    "open with all attributes": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\xff\xff\xff\xff",  # id
            b"\x00\x00\x00\x00",  # filename: the default directory
            b"\x00\x00\x00\x01",  # pflags: READ
            ALL_V4,
        ),
        m.Open(0xFFFFFFFF, b"", 1, ALL_V4_VALUE, desired_access=0x81),
    ),
    "lstat": (
        fields(
            b"\x07",  # SSH_FXP_LSTAT
            b"\x00\x00\x00\x05",  # id
            b"\x00\x00\x00\x02/l",  # path
            b"\x00\x00\x00\xfd",  # flags: all but subsecond times
        ),
        m.Lstat(5, b"/l", 0xFD),
    ),
    "fstat": (
        fields(
            b"\x08",  # SSH_FXP_FSTAT
            b"\x00\x00\x00\x06",  # id
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x01",  # flags: size
        ),
        m.Fstat(6, b"1", 1),
    ),
    "setstat": (
        fields(
            b"\x09",  # SSH_FXP_SETSTAT
            b"\x00\x00\x00\x07",  # id
            b"\x00\x00\x00\x02/f",  # path
            b"\x00\x00\x00\xa8",  # flags: accesstime, modifytime, ownergroup
            b"\x05",  # type: unknown
            b"\x00\x00\x00\x03kim",  # owner
            b"\x00\x00\x00\x05users",  # group
            b"\x00\x00\x00\x00\x00\x00\x00\x03",  # atime
            b"\x00\x00\x00\x00\x00\x00\x00\x04",  # mtime
        ),
        m.Setstat(7, b"/f", m.Attributes(owner=b"kim", group=b"users", atime=3, mtime=4)),
    ),
    "fsetstat": (
        fields(
            b"\x0a",  # SSH_FXP_FSETSTAT
            b"\x00\x00\x00\x08",  # id
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x01",  # flags: size
            b"\x01",  # type: regular
            b"\xff\xff\xff\xff\xff\xff\xff\xff",  # size
        ),
        m.Fsetstat(8, b"1", m.Attributes(size=2**64 - 1, file_type=FileType.REGULAR)),
    ),
    "mkdir": (
        fields(
            b"\x0e",  # SSH_FXP_MKDIR
            b"\x00\x00\x00\x0c",  # id
            b"\x00\x00\x00\x02/d",  # path
            b"\x00\x00\x00\x00",  # flags: none
            b"\x02",  # type: directory
        ),
        m.Mkdir(12, b"/d", m.Attributes(file_type=FileType.DIRECTORY)),
    ),
    "stat": (
        fields(
            b"\x11",  # SSH_FXP_STAT
            b"\x00\x00\x00\x0f",  # id
            b"\x00\x00\x00\x02/f",  # path
            b"\x80\x00\x00\x40",  # flags: acl, extended
        ),
        m.Stat(15, b"/f", 0x80000040),
    ),
    "symlink": (
        fields(
            b"\x14",  # SSH_FXP_SYMLINK
            b"\x00\x00\x00\x12",  # id
            b"\x00\x00\x00\x05/link",  # linkpath: first, as the draft has it
            b"\x00\x00\x00\x06target",  # targetpath
        ),
        m.Symlink(18, target_path=b"target", link_path=b"/link", order=m.SymlinkOrder.DRAFT),
    ),
    "lsetstat": lsetstat(ALL_V4, ALL_V4_VALUE),
}

V5: Table = V4 | {
    "open": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\x00\x00\x00\x01",  # id
            b"\x00\x00\x00\x05/\xc3\xa9\xff ",  # filename, not all of it UTF-8
            b"\x00\x00\x01\x06",  # desired-access: WRITE_DATA, APPEND_DATA, WRITE_ATTRIBUTES
            b"\x00\x00\x00\xb9",  # flags: CREATE_TRUNCATE, APPEND_DATA, APPEND_DATA_ATOMIC, TEXT_MODE, WRITE_LOCK
            NO_ATTRIBUTES,
        ),
        m.Open(1, b"/\xc3\xa9\xff ", 0x5E, REGULAR, desired_access=0x106, modes=0x90),
    ),
    "open with all attributes": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\xff\xff\xff\xff",  # id
            b"\x00\x00\x00\x00",  # filename: the default directory
            b"\x00\x00\x00\x81",  # desired-access: READ_DATA, READ_ATTRIBUTES
            b"\x00\x00\x00\x02",  # flags: OPEN_EXISTING
            ALL_V5,
        ),
        m.Open(0xFFFFFFFF, b"", 1, ALL_V5_VALUE, desired_access=0x81),
    ),
    "rename": (
        fields(
            b"\x12",  # SSH_FXP_RENAME
            b"\x00\x00\x00\x10",  # id
            b"\x00\x00\x00\x02/a",  # oldpath
            b"\x00\x00\x00\x02/b",  # newpath
            b"\x00\x00\x00\x05",  # flags: OVERWRITE, NATIVE
        ),
        m.Rename(16, b"/a", b"/b", flags=5),
    ),
    "lsetstat": lsetstat(ALL_V5, ALL_V5_VALUE),
}

V6: Table = {name: pair for name, pair in V5.items() if name != "symlink"} | {
    "open with locks": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\x00\x00\x00\x01",  # id
            b"\x00\x00\x00\x02/f",  # filename
            b"\x00\x12\x00\x03",  # desired-access: READ_DATA, WRITE_DATA, READ_ACL, SYNCHRONIZE
            b"\x00\x00\xff\xc3",  # flags: OPEN_OR_CREATE, all from BLOCK_READ on
            NO_ATTRIBUTES,
        ),
        m.Open(1, b"/f", 0x0B, REGULAR, desired_access=0x120003, modes=0xFFC0),
    ),
    "open with all attributes": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\xff\xff\xff\xff",  # id
            b"\x00\x00\x00\x00",  # filename: the default directory
            b"\x00\x00\x00\x81",  # desired-access: READ_DATA, READ_ATTRIBUTES
            b"\x00\x00\x00\x02",  # flags: OPEN_EXISTING
            ALL_V6,
        ),
        m.Open(0xFFFFFFFF, b"", 1, ALL_V6_VALUE, desired_access=0x81),
    ),
    "realpath": (
        fields(
            b"\x10",  # SSH_FXP_REALPATH
            b"\x00\x00\x00\x0e",  # id
            b"\x00\x00\x00\x01.",  # original-path
            b"\x03",  # control-byte: STAT_ALWAYS
            b"\x00\x00\x00\x01d",  # compose-path
            b"\x00\x00\x00\x02..",  # compose-path
        ),
        m.Realpath(14, b".", control=3, compose=(b"d", b"..")),
    ),
    "link": (
        fields(
            b"\x15",  # SSH_FXP_LINK
            b"\x00\x00\x00\x1a",  # id
            b"\x00\x00\x00\x05/link",  # new-link-path
            b"\x00\x00\x00\x06target",  # existing-path
            b"\x01",  # sym-link
        ),
        m.Symlink(26, target_path=b"target", link_path=b"/link", order=m.SymlinkOrder.SURE),
    ),
    "hard link": (
        fields(
            b"\x15",  # SSH_FXP_LINK
            b"\x00\x00\x00\x1b",  # id
            b"\x00\x00\x00\x02/b",  # new-link-path
            b"\x00\x00\x00\x02/a",  # existing-path
            b"\x00",  # sym-link
        ),
        m.Hardlink(27, old_path=b"/a", new_path=b"/b"),
    ),
    "block": (
        fields(
            b"\x16",  # SSH_FXP_BLOCK
            b"\x00\x00\x00\x1c",  # id
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # offset
            b"\x00\x00\x00\x00\x00\x00\x00\x02",  # length
            b"\x00\x00\x02\x80",  # uLockMask: BLOCK_WRITE, BLOCK_ADVISORY
        ),
        m.Block(28, b"1", 2**32, 2, 0x280),
    ),
    "filename-translation-control": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x32",  # id
            b"\x00\x00\x00\x1cfilename-translation-control",  # extended-request
            b"\x01",  # do-translate
        ),
        m.FilenameTranslationControl(50, translate=True),
    ),
    "unblock": (
        fields(
            b"\x17",  # SSH_FXP_UNBLOCK
            b"\x00\x00\x00\x1d",  # id
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # offset
            b"\x00\x00\x00\x00\x00\x00\x00\x00",  # length: up to the end
        ),
        m.Unblock(29, b"1", 2**32, 0),
    ),
    "lsetstat": lsetstat(ALL_V6, ALL_V6_VALUE),
}

OF_VERSION: dict[int, Table] = {3: REQUESTS, 4: V4, 5: V5, 6: V6}


def requests_of(version: int) -> Table:
    """All requests of a version, extensions among them."""
    return OF_VERSION[version]


def optional_fields(version: int, name: str) -> int:
    """How many fields at the end of a literal may be missing."""
    literal, request = requests_of(version)[name]
    if isinstance(request, m.Mkdir):  # some clients leave out its attributes
        return len(literal.parts) - 3
    if isinstance(request, m.Realpath) and version == 6:  # control byte and paths (draft-13, section 8.9)
        return len(literal.parts) - 3
    if isinstance(request, m.Stat | m.Lstat | m.Fstat) and version > 3:  # phpseclib never sends its flags
        return 1
    if literal.parts[-2:] == NO_ATTRIBUTES.parts and version > 3:  # nor a type where there are no attributes
        return 1
    return 0


def complete_cuts(version: int, name: str) -> set[int]:
    """Lengths at which a literal that is cut is a request all the same."""
    parts = requests_of(version)[name][0].parts
    return {sum(map(len, parts[: len(parts) - missing])) for missing in range(1, optional_fields(version, name) + 1)}
