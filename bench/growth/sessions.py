"""Many people signed in, each read in turn, and as many ended sessions on the list that all processes share."""

import asyncio
from contextlib import ExitStack
from itertools import cycle

from bench import contenders, load, redis_server, works
from bench.contenders import Contender
from bench.figures import Round
from bench.growth.chart import Panel, chart
from bench.load import Connection, connections
from bench.processes import busy, resident
from bench.visitors import Visitor

SIZES = (100, 300, 1_000, 3_000, 10_000)
SECONDS, CONNECTIONS, AT_ONCE = 3.0, 16, 500
_FOLLOWED = 3.0
"""Seconds after which each process has read what is new on the list."""

Found = dict[int, tuple[Round, int]]
"""Sessions -> the reads, and the memory."""


async def measured() -> tuple[list[tuple[str, ...]], str]:
    found: Found = {}
    with ExitStack() as stack:
        state, behind = stack.enter_context(redis_server.running()), stack.enter_context(contenders.backend())
        site = stack.enter_context(contenders.site(behind.port, STATE_URL=state, WORKERS="1"))
        reads: list[works.Work] = []
        for size in SIZES:
            redis_server.fill(state, size - len(reads))
            reads += await _signed_in(site, size - len(reads))
            await asyncio.sleep(_FOLLOWED)
            found[size] = await _read_in_turn(site, reads), resident(site.process)
    return _rows(found), _plot(found)


async def _signed_in(site: Contender, number: int) -> list[works.Work]:
    """A read for each of so many new people."""
    people = [Visitor() for _ in range(number)]
    for start in range(0, number, AT_ONCE):
        waiting = people[start : start + AT_ONCE]
        async with connections(site.port, CONNECTIONS) as opened:
            await asyncio.gather(*(_sign_in(connection, waiting) for connection in opened))
    return [works.session_read(person) for person in people]


async def _sign_in(connection: Connection, waiting: list[Visitor]) -> None:
    while waiting:
        person = waiting.pop()
        await person.fetch_token(connection)
        await person.call_back(connection)


async def _read_in_turn(site: Contender, reads: list[works.Work]) -> Round:
    turns = cycle(reads)

    async def read(connection: Connection) -> None:
        await next(turns)(connection)

    before = busy(site.process)
    done, took = await load.done(site.port, CONNECTIONS, SECONDS, read)
    return Round(done, took, busy(site.process) - before)


def _rows(found: Found) -> list[tuple[str, ...]]:
    head = ("sessions, and ended ones", "reads", "CPU each", "memory")
    return [
        head,
        *(
            (f"{size:,}", f"{one.rate:,.0f} /s", f"{one.cost * 1e6:,.0f} µs", f"{memory / 1e6:.1f} MB")
            for size, (one, memory) in found.items()
        ),
    ]


def _plot(found: Found) -> str:
    cost = [(size, one.cost * 1e6) for size, (one, _) in found.items()]
    memory = [(size, taken / 1e6) for size, (_, taken) in found.items()]
    panels = [
        Panel("µs of a core for a read", "sessions", {"a read": cost}),
        Panel("MB of the process tree", "sessions", {"memory": memory}),
    ]
    return chart("More sessions", panels, columns=2)
