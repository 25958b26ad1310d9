"""The figures as one table, in Markdown that reads well as plain text too."""

from collections.abc import Mapping
from statistics import median

from bench.backend import DELAY
from bench.figures import ALONE, EMPTY, MUNJIGI, NEXT_AUTH, WRK, Figures

READ = "session reads"
PAGE = "sign-in pages"
SIGN_IN = "e-mail sign-ins, from the page on"
API_SIGN_IN = "e-mail sign-ins by script, two calls"
AT_ONCE = f"100 sign-ins at once, backend {DELAY * 1000:.0f} ms a call"
VERIFY = "forward-auth checks"
VIEW = "empty JSON views"
BARE = "bare stand-in backend"

_HEAD = ("work", MUNJIGI, NEXT_AUTH, "times", "CPU each", "next-auth's", "times", "in empty views", "by CPU")


def text(figures: Figures) -> str:
    rows = [
        _HEAD,
        *(_rate(work, figures) for work in (READ, PAGE, SIGN_IN, API_SIGN_IN)),
        _at_once(figures),
        ("memory of the process tree at its peak", *_sizes(figures.occupied, 1e6, "MB")),
        ("the same, what is shared counted each time", *_sizes(figures.memory, 1e6, "MB")),
        ("sign-in page with its assets, compressed", *_sizes(figures.weight, 1e3, "kB")),
        _rate(VERIFY, figures),
        _alone(VIEW, EMPTY, figures),
        _alone(f"{VIEW}, by wrk", WRK, figures),
        _alone(BARE, ALONE, figures),
    ]
    return markdown(_without_empty_columns([row for row in rows if any(row[1:])]))


def _rate(work: str, figures: Figures) -> tuple[str, ...]:
    ours, theirs = figures.cost(work, MUNJIGI), ("", "", "", "")
    if figures.has(work, NEXT_AUTH):
        cost = figures.cost(work, NEXT_AUTH)
        theirs = (
            _spread(figures.rates(work, NEXT_AUTH)),
            f"{figures.times(work, MUNJIGI, work, NEXT_AUTH):.1f}",
            _cost(cost),
            _ratio(cost, ours, 1),
        )
    return (
        work,
        _spread(figures.rates(work, MUNJIGI)),
        *theirs[:2],
        _cost(ours),
        *theirs[2:],
        f"{figures.times(VIEW, EMPTY, work, MUNJIGI):.2f}",
        _ratio(ours, figures.cost(VIEW, EMPTY), 2),
    )


def _at_once(figures: Figures) -> tuple[str, ...]:
    took = [[one.seconds for one in figures.rounds.get((AT_ONCE, name), [])] for name in (MUNJIGI, NEXT_AUTH)]
    ours, theirs = took
    times = f"{median(b / a for a, b in zip(ours, theirs, strict=True)):.2f}" if theirs else ""
    return AT_ONCE, *map(_seconds, took), times, "", "", "", "", ""


def _seconds(took: list[float]) -> str:
    return f"{median(took):.2f} s ({min(took):.2f} - {max(took):.2f})" if took else ""


def _sizes(sizes: Mapping[str, int | None], unit: float, name: str) -> tuple[str, ...]:
    """The share is ours of theirs: here less is better."""
    ours, theirs = sizes.get(MUNJIGI), sizes.get(NEXT_AUTH)
    cells = [f"{size / unit:,.1f} {name}" if size else "" for size in (ours, theirs)]
    return *cells, f"1 / {theirs / ours:.1f}" if ours and theirs else "", "", "", "", "", ""


def _alone(work: str, contender: str, figures: Figures) -> tuple[str, ...]:
    name = work.removesuffix(", by wrk")
    if not figures.has(name, contender):
        return work, "", "", "", "", "", "", "", ""
    return work, _spread(figures.rates(name, contender)), "", "", _cost(figures.cost(name, contender)), "", "", "", ""


def _spread(rates: list[float]) -> str:
    return f"{median(rates):,.0f} /s ({min(rates):,.0f} - {max(rates):,.0f})"


def _cost(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs" if seconds else ""


def _ratio(one: float, other: float, digits: int) -> str:
    return f"{one / other:.{digits}f}" if one and other else ""


def _without_empty_columns(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    full = [column for column in zip(*rows, strict=True) if any(column[1:])]
    return list(zip(*full, strict=True))


def markdown(rows: list[tuple[str, ...]]) -> str:
    """The first row is the head; columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append(f"| {' | '.join((name.ljust(widths[0]), *cells))} |")
    lines.insert(1, f"| {'-' * widths[0]} | {' | '.join('-' * (width - 1) + ':' for width in widths[1:])} |")
    return "\n".join(lines)
