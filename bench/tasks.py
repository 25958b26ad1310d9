"""The measured tasks. A task is repeated on a connection, and each response is checked."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable

from bench import backend
from bench.load import Answer, Connection, WrongAnswer, connections, request
from bench.results import Sample
from bench.visitors import CSRF_FIELD, PAGE, SESSION, VERIFY, Visitor, check

Task = Callable[[Connection], Awaitable[object]]
FEW = 16
"""Number of connections for the preparation of a measurement."""


def repeated(request_bytes: bytes, is_valid: Callable[[Answer], object]) -> Task:
    request_line = request_bytes.partition(b" HTTP/")[0].decode()

    async def task(connection: Connection) -> None:
        answer = await connection.ask(request_bytes)
        check(answer, bool(is_valid(answer)), request_line)

    return task


def page() -> Task:
    return repeated(request("GET", PAGE), lambda answer: answer.status == 200 and CSRF_FIELD.search(answer.body))


def form_sign_in(kind: type[Visitor]) -> Task:
    """Sign in as a browser: load the page and submit its form."""

    async def task(connection: Connection) -> None:
        visitor = kind()
        await visitor.open_form(connection)
        await visitor.send_form(connection)

    return task


def script_sign_in(kind: type[Visitor]) -> Task:
    """Sign in as a script: fetch the CSRF token and post to the callback."""

    async def task(connection: Connection) -> None:
        visitor = kind()
        await visitor.fetch_csrf(connection)
        await visitor.post_callback(connection)

    return task


async def signed_in(port: int, visitor: Visitor) -> Visitor:
    async with connections(port, 1) as [connection]:
        await visitor.fetch_csrf(connection)
        await visitor.post_callback(connection)
    return visitor


def session_read(visitor: Visitor) -> Task:
    """Read the session. Checks the user only: the rest of the JSON, such as `expires`, changes between reads."""
    start = b'{"user":' + json.dumps(visitor.user, separators=(",", ":")).encode().rstrip(b"}")
    return repeated(visitor.get(SESSION), lambda answer: answer.status == 200 and answer.body.startswith(start))


def forward_auth_check(visitor: Visitor) -> Task:
    user_id = str(visitor.user["id"]).encode()
    return repeated(
        visitor.get(VERIFY), lambda answer: answer.status == 204 and answer.header(b"x-auth-user-id") == user_id
    )


async def backend_call(port: int) -> Task:
    """Send `/user` to the backend directly, to measure the load generator and the backend."""
    visitor = Visitor()
    login = json.dumps({"email": visitor.email, "password": backend.PASSWORD})
    async with connections(port, 1) as [connection]:
        answer = await connection.ask(request("POST", "/login", body=login))
        token = json.loads(answer.body)["data"]["token"]["plainTextToken"]
    body = json.dumps({"data": {"user": visitor.user}}).encode()
    return repeated(
        request("POST", "/user", body="", Authorization=f"Bearer {token}"),
        lambda answer: answer.status == 200 and answer.body == body,
    )


async def sign_ins_at_once(port: int, kind: type[Visitor], number: int, delay_ms: int) -> Sample:
    """Submit the forms of `number` visitors at once, with a backend that takes `delay_ms` for each call.

    The forms are loaded before, and each session is read afterwards. A rejected sign-in counts as failed.
    """
    visitors = [kind(delay_ms) for _ in range(number)]
    await _in_turns(port, (visitor.open_form for visitor in visitors))
    async with connections(port, number) as opened:
        started = time.perf_counter()
        sign_ins = (_signs_in(*pair) for pair in zip(visitors, opened, strict=True))
        accepted = await asyncio.gather(*sign_ins)
        seconds = time.perf_counter() - started
    await _in_turns(port, (visitor.read_session for visitor in visitors if visitor.has_session))
    return Sample(sum(accepted), seconds, failed=number - sum(accepted))


async def _signs_in(visitor: Visitor, connection: Connection) -> bool:
    try:
        await visitor.send_form(connection)
    except WrongAnswer:
        return False
    finally:
        connection.close()  # a server with few threads then accepts the next connection
    return True


async def _in_turns(port: int, tasks: Iterable[Task]) -> None:
    remaining = iter(tasks)

    async def take(connection: Connection) -> None:
        for task in remaining:
            await task(connection)

    async with connections(port, FEW) as opened:
        await asyncio.gather(*map(take, opened))
