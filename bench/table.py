"""Format the results as Markdown tables with aligned columns; most rows have a target."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.results import Results, Sample, median_ratio
from bench.sites import MUNJIGI, NEXT_AUTH

READ = "session reads"
VERIFY = "forward-auth checks, beside session reads"
PAGE = "sign-in pages"
SCRIPT_SIGN_IN = "e-mail sign-ins by script"
FORM_SIGN_IN = "e-mail sign-ins from the page on"
AT_ONCE, AT_ONCE_NUMBER, AT_ONCE_DELAY = "100 sign-ins at once, 300 ms a call", 100, 300
RUSH, RUSH_NUMBER, RUSH_DELAY = "1,000 sign-ins at once, 2 s a call", 1000, 2000
ONE_WORKER, TWO_WORKERS = "sign-ins with one worker", "sign-ins with two workers"
BACKEND_ALONE = "calls to the stand-in backend"
READ_BY_WRK = "session reads, by wrk"


@dataclass(frozen=True)
class Promise:
    """A target: the value must be at least `must` (at most, if less is better). `aim` is a better value."""

    must: float
    aim: float | None
    text: str
    """A format string for the number: `{} ×`."""
    less_is_better: bool = False

    def cells(self) -> tuple[str, str]:
        sign = "≤ " if self.less_is_better else "≥ "
        must, aim = (
            None if value is None else sign + self.text.format(f"{value:g}") for value in (self.must, self.aim)
        )
        return must or "", aim or ""

    def verdict(self, value: float | None) -> str:
        if value is None:
            return ""
        sign = -1 if self.less_is_better else 1
        if sign * value < sign * self.must:
            return "NO"
        return "aim" if self.aim is not None and sign * value >= sign * self.aim else "yes"


READS = PAGES = Promise(4, 6, "{} ×")
SIGN_INS = Promise(1, 1.5, "{} ×")
SECONDS_AT_ONCE = Promise(1.1, 1, "{} ×", less_is_better=True)
SECONDS_OF_RUSH = Promise(12, None, "{} s, all", less_is_better=True)
MEMORY = Promise(0.45, 0.33, "{} ×", less_is_better=True)
START = Promise(1.5, 0.8, "{} s", less_is_better=True)
PAGE_SIZE = Promise(16, None, "{} kB", less_is_better=True)
TWO_BESIDE_ONE = Promise(1.6, 1.9, "{} ×")


@dataclass(frozen=True)
class Row:
    name: str
    values: dict[str, list[float]]
    """Values by site, one for each round."""
    show: Callable[[str, list[float]], str]
    """Formats the cell of a site."""
    promise: Promise | None = None
    absolute: bool = False
    """The target is for the value itself, not for its ratio to the value of next-auth."""

    def ratio(self, other: str) -> float | None:
        return median_ratio(self.values.get(MUNJIGI, []), self.values.get(other, []))

    def judged(self) -> float | None:
        ours = self.values.get(MUNJIGI)
        return (median(ours) if ours else None) if self.absolute else self.ratio(NEXT_AUTH)


def text(results: Results, sites: list[str]) -> str:
    """Return the tables of targets and of CPU time, and the rates of the load generator."""
    return "\n\n".join(
        [promises(results, sites), processor_time(results, sites), load_generator(results, sites)]
    ).rstrip()


def promises(results: Results, sites: list[str]) -> str:
    others = [site for site in sites if site != MUNJIGI]
    head = ("", *sites, *(f"÷ {site}" for site in others), "promise", "aim", "met")
    rows = [head]
    for row in _rows(results, sites):
        if not row.values:
            continue
        cells = [row.show(site, row.values[site]) if row.values.get(site) else "" for site in sites]
        ratios = [f"{ratio:.2f}" if (ratio := row.ratio(other)) else "" for other in others]
        promise = (*row.promise.cells(), _verdict(row, results)) if row.promise else ("", "", "")
        rows.append((row.name, *cells, *ratios, *promise))
    return markdown(rows)


def processor_time(results: Results, sites: list[str]) -> str:
    """Return the CPU time per task over all processes. It depends less on other load of the machine than the rates."""
    rows = [("processor time of one", *sites)]
    for task in (READ, VERIFY, PAGE, SCRIPT_SIGN_IN, FORM_SIGN_IN):
        cells = [results.cpu_each(task, site) for site in sites]
        if any(cells):
            rows.append((task.partition(",")[0], *(f"{cell * 1e6:,.0f} µs" if cell else "" for cell in cells)))
    return markdown(rows) if len(rows) > 1 else ""


def load_generator(results: Results, sites: list[str]) -> str:
    alone = [sample.rate for sample in results.of(BACKEND_ALONE, BACKEND_ALONE)]
    lines = [f"The load generator itself: {_rates('', alone)} of the stand-in backend."] if alone else []
    wrk = [f"{site} {_rates('', rates)}" for site in sites if (rates := _rate(results, READ_BY_WRK, site))]
    lines += [f"Session reads measured by wrk: {', '.join(wrk)}."] if wrk else []
    return "\n".join(lines)


def _rows(results: Results, sites: list[str]) -> list[Row]:
    def samples(task: str, value: Callable[[Sample], float]) -> dict[str, list[float]]:
        by_site = {site: [value(sample) for sample in results.of(task, site)] for site in sites}
        return {site: values for site, values in by_site.items() if any(values)}

    def rates(task: str) -> dict[str, list[float]]:
        return samples(task, lambda sample: sample.rate)

    def once(by_site: dict[str, int | None] | dict[str, int], unit: float) -> dict[str, list[float]]:
        return {site: [value / unit] for site in sites if (value := by_site.get(site))}

    def seconds(task: str) -> Callable[[str, list[float]], str]:
        return lambda site, values: f"{_spread(values, '{:.2f}')} s{_accepted(results.of(task, site))}"

    def megabytes(_: str, values: list[float]) -> str:
        return f"{values[0]:,.1f} MB"

    checks = rates(VERIFY)
    if NEXT_AUTH in sites:  # it has no forward auth
        checks[NEXT_AUTH] = [sample.rate for sample in results.of(READ, NEXT_AUTH)]
    ratios = {
        site: [
            two.rate / one.rate
            for two, one in zip(results.of(TWO_WORKERS, site), results.of(ONE_WORKER, site), strict=True)
        ]
        for site in sites
        if results.of(TWO_WORKERS, site)
    }

    def two_beside_one(site: str, values: list[float]) -> str:
        one, two = (median(_rate(results, task, site)) for task in (ONE_WORKER, TWO_WORKERS))
        return f"{_spread(values, '{:.2f}')}: {one:,.0f} -> {two:,.0f} /s"

    return [
        Row(READ, rates(READ), _rates, READS),
        Row(VERIFY, checks, _rates, READS),
        Row(PAGE, rates(PAGE), _rates, PAGES),
        Row(SCRIPT_SIGN_IN, rates(SCRIPT_SIGN_IN), _rates, SIGN_INS),
        Row(
            "… per second of processor time", samples(SCRIPT_SIGN_IN, lambda sample: sample.cpu_rate), _rates, SIGN_INS
        ),
        Row(FORM_SIGN_IN, rates(FORM_SIGN_IN), _rates),
        Row(AT_ONCE, samples(AT_ONCE, lambda sample: sample.seconds), seconds(AT_ONCE), SECONDS_AT_ONCE),
        Row(RUSH, samples(RUSH, lambda sample: sample.seconds), seconds(RUSH), SECONDS_OF_RUSH, absolute=True),
        Row("peak memory, sum of VmHWM", once(results.peak_memory, 1e6), megabytes, MEMORY),
        Row("… shared pages counted once", once(results.unique_memory, 1e6), megabytes),
        Row(
            "start to first answer",
            {site: results.start_seconds[site] for site in sites if site in results.start_seconds},
            seconds(""),
            START,
            absolute=True,
        ),
        Row(
            "sign-in page with assets",
            once(results.page_bytes, 1e3),
            lambda _, values: f"{values[0]:,.1f} kB",
            PAGE_SIZE,
            absolute=True,
        ),
        Row("two workers beside one", ratios, two_beside_one, TWO_BESIDE_ONE, absolute=True),
    ]


def _verdict(row: Row, results: Results) -> str:
    """Return whether the target is met. A failed sign-in misses it, whatever the time of the others."""
    assert row.promise
    has_failures = any(sample.failed for sample in results.of(row.name, MUNJIGI))
    return "NO" if has_failures else row.promise.verdict(row.judged())


def _rate(results: Results, task: str, site: str) -> list[float]:
    return [sample.rate for sample in results.of(task, site)]


def _rates(_: str, values: list[float]) -> str:
    return f"{_spread(values, '{:,.0f}')} /s"


def _spread(values: list[float], form: str) -> str:
    """Format the median, with minimum and maximum if there are several values."""
    middle, low, high = (form.format(value) for value in (median(values), min(values), max(values)))
    return f"{middle} ({low} - {high})" if len(values) > 1 else middle


def _accepted(samples: list[Sample]) -> str:
    failed = max((sample.failed for sample in samples), default=0)
    return f", up to {failed:,} refused" if failed else ""


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Return a table with aligned columns. The first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append(f"| {' | '.join((name.ljust(widths[0]), *cells))} |")
    lines.insert(1, f"| {'-' * widths[0]} | {' | '.join('-' * (width - 1) + ':' for width in widths[1:])} |")
    return "\n".join(lines)
