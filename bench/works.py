"""What visitors do, and what the right answer is. A wrong one stops the bench."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from itertools import count
from urllib.parse import urlencode

from bench import backend
from bench.load import Answer, Connection, WrongAnswer, connections, request

SITE_URL = "https://login.example.com"
SESSION, PAGE = "/api/auth/session", "/auth/login/email"
_CSRF = re.compile(rb'name="csrfToken" value="([^"]+)"')
_ASSET = re.compile(rb'(?:href|src)="(/auth/static/[^"]+)"')
_numbers = count(1)

Work = Callable[[Connection], Awaitable[object]]


class Visitor:
    """Someone new, at an address of their own: the limits on sign-ins are on, and strike nobody."""

    def __init__(self, kind: str = "visitor") -> None:
        number = next(_numbers)
        self.email = f"{kind}{number}@example.com"
        self._address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self.cookie = ""

    async def open_form(self, connection: Connection) -> None:
        page = await connection.ask(self._request("GET", PAGE))
        token = _CSRF.search(page.body)
        hold(page, page.status == 200 and token is not None, "the sign-in page")
        self._csrf, self.cookie = token[1].decode(), page.cookies()

    async def send_form(self, connection: Connection) -> None:
        fields = {"csrfToken": self._csrf, "email": self.email, "password": backend.PASSWORD}
        answer = await connection.ask(self._request("POST", PAGE, urlencode(fields)))
        self.cookie = answer.cookies()
        hold(answer, answer.status == 303 and "next-auth.session-token=" in self.cookie, "a sign-in")

    async def sign_in(self, connection: Connection) -> None:
        await self.open_form(connection)
        await self.send_form(connection)

    async def read_session(self, connection: Connection) -> bytes:
        answer = await connection.ask(self.session_request())
        user = json.loads(answer.body).get("user")
        hold(answer, answer.status == 200 and user == backend.user_of(self.email), f"the session of {self.email}")
        return answer.body

    def session_request(self, path: str = SESSION) -> bytes:
        return self._request("GET", path)

    def _request(self, method: str, path: str, form: str | None = None) -> bytes:
        sent = {} if form is None else {"Content_Type": "application/x-www-form-urlencoded", "Origin": SITE_URL}
        return request(method, path, self.cookie, form, X_Forwarded_For=self._address, **sent)


def hold(answer: Answer, right: bool, what: str) -> None:
    if not right:
        raise WrongAnswer(f"{what}: {answer.status}\n{answer.head!r}\n{answer.body[:2000]!r}")


def asking(asked: bytes, right: bytes | re.Pattern[bytes]) -> Work:
    """The same request again and again; its answer is 200 and these bytes, or has this in it."""

    async def ask(connection: Connection) -> None:
        answer = await connection.ask(asked)
        found = answer.body == right if isinstance(right, bytes) else right.search(answer.body)
        hold(answer, answer.status == 200 and bool(found), asked.split(b"\r\n", 1)[0].decode())

    return ask


def page() -> Work:
    return asking(request("GET", PAGE), _CSRF)


async def session_reads(port: int) -> tuple[Work, Work]:
    """Reads of one signed-in person's session; and the same request for the empty view, but for its path."""
    async with connections(port, 1) as [connection]:
        visitor = Visitor()
        await visitor.sign_in(connection)
        body = await visitor.read_session(connection)
    return asking(visitor.session_request(), body), asking(visitor.session_request("/"), b"{}\n")


async def backend_calls(port: int) -> Work:
    """What the site asks the stand-in backend, asked by the load generator: the most that both of them can do."""
    login = json.dumps({"email": Visitor().email, "password": backend.PASSWORD})
    async with connections(port, 1) as [connection]:
        answer = await connection.ask(request("POST", "/login", body=login))
        token = json.loads(answer.body)["data"]["token"]["plainTextToken"]
        asked = request("POST", "/user", Authorization=f"Bearer {token}")
        answer = await connection.ask(asked)
    return asking(asked, answer.body)


async def sign_in(connection: Connection) -> None:
    await Visitor().sign_in(connection)


async def at_once(port: int, number: int) -> float:
    """Seconds from the first of so many sign-ins to the last, before a slow backend. Each has their own session."""
    visitors = [Visitor(backend.PATIENT) for _ in range(number)]
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


async def page_weight(port: int) -> int:
    """Bytes on the wire of the sign-in page and all that it loads, response headers with them."""
    async with connections(port, 1) as [connection]:
        answers = [await connection.ask(request("GET", PAGE))]
        for path in sorted(set(_ASSET.findall(answers[0].body))):
            answers.append(await connection.ask(request("GET", path.decode(), Accept_Encoding="gzip, deflate, br")))
            hold(answers[-1], answers[-1].status == 200, path.decode())
    return sum(len(answer.head) + len(b"\r\n\r\n") + len(answer.body) for answer in answers)
