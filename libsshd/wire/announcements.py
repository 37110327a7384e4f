"""Extensions that tell what the server can do, and those that answer them.

To be part of VERSION or of a request is up to each version. Sources: draft-13, sections 5.3 to 5.5 and 6; draft-05,
sections 4.3 and 4.4; vendor-id: draft-ietf-secsh-filexfer-extensions-00.
"""

from libsshd.constants import AccessMask, AttributeFlags, OpenModes
from libsshd.wire.buffer import string, u16, u32, u64
from libsshd.wire.extensions import Extension
from libsshd.wire.messages import FilenameTranslationControl, VendorId, VersionSelect
from libsshd.wire.offer import Offer

_VERSION_SELECT = b"version-select"
_FILENAME_TRANSLATION_CONTROL = b"filename-translation-control"
_FIRST_VERSION = 3

_V5_ATTRIBUTES = u32(
    AttributeFlags.SIZE | AttributeFlags.PERMISSIONS | AttributeFlags.ACCESSTIME | AttributeFlags.MODIFYTIME
    | AttributeFlags.OWNERGROUP | AttributeFlags.SUBSECOND_TIMES
)  # fmt: skip
_V6_ATTRIBUTES = u32(int.from_bytes(_V5_ATTRIBUTES, "big") | AttributeFlags.ALLOCATION_SIZE)
_ATTRIBUTE_BITS = u32(0)
_V5_OPEN = 0x7 | 0x8 | OpenModes.APPEND_DATA_ATOMIC | 0x20  # all dispositions, APPEND_DATA, TEXT_MODE
_V6_OPEN = (
    _V5_OPEN | OpenModes.BLOCK_READ | OpenModes.BLOCK_WRITE | OpenModes.BLOCK_ADVISORY | OpenModes.NOFOLLOW
    | OpenModes.DELETE_ON_CLOSE
)  # fmt: skip
_V5_ACCESS = u32(sum(AccessMask) & ~(AccessMask.WRITE_ACL | AccessMask.WRITE_NAMED_ATTRS))  # of OPEN too
_V6_ACCESS = u32(0)  # of ACLs alone
_ADVISORY_LOCKS = u16(0x0C01)  # none, WRITE and READ+WRITE with ADVISORY
_NO_ACL = u32(0)
_BUILD = u64(0)
_FILE_SYSTEM = u32(0) + string(b"/") + u32(0)
"""Case counts, "/" is in no name, no name is reserved: the layout as VanDyke's server sends it."""


def supported_versions(offer: Offer) -> tuple[bytes, ...]:
    """What version-select takes; nothing where there is no choice."""
    if offer.last_version == _FIRST_VERSION or not offer.announces(_VERSION_SELECT):
        return ()
    return tuple(b"%d" % version for version in range(_FIRST_VERSION, offer.last_version + 1))


def _supported(offer: Offer, names: tuple[bytes, ...]) -> bytes:
    return b"".join(
        (_V5_ATTRIBUTES, _ATTRIBUTE_BITS, u32(_V5_OPEN), _V5_ACCESS, u32(offer.read_size), *map(string, names))
    )


def _supported2(offer: Offer, names: tuple[bytes, ...]) -> bytes:
    return b"".join(
        (
            _V6_ATTRIBUTES,
            _ATTRIBUTE_BITS,
            u32(_V6_OPEN),
            _V6_ACCESS,
            u32(offer.read_size),
            _ADVISORY_LOCKS,
            _ADVISORY_LOCKS,
            u32(0),  # attributes that are extensions
            u32(len(names)),
            *map(string, names),
        )
    )


def _vendor_id(offer: Offer, _: tuple[bytes, ...]) -> bytes:
    return string(offer.product) + string(offer.product) + string(offer.product_version) + _BUILD


def _charset(offer: Offer, _: tuple[bytes, ...]) -> bytes | None:
    return b"UTF-8" if offer.announces(_FILENAME_TRANSLATION_CONTROL) else None


VERSIONS = Extension(b"versions", lambda offer, _: b",".join(supported_versions(offer)) or None)
SELECT = Extension(_VERSION_SELECT, None, lambda n, r, _: VersionSelect(n, r.string()))
NEWLINE = Extension(b"newline", lambda offer, _: offer.newline)
SUPPORTED = Extension(b"supported", _supported)
SUPPORTED2 = Extension(b"supported2", _supported2)
ACL_SUPPORTED = Extension(b"acl-supported", lambda _offer, _: _NO_ACL)
FILE_SYSTEM = Extension(b"default-fs-attribs@vandyke.com", lambda _offer, _: _FILE_SYSTEM)
FILENAME_CHARSET = Extension(b"filename-charset", _charset)
TRANSLATION_CONTROL = Extension(
    _FILENAME_TRANSLATION_CONTROL, None, lambda n, r, _: FilenameTranslationControl(n, r.boolean())
)
VENDOR_ID = Extension(
    b"vendor-id", _vendor_id, lambda n, r, _: VendorId(n, r.string(), r.string(), r.string(), r.u64())
)
# Without the announcement: version 3 has nowhere to say who this is but the SSH version, which can be set.
VENDOR_ID_REQUEST = Extension(b"vendor-id", None, VENDOR_ID.decode)
