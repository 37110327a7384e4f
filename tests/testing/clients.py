"""A client of the harness, for tests that are about the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko
import pytest

from libsshd.testing import Server


@contextmanager
def sftp(
    server: Server, *, user: str = "", password: str = "", timeout: float = 20.0
) -> Iterator[paramiko.SFTPClient]:
    """paramiko's, logged in."""
    transport = paramiko.Transport((server.host, server.port))
    try:
        transport.connect(username=user or server.user, password=password or server.password)
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        channel = client.get_channel()
        assert channel is not None
        channel.settimeout(timeout)
        yield client
    finally:
        transport.close()


def failure_of(call: Callable[..., object], *arguments: object) -> str:
    """The text of the failure with which an operation of the client must end."""
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return str(caught.value)
