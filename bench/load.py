"""The load generator: keep-alive connections that speak just as much HTTP/1.1 as the bench needs.

A full client would cost more than the site that it measures.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

LONGEST = 30.0
"""Seconds that connections stay open: a server that hangs does not hang the bench."""
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_NO_BODY = _LENGTH.match(b"\r\nContent-Length: 0")
_COOKIE = re.compile(rb"\r\nset-cookie: *([^=;\r]+)=([^;\r]+)", re.IGNORECASE)


class WrongAnswer(Exception):
    """The bench stops: a figure is worth nothing if the work behind it was not done."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    def cookies(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in _COOKIE.findall(self.head)}


class Connection(asyncio.Protocol):
    """One request at a time."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    def ask(self, request: bytes) -> Awaitable[Answer]:
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self.connection_lost(None)
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, complete, body = self._received.partition(b"\r\n\r\n")
        if not complete or self._answer is None or self._answer.done():
            return
        status = int(head[9:12])
        length = _NO_BODY if status == 204 else _LENGTH.search(head)
        if length is None:
            self._answer.set_exception(WrongAnswer(f"an answer without its length: {head[:200]!r}"))
        elif len(body) >= int(length[1]):
            self._received = b""
            self._answer.set_result(Answer(status, head, body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WrongAnswer(f"a connection broke off ({error or 'closed'})"))

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
        done = 0
        while time.perf_counter() < ends:
            await work(connection)
            done += 1
        return done

    async with connections(port, number) as opened:
        started = time.perf_counter()
        ends = started + seconds
        counts = await asyncio.gather(*map(keep_working, opened))
        return sum(counts), time.perf_counter() - started
