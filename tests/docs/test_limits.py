"""The tables of limits in docs/security.md have the values of the code, and every limit of the code has its reason."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "security.md").read_text("utf-8").splitlines()
    if re.search(r"\| `[a-z_.]+\.[A-Z_]+` \|", line)
]
UNITS = {"s": 1, "min": 60, "h": 3600, "days": 86400, "KiB": 1024, "MiB": 1024**2, "%": 0.01}
LIMIT_NAME = re.compile(r"^_?(MAX|MIN)_|_(SECONDS|LENGTH|SHARE|FACTOR|SIZE|AGE|BITS|CHUNKS|QUEUED|KEPT)$")
FOLDERS = ("backends", "providers", "services", "web", "blueprints", "server", "doctor")


def constant(name: str) -> float:
    module, _, attribute = name.strip("`").rpartition(".")
    return float(getattr(importlib.import_module(module), attribute))


def value_of(text: str) -> float:
    number, unit = re.fullmatch(r"(?:the last )?([0-9,.]+) ?([A-Za-z%]*).*", text).groups()  # type: ignore[union-attr]
    return float(number.replace(",", "")) * UNITS.get(unit, 1)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_documented_limit_has_the_value_of_the_code(row: list[str]) -> None:
    what, value, name, why, beyond = row
    assert value_of(value) == constant(name)
    assert what
    assert why
    assert beyond


def test_the_tables_have_rows() -> None:
    assert len(ROWS) >= 40
    assert len({row[2] for row in ROWS}) == len(ROWS)


def limits_of(path: Path) -> list[tuple[str, bool]]:
    """Return each numeric constant with the name of a limit, and whether a docstring or comment explains it."""
    lines = path.read_text("utf-8").splitlines()
    body = ast.parse("\n".join(lines)).body
    found = []
    for index, node in enumerate(body):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None or isinstance(node.value, ast.Call):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [item.id for item in ast.walk(ast.Module(targets, [])) if isinstance(item, ast.Name)]  # type: ignore[arg-type]
        following = body[index + 1] if index + 1 < len(body) else None
        has_docstring = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        has_comment = "#" in lines[node.lineno - 1] or lines[node.lineno - 2].startswith("#")
        found += [(name, has_docstring or has_comment) for name in names if LIMIT_NAME.search(name)]
    return found


def test_each_limit_in_the_code_has_its_reason_beside_it() -> None:
    paths = [ROOT / "app.py", ROOT / "serve.py"]
    paths += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    limits = [(path, name, has_reason) for path in paths for name, has_reason in limits_of(path)]
    assert len(limits) >= 50
    missing = [f"{path.relative_to(ROOT)}: {name}" for path, name, has_reason in limits if not has_reason]
    assert missing == []
