"""A key from a store, served: ssh-keyscan sees the one that ssh-keygen made."""

from __future__ import annotations

from pathlib import Path

import pytest

from libsshd import SFTPServer
from libsshd.hostkeys import find, open_store
from tests.hostkeys.material import FORMATS, PASSWORD, Material, run


@pytest.mark.parametrize("name", ["pkcs8", "openssh", "pfx", "ppk2", "ppk3", "xml", "jwk"])
def test_clients_see_the_key_of_the_store(name: str, material: Material, tmp_path: Path) -> None:
    store_type, write = FORMATS[name]
    password = "" if name == "xml" else PASSWORD
    chosen = find(open_store(store_type + 1, write(material, password, tmp_path), password), "*")
    assert chosen is not None
    served = SFTPServer(
        host_keys=[chosen.key], root_directory=str(tmp_path), local_host="127.0.0.1", local_port=0, failure_delay=0.0
    )
    kind = next(name for name in ("rsa", "ecdsa", "ed25519") if name in material.public_line)
    with served:
        seen = run("ssh-keyscan", "-p", str(served.local_port), "-t", kind, "127.0.0.1")
    assert seen.decode() == f"[127.0.0.1]:{served.local_port} {material.public_line}\n"
