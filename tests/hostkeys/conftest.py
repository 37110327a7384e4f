"""Keys that ssh-keygen made, once each, and what it says about them."""

from __future__ import annotations

import pytest

from tests.hostkeys.material import KINDS, PASSWORD, Material, make


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Material]:
    folder = tmp_path_factory.mktemp("hostkeys")
    return {kind: make(folder / kind, options) for kind, options in KINDS.items()}


@pytest.fixture(params=KINDS)
def material(request: pytest.FixtureRequest, materials: dict[str, Material]) -> Material:
    """A key of each kind in turn."""
    return materials[request.param]


@pytest.fixture(params=["", PASSWORD], ids=["plain", "encrypted"])
def password(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen
