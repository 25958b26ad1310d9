"""A site with the unmodified next-auth and ours give the same answers, except for docs/nextauth-differences.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser

from dev.backend import create_backend
from tests.support import alike
from tests.support.commands import ROOT
from tests.support.node import build_bundle, next_auth_site, route_front_end
from tests.support.site import running_site, serve_in_thread

LIST = ROOT / "docs" / "nextauth-differences.md"
Answers = dict[str, list[str]]

pytestmark = pytest.mark.xdist_group("next-auth-alike")


@dataclass(frozen=True)
class Row:
    """One row of the list. `exchanges`: where the difference shows; if empty, anywhere."""

    what: str
    exchanges: tuple[str, ...]
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    reason: str

    def values(self, side: str) -> tuple[str, ...]:
        return self.theirs if side == "theirs" else self.ours

    def covers(self, exchange: str) -> bool:
        return not self.exchanges or exchange in self.exchanges

    def promises(self) -> Iterator[tuple[str, str]]:
        """Yield each value that has to appear, and on which side."""
        for side in ("theirs", "ours"):
            subjects = dict.fromkeys(map(subject, self.values(side)))
            yield from ((side, value) for value in self.values(side))
            yield from ((side, f"{exchange}: {one}") for exchange in self.exchanges for one in subjects)


def listed() -> list[Row]:
    table = [line.strip("| ").split(" | ") for line in LIST.read_text("utf-8").splitlines() if line.startswith("| ")]
    return [Row(what, coded(what), coded(theirs), coded(ours), reason) for what, theirs, ours, reason in table[2:]]


def coded(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[str, str]]:
    """Yield the URLs of both sites in front of one backend, next-auth's first."""
    github: dict[str, Any] = {
        "providers": "github",
        "github_client_id": "the-client",
        "github_client_secret": "the-secret",
    }
    with (
        serve_in_thread("127.0.0.1", lambda _: create_backend()) as port,
        next_auth_site(f"http://127.0.0.1:{port}") as theirs,
        running_site(f"http://127.0.0.1:{port}", **github) as ours,
    ):
        yield theirs, ours.url


def hold_to_the_list(theirs: Answers, ours: Answers, rows: list[Row]) -> None:
    """Check that each difference is in one row only, and that each row applies to its exchanges and values."""
    complaints: list[str] = []
    shown: set[tuple[Row, str, str]] = set()
    for exchange in theirs:
        for side, line in differences(theirs[exchange], ours[exchange]):
            found = [row for row in rows if row.covers(exchange) and line in row.values(side)]
            complaints += [] if len(found) == 1 else [f"in {len(found)} rows: {exchange}: {side}: {line}"]
            shown |= {(row, side, one) for row in found for one in (line, f"{exchange}: {subject(line)}")}
    missing = [(row, *promise) for row in rows for promise in row.promises() if (row, *promise) not in shown]
    complaints += [f"does not show any more: {row.what}: {side}: {one}" for row, side, one in missing]
    assert not complaints, "\n".join(complaints)


def differences(theirs: list[str], ours: list[str]) -> list[tuple[str, str]]:
    only_theirs = [("theirs", line) for line in theirs if line not in ours]
    return only_theirs + [("ours", line) for line in ours if line not in theirs]


def subject(line: str) -> str:
    """Return what a line is about: the answer, or a header."""
    return line.partition(" (")[0] if line.startswith(("Set-Cookie:", "Cache-Control:")) else "the answer"


def test_each_listed_difference_has_a_reason_and_known_exchanges() -> None:
    known = {*alike.CLIENT_CALLS, *alike.CLIENT_NAVIGATIONS, *(name for scene in alike.SCRIPT for name in scene)}
    for row in listed():
        assert row.reason.endswith(".")
        assert row.theirs or row.ours
        assert known.issuperset(row.exchanges)


@pytest.mark.external
def test_the_same_requests_get_the_same_answers_as_from_next_auth(sites: tuple[str, str]) -> None:
    theirs, ours = map(alike.run_script, sites)
    assert len(theirs) == 107
    rows = [row for row in listed() if not set(row.exchanges) & set(alike.CLIENT_CALLS | alike.CLIENT_NAVIGATIONS)]
    hold_to_the_list(theirs, ours, rows)


@pytest.mark.external
def test_next_auths_client_gets_the_same_answers_from_both_sites(
    sites: tuple[str, str], browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = build_bundle(tmp_path_factory.mktemp("bundle"))
    answers: list[Answers] = []
    for site_url in sites:
        with browser.new_context(base_url=site_url) as context:
            route_front_end(context, f"{site_url}/front", bundle)
            answers.append(alike.run_client_script(context, site_url))
    assert len(answers[0]) == 26
    rows = [row for row in listed() if set(row.exchanges) & set(alike.CLIENT_CALLS | alike.CLIENT_NAVIGATIONS)]
    hold_to_the_list(answers[0], answers[1], rows)
