"""What docs/testing-clients.md says that real clients do, they do."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from libsshd.testing.faults import FAULTS
from tests.conftest import Rounds
from tests.support.command import DEADLINE
from tests.testing.drive import CLIENTS, PATIENCE, has_node
from tests.testing.observe import PAGE, SCENES, observe, written

OUTCOMES = ("right", "error", "wrong", "waits")
AT_ONCE = ("sftp", "paramiko")
"""Clients that are waited for in a short run, too."""


def is_as_seen(client: str) -> bool:
    """Whether it is the version that the page is about, as far as it comes from a registry."""
    if client not in ("paramiko", "asyncssh", "ssh2-python"):
        return True
    seen = re.search(rf"{client} (\d[^\s,]*)", PAGE.read_text())
    return seen is not None and seen[1] == importlib.metadata.version(client)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", SCENES)
def test_a_client_does_what_the_page_says(name: str, client: str, tmp_path: Path, rounds: Rounds) -> None:
    expected = written()[name, client]
    if client == "ssh2-sftp-client" and not has_node():
        pytest.skip("there is no node, or no npm that could install ssh2-sftp-client")
    if expected == "waits" and client not in AT_ONCE and rounds(0, 1) == 0:
        pytest.skip("a short run does not wait for it")
    patience = PATIENCE if expected == "waits" else DEADLINE  # on a busy machine an error may take its time
    found = observe(name, client, tmp_path / "place", patience)
    assert found == expected if is_as_seen(client) else found in OUTCOMES


def test_every_fault_is_on_the_page() -> None:
    assert {scene.fault for scene in SCENES.values()} >= set(FAULTS)
    assert {name for name, _ in written()} == set(SCENES)
    assert set(written().values()) <= set(OUTCOMES)
