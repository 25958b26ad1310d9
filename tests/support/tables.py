"""Parameters from large tables: `make test` runs a sample of the rows, `make test-all` runs all of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def sample_pairs(rows: Iterable[object], steps: Sequence[str], max_rows: int | None = None) -> list[Any]:
    """Return the parameters `(row, step)` for all combinations.

    `make test` runs each row with one step, in rotation; the other combinations are marked `corpus`. With `max_rows`,
    only about that many rows, evenly spaced, run in `make test`. Use it where another test runs the same rows.
    """
    return [
        pytest.param(row, step, marks=pytest.mark.corpus if is_excluded or turn % len(steps) != index else ())
        for row, turn, is_excluded in _select(rows, max_rows)
        for index, step in enumerate(steps)
    ]


def sample_rows(rows: Iterable[object], max_rows: int = 10) -> list[Any]:
    """Return all rows as parameters. `make test` runs about `max_rows` of them; the others are marked `corpus`."""
    return [
        pytest.param(row, marks=pytest.mark.corpus if left_out else ()) for row, _, left_out in _select(rows, max_rows)
    ]


def _select(rows: Iterable[object], max_rows: int | None) -> list[tuple[object, int, bool]]:
    """Return each row with the number of `make test` rows before it, and whether `make test` excludes it."""
    row_list = list(rows)
    interval = -(-len(row_list) // max_rows) if max_rows else 1
    return [(row, index // interval, index % interval > 0) for index, row in enumerate(row_list)]
