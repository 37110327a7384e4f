"""The harness for unittest."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from libsshd.testing.harness import Files, Server

if TYPE_CHECKING:
    from unittest import TestCase as _Base
else:
    _Base = object


class SFTPServerMixin(_Base):
    """Gives a TestCase `self.sftpserver`: one server for the class, as new for each test. Named before TestCase.

    `sftpserver_files` and `sftpserver_options` say how it begins. What a handler or the server raises fails the test.
    """

    sftpserver_files: ClassVar[Files] = {}
    sftpserver_options: ClassVar[Mapping[str, Any]] = {}
    sftpserver: Server

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.sftpserver = Server(cls.sftpserver_files, **cls.sftpserver_options)
        cls.addClassCleanup(cls.sftpserver.stop)

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.sftpserver.reset)
        self.addCleanup(self.sftpserver.check)
        self.addCleanup(self.sftpserver.drop_connections)  # comes first: what ends may fail, too
