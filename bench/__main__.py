"""Start what is measured, let it take turns, print the table."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import uvloop

from bench import contenders, load, machine, table, weight, works, wrk
from bench.contenders import Contender
from bench.figures import ALONE, EMPTY, MUNJIGI, NEXT_AUTH, WRK, Figures, Round
from bench.processes import busy, peak_memory
from bench.visitors import Visitor

QUICK = bool(os.environ.get("QUICK"))
ROUNDS, SECONDS, WARM_UP = (5, 0.5, 0.3) if QUICK else (12, 0.6, 2.0)
CONNECTIONS, AT_ONCE = 16, 100


@dataclass(frozen=True)
class Turn:
    work: str
    name: str
    contender: Contender
    do: works.Work


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    missing = contenders.why_without_next_auth(quick=QUICK)
    with _started(with_next_auth=missing is None) as running:
        figures = uvloop.run(_measured(running))
        figures.memory = {name: peak_memory(one.process) for name, one in running.items()}
    print(machine.text(next_auth=missing is None))
    print(f"{ROUNDS} rounds of {SECONDS} s in turns, {CONNECTIONS} connections, medians (lowest - highest).")
    if missing:
        print(f"next-auth was left out: {missing}.")
    print(f"\n{table.text(figures)}")


@contextmanager
def _started(*, with_next_auth: bool) -> Iterator[dict[str, Contender]]:
    with ExitStack() as stack:
        behind = stack.enter_context(contenders.backend())
        running = {
            ALONE: behind,
            EMPTY: stack.enter_context(contenders.empty_view(behind.port)),
            MUNJIGI: stack.enter_context(contenders.site(behind.port)),
        }
        if with_next_auth:
            running[NEXT_AUTH] = stack.enter_context(contenders.next_auth(behind.port))
        yield running


async def _measured(running: dict[str, Contender]) -> Figures:
    figures = Figures()
    turns = await _turns(running)
    for turn in turns:
        await _round(turn, WARM_UP)
    sites = [name for name in (MUNJIGI, NEXT_AUTH) if name in running]
    for number in range(ROUNDS):
        _say(f"round {number + 1} of {ROUNDS}")
        for turn in turns if number % 2 else reversed(turns):
            figures.rounds[turn.work, turn.name].append(await _round(turn, SECONDS))
        for name in sites if number % 2 else reversed(sites):
            seconds = await works.at_once(running[name].port, running[name].visitor, AT_ONCE)
            figures.rounds[table.AT_ONCE, name].append(Round(AT_ONCE, seconds))
        if wrk.is_here():
            figures.rounds[table.VIEW, WRK].append(await _by_wrk(running[EMPTY]))
    _say("")
    figures.weight = {name: weight.of_the_page(running[name].port) for name in sites}
    return figures


async def _turns(running: dict[str, Contender]) -> list[Turn]:
    turns = [Turn(table.BARE, ALONE, running[ALONE], await works.backend_calls(running[ALONE].port))]
    for name in (MUNJIGI, NEXT_AUTH):
        if name in running:
            turns += await _turns_of(name, running)
    return turns


async def _turns_of(name: str, running: dict[str, Contender]) -> list[Turn]:
    site = running[name]
    person: Visitor = site.visitor()
    turns = [
        Turn(table.READ, name, site, await works.session_reads(site.port, person)),
        Turn(table.PAGE, name, site, works.pages()),
        Turn(table.SIGN_IN, name, site, works.sign_ins(site.visitor)),
        Turn(table.API_SIGN_IN, name, site, works.api_sign_ins(site.visitor)),
    ]
    if name == MUNJIGI:
        turns += [
            Turn(table.VERIFY, name, site, works.verify_checks(person)),
            Turn(table.VIEW, EMPTY, running[EMPTY], works.empty_reads(person)),
        ]
    return turns


async def _round(turn: Turn, seconds: float) -> Round:
    before = busy(turn.contender.process)
    done, took = await load.done(turn.contender.port, CONNECTIONS, seconds, turn.do)
    return Round(done, took, busy(turn.contender.process) - before)


async def _by_wrk(empty: Contender) -> Round:
    before = busy(empty.process)
    rate = await wrk.rate(empty.port, CONNECTIONS, Visitor().request("/"))
    return Round(round(rate), 1.0, busy(empty.process) - before)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:20}", end="\r" if not text else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except load.WrongAnswer as error:
        sys.exit(f"The bench stopped at a wrong answer. {error}")
    except KeyboardInterrupt:
        sys.exit(130)
