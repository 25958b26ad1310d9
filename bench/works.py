"""What is done again and again while it is measured, with each answer checked."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from bench import backend
from bench.load import Answer, Connection, connections, request
from bench.visitors import FORM, PAGE, SESSION, VERIFY, Visitor, hold

Work = Callable[[Connection], Awaitable[object]]


def asking(asked: bytes, right: Callable[[Answer], object]) -> Work:
    what = asked.partition(b" HTTP/")[0].decode()

    async def ask(connection: Connection) -> None:
        answer = await connection.ask(asked)
        hold(answer, bool(right(answer)), what)

    return ask


def pages() -> Work:
    return asking(request("GET", PAGE), lambda answer: answer.status == 200 and FORM.search(answer.body))


def sign_ins(kind: type[Visitor]) -> Work:
    """As a person's browser does it: the page is opened, its form is sent."""

    async def sign_in(connection: Connection) -> None:
        visitor = kind()
        await visitor.open_form(connection)
        await visitor.send_form(connection)

    return sign_in


def api_sign_ins(kind: type[Visitor]) -> Work:
    """As a page's script does it: two calls, the same of both."""

    async def sign_in(connection: Connection) -> None:
        visitor = kind()
        await visitor.fetch_token(connection)
        await visitor.call_back(connection)

    return sign_in


async def session_reads(port: int, visitor: Visitor) -> Work:
    """Of someone who signs in first."""
    async with connections(port, 1) as [connection]:
        await visitor.fetch_token(connection)
        await visitor.call_back(connection)
    return session_read(visitor)


def session_read(visitor: Visitor) -> Work:
    """The person is held against theirs; what follows in the JSON, the end of the session, moves from read to read."""
    person = b'{"user":' + json.dumps(visitor.user, separators=(",", ":")).encode().rstrip(b"}")
    return asking(visitor.request(SESSION), lambda answer: answer.status == 200 and answer.body.startswith(person))


def verify_checks(visitor: Visitor) -> Work:
    """Forward auth for someone who has signed in."""
    number = str(visitor.user["id"]).encode()

    def right(answer: Answer) -> bool:
        return answer.status == 204 and answer.header(b"x-auth-user-id") == number

    return asking(visitor.request(VERIFY), right)


def empty_reads(visitor: Visitor) -> Work:
    """The request of a session read but for its path."""
    return asking(visitor.request("/"), lambda answer: answer.status == 200 and answer.body == b"{}\n")


async def backend_calls(port: int) -> Work:
    """What the site asks the stand-in backend, asked by the load generator: the most that both of them can do."""
    visitor = Visitor()
    login = json.dumps({"email": visitor.email, "password": backend.PASSWORD})
    async with connections(port, 1) as [connection]:
        answer = await connection.ask(request("POST", "/login", body=login))
        token = json.loads(answer.body)["data"]["token"]["plainTextToken"]
    asked = request("POST", "/user", body="", Authorization=f"Bearer {token}")
    right = json.dumps({"data": {"user": visitor.user}}).encode()
    return asking(asked, lambda answer: answer.status == 200 and answer.body == right)


async def at_once(port: int, kind: type[Visitor], number: int) -> float:
    """Seconds from the first of so many sign-ins to the last, before a slow backend. Each has their own session."""
    visitors = [kind(backend.PATIENT) for _ in range(number)]
    await asyncio.gather(*(_alone(port, visitor.open_form) for visitor in visitors))
    async with connections(port, number) as opened:
        started = time.perf_counter()
        await asyncio.gather(*(_send_form(*both) for both in zip(visitors, opened, strict=True)))
        seconds = time.perf_counter() - started
    await asyncio.gather(*(_alone(port, visitor.read_session) for visitor in visitors))
    return seconds


async def _alone(port: int, work: Work) -> None:
    async with connections(port, 1) as [connection]:
        await work(connection)


async def _send_form(visitor: Visitor, connection: Connection) -> None:
    await visitor.send_form(connection)
    connection.close()  # a server of few threads takes the next one only then
