"""Send requests to the ASGI application in this process, on the running event loop."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Flask

from server.asgi import AsgiApp


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, wanted: str) -> str:
        return next((value for name, value in self.headers if name.lower() == wanted.lower()), "")

    def json(self) -> Any:
        return json.loads(self.body)


async def do_nothing() -> None:
    pass


def create_asgi(site: Flask) -> AsgiApp:
    return AsgiApp(site, do_nothing, do_nothing)


async def send_request(
    asgi: AsgiApp,
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
    chunks: Iterable[bytes] = (b"",),
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
) -> Response:
    raw_path, _, query = path.encode().partition(b"?")
    parts: list[bytes] | None = None
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal parts
        if parts is None:
            parts = [*chunks]
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw_path.decode(),
        "raw_path": raw_path,
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": client,
        "server": ("127.0.0.1", 8000),
    }
    await asgi(scope, receive, send)
    start, body = messages
    decoded = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return Response(start["status"], decoded, body["body"])


class Browser:
    """An HTTP client with cookies, which submits forms with a CSRF token."""

    def __init__(self, asgi: AsgiApp) -> None:
        self._asgi = asgi
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> Response:
        return await self._ask("GET", path, headers.items(), b"")

    async def post(self, path: str, **fields: str) -> Response:
        token = (await self.get("/api/auth/csrf")).json()["csrfToken"]
        body = urlencode({"csrfToken": token, **fields}).encode()
        headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", str(len(body)))]
        return await self._ask("POST", path, headers, body)

    async def _ask(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = [("Host", "localhost"), ("Accept", "text/html"), *([("Cookie", cookie)] if cookie else []), *headers]
        response = await send_request(self._asgi, method, path, sent, [body])
        for name, value in response.headers:
            if name.lower() == "set-cookie":
                key, _, content = value.partition(";")[0].partition("=")
                self.cookies[key] = content
                if not content:
                    del self.cookies[key]
        return response
