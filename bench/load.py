"""The load generator: persistent connections on uvloop, parsed with httptools.

A complete HTTP client would use more CPU than the site under test (docs/performance.md).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import httptools

TIMEOUT = 60.0
"""Seconds until connections are closed, so that the benchmark ends if a server hangs."""


class WrongAnswer(Exception):
    """A site returned an unexpected response. The benchmark stops: its figures would be meaningless."""


@dataclass(slots=True)
class Answer:
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.headers if key.lower() == name), b"")

    def cookies(self) -> dict[str, str]:
        """Return name and value of each cookie in `Set-Cookie`. A deleted cookie has an empty value."""
        lines = (value.partition(b";")[0].decode() for name, value in self.headers if name.lower() == b"set-cookie")
        return {name: value for name, _, value in (line.partition("=") for line in lines)}


class Connection(asyncio.Protocol):
    """A client connection, one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
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
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"invalid HTTP: {error}: {data[:200]!r}")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._answer.body += body

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection was closed ({error or 'by the server'})")

    def _fail(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(WrongAnswer(reason))

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def connections(port: int, number: int) -> AsyncIterator[list[Connection]]:
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(number)]
    try:
        async with asyncio.timeout(TIMEOUT):
            yield opened
    except TimeoutError:
        raise WrongAnswer(f"no response within {TIMEOUT:.0f} s") from None
    finally:
        for connection in opened:
            connection.close()


def request(method: str, path: str, cookie: str = "", body: str | None = None, **headers: str) -> bytes:
    """Return the bytes of a request with the headers of a browser."""
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


async def run(
    port: int, number: int, seconds: float, task: Callable[[Connection], Awaitable[object]]
) -> tuple[int, float]:
    """Repeat the task on each of `number` connections for `seconds`. Returns the count and the elapsed seconds."""

    async def repeat(connection: Connection) -> int:
        times = 0
        while time.perf_counter() < deadline:
            await task(connection)
            times += 1
        return times

    async with connections(port, number) as opened:
        started = time.perf_counter()
        deadline = started + seconds
        counts = await asyncio.gather(*map(repeat, opened))
        return sum(counts), time.perf_counter() - started
