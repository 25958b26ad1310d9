"""Simulated visitors: they send the requests of a browser and check each response."""

import json
import re
from itertools import count
from typing import ClassVar
from urllib.parse import urlencode

from bench import backend
from bench.load import Answer, Connection, WrongAnswer, request

SITE_URL = "https://login.example.com"
SESSION, PAGE, VERIFY = "/api/auth/session", "/auth/login/email", "/auth/verify"
CSRF_FIELD = re.compile(rb'name="csrfToken" value="([^"]{40,})"')
_numbers = count(1)


class Visitor:
    """A visitor with their own email and IP address, so that the login limits never apply."""

    provider: ClassVar[str] = "email"

    def __init__(self, delay_ms: int = 0) -> None:
        """`delay_ms`: response time of the backend for this visitor."""
        number = next(_numbers)
        self.email = backend.email_of(number, delay_ms)
        self.user = backend.user_of(self.email)
        self._address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self._cookies: dict[str, str] = {}

    async def open_form(self, connection: Connection) -> None:
        """Load the sign-in page and read the CSRF token of its form."""
        answer = await self._send(connection, "GET", PAGE)
        token = CSRF_FIELD.search(answer.body)
        check(answer, answer.status == 200 and token is not None, "the sign-in page")
        self._csrf = token[1].decode() if token else ""

    async def send_form(self, connection: Connection) -> None:
        fields = {"csrfToken": self._csrf, "email": self.email, "password": backend.PASSWORD}
        answer = await self._send(connection, "POST", PAGE, fields)
        check(answer, answer.status == 303 and self.has_session, "a sign-in")

    async def fetch_csrf(self, connection: Connection) -> None:
        """Fetch a CSRF token as a script does, without the page."""
        answer = await self._send(connection, "GET", "/api/auth/csrf")
        check(answer, answer.status == 200, "the CSRF token")
        self._csrf = json.loads(answer.body)["csrfToken"]

    async def post_callback(self, connection: Connection) -> None:
        """Sign in as `signIn()` of `next-auth/react` does."""
        fields = {"email": self.email, "password": backend.PASSWORD, "redirect": "false"}
        fields |= {"csrfToken": self._csrf, "callbackUrl": SITE_URL + "/", "json": "true"}
        answer = await self._send(connection, "POST", f"/api/auth/callback/{self.provider}", fields)
        has_url = answer.status == 200 and json.loads(answer.body).get("url") == SITE_URL + "/"
        check(answer, has_url and self.has_session, "a sign-in")

    async def read_session(self, connection: Connection) -> None:
        answer = await self._send(connection, "GET", SESSION)
        user = json.loads(answer.body).get("user") or {}
        check(answer, answer.status == 200 and self.user.items() <= user.items(), f"the session of {self.email}")

    async def sign_out(self, connection: Connection) -> None:
        await self.fetch_csrf(connection)
        answer = await self._send(connection, "POST", "/auth/logout", {"csrfToken": self._csrf})
        check(answer, answer.status in (302, 303) and not self.has_session, "a sign-out")

    @property
    def has_session(self) -> bool:
        return any(name.endswith("next-auth.session-token") for name in self._cookies)

    def get(self, path: str) -> bytes:
        """Return the bytes of a GET request with the current cookies, for a repeated task."""
        return self._request("GET", path)

    async def _send(self, connection: Connection, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        answer = await connection.ask(self._request(method, path, form))
        self._cookies |= answer.cookies()
        self._cookies = {name: value for name, value in self._cookies.items() if value}
        return answer

    def _request(self, method: str, path: str, form: dict[str, str] | None = None) -> bytes:
        headers = {} if form is None else {"Content_Type": "application/x-www-form-urlencoded", "Origin": SITE_URL}
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        body = None if form is None else urlencode(form)
        return request(method, path, cookie, body, X_Forwarded_For=self._address, **headers)


class NextAuthVisitor(Visitor):
    """A visitor of next-auth: `signIn()` first fetches the providers and a CSRF token, then sends the form."""

    provider = "credentials"

    async def open_form(self, connection: Connection) -> None:
        await super().open_form(connection)
        answer = await self._send(connection, "GET", "/api/auth/providers")
        check(answer, answer.status == 200 and self.provider in json.loads(answer.body), "the providers")
        await self.fetch_csrf(connection)

    async def send_form(self, connection: Connection) -> None:
        await self.post_callback(connection)


def check(answer: Answer, is_valid: bool, description: str) -> None:
    if not is_valid:
        raise WrongAnswer(f"{description}: {answer.status}\n{answer.headers!r}\n{answer.body[:2000]!r}")
