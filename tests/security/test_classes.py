"""The page on security and the modules of this directory tell of the same classes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "security.md"
ROW = re.compile(r"^\| (\d+) \| .* \| `(test_\w+)` \|$", re.MULTILINE)


def test_every_class_has_a_row_and_a_module_that_says_so() -> None:
    rows = ROW.findall(PAGE.read_text())
    assert [int(number) for number, _ in rows] == list(range(1, 23))
    for number, name in rows:
        module = ast.parse((HERE / f"{name}.py").read_text())
        assert re.match(rf"Class {number}\b", ast.get_docstring(module) or ""), name
        assert any(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in module.body), name
