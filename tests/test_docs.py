"""The pages say what the code does: examples run, settings and extensions are all there."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from libsshd import HostKey
from libsshd.settings import Settings
from libsshd.wire.extensions import EXTENSIONS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs_as_it_stands(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the root and the port, which no two tests may share."""
    monkeypatch.chdir(tmp_path)
    HostKey.generate().save("host_ed25519")
    code = code.replace('"/srv/sftp"', repr(str(tmp_path))).replace("local_port=2222", "local_port=0")
    exec(compile(code, "example", "exec"), {})  # noqa: S102 - that is the point
    assert "sftp://127.0.0.1:" in capsys.readouterr().out


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "component.md").read_text()


def test_every_extension_is_on_the_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    assert [entry.name for entry in EXTENSIONS if f"`{entry.name.decode()}`" not in page] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
