"""The figures as one plain table."""

import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from statistics import median

from bench.backend import DELAY

EMPTY = "empty JSON view, same server"
SESSION = "session reads"
PAGE = "sign-in pages"
SIGN_IN = "e-mail sign-ins, page included"
AT_ONCE = "100 sign-ins at once, backend 300 ms a call"
CEILING = "load generator on the bare stand-in backend"

_TWO_CALLS = 2 * DELAY
_HEAD = ("work", "median", "min - max", "ratio", "promise")


def text(head: str, figures: Mapping[str, list[float]], memory: int | None, weight: int) -> str:
    rows = [
        _HEAD,
        _rate(EMPTY, figures),
        _rate(SESSION, figures, "at most 2"),
        _rate(PAGE, figures),
        _rate(SIGN_IN, figures),
        _at_once(figures[AT_ONCE]),
        ("peak memory of the process tree", _megabytes(memory), "", "", ""),
        ("sign-in page and its assets on the wire", f"{weight / 1000:.1f} kB", "", "", "under 40 kB"),
        _rate(CEILING, figures),
    ]
    return "\n".join([_machine(), head, "", *_aligned(rows), "", *_NOTES])


_NOTES = (
    "Rates are of one second. Ratio: what one costs in empty JSON views, in the median round; for sign-ins at once,",
    "in the time of the two calls. Memory: VmHWM, summed over the processes. Every answer was checked.",
)


def _machine() -> str:
    system = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{system}, Flask {version('flask')}, Granian {version('granian')}"


def _rate(name: str, figures: Mapping[str, list[float]], promise: str = "") -> tuple[str, ...]:
    rates = figures[name]
    ratio = ""
    if name in (SESSION, PAGE, SIGN_IN):
        ratio = f"{median(empty / one for empty, one in zip(figures[EMPTY], rates, strict=True)):.2f}"
    return name, f"{median(rates):,.0f} /s", f"{min(rates):,.0f} - {max(rates):,.0f}", ratio, promise


def _at_once(seconds: list[float]) -> tuple[str, ...]:
    spread = f"{min(seconds):.2f} - {max(seconds):.2f}"
    return AT_ONCE, f"{median(seconds):.2f} s", spread, f"{median(seconds) / _TWO_CALLS:.2f}", "at most 1.3"


def _megabytes(memory: int | None) -> str:
    return "not measured" if memory is None else f"{memory / 1e6:.0f} MB"


def _aligned(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join((name.ljust(widths[0]), *cells)).rstrip()
