"""Requests about the conversation itself: who speaks, in which version, and how names are written."""

import logging
from typing import TYPE_CHECKING

from libsshd.constants import Status
from libsshd.wire import messages as m

if TYPE_CHECKING:
    from .session import Session


def version_select(session: "Session", r: m.VersionSelect) -> bytes:
    session.select_version(r)
    return session.codec.status(r.request_id, Status.OK)


def vendor_id(session: "Session", r: m.VendorId) -> bytes:
    session.journal.record(
        logging.DEBUG, "vendor", "the client names itself",
        vendor=r.vendor, product=r.product, version=r.version, build=r.build,
    )  # fmt: skip
    return session.codec.status(r.request_id, Status.OK)


def filename_translation_control(session: "Session", r: m.FilenameTranslationControl) -> bytes:
    session.codec = session.codec.translating(r.translate)
    return session.codec.status(r.request_id, Status.OK)
