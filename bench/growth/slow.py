"""More and more people who sign in at the same moment, before a backend that takes its time."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import quantiles

from bench import backend, contenders
from bench.contenders import Contender
from bench.growth.chart import Panel, chart
from bench.load import Connection, WrongAnswer, connections
from bench.visitors import Visitor

PEOPLE, TIMES, WARM_UP = (1, 10, 50, 100, 200, 300, 500), 4, 60
DEFAULT, MANY = "100 threads, the default", "350 threads"
THREADS = {DEFAULT: "100", MANY: "350"}
NEXT_AUTH = "next-auth"


@dataclass(frozen=True)
class Rush:
    """Seconds that each sign-in took, the whole of them, and how many were sent away with a 503."""

    each: list[float]
    whole: float
    refused: int

    def share(self, percent: int) -> float:
        return quantiles(self.each * 2, n=100, method="inclusive")[percent - 1]  # twice, for it wants two at least


Found = dict[str, dict[int, Rush]]


async def measured() -> tuple[list[tuple[str, ...]], str]:
    with ExitStack() as stack:
        behind = stack.enter_context(contenders.backend()).port
        sites = {name: stack.enter_context(contenders.site(behind, THREADS=number)) for name, number in THREADS.items()}
        if not contenders.why_without_next_auth(quick=False):
            sites[NEXT_AUTH] = stack.enter_context(contenders.next_auth(behind))
        found = await _rushes(sites)
    return _rows(found), _plot(found)


async def _rushes(sites: dict[str, Contender]) -> Found:
    """In turns; of each the quickest, for what else goes on in the machine makes nothing quicker."""
    found: Found = {name: {} for name in sites}
    for number in (WARM_UP, *PEOPLE):
        taken: dict[str, list[Rush]] = {name: [] for name in sites}
        for name in [*sites] * TIMES:
            taken[name].append(await _rush(sites[name], number))
        for name, rushes in taken.items():
            found[name][number] = min(rushes, key=lambda one: (one.refused, one.whole))
    return {name: {number: rushes[number] for number in PEOPLE} for name, rushes in found.items()}


async def _rush(site: Contender, number: int) -> Rush:
    people = [site.visitor(backend.PATIENT) for _ in range(number)]
    async with connections(site.port, min(number, 16)) as opened:
        waiting = list(people)
        await asyncio.gather(*(_open_forms(connection, waiting) for connection in opened))
    async with connections(site.port, number) as opened:
        began = time.perf_counter()
        each = await asyncio.gather(*(_send_form(*both) for both in zip(people, opened, strict=True)))
        whole = time.perf_counter() - began
    served = [seconds for seconds in each if seconds is not None]
    return Rush(served, whole, len(each) - len(served))


async def _open_forms(connection: Connection, waiting: list[Visitor]) -> None:
    while waiting:
        await waiting.pop().open_form(connection)


async def _send_form(person: Visitor, connection: Connection) -> float | None:
    """Seconds; None if the site had no place and said so at once."""
    began = time.perf_counter()
    try:
        await person.send_form(connection)
    except WrongAnswer as error:
        if error.status != 503:
            raise
        return None
    finally:
        connection.close()  # a server of few threads takes the next one only then
    return time.perf_counter() - began


def _rows(found: Found) -> list[tuple[str, ...]]:
    head = ("at once", *(cell for name in found for cell in (name, "p50", "p99", "refused")))
    return [head, *((f"{number}", *(_cells(found[name][number] for name in found))) for number in PEOPLE)]


def _cells(rushes: Iterable[Rush]) -> list[str]:
    return [
        cell
        for one in rushes
        for cell in (f"{one.whole:.2f} s", f"{one.share(50):.2f} s", f"{one.share(99):.2f} s", str(one.refused))
    ]


def _plot(found: Found) -> str:
    whole = {name: [(number, one.whole) for number, one in rushes.items()] for name, rushes in found.items()}
    p50, p99 = (
        {name: [(number, one.share(share)) for number, one in rushes.items()] for name, rushes in found.items()}
        for share in (50, 99)
    )
    refused = {name: [(number, one.refused) for number, one in rushes.items()] for name, rushes in found.items()}
    panels = [
        Panel("seconds until the last is answered", "sign-ins at once", whole),
        Panel("sent away with a 503", "sign-ins at once", refused),
        Panel("seconds of half of who got in (p50)", "sign-ins at once", p50),
        Panel("seconds of 99 in a hundred of them (p99)", "sign-ins at once", p99),
    ]
    return chart("More sign-ins at once, 300 ms a call", panels, columns=2, doubling=False)
