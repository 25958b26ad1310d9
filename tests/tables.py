"""Large tables in two parts: what `make test` runs of them, and what `make test-all` adds."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def sample_pairs(rows: Iterable[object], steps: Sequence[str], most: int | None = None) -> list[Any]:
    """Each row with each step: in turn at one of them, and marked `corpus` at the others.

    `most`: so many rows, from all over the table, where another test has the same ones.
    """
    return [
        pytest.param(row, step, marks=pytest.mark.corpus if left_out or turn % len(steps) != place else ())
        for row, turn, left_out in _select(rows, most)
        for place, step in enumerate(steps)
    ]


def sample_rows(rows: Iterable[object], most: int = 10) -> list[Any]:
    """All rows: so many of them, from all over the table, and the others marked `corpus`."""
    return [pytest.param(row, marks=pytest.mark.corpus if left_out else ()) for row, _, left_out in _select(rows, most)]


def _select(rows: Iterable[object], most: int | None) -> list[tuple[object, int, bool]]:
    """Each row, how many rows of `make test` go before it, and whether it is left out of `make test` itself."""
    listed = list(rows)
    every = -(-len(listed) // most) if most else 1
    return [(row, at // every, at % every > 0) for at, row in enumerate(listed)]
