"""Large tables in two parts: what `make test` runs of them, and what `make test-all` adds."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def spread(rows: Iterable[str], steps: Sequence[str]) -> list[Any]:
    """Each row with each step: in turn at one of them, and marked `corpus` at the others."""
    return [
        pytest.param(row, step, marks=() if number % len(steps) == place else pytest.mark.corpus)
        for number, row in enumerate(rows)
        for place, step in enumerate(steps)
    ]


def some(rows: Iterable[str], most: int = 10) -> list[Any]:
    """All rows: so many of them, from all over the table, and the others marked `corpus`."""
    listed = list(rows)
    every = -(-len(listed) // most)
    return [pytest.param(row, marks=pytest.mark.corpus if at % every else ()) for at, row in enumerate(listed)]
