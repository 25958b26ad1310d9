"""Start what is measured, let it take turns, print the table."""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields

import config
from bench import load, table, works
from bench.processes import free_ports, peak_memory, running

QUICK = bool(os.environ.get("QUICK"))
ROUNDS, SECONDS = (5, 0.5) if QUICK else (16, 0.6)
CONNECTIONS, AT_ONCE = 16, 100


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    site, empty, behind = free_ports(3)
    with ExitStack() as stack:
        stack.enter_context(running("the stand-in backend", behind, "-m", "bench.backend", str(behind)))
        stack.enter_context(running("the empty view", empty, "-m", "bench.empty_view", environ=_environ(empty, behind)))
        server = stack.enter_context(running("the site", site, "serve.py", environ=_environ(site, behind)))
        figures, weight = asyncio.run(_measured(site, empty, behind))
        memory = peak_memory(server)
    threads = config.load(_environ(site, behind)).threads
    head = f"{ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections; WORKERS=1 THREADS={threads}"
    print(table.text(head, figures, memory, weight))


def _environ(port: int, behind: int) -> Mapping[str, str]:
    """Settings as in production behind a proxy; all others have their defaults, but THREADS, which may be tried out."""
    settings = {field.name.upper() for field in fields(config.Settings)} - {"THREADS"}
    return {
        **{name: value for name, value in os.environ.items() if name not in settings},
        "PYTHON_DOTENV_DISABLED": "1",
        "SITE_URL": works.SITE_URL,
        "SECRET_KEY": "Vq4W9zKsT2-only-for-measurements-mX7",
        "BACKEND_URL": f"http://127.0.0.1:{behind}",
        "PROXY_HOPS": "1",
        "WORKERS": "1",
        "PORT": str(port),
    }


async def _measured(site: int, empty: int, behind: int) -> tuple[Mapping[str, list[float]], int]:
    """Every round's figures by the name of the work; and the sign-in page's bytes."""
    read, empty_read = await works.session_reads(site)
    turns: list[tuple[str, int, works.Work]] = [
        (table.CEILING, behind, await works.backend_calls(behind)),
        (table.EMPTY, empty, empty_read),
        (table.SESSION, site, read),
        (table.PAGE, site, works.page()),
        (table.SIGN_IN, site, works.sign_in),
    ]
    for _, port, work in turns:  # warm-up
        await load.rate(port, CONNECTIONS, SECONDS / 4, work)
    figures = defaultdict(list)
    for number in range(ROUNDS):
        _say(f"round {number + 1} of {ROUNDS}")
        for name, port, work in turns if number % 2 else reversed(turns):
            figures[name].append(await load.rate(port, CONNECTIONS, SECONDS, work))
        figures[table.AT_ONCE].append(await works.at_once(site, AT_ONCE))
    _say("")
    return figures, await works.page_weight(site)


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
