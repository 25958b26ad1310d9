"""The figures as one table, in Markdown that reads well as plain text too."""

from collections.abc import Iterable
from statistics import median

from bench.backend import DELAY
from bench.figures import ALONE, EMPTY, MUNJIGI, NEXT_AUTH, Figures

READ = "session reads"
PAGE = "sign-in pages"
SIGN_IN = "e-mail sign-ins"
AT_ONCE = f"100 sign-ins at once, backend {DELAY * 1000:.0f} ms a call"
VERIFY = "forward-auth checks"
VIEW = "empty JSON views"
BARE = "bare stand-in backend"

_HEAD = ("work", MUNJIGI, NEXT_AUTH, "times next-auth", "CPU each", "next-auth's", "in empty views")


def text(figures: Figures) -> str:
    rows = [
        *(_rate(work, figures) for work in (READ, PAGE, SIGN_IN)),
        _at_once(figures),
        ("peak memory of the process tree", *_sizes(figures.memory, 1e6, "MB")),
        ("sign-in page with its assets, compressed", *_sizes(figures.weight, 1e3, "kB")),
        _rate(VERIFY, figures),
        _measure(VIEW, EMPTY, figures),
        _measure(BARE, ALONE, figures),
    ]
    return "\n".join(_aligned([_HEAD, *rows]))


def _rate(work: str, figures: Figures) -> tuple[str, ...]:
    empty = figures.times(VIEW, EMPTY, work, MUNJIGI), figures.cost(work, MUNJIGI) / (figures.cost(VIEW, EMPTY) or 1)
    beside = figures.has(work, NEXT_AUTH)
    return (
        work,
        _spread(figures.rates(work, MUNJIGI)),
        _spread(figures.rates(work, NEXT_AUTH)) if beside else "",
        f"{figures.times(work, MUNJIGI, work, NEXT_AUTH):.1f}" if beside else "",
        _cost(work, MUNJIGI, figures),
        _cost(work, NEXT_AUTH, figures) if beside else "",
        f"{empty[0]:.2f}, CPU {empty[1]:.2f}",
    )


def _at_once(figures: Figures) -> tuple[str, ...]:
    took = {name: [one.seconds for one in figures.rounds[AT_ONCE, name]] for name in (MUNJIGI, NEXT_AUTH)}
    ours, theirs = took.values()
    times = f"{median(b / a for a, b in zip(ours, theirs, strict=True)):.2f}" if theirs else ""
    return AT_ONCE, _seconds(ours), _seconds(theirs), times, "", "", ""


def _seconds(took: list[float]) -> str:
    if not took:
        return ""
    return f"{median(took):.2f} s ({min(took):.2f} - {max(took):.2f}), {median(took) / (2 * DELAY):.2f} of two calls"


def _sizes(sizes: dict[str, int], unit: float, name: str) -> tuple[str, ...]:
    ours, theirs = sizes.get(MUNJIGI), sizes.get(NEXT_AUTH)
    cells = [f"{size / unit:,.1f} {name}" if size else "" for size in (ours, theirs)]
    return *cells, f"{ours / theirs:.2f} of it" if ours and theirs else "", "", "", ""


def _measure(work: str, contender: str, figures: Figures) -> tuple[str, ...]:
    return work, _spread(figures.rates(work, contender)), "", "", _cost(work, contender, figures), "", ""


def _spread(rates: list[float]) -> str:
    return f"{median(rates):,.0f} /s ({min(rates):,.0f} - {max(rates):,.0f})"


def _cost(work: str, contender: str, figures: Figures) -> str:
    seconds = figures.cost(work, contender)
    return f"{seconds * 1e6:,.0f} µs" if seconds else ""


def _aligned(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, (name, *rest) in enumerate(rows):
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield f"| {' | '.join((name.ljust(widths[0]), *cells))} |"
        if not number:
            yield f"| {'-' * widths[0]} | {' | '.join('-' * (width - 1) + ':' for width in widths[1:])} |"
