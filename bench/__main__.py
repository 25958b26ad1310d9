"""Start the sites, measure them alternately and print the results as tables.

`python -m bench --beside CHECKOUT` also measures the site of another checkout with the `.venv` of that checkout, to
compare a change with the version before it in one run. `QUICK=1` leaves next-auth out.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import uvloop

from bench import environment, load, sites, table, tasks, wrk
from bench.page_weight import page_bytes
from bench.processes import cpu_seconds, peak_memory, raise_open_files_limit, unique_memory
from bench.results import Results, Sample
from bench.sites import NEXT_AUTH, Site, Start
from bench.visitors import SESSION, Visitor

CONNECTIONS = 16
CONNECTIONS_OF_TWO_WORKERS = 48
"""Enough to keep each worker busy although the kernel does not distribute connections evenly."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Pace:
    rounds: int
    seconds: float
    """Duration of a turn."""
    warm_up: float
    rushes: int
    """Number of runs with 1,000 simultaneous sign-ins."""
    starts: int
    worker_rounds: int
    worker_seconds: float
    """Duration of a turn with one or two workers."""


QUICK = Pace(rounds=4, seconds=0.5, warm_up=0.3, rushes=1, starts=3, worker_rounds=4, worker_seconds=1)
FULL = Pace(rounds=12, seconds=0.6, warm_up=2, rushes=2, starts=5, worker_rounds=8, worker_seconds=1.5)


@dataclass(frozen=True)
class Turn:
    task: str
    name: str
    site: Site
    do: tasks.Task
    connections: int = CONNECTIONS

    async def sample(self, seconds: float) -> Sample:
        before = cpu_seconds(self.site.process)
        count, elapsed = await load.run(self.site.port, self.connections, seconds, self.do)
        return Sample(count, elapsed, cpu_seconds(self.site.process) - before)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # exit cleanly, so that the sites are stopped
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout, with packages in its .venv")
    beside = parser.parse_args().beside
    quick = bool(os.environ.get("QUICK"))
    raise_open_files_limit()
    reason = sites.why_without_next_auth(quick=quick)
    print(report(QUICK if quick else FULL, reason, beside.resolve() if beside else None))


def report(pace: Pace, without_next_auth: str | None, beside: Path | None = None) -> str:
    """Measure, and return the machine and the results as Markdown. `without_next_auth`: why it is left out, or None."""
    starts = sites.all_sites(beside, with_next_auth=without_next_auth is None)
    results = Results()
    with sites.backend() as backend:
        for measure in (measure_tasks, measure_rushes, measure_workers):
            uvloop.run(measure(starts, backend, pace, results))
        measure_starts(starts, backend, pace, results)
    lines = [
        *environment.lines(beside=beside, with_next_auth=without_next_auth is None),
        f"{pace.rounds} rounds of {pace.seconds} s in turns, {CONNECTIONS} connections: median (lowest - highest).",
        *([f"next-auth was left out: {without_next_auth}."] if without_next_auth else []),
    ]
    return "\n".join([*lines, "", table.text(results, list(starts))])


async def measure_tasks(starts: dict[str, Start], backend: Site, pace: Pace, results: Results) -> None:
    """Measure rates, 100 simultaneous sign-ins, memory and page weight, on sites that keep running."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(start(backend.port)) for name, start in starts.items()}
        turns, reads = await _turns(running, backend)
        for turn in turns:
            await turn.sample(pace.warm_up)
        for number in range(pace.rounds):
            _show(f"round {number + 1} of {pace.rounds}")
            for turn in _alternating(turns, number):
                results.samples[turn.task, turn.name].append(await turn.sample(pace.seconds))
            for name, site in _alternating(list(running.items()), number):
                count, delay = table.AT_ONCE_NUMBER, table.AT_ONCE_DELAY
                sample = await tasks.sign_ins_at_once(site.port, site.visitor, count, delay)
                results.samples[table.AT_ONCE, name].append(sample)
                results.unique_memory[name] = _larger(results.unique_memory.get(name), unique_memory(site.process))
                if wrk.is_installed() and number % 2:
                    rate = await wrk.rate(site.port, CONNECTIONS, reads[name])
                    results.samples[table.READ_BY_WRK, name].append(Sample(round(rate), 1.0))
        results.page_bytes = {name: page_bytes(site.port) for name, site in running.items()}
        results.peak_memory = {name: peak_memory(site.process) for name, site in running.items()}


async def _turns(running: dict[str, Site], backend: Site) -> tuple[list[Turn], dict[str, bytes]]:
    """Return the turns of a round, and for each site the bytes of a session read."""
    backend_call = await tasks.backend_call(backend.port)
    turns, reads = [Turn(table.BACKEND_ALONE, table.BACKEND_ALONE, backend, backend_call)], {}
    for name, site in running.items():
        visitor: Visitor = await tasks.signed_in(site.port, site.visitor())
        reads[name] = visitor.get(SESSION)
        turns += [
            Turn(table.READ, name, site, tasks.session_read(visitor)),
            Turn(table.PAGE, name, site, tasks.page()),
            Turn(table.SCRIPT_SIGN_IN, name, site, tasks.script_sign_in(site.visitor)),
            Turn(table.FORM_SIGN_IN, name, site, tasks.form_sign_in(site.visitor)),
        ]
        if name != NEXT_AUTH:
            turns.append(Turn(table.VERIFY, name, site, tasks.forward_auth_check(visitor)))
    return turns, reads


async def measure_rushes(starts: dict[str, Start], backend: Site, pace: Pace, results: Results) -> None:
    """Measure 1,000 simultaneous sign-ins, with `BACKEND_CONCURRENCY` at that number."""
    settings = {"BACKEND_CONCURRENCY": str(table.RUSH_NUMBER)}
    if not pace.rushes:
        return
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(start(backend.port, **({} if name == NEXT_AUTH else settings)))
            for name, start in starts.items()
        }
        for site in running.values():
            await tasks.sign_ins_at_once(site.port, site.visitor, tasks.FEW, 0)  # warm-up
        for rush in range(pace.rushes):
            for name, site in _alternating(list(running.items()), rush):
                _show(f"{table.RUSH}: {name}")
                sample = await tasks.sign_ins_at_once(site.port, site.visitor, table.RUSH_NUMBER, table.RUSH_DELAY)
                results.samples[table.RUSH, name].append(sample)


async def measure_workers(starts: dict[str, Start], backend: Site, pace: Pace, results: Results) -> None:
    """Measure sign-ins by script with one worker process and with two, alternately."""
    with ExitStack() as stack:
        turns = []
        for name, start in starts.items():
            for task, workers in ((table.ONE_WORKER, "1"), (table.TWO_WORKERS, "2")):
                if name != NEXT_AUTH:
                    site = stack.enter_context(start(backend.port, WORKERS=workers))
                    do = tasks.script_sign_in(site.visitor)
                    turns.append(Turn(task, name, site, do, CONNECTIONS_OF_TWO_WORKERS))
        for turn in turns:
            await turn.sample(pace.warm_up)
        for number in range(pace.worker_rounds):
            _show(f"one and two workers, round {number + 1} of {pace.worker_rounds}")
            for turn in _alternating(turns, number):
                results.samples[turn.task, turn.name].append(await turn.sample(pace.worker_seconds))
    _show("")


def measure_starts(starts: dict[str, Start], backend: Site, pace: Pace, results: Results) -> None:
    for number in range(pace.starts):
        for name, start in _alternating(list(starts.items()), number):
            _show(f"start {number + 1} of {pace.starts}: {name}")
            results.start_seconds[name].append(sites.seconds_to_first_answer(start, backend.port))
    _show("")


def _alternating(items: list[_Item], number: int) -> Iterator[_Item]:
    """Reverse the order every other round, so that no site always comes first."""
    return iter(items) if number % 2 else reversed(items)


def _larger(first: int | None, second: int | None) -> int | None:
    return max(first or 0, second or 0) or None


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:60}", end="\r" if not text else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except load.WrongAnswer as error:
        sys.exit(f"The benchmark stopped at an unexpected response. {error}")
    except KeyboardInterrupt:
        sys.exit(130)
