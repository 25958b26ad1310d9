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
from bench.processes import busy, occupied, peak_memory
from bench.visitors import Visitor

CONNECTIONS, AT_ONCE = 16, 100


@dataclass(frozen=True)
class Pace:
    rounds: int
    seconds: float
    warm_up: float


QUICK, FULL = Pace(rounds=5, seconds=0.5, warm_up=0.3), Pace(rounds=12, seconds=0.6, warm_up=2)


@dataclass(frozen=True)
class Turn:
    work: str
    name: str
    contender: Contender
    do: works.Work


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    quick = bool(os.environ.get("QUICK"))
    print(report(QUICK if quick else FULL, contenders.why_without_next_auth(quick=quick)))


def report(pace: Pace, without_next_auth: str | None) -> str:
    """The machine and the table, in Markdown; the reason why next-auth is not in it, if it is not."""
    with _started(with_next_auth=without_next_auth is None) as running:
        figures = uvloop.run(_measured(running, pace))
        figures.memory = {name: peak_memory(one.process) for name, one in running.items()}
    lines = [
        *machine.lines(with_next_auth=without_next_auth is None),
        f"{pace.rounds} rounds of {pace.seconds} s in turns, {CONNECTIONS} connections, medians (lowest - highest).",
        *([f"next-auth was left out: {without_next_auth}."] if without_next_auth else []),
    ]
    return "\n".join([*lines, "", table.text(figures)])


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


async def _measured(running: dict[str, Contender], pace: Pace) -> Figures:
    figures, sites = Figures(), [name for name in (MUNJIGI, NEXT_AUTH) if name in running]
    turns = await _turns(running, sites)
    for turn in turns:
        await _round(turn, pace.warm_up)
    for number in range(pace.rounds):
        _say(f"round {number + 1} of {pace.rounds}")
        for turn in turns if number % 2 else reversed(turns):
            figures.rounds[turn.work, turn.name].append(await _round(turn, pace.seconds))
        for name in sites if number % 2 else reversed(sites):
            seconds = await works.at_once(running[name].port, running[name].visitor, AT_ONCE)
            figures.rounds[table.AT_ONCE, name].append(Round(AT_ONCE, seconds))
            figures.occupied[name] = max(figures.occupied.get(name) or 0, occupied(running[name].process) or 0) or None
        if wrk.is_here():
            figures.rounds[table.VIEW, WRK].append(await _by_wrk(running[EMPTY]))
    _say("")
    figures.weight = {name: weight.of_the_page(running[name].port) for name in sites}
    return figures


async def _turns(running: dict[str, Contender], sites: list[str]) -> list[Turn]:
    turns = [Turn(table.BARE, ALONE, running[ALONE], await works.backend_calls(running[ALONE].port))]
    for name in sites:
        site = running[name]
        person: Visitor = site.visitor()
        turns += [
            Turn(table.READ, name, site, await works.session_reads(site.port, person)),
            Turn(table.PAGE, name, site, works.pages()),
            Turn(table.SIGN_IN, name, site, works.sign_ins(site.visitor)),
            Turn(table.API_SIGN_IN, name, site, works.api_sign_ins(site.visitor)),
        ]
        if name == MUNJIGI:
            turns.append(Turn(table.VERIFY, name, site, works.verify_checks(person)))
            turns.append(Turn(table.VIEW, EMPTY, running[EMPTY], works.empty_reads(person)))
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
