"""docs/comparison.md: each cell says how it was checked."""

import re

from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage

PAGE = MarkdownPage(ROOT / "docs" / "comparison.md")
MARKS = re.findall(r"(?m)^\| <sup>(.)</sup> \|", PAGE.text)
ROWS = [line.strip("| ").split(" | ") for line in PAGE.text.splitlines() if line.count(" | ") >= 8 and "<sup>" in line]


def test_each_cell_about_a_program_says_how_it_was_checked() -> None:
    assert len(MARKS) == 5
    assert len(ROWS) > 20
    for name, *cells in ROWS:
        assert len(cells) >= 9, name
        for cell in cells[:9]:
            marks = re.search(r"<sup>([^<]+)</sup>$", cell)
            assert cell == "–" or (marks and set(marks[1].split()) <= set(MARKS)), f"{name}: {cell}"


def test_what_was_not_checked_of_munjigi_is_not_claimed() -> None:
    for name, munjigi, *_ in ROWS:
        assert "?" not in munjigi.rpartition("<sup>")[2], name


def test_each_snapshot_that_a_note_links_to_is_listed_with_its_date() -> None:
    linked = {
        match for link in PAGE.links for match in re.findall(r"github\.com/([\w-]+/[\w-]+/(?:blob|tree)/\w+)", link)
    }
    snapshots = {link.replace("/blob/", "/tree/") for link in linked} - {"keycloak/keycloak/tree/main"}
    listed = {
        match
        for row in PAGE.table_rows
        if re.fullmatch(r"2026-\d\d-\d\d", row[-1])
        for match in re.findall(r"github\.com/([\w-]+/[\w-]+/tree/\w+)", " ".join(row))
    }
    assert len(listed) > 4
    assert snapshots <= listed, snapshots - listed
