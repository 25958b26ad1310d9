"""Pages that compare the site with standards, or with the faults of others, name tests that exist and skip nothing."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage

PLANS = "tests/services/oauth/test_openid_rp_plans.py"


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


def page(name: str) -> MarkdownPage:
    return MarkdownPage(ROOT / "docs" / f"{name}.md")


@pytest.mark.parametrize("name", ["conformance"])
def test_each_test_that_a_page_names_exists(name: str) -> None:
    """Named as `tests/folder/test_module.py::test_name`."""
    for word in page(name).inline_code:
        path, _, test = word.partition("::")
        if test:
            assert test in names_of_tests(ROOT / path), word


def test_each_module_of_the_conformance_plans_has_a_test_of_its_name() -> None:
    rows = [row[0].strip("`") for row in page("conformance").table_rows if row[0].startswith("`oidcc")]
    tests = {name for name in names_of_tests(ROOT / PLANS) if name.startswith("test_oidcc_client_test")}
    assert len(rows) == len(set(rows)) == 14 + 1 + 5 + 3 + 8
    assert {f"test_{row.replace('-', '_')}" for row in rows} == tests - {"test_oidcc_client_test_further_id_tokens"}
