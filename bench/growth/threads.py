"""The same three works with more processes, and with more threads in each."""

from contextlib import ExitStack

from bench import contenders, load, works
from bench.contenders import Contender
from bench.figures import Round
from bench.growth.chart import Panel, chart
from bench.processes import busy, resident
from bench.visitors import Visitor

WORKERS, THREADS = (1, 2, 4), (1, 2, 4, 16, 100)
SECONDS, TIMES, CONNECTIONS = 0.5, 6, 16
READ, PAGE, SIGN_IN = "session reads", "sign-in pages", "e-mail sign-ins"

Found = dict[tuple[int, int], tuple[dict[str, Round], int]]
"""Processes and threads -> a round of each work, and the memory."""


async def measured() -> tuple[list[tuple[str, ...]], str]:
    with ExitStack() as stack:
        behind = stack.enter_context(contenders.backend()).port
        sites = {
            (workers, threads): stack.enter_context(contenders.site(behind, WORKERS=str(workers), THREADS=str(threads)))
            for workers in WORKERS
            for threads in THREADS
        }
        rounds = await _rounds(sites)
        found = {key: (rounds[key], resident(site.process)) for key, site in sites.items()}
    return _rows(found), _plot(found)


async def _rounds(sites: dict[tuple[int, int], Contender]) -> dict[tuple[int, int], dict[str, Round]]:
    """In turns; of each the quickest, for what else goes on in the machine makes nothing quicker."""
    doing = {key: await _works(site) for key, site in sites.items()}
    rounds: dict[tuple[int, int], dict[str, list[Round]]] = {key: {name: [] for name in doing[key]} for key in sites}
    for _ in range(1 + TIMES):
        for key, site in sites.items():
            for name, work in doing[key].items():
                rounds[key][name].append(await _round(site, work, _connections(key[1])))
    return {
        key: {name: max(taken[1:], key=lambda one: one.rate) for name, taken in of.items()}
        for key, of in rounds.items()
    }


async def _works(site: Contender) -> dict[str, works.Work]:
    reads = await works.session_reads(site.port, Visitor())
    return {READ: reads, PAGE: works.pages(), SIGN_IN: works.sign_ins(Visitor)}


def _connections(threads: int) -> int:
    """As many as may call the backend, or wait for a place: others would hear no at once."""
    return min(CONNECTIONS, threads + max(2, threads // 2))


async def _round(site: Contender, work: works.Work, connections: int) -> Round:
    before = busy(site.process)
    done, took = await load.done(site.port, connections, SECONDS, work)
    return Round(done, took, busy(site.process) - before)


def _rows(found: Found) -> list[tuple[str, ...]]:
    head = ("processes", "threads", *(part for name in (READ, PAGE, SIGN_IN) for part in (name, "CPU each")), "memory")
    return [head, *(_row(*key, *found[key]) for key in found)]


def _row(workers: int, threads: int, rounds: dict[str, Round], memory: int) -> tuple[str, ...]:
    cells = (cell for one in rounds.values() for cell in (f"{one.rate:,.0f} /s", f"{one.cost * 1e6:,.0f} µs"))
    return str(workers), str(threads), *cells, f"{memory / 1e6:.0f} MB"


def _plot(found: Found) -> str:
    """Above, how many a second; below, what one costs."""

    def lines(name: str, value: str) -> dict[str, list[tuple[float, float]]]:
        scale = 1e6 if value == "cost" else 1
        return {
            f"{workers} process{'es' * (workers > 1)}": [
                (threads, getattr(found[workers, threads][0][name], value) * scale) for threads in THREADS
            ]
            for workers in WORKERS
        }

    names = (READ, PAGE, SIGN_IN)
    panels = [Panel(f"{name} a second", "threads each", lines(name, "rate")) for name in names]
    panels += [Panel(f"µs of a core each: {name}", "threads each", lines(name, "cost")) for name in names]
    return chart("More threads, more processes", panels, columns=3)
