"""The ASGI application that `make serve` runs, on one event loop per process.

The fast path (`fast_path.py`) answers session reads and forward-auth checks on the event loop. For all other requests
the application reads the body and then runs Flask in a greenlet (`services/event_loop.py`).
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

from server.fast_path import FastPath, Response
from server.http_protocol import MAX_HEADER_BYTES
from services import event_loop

log = logging.getLogger("munjigi.serve")

BODY_SECONDS = 20.0
"""The time limit for receiving a request body, which may have up to `app.MAX_BODY_BYTES`."""

_BODYLESS_METHODS = ("GET", "HEAD")
"""Methods whose body has no meaning (RFC 9110, section 9.3.1). The server does not wait for it: nginx's `auth_request`
and other proxies pass on the `Content-Length` of the original request, whose body they do not send."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ClientDisconnectedError(Exception):
    """The client closed the connection before it had sent the whole request."""


class AsgiApp:
    """Serves the Flask application over ASGI.

    `startup` and `shutdown` run on the event loop, before the first request and after the last one.
    """

    def __init__(
        self, flask_app: Flask, startup: Callable[[], Awaitable[None]], shutdown: Callable[[], Awaitable[None]]
    ) -> None:
        self._flask_app = flask_app
        self._startup, self._shutdown = startup, shutdown
        self._fast_path = FastPath(flask_app)
        self._max_body_bytes = int(flask_app.config["MAX_CONTENT_LENGTH"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif response := await self._respond(scope, receive):
            await _send(response, send)

    async def _respond(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the response, or None if the client disconnected before it had sent the whole request."""
        if _header_bytes(scope) > MAX_HEADER_BYTES:
            log.info("request refused, its headers have over %d bytes", MAX_HEADER_BYTES)
            return _error_response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if not _announces_body(scope) and (response := self._fast_path.respond(scope)):
            return response
        return await self._run_flask(scope, receive)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        """Implement the ASGI lifespan protocol (https://asgi.readthedocs.io/en/latest/specs/lifespan.html)."""
        await receive()
        try:
            await self._startup()
        except Exception as error:
            log.exception("startup failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _run_flask(self, scope: Scope, receive: Receive) -> Response | None:
        try:
            body, is_complete = await self._body(scope, receive)
        except TimeoutError:
            log.info("request refused, its body took over %d seconds", BODY_SECONDS)
            return _error_response(HTTPStatus.REQUEST_TIMEOUT)
        except ClientDisconnectedError:
            return None
        response = await event_loop.run(self._call_wsgi, _environ(scope, body))
        if not is_complete:  # unread body bytes on a kept-alive connection would be parsed as the next request
            response.headers.append((b"Connection", b"close"))
        return response

    async def _body(self, scope: Scope, receive: Receive) -> tuple[bytes, bool]:
        """Return the body, and whether it is complete. Raises `TimeoutError` and `ClientDisconnectedError`."""
        if scope["method"] in _BODYLESS_METHODS and _announces_body(scope):
            return b"", False
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_body(receive, self._max_body_bytes, _content_length(scope))

    def _call_wsgi(self, environ: dict[str, Any]) -> Response:
        """Call the Flask application (PEP 3333)."""
        status_and_headers: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
            status_and_headers[:] = int(status[:3]), headers
            return lambda _: None  # the `write` callable of PEP 3333, which Flask does not use

        chunks: Any = self._flask_app(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        status, headers = status_and_headers
        return Response(status, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers], body)


def _error_response(status: HTTPStatus) -> Response:
    """Return an empty response that closes the connection."""
    return Response(status, [(b"Connection", b"close"), (b"Content-Length", b"0")], b"")


def _header_bytes(scope: Scope) -> int:
    """Return the size of the request's URL and headers, which `HttpProtocol` counts together as they arrive."""
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _announces_body(scope: Scope) -> bool:
    return _content_length(scope) > 0 or any(name == b"transfer-encoding" for name, _ in scope["headers"])


def _content_length(scope: Scope) -> int:
    """Return the value of the Content-Length header; 0 if there is no valid one."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length" and value.isdigit()), 0)


async def _read_body(receive: Receive, max_bytes: int, content_length: int) -> tuple[bytes, bool]:
    """Return the body, and whether it is complete.

    A body longer than `max_bytes` is not read to its end: Flask answers it with 413. Raises `ClientDisconnectedError`.
    """
    if content_length > max_bytes:
        return b"", False
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body, True
        if len(body) > max_bytes:
            return body[: max_bytes + 1], False


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment of an ASGI request. Strings are bytes decoded as latin-1 (PEP 3333)."""
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
    environ.pop("HTTP_TRANSFER_ENCODING", None)  # the chunks are joined; Werkzeug would read no body
    if scope["method"] in _BODYLESS_METHODS:
        environ.pop("CONTENT_LENGTH", None)
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))  # a chunked body has no Content-Length header
    return environ


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    for raw_name, raw_value in headers:
        if b"_" in raw_name:  # X_Forwarded_For and X-Forwarded-For have the same WSGI name
            continue
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        value = raw_value.decode("latin-1")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value


async def _send(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body})
