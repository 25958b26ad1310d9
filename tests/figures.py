"""What the tests have tried, and what of it went wrong: `make figures`, and the end of `make test`.

A test of the modules below, or one that is marked `figures("cookies")`, is one thing tried; one that tries many at
once says so by `tried(346)`, before it asserts. A figure that is no count is told by `measured("timing", "0.4 ms")`.
Both travel with the report of the test, so they add up whatever process it ran in.
"""

import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest

KINDS = {
    "redirects": ("return addresses x ways in", "return_to"),
    "cookies": ("session cookies, forged, damaged, old, ended", "ended"),
    "callbacks": ("OAuth callbacks x providers", "callbacks"),
    "id_tokens": ("id_tokens, keys and userinfo", "id_tokens id_token_headers"),
    "rp": ("OpenID Connect against oidc-provider", "oidc_provider"),
    "requests": ("forms, bodies, headers, paths", "requests next_auth_hostile hostile_requests fuzz"),
    "backend": ("faults of the backend, and of names", "backend_faults upstream_tls lookup"),
    "provider": ("faults of providers", "provider_faults"),
    "redis": ("faults of Redis", "shared_state"),
    "races": ("races, crowds, restarts", "races isolation"),
    "limits": ("ways round the limits", "limits"),
    "canaries": ("secrets in all that the site says", ""),
}
"""For each its line of the table, and the modules whose every test is one unless marked otherwise."""


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """How many things this test tries, instead of one."""
    return lambda count: record_property("tried", count)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    return lambda what, value: record_property("measured", f"{what}: {value}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", action="store_true", help="print what was tried, and what of it went wrong")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "figures(kind): each such test is one thing tried, of this kind")


def pytest_itemcollected(item: pytest.Item) -> None:
    own = item.get_closest_marker("figures")
    module = item.path.stem.removeprefix("test_")
    kind = (
        own.args[0] if own else next((kind for kind, (_, modules) in KINDS.items() if module in modules.split()), None)
    )
    if kind:
        assert kind in KINDS, f"{item.nodeid} is of no kind that the table knows"
        item.add_marker(pytest.mark.figures(kind))  # for `-m figures`
        item.user_properties.append(("kind", kind))


@dataclass
class _Row:
    tried: int = 0
    wrong: int = 0
    left_out: int = 0


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("figures"):
        return
    rows, notes = _added_up(terminalreporter.stats)
    terminalreporter.section("figures")
    terminalreporter.write_line(f"{'':46}{'tried':>9}{'wrong':>9}{'left out':>9}")
    for kind, row in rows.items():
        terminalreporter.write_line(f"{KINDS[kind][0]:46}{row.tried:>9,}{row.wrong:>9,}{row.left_out:>9,}")
    for note in sorted(notes):
        terminalreporter.write_line(note)
    terminalreporter.write_line(_where())


def _added_up(stats: dict[str, list[Any]]) -> tuple[dict[str, _Row], set[str]]:
    rows = {kind: _Row() for kind in KINDS}
    notes: set[str] = set()
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in stats.get(outcome, ()):
            told = dict(report.user_properties)
            notes.update(value for name, value in report.user_properties if name == "measured")
            if row := rows.get(told.get("kind", "")):
                row.tried += told.get("tried", 1) if outcome in ("passed", "failed") else 0
                row.wrong += outcome in ("failed", "error")
                row.left_out += outcome == "skipped"
    return {kind: row for kind, row in rows.items() if row != _Row()}, notes


def _where() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    commit = f"commit {git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}"
    versions = [f"{name} {version(name)}" for name in ("Flask", "Authlib", "requests", "joserfc", "limits")]
    machine = [f"Python {platform.python_version()}", platform.system(), platform.machine(), f"{os.cpu_count()} cores"]
    return ", ".join([commit, *versions, *machine])
