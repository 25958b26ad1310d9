"""The people of the measurements, one kind a contender: what their browser asks, and what the right answer is.

A wrong answer stops the bench: a figure is worth nothing if the work behind it was not done.
"""

import json
import re
from itertools import count
from typing import ClassVar
from urllib.parse import urlencode

from bench import backend
from bench.load import Answer, Connection, WrongAnswer, request

SITE_URL = "https://login.example.com"
SESSION, PAGE, VERIFY = "/api/auth/session", "/auth/login/email", "/auth/verify"
FORM = re.compile(rb'name="csrfToken" value="([^"]{40,})"')
_numbers = count(1)


class Visitor:
    """Someone new, at an address of their own: the limits on sign-ins are on, and strike nobody."""

    provider: ClassVar[str] = "email"

    def __init__(self, kind: str = "visitor") -> None:
        number = next(_numbers)
        self.email = f"{kind}{number}@example.com"
        self.user = backend.user_of(self.email)
        self._address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self._cookies: dict[str, str] = {}

    async def open_form(self, connection: Connection) -> None:
        """The sign-in page: its form's token, and the cookie that it is held against."""
        answer = await self._ask(connection, "GET", PAGE)
        token = FORM.search(answer.body)
        hold(answer, answer.status == 200 and token is not None, "the sign-in page")
        self._csrf = token[1].decode() if token else ""

    async def send_form(self, connection: Connection) -> None:
        fields = {"csrfToken": self._csrf, "email": self.email, "password": backend.PASSWORD}
        answer = await self._ask(connection, "POST", PAGE, fields)
        hold(answer, answer.status == 303 and self.has_session, "a sign-in")

    async def fetch_token(self, connection: Connection) -> None:
        """What a script does in place of opening the page."""
        answer = await self._ask(connection, "GET", "/api/auth/csrf")
        hold(answer, answer.status == 200, "the token of a form")
        self._csrf = json.loads(answer.body)["csrfToken"]

    async def call_back(self, connection: Connection) -> None:
        """As `signIn()` of `next-auth/react` sends it."""
        fields = {"email": self.email, "password": backend.PASSWORD, "redirect": "false"}
        fields |= {"csrfToken": self._csrf, "callbackUrl": SITE_URL + "/", "json": "true"}
        answer = await self._ask(connection, "POST", f"/api/auth/callback/{self.provider}", fields)
        right = answer.status == 200 and json.loads(answer.body).get("url") == SITE_URL + "/"
        hold(answer, right and self.has_session, "a sign-in")

    async def read_session(self, connection: Connection) -> bytes:
        answer = await self._ask(connection, "GET", SESSION)
        user = json.loads(answer.body).get("user") or {}
        right = answer.status == 200 and self.user.items() <= user.items()
        hold(answer, right, f"the session of {self.email}")
        return answer.body

    @property
    def has_session(self) -> bool:
        return any(name.endswith("next-auth.session-token") for name in self._cookies)

    def request(self, path: str) -> bytes:
        """As often as it is sent: what comes back sets no cookie of theirs anew."""
        return self._request("GET", path)

    async def _ask(self, connection: Connection, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        answer = await connection.ask(self._request(method, path, form))
        self._cookies |= answer.cookies()
        self._cookies = {name: value for name, value in self._cookies.items() if value}
        return answer

    def _request(self, method: str, path: str, form: dict[str, str] | None = None) -> bytes:
        sent = {} if form is None else {"Content_Type": "application/x-www-form-urlencoded", "Origin": SITE_URL}
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        body = None if form is None else urlencode(form)
        return request(method, path, cookie, body, X_Forwarded_For=self._address, **sent)


class NextAuthVisitor(Visitor):
    """The form of the page is sent by `signIn()`, which first asks for the providers and a token of its own."""

    provider = "credentials"

    async def open_form(self, connection: Connection) -> None:
        await super().open_form(connection)
        answer = await self._ask(connection, "GET", "/api/auth/providers")
        hold(answer, answer.status == 200 and self.provider in json.loads(answer.body), "the providers")
        await self.fetch_token(connection)

    async def send_form(self, connection: Connection) -> None:
        await self.call_back(connection)


def hold(answer: Answer, right: bool, what: str) -> None:
    if not right:
        raise WrongAnswer(f"{what}: {answer.status}\n{answer.headers!r}\n{answer.body[:2000]!r}", answer.status)
