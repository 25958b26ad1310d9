"""The same three works with more processes, and with more threads in each."""

from bench import contenders, load, works
from bench.contenders import Contender
from bench.figures import Round
from bench.growth.chart import Panel, chart
from bench.processes import busy, resident
from bench.visitors import Visitor

WORKERS, THREADS = (1, 2, 4), (1, 2, 4, 16, 100)
SECONDS, TIMES, CONNECTIONS = 0.7, 3, 16
READ, PAGE, SIGN_IN = "session reads", "sign-in pages", "e-mail sign-ins"

Found = dict[tuple[int, int], tuple[dict[str, Round], int]]
"""Processes and threads -> a round of each work, and the memory."""


async def measured() -> tuple[list[tuple[str, ...]], str]:
    found: Found = {}
    with contenders.backend() as behind:
        for workers in WORKERS:
            for threads in THREADS:
                with contenders.site(behind.port, WORKERS=str(workers), THREADS=str(threads)) as site:
                    # As many as may call the backend, or wait for a place: others would hear no at once.
                    rounds = await _rounds(site, min(CONNECTIONS, threads + max(2, threads // 2)))
                    found[workers, threads] = rounds, resident(site.process)
    return _rows(found), _plot(found)


async def _rounds(site: Contender, connections: int) -> dict[str, Round]:
    """The quickest of some: what else goes on in the machine makes nothing quicker."""
    doing = {
        READ: await works.session_reads(site.port, Visitor()),
        PAGE: works.pages(),
        SIGN_IN: works.sign_ins(Visitor),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in doing}
    for _ in range(1 + TIMES):
        for name, work in doing.items():
            before = busy(site.process)
            done, took = await load.done(site.port, connections, SECONDS, work)
            rounds[name].append(Round(done, took, busy(site.process) - before))
    return {name: max(taken[1:], key=lambda one: one.rate) for name, taken in rounds.items()}


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
