"""The load generator: connections that are kept, on uvloop, with httptools reading the answers.

A full client would cost more than the site that it measures (docs/decisions/0013-the-load-generator.md).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import httptools

LONGEST = 30.0
"""Seconds that connections stay open: a server that hangs does not hang the bench."""


class WrongAnswer(Exception):
    """The bench stops: a figure is worth nothing if the work behind it was not done."""

    def __init__(self, what: str, status: int = 0) -> None:
        super().__init__(what)
        self.status = status


@dataclass(slots=True)
class Answer:
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def header(self, wanted: bytes) -> bytes:
        return next((value for name, value in self.headers if name.lower() == wanted), b"")

    def cookies(self) -> dict[str, str]:
        """What it sets, deleted ones with them as empty values."""
        lines = (value.partition(b";")[0].decode() for name, value in self.headers if name.lower() == b"set-cookie")
        return {name: value for name, _, value in (line.partition("=") for line in lines)}


class Connection(asyncio.Protocol):
    """One request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._reading = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None

    def ask(self, request: bytes) -> Awaitable[Answer]:
        self._waiting = asyncio.get_running_loop().create_future()
        self._answer = Answer()
        if self._transport.is_closing():
            self.connection_lost(None)
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        try:
            self._reading.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"this is no HTTP: {error}: {data[:200]!r}")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._answer.body += body

    def on_message_complete(self) -> None:
        self._answer.status = self._reading.get_status_code()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"a connection broke off ({error or 'closed'})")

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(WrongAnswer(why))

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def connections(port: int, number: int) -> AsyncIterator[list[Connection]]:
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(number)]
    try:
        async with asyncio.timeout(LONGEST):
            yield opened
    except TimeoutError:
        raise WrongAnswer(f"no answer within {LONGEST:.0f} s") from None
    finally:
        for connection in opened:
            connection.close()


def request(method: str, path: str, cookie: str = "", body: str | None = None, **headers: str) -> bytes:
    """The bytes of one request, the headers of a browser behind a proxy with it."""
    lines = {
        "Host": "login.example.com",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept": "text/html,application/json;q=0.9,*/*;q=0.8",
        "Accept-Language": "ko-KR,ko;q=0.9,en;q=0.8",
        **({"Cookie": cookie} if cookie else {}),
        **({} if body is None else {"Content-Length": str(len(body))}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n{body or ''}".encode()


async def done(
    port: int, number: int, seconds: float, work: Callable[[Connection], Awaitable[object]]
) -> tuple[int, float]:
    """How often the work gets done when so many connections do nothing else, and in how many seconds."""

    async def keep_working(connection: Connection) -> int:
        times = 0
        while time.perf_counter() < ends:
            await work(connection)
            times += 1
        return times

    async with connections(port, number) as opened:
        started = time.perf_counter()
        ends = started + seconds
        counts = await asyncio.gather(*map(keep_working, opened))
        return sum(counts), time.perf_counter() - started
