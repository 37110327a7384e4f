"""Class 4, and what is offered as a whole: ssh-audit's opinion of the lists, read from its JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from libsshd import HostKey, SFTPServer
from tests.cli.conftest import Command
from tests.cli.conftest import command as command  # noqa: PLC0414 - a fixture
from tests.cli.test_run import sftp
from tests.support.command import attempt
from tests.support.server import make_key
from tests.support.sshwire import HOST

LISTS = ("kex", "key", "enc", "mac")
KINDS = {"ed25519": "ssh-ed25519", "rsa": "rsa-sha2-512", "ecdsa": "ecdsa-sha2-nistp256"}


def audit(port: int, home: Path) -> dict[str, Any]:
    """What ssh-audit says of a server on this machine."""
    argv: list[str | Path] = [Path(sys.executable).with_name("ssh-audit"), "--json", "--skip-rate-test"]
    done = attempt([*argv, "-p", str(port), HOST], home=home)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    assert all(report.get(kind) for kind in LISTS), done.stdout[:1000]
    return report


def findings(report: dict[str, Any], *grades: str) -> dict[str, list[str]]:
    """What it has against an algorithm, by name."""
    offered = [entry for kind in LISTS for entry in report[kind]]
    said = {
        entry["algorithm"]: [text for grade in grades for text in entry["notes"].get(grade, [])] for entry in offered
    }
    return {name: texts for name, texts in said.items() if texts}


def names(report: dict[str, Any], kind: str) -> list[str]:
    return [entry["algorithm"] for entry in report[kind]]


def host_keys(command: Command, *kinds: str) -> list[str]:
    """Options with a new key of each kind."""
    options = []
    for kind in kinds:
        command.run("hostkey", kind, "--type", kind)
        options += ["--host-key", kind]
    return options


@pytest.fixture(scope="module")
def rsa_key() -> HostKey:
    return HostKey.generate("rsa")


def test_the_component_has_no_failure_with_its_default_lists(
    root: Path, host_key: HostKey, rsa_key: HostKey, tmp_path: Path
) -> None:
    with SFTPServer(root_directory=str(root), local_host=HOST, local_port=0, host_keys=[host_key, rsa_key]) as server:
        report = audit(server.local_port, tmp_path)
    assert findings(report, "fail") == {}
    assert report["cves"] == []
    assert names(report, "key") == ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]
    assert "kex-strict-s-v00@openssh.com" in names(report, "kex")
    assert report["compression"] == ["none"]


def test_the_command_has_no_failure_as_it_comes(command: Command) -> None:
    report = audit(command.serve().port, command.home)
    assert findings(report, "fail") == {}
    assert names(report, "key") == ["ssh-ed25519"], "the key it makes for itself"


def test_of_a_host_key_on_a_curve_of_nist_the_curve_is_the_only_failure(command: Command) -> None:
    """Such a key is only there when somebody gives it; whoever wants none of it takes the strict profile."""
    report = audit(command.serve(*host_keys(command, "ecdsa", "ed25519")).port, command.home)
    assert set(findings(report, "fail")) == {"ecdsa-sha2-nistp256"}


def test_the_strict_profile_has_neither_failure_nor_warning_and_nothing_open_to_terrapin(command: Command) -> None:
    running = command.serve("--algorithms", "strict", *host_keys(command, "ed25519", "rsa", "ecdsa"))
    report = audit(running.port, command.home)
    assert findings(report, "fail", "warn") == {}
    assert report["cves"] == []
    assert report["additional_notes"] == [], "it would name what the Terrapin attack works on with old clients"
    assert names(report, "key") == ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]


def test_a_setting_goes_above_the_profile(command: Command) -> None:
    macs = "hmac-sha2-512,hmac-sha2-256"
    running = command.serve("--algorithms", "strict", "--set", f"SSHMacAlgorithms={macs}")
    assert names(audit(running.port, command.home), "mac") == macs.split(",")


def test_a_profile_without_a_use_for_the_host_key_is_one_sentence(command: Command) -> None:
    options = host_keys(command, "ecdsa")
    done = command.run("run", "--port", "0", "--algorithms", "strict", *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("libsshd: ")


def test_openssh_logs_in_to_the_strict_profile(command: Command) -> None:
    make_key(command.home / "key", ["-t", "ed25519"])
    running = command.serve("--algorithms", "strict", "--authorized-keys", "key.pub")
    done = sftp(running.greeting("connect"), command.home, "ls /\n")
    assert (done.returncode, "key.pub" in done.stdout) == (0, True), done
