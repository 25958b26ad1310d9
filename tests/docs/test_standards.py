"""Pages that compare the site with standards, or with the faults of others, name tests that exist and skip nothing."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage

PAGES = ("asvs", "conformance", "rfc9700-rfc10017", "threat-model")
ASVS_SECTIONS = {
    "V3.1": 1,
    "V3.2": 3,
    "V3.3": 5,
    "V3.4": 8,
    "V3.5": 8,
    "V3.6": 1,
    "V3.7": 5,
    "V6.1": 3,
    "V6.2": 12,
    "V6.3": 8,
    "V6.4": 6,
    "V6.5": 8,
    "V6.6": 4,
    "V6.7": 2,
    "V6.8": 4,
    "V7.1": 3,
    "V7.2": 4,
    "V7.3": 2,
    "V7.4": 5,
    "V7.5": 3,
    "V7.6": 2,
    "V9.1": 3,
    "V9.2": 4,
    "V10.1": 2,
    "V10.2": 3,
    "V10.3": 5,
    "V10.4": 16,
    "V10.5": 5,
    "V10.6": 2,
    "V10.7": 3,
}
"""How many requirements each section of these chapters has in version 5.0.0."""
ANSWERS = ("Yes", "The backend's", "The operator's", "Does not apply", "No")
PLANS = "tests/services/oauth/test_openid_rp_plans.py"


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


def page(name: str) -> MarkdownPage:
    return MarkdownPage(ROOT / "docs" / f"{name}.md")


@pytest.mark.parametrize("name", PAGES)
def test_each_test_that_a_page_names_exists(name: str) -> None:
    """Named as `tests/folder/test_module.py::test_name`."""
    for word in page(name).inline_code:
        path, _, test = word.partition("::")
        if test:
            assert test in names_of_tests(ROOT / path), word


def test_each_requirement_of_the_asvs_chapters_has_one_row() -> None:
    ids = [row[0] for row in page("asvs").table_rows if re.match(r"V\d", row[0])]
    wanted = [f"{section}.{number}" for section, count in ASVS_SECTIONS.items() for number in range(1, count + 1)]
    assert ids == wanted
    assert len(ids) == 31 + 47 + 19 + 7 + 36


def test_the_numbers_at_the_top_of_the_asvs_page_are_those_of_its_rows() -> None:
    rows = list(page("asvs").table_rows)
    requirements = [row for row in rows if re.match(r"V\d", row[0])]
    (start,) = (index for index, row in enumerate(rows) if row[1:] == ["level 1", "level 2", "level 3", "all"])
    counts = {row[0]: [int(cell) for cell in row[1:]] for row in rows[start + 1 : start + 1 + len(ANSWERS) + 1]}
    for answer in ANSWERS:
        levels = [row[1] for row in requirements if re.match(answer + r"(:|,|$)", row[3])]
        assert counts.pop(answer) == [*(levels.count(level) for level in "123"), len(levels)], answer
    total = [row[1] for row in requirements]
    assert counts == {"together": [*(total.count(level) for level in "123"), len(requirements)]}


def test_what_the_asvs_page_says_is_met_names_a_test_or_a_page_and_what_is_not_a_reason() -> None:
    for number, level, asks, met in (row for row in page("asvs").table_rows if re.match(r"V\d", row[0])):
        assert level in "123"
        assert asks, number
        assert met.startswith(ANSWERS), number
        if met.startswith("Yes"):
            assert "::test_" in met or ".md" in met, number
        if met.startswith("No,"):
            assert met.startswith("No, because "), number


def test_each_demand_on_oauth_clients_is_met_by_a_test_or_not_for_a_reason() -> None:
    rows = [row for row in page("rfc9700-rfc10017").table_rows if row[-1] != "met" and not row[0].startswith("-")]
    assert len(rows) >= 35
    for row in rows:
        assert row[-1].startswith(("Yes", "No, because ")), row
    assert sum("::test_" in row[-1] for row in rows) >= len(rows) - 5


def test_each_trust_boundary_of_the_drawing_has_its_threats() -> None:
    threat_model = page("threat-model")
    drawing = next(block.text for block in threat_model.code_blocks if block.language == "mermaid")
    arrows = set(re.findall(r"(\w+) --> (\w+)", drawing))
    named = {name for arrow in arrows for name in arrow}
    rows = [row for row in threat_model.table_rows if "→" in row[0]]
    assert {tuple(row[0].split(" → ")) for row in rows} == arrows - {("app", "backend")}
    assert {row[1] for row in rows} == set("STRIDE")
    assert all("::test_" in row[4] and row[3] for row in rows)
    assert named - {"site"} == set(re.findall(r"^- \*\*(\w+)\*\*:", threat_model.text, re.MULTILINE))


def test_each_advisory_has_a_row_and_each_test_of_advisories_too() -> None:
    advisories = page("advisories")
    rows = [row for row in advisories.table_rows if row[0].startswith("[")]
    links = [link for link in advisories.links if link.startswith("https:")]
    assert len(rows) >= 25
    assert len(links) == len(set(links)) >= 40
    named = [word for word in advisories.inline_code if word.startswith("test_")]
    everywhere = {name for path in ROOT.glob("tests/*/**/test_*.py") for name in names_of_tests(path)}
    assert set(named) <= everywhere
    own = names_of_tests(ROOT / "tests" / "system" / "test_peer_advisories.py")
    assert sorted(name for name in named if name in own) == sorted(own)


def test_each_module_of_the_conformance_plans_has_a_test_of_its_name() -> None:
    rows = [row[0].strip("`") for row in page("conformance").table_rows if row[0].startswith("`oidcc")]
    tests = {name for name in names_of_tests(ROOT / PLANS) if name.startswith("test_oidcc_client_test")}
    assert len(rows) == len(set(rows)) == 14 + 1 + 5 + 3 + 8
    assert {f"test_{row.replace('-', '_')}" for row in rows} == tests - {"test_oidcc_client_test_further_id_tokens"}
