"""Literal packets of version 3, one field per line, and what each means. Used for both directions."""

from collections.abc import Iterator

from libsshd.wire import messages as m


class Literal(bytes):
    """A message that still knows its fields, in `parts`; those of a literal inside it are among them."""

    parts: tuple[bytes, ...]


def _parts(literal: bytes) -> Iterator[bytes]:
    yield from literal.parts if isinstance(literal, Literal) else (literal,)


def fields(*literals: bytes) -> Literal:
    """The fields of a message, joined."""
    joined = Literal(b"".join(literals))
    joined.parts = tuple(part for literal in literals for part in _parts(literal))
    return joined


ALL_ATTRIBUTES = fields(
    b"\x80\x00\x00\x0f",  # flags: size, uidgid, permissions, acmodtime, extended
    b"\x00\x00\x00\x01\x00\x00\x00\x02",  # size
    b"\x00\x00\x03\xe8",  # uid 1000
    b"\x00\x00\x00\x64",  # gid 100
    b"\x00\x00\x81\xa4",  # permissions 0o100644
    b"\x65\x53\xf1\x00",  # atime 1700000000
    b"\xff\xff\xff\xff",  # mtime, the last second of version 3
    b"\x00\x00\x00\x02",  # extended_count
    b"\x00\x00\x00\x03a@b",  # extended_type
    b"\x00\x00\x00\x01\xff",  # extended_data
    b"\x00\x00\x00\x03c@d",  # extended_type
    b"\x00\x00\x00\x00",  # extended_data, empty
)
ALL_ATTRIBUTES_VALUE = m.Attributes(
    size=0x1_0000_0002,
    uid=1000,
    gid=100,
    permissions=0o100644,
    atime=1700000000,
    mtime=0xFFFFFFFF,
    extended=((b"a@b", b"\xff"), (b"c@d", b"")),
)

REQUESTS: dict[str, tuple[Literal, m.Request]] = {
    "open": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\x00\x00\x00\x01",  # id
            b"\x00\x00\x00\x05/\xc3\xa9\xff ",  # filename, not all of it UTF-8
            b"\x00\x00\x00\x1a",  # pflags: WRITE, CREAT, TRUNC
            b"\x00\x00\x00\x04",  # flags: permissions
            b"\x00\x00\x01\xa4",  # permissions
        ),
        m.Open(1, b"/\xc3\xa9\xff ", 0x1A, m.Attributes(permissions=0o644)),
    ),
    "open with all attributes": (
        fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\xff\xff\xff\xff",  # id
            b"\x00\x00\x00\x00",  # filename: the default directory
            b"\x00\x00\x00\x01",  # pflags: READ
            ALL_ATTRIBUTES,
        ),
        m.Open(0xFFFFFFFF, b"", 1, ALL_ATTRIBUTES_VALUE),
    ),
    "close": (
        fields(
            b"\x04",  # SSH_FXP_CLOSE
            b"\x00\x00\x00\x02",  # id
            b"\x00\x00\x00\x0211",  # handle
        ),
        m.Close(2, b"11"),
    ),
    "read": (
        fields(
            b"\x05",  # SSH_FXP_READ
            b"\x00\x00\x00\x03",  # id
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # offset 4 GiB
            b"\x00\x00\x80\x00",  # len
        ),
        m.Read(3, b"1", 2**32, 32768),
    ),
    "write": (
        fields(
            b"\x06",  # SSH_FXP_WRITE
            b"\x00\x00\x00\x04",  # id
            b"\x00\x00\x00\x011",  # handle
            b"\x80\x00\x00\x00\x00\x00\x00\x00",  # offset 2^63
            b"\x00\x00\x00\x03\x00\x01\x02",  # data
        ),
        m.Write(4, b"1", 2**63, b"\x00\x01\x02"),
    ),
    "lstat": (
        fields(
            b"\x07",  # SSH_FXP_LSTAT
            b"\x00\x00\x00\x05",  # id
            b"\x00\x00\x00\x02/l",  # path
        ),
        m.Lstat(5, b"/l"),
    ),
    "fstat": (
        fields(
            b"\x08",  # SSH_FXP_FSTAT
            b"\x00\x00\x00\x06",  # id
            b"\x00\x00\x00\x011",  # handle
        ),
        m.Fstat(6, b"1"),
    ),
    "setstat": (
        fields(
            b"\x09",  # SSH_FXP_SETSTAT
            b"\x00\x00\x00\x07",  # id
            b"\x00\x00\x00\x02/f",  # path
            b"\x00\x00\x00\x0a",  # flags: uidgid, acmodtime
            b"\x00\x00\x00\x01",  # uid
            b"\x00\x00\x00\x02",  # gid
            b"\x00\x00\x00\x03",  # atime
            b"\x00\x00\x00\x04",  # mtime
        ),
        m.Setstat(7, b"/f", m.Attributes(uid=1, gid=2, atime=3, mtime=4)),
    ),
    "fsetstat": (
        fields(
            b"\x0a",  # SSH_FXP_FSETSTAT
            b"\x00\x00\x00\x08",  # id
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x01",  # flags: size
            b"\xff\xff\xff\xff\xff\xff\xff\xff",  # size
        ),
        m.Fsetstat(8, b"1", m.Attributes(size=2**64 - 1)),
    ),
    "opendir": (
        fields(
            b"\x0b",  # SSH_FXP_OPENDIR
            b"\x00\x00\x00\x09",  # id
            b"\x00\x00\x00\x01/",  # path
        ),
        m.Opendir(9, b"/"),
    ),
    "readdir": (
        fields(
            b"\x0c",  # SSH_FXP_READDIR
            b"\x00\x00\x00\x0a",  # id
            b"\x00\x00\x00\x012",  # handle
        ),
        m.Readdir(10, b"2"),
    ),
    "remove": (
        fields(
            b"\x0d",  # SSH_FXP_REMOVE
            b"\x00\x00\x00\x0b",  # id
            b"\x00\x00\x00\x02/f",  # filename
        ),
        m.Remove(11, b"/f"),
    ),
    "mkdir": (
        fields(
            b"\x0e",  # SSH_FXP_MKDIR
            b"\x00\x00\x00\x0c",  # id
            b"\x00\x00\x00\x02/d",  # path
            b"\x00\x00\x00\x00",  # flags: none, which is also what phpseclib sends in every version
        ),
        m.Mkdir(12, b"/d", m.Attributes()),
    ),
    "rmdir": (
        fields(
            b"\x0f",  # SSH_FXP_RMDIR
            b"\x00\x00\x00\x0d",  # id
            b"\x00\x00\x00\x02/d",  # path
        ),
        m.Rmdir(13, b"/d"),
    ),
    "realpath": (
        fields(
            b"\x10",  # SSH_FXP_REALPATH
            b"\x00\x00\x00\x0e",  # id
            b"\x00\x00\x00\x01.",  # path
        ),
        m.Realpath(14, b".", control=1, compose=()),
    ),
    "stat": (
        fields(
            b"\x11",  # SSH_FXP_STAT
            b"\x00\x00\x00\x0f",  # id
            b"\x00\x00\x00\x02/f",  # path
        ),
        m.Stat(15, b"/f"),
    ),
    "rename": (
        fields(
            b"\x12",  # SSH_FXP_RENAME
            b"\x00\x00\x00\x10",  # id
            b"\x00\x00\x00\x02/a",  # oldpath
            b"\x00\x00\x00\x02/b",  # newpath
        ),
        m.Rename(16, b"/a", b"/b", flags=0),
    ),
    "readlink": (
        fields(
            b"\x13",  # SSH_FXP_READLINK
            b"\x00\x00\x00\x11",  # id
            b"\x00\x00\x00\x02/l",  # path
        ),
        m.Readlink(17, b"/l"),
    ),
    "symlink": (
        fields(
            b"\x14",  # SSH_FXP_SYMLINK
            b"\x00\x00\x00\x12",  # id
            b"\x00\x00\x00\x06target",  # targetpath: first, as OpenSSH has it
            b"\x00\x00\x00\x05/link",  # linkpath
        ),
        m.Symlink(18, target_path=b"target", link_path=b"/link"),
    ),
    "posix-rename": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x13",  # id
            b"\x00\x00\x00\x18posix-rename@openssh.com",  # extended-request
            b"\x00\x00\x00\x02/a",  # oldpath
            b"\x00\x00\x00\x02/b",  # newpath
        ),
        m.PosixRename(19, b"/a", b"/b"),
    ),
    "statvfs": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x14",  # id
            b"\x00\x00\x00\x13statvfs@openssh.com",  # extended-request
            b"\x00\x00\x00\x01/",  # path
        ),
        m.Statvfs(20, b"/"),
    ),
    "fstatvfs": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x15",  # id
            b"\x00\x00\x00\x14fstatvfs@openssh.com",  # extended-request
            b"\x00\x00\x00\x011",  # handle
        ),
        m.Fstatvfs(21, b"1"),
    ),
    "hardlink": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x16",  # id
            b"\x00\x00\x00\x14hardlink@openssh.com",  # extended-request
            b"\x00\x00\x00\x02/a",  # oldpath
            b"\x00\x00\x00\x02/b",  # newpath
        ),
        m.Hardlink(22, b"/a", b"/b"),
    ),
    "fsync": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x17",  # id
            b"\x00\x00\x00\x11fsync@openssh.com",  # extended-request
            b"\x00\x00\x00\x011",  # handle
        ),
        m.Fsync(23, b"1"),
    ),
    "lsetstat": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x18",  # id
            b"\x00\x00\x00\x14lsetstat@openssh.com",  # extended-request
            b"\x00\x00\x00\x02/l",  # path
            ALL_ATTRIBUTES,
        ),
        m.Lsetstat(24, b"/l", ALL_ATTRIBUTES_VALUE),
    ),
    "limits": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x19",  # id
            b"\x00\x00\x00\x12limits@openssh.com",  # extended-request
        ),
        m.Limits(25),
    ),
    "expand-path": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x1b",  # id
            b"\x00\x00\x00\x17expand-path@openssh.com",  # extended-request
            b"\x00\x00\x00\x03~/a",  # path
        ),
        m.ExpandPath(27, b"~/a"),
    ),
    "home-directory": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x1c",  # id
            b"\x00\x00\x00\x0ehome-directory",  # extended-request
            b"\x00\x00\x00\x04user",  # username
        ),
        m.HomeDirectory(28, b"user"),
    ),
    "users-groups-by-id": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x1d",  # id
            b"\x00\x00\x00\x1eusers-groups-by-id@openssh.com",  # extended-request
            b"\x00\x00\x00\x08\x00\x00\x00\x00\xff\xff\xff\xfe",  # uids: 0, 4294967294
            b"\x00\x00\x00\x04\x00\x00\x00\x01",  # gids: 1
        ),
        m.UsersGroupsById(29, (0, 4294967294), (1,)),
    ),
    "get-temp-folder": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x1e",  # id
            b"\x00\x00\x00\x0fget-temp-folder",  # extended-request
        ),
        m.GetTempFolder(30),
    ),
    "make-temp-folder": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x1f",  # id
            b"\x00\x00\x00\x10make-temp-folder",  # extended-request
        ),
        m.MakeTempFolder(31),
    ),
    "vendor-id": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x30",  # id
            b"\x00\x00\x00\x09vendor-id",  # extended-request
            b"\x00\x00\x00\x05Acme!",  # vendor-name
            b"\x00\x00\x00\x03ftp",  # product-name
            b"\x00\x00\x00\x031.2",  # product-version
            b"\x00\x00\x00\x01\x00\x00\x00\x02",  # product-build-number
        ),
        m.VendorId(48, b"Acme!", b"ftp", b"1.2", 2**32 + 2),
    ),
    "version-select": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x31",  # id
            b"\x00\x00\x00\x0eversion-select",  # extended-request
            b"\x00\x00\x00\x016",  # version-from-list
        ),
        m.VersionSelect(49, b"6"),
    ),
    "copy-data": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x20",  # id
            b"\x00\x00\x00\x09copy-data",  # extended-request
            b"\x00\x00\x00\x011",  # read-from-handle
            b"\x00\x00\x00\x00\x00\x00\x00\x02",  # read-from-offset
            b"\x00\x00\x00\x01\x00\x00\x00\x03",  # read-data-length
            b"\x00\x00\x00\x012",  # write-to-handle
            b"\x00\x00\x00\x00\x00\x00\x00\x04",  # write-to-offset
        ),
        m.CopyData(32, b"1", 2, 0x1_0000_0003, b"2", 4),
    ),
    "copy-file": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x21",  # id
            b"\x00\x00\x00\x09copy-file",  # extended-request
            b"\x00\x00\x00\x02/a",  # source-file
            b"\x00\x00\x00\x02/b",  # destination-file
            b"\x01",  # overwrite-destination
        ),
        m.CopyFile(33, b"/a", b"/b", True),
    ),
    "check-file": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x22",  # id
            b"\x00\x00\x00\x0acheck-file",  # extended-request
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x0bsha256,md5,",  # hash-algorithm-list, the last without a name
            b"\x00\x00\x00\x00\x00\x00\x00\x01",  # start-offset
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # length
            b"\x00\x00\x01\x00",  # block-size
        ),
        m.CheckFile(34, b"1", (b"sha256", b"md5", b""), 1, 0x1_0000_0000, 256),
    ),
    "check-file-name": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x23",  # id
            b"\x00\x00\x00\x0fcheck-file-name",  # extended-request
            b"\x00\x00\x00\x02/f",  # name
            b"\x00\x00\x00\x0bsha256,md5,",  # hash-algorithm-list, the last without a name
            b"\x00\x00\x00\x00\x00\x00\x00\x01",  # start-offset
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # length
            b"\x00\x00\x01\x00",  # block-size
        ),
        m.CheckFileName(35, b"/f", (b"sha256", b"md5", b""), 1, 0x1_0000_0000, 256),
    ),
    "check-file-handle": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x24",  # id
            b"\x00\x00\x00\x11check-file-handle",  # extended-request
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x0bsha256,md5,",  # hash-algorithm-list, the last without a name
            b"\x00\x00\x00\x00\x00\x00\x00\x01",  # start-offset
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # length
            b"\x00\x00\x01\x00",  # block-size
        ),
        m.CheckFileHandle(36, b"1", (b"sha256", b"md5", b""), 1, 0x1_0000_0000, 256),
    ),
    "md5-hash": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x25",  # id
            b"\x00\x00\x00\x08md5-hash",  # extended-request
            b"\x00\x00\x00\x02/f",  # filename
            b"\x00\x00\x00\x00\x00\x00\x00\x01",  # start-offset
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # length
            b"\x00\x00\x00\x02\xfe\xff",  # quick-check-hash
        ),
        m.Md5Hash(37, b"/f", 1, 0x1_0000_0000, b"\xfe\xff"),
    ),
    "md5-hash-handle": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x26",  # id
            b"\x00\x00\x00\x0fmd5-hash-handle",  # extended-request
            b"\x00\x00\x00\x011",  # file-handle
            b"\x00\x00\x00\x00\x00\x00\x00\x01",  # start-offset
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # length
            b"\x00\x00\x00\x02\xfe\xff",  # quick-check-hash
        ),
        m.Md5HashHandle(38, b"1", 1, 0x1_0000_0000, b"\xfe\xff"),
    ),
    "space-available": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x27",  # id
            b"\x00\x00\x00\x0fspace-available",  # extended-request
            b"\x00\x00\x00\x01/",  # path
        ),
        m.SpaceAvailable(39, b"/"),
    ),
    "ranges": (
        fields(
            b"\xc8",  # SSH_FXP_EXTENDED
            b"\x00\x00\x00\x28",  # id
            b"\x00\x00\x00\x13ranges@asyncssh.com",  # extended-request
            b"\x00\x00\x00\x011",  # handle
            b"\x00\x00\x00\x00\x00\x00\x00\x01",  # offset
            b"\x00\x00\x00\x01\x00\x00\x00\x00",  # length
        ),
        m.Ranges(40, b"1", 1, 0x1_0000_0000),
    ),
}

EVERY_REQUEST = [packet for packet, _ in REQUESTS.values()]
