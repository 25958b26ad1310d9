"""The site as an ASGI application: what `make serve` runs, on one event loop in each process.

Session reads and forward-auth checks are answered on the loop (`fast_path.py`). Everything else runs Flask in a
greenlet (`services/event_loop.py`), once its body has been read.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Flask

from server.fast_path import Answer, FastPath
from server.http_protocol import MAX_HEADER_BYTES
from services import event_loop

log = logging.getLogger("munjigi.serve")

BODY_SECONDS = 20.0
"""For a request's body, which may have 64 kB."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ClientGoneError(Exception):
    pass


class Asgi:
    """startup, shutdown: called before the first and after the last request, on the event loop."""

    def __init__(
        self, site: Flask, startup: Callable[[], Awaitable[None]], shutdown: Callable[[], Awaitable[None]]
    ) -> None:
        self._site = site
        self._startup, self._shutdown = startup, shutdown
        self._fast_path = FastPath(site)
        self._max_body = int(site.config["MAX_CONTENT_LENGTH"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif answer := await self._answer(scope, receive):
            await _send(answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """None if the client has gone before it had sent its request."""
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            return _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return self._fast_path.answer(scope) or await self._ask_flask(scope, receive)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol of ASGI."""
        await receive()
        try:
            await self._startup()
        except Exception as error:
            log.exception("the site does not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _ask_flask(self, scope: Scope, receive: Receive) -> Answer | None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body, is_whole = await _read_body(receive, self._max_body, _content_length(scope))
        except TimeoutError:
            return _refusal(HTTPStatus.REQUEST_TIMEOUT)
        except ClientGoneError:
            return None
        answer = await event_loop.run(self._call_flask, _environ(scope, body))
        if not is_whole:  # the rest of it must not be taken for the next request
            answer.headers.append((b"Connection", b"close"))
        return answer

    def _call_flask(self, environ: dict[str, Any]) -> Answer:
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
            started[:] = int(status[:3]), headers
            return lambda _: None  # PEP 3333's `write`, which Flask does not use

        chunks: Any = self._site(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        status, headers = started
        return Answer(status, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers], body)


def _refusal(status: HTTPStatus) -> Answer:
    return Answer(status, [(b"Connection", b"close"), (b"Content-Length", b"0")], b"")


def _content_length(scope: Scope) -> int:
    return next((int(value) for name, value in scope["headers"] if name == b"content-length" and value.isdigit()), 0)


async def _read_body(receive: Receive, max_bytes: int, content_length: int) -> tuple[bytes, bool]:
    """The body, and whether that is all of it. Of a body that Flask will refuse as too long, little or nothing is
    read."""
    if content_length > max_bytes:
        return b"", False
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body, True
        if len(body) > max_bytes:
            return body[: max_bytes + 1], False


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """The WSGI environment of an ASGI request (PEP 3333): texts are bytes read as latin-1."""
    client, server = scope.get("client"), scope.get("server") or ("localhost", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "REQUEST_URI": scope["raw_path"].decode("latin-1"),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1] or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if client:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = str(client[0]), str(client[1])
    _add_headers(environ, scope["headers"])
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))  # also for a body that came in chunks, without that header
    return environ


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    for raw_name, raw_value in headers:
        if b"_" in raw_name:  # X_Forwarded_For would come out as X-Forwarded-For
            continue
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        value = raw_value.decode("latin-1")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value


async def _send(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
