"""The transport adapter of `requests` that calls go through: kept connections, on the standard library's `http.client`.

Why it is not the one that `requests` brings, over urllib3's pools: docs/decisions/0016. Only `upstream.py` uses this.
"""

import io
import ssl
import weakref
from contextlib import suppress
from functools import lru_cache
from http.client import HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from time import monotonic
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse as Packed

from services.connection import Connection
from services.dial import connected, secured, trust

_MOST_HOSTS, _LONGEST_IDLE = 8, 60.0
"""Whose connections are kept, and for how many seconds without use."""
_PORTS = {"http": 80, "https": 443}


class Unsent(requests.ConnectionError):
    """Nobody was reached: not a byte of the call went out."""


class Unanswered(requests.ConnectionError):
    """The connection was closed before a byte of an answer came."""


class _Target(NamedTuple):
    scheme: str
    host: str
    port: int
    name: str
    """For the `Host` header."""
    path: str


@lru_cache(256)
def _target(url: str) -> _Target:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise requests.exceptions.InvalidSchema("neither http nor https")
    usual = _PORTS[parts.scheme]
    port = parts.port or usual
    bare = parts.hostname.rstrip(".")
    name = (f"[{bare}]" if ":" in bare else bare) + (f":{port}" if port != usual else "")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(parts.scheme, parts.hostname, port, name, path)


def _message(request: requests.PreparedRequest, target: _Target) -> bytes:
    """Head and body in one, for one packet."""
    headers = (f"{name}: {value}" for name, value in (request.headers or {}).items())
    lines = [f"{request.method} {target.path} HTTP/1.1", f"Host: {target.name}", *headers]
    head = "\r\n".join(lines)
    if "\0" in head or head.count("\r") + head.count("\n") != 2 * (len(lines) - 1):
        raise requests.exceptions.InvalidHeader("a line break or NUL in a header")
    return head.encode("latin-1") + b"\r\n\r\n" + cast(bytes, request.body or b"")


class _Body(io.BytesIO):
    """An answer as `HTTPAdapter.build_response` takes it."""

    def __init__(self, answer: HTTPResponse, body: bytes) -> None:
        super().__init__(body)
        self.status, self.reason, self.headers = answer.status, answer.reason, CaseInsensitiveDict[str]()
        for name, value in answer.headers.items():
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value


def _named(error: Exception, *, answered: bool = True) -> requests.RequestException:
    """As `requests` names it."""
    if isinstance(error, TimeoutError):
        return requests.ReadTimeout("no full answer in time")
    if isinstance(error, ssl.SSLError):
        return requests.exceptions.SSLError("refused")
    if isinstance(error, IncompleteRead):
        return requests.exceptions.ChunkedEncodingError("broken off")
    if isinstance(error, RemoteDisconnected) and not answered:
        return Unanswered("closed")
    return requests.ConnectionError("no HTTP, or broken off")


class KeptConnections(HTTPAdapter):
    """Of an answer's body, so many bytes are read. A host has as many connections as it ever had calls at once.

    Threads may share this: a connection in use is not among the idle. Of `HTTPAdapter` only `build_response` is used.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most = most_bytes
        self._trust = trust()
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        weakref.finalize(self, _close, self._idle)

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        """`timeout`: seconds to connect, and seconds for all of the call. Sent once, whatever happens."""
        connect, total = timeout
        ends = monotonic() + total
        target = _target(request.url or "")
        message = _message(request, target)
        connection = _newest(self._of(target)) or self._new(target, connect)
        try:
            answer, body = connection.call(request.method or "", message, ends, self._most)
        except (OSError, HTTPException) as error:
            raise _named(error, answered=connection.has_answered()) from None
        finally:
            if connection.is_clean:
                _keep(self._of(target), connection)
            else:
                connection.close()
        response = self.build_response(request, cast(Any, _Body(answer, body)))
        if "Content-Encoding" in response.headers:  # though none was asked for
            response.raw = Packed(response.raw, response.headers, preload_content=False)
        return response

    def close(self) -> None:
        _close(self._idle)

    def _of(self, target: _Target) -> list[Connection]:
        key = (target.scheme, target.host, target.port)
        if key not in self._idle and len(self._idle) >= _MOST_HOSTS:  # an issuer says by itself where its hosts are
            for first in list(self._idle)[:1]:  # a copy: other threads come and go
                _close({first: self._idle.pop(first, [])})
        return self._idle.setdefault(key, [])

    def _new(self, target: _Target, within: float) -> Connection:
        try:
            plain = connected(target.host, target.port, within)
        except TimeoutError:
            raise requests.ConnectTimeout("no connection in time") from None
        except OSError:
            raise Unsent("no connection") from None
        if target.scheme == "http":
            return Connection(plain)
        try:
            return Connection(secured(plain, target.host, self._trust))
        except OSError as error:
            raise _named(error) from None


def _keep(idle: list[Connection], connection: Connection) -> None:
    """Beside those used a short while ago: of a crowd's connections, most are never used again."""
    connection.used_at = monotonic()
    idle.append(connection)
    with suppress(IndexError):  # another thread may have been quicker
        while idle[0].used_at < monotonic() - _LONGEST_IDLE:
            idle.pop(0).close()


def _newest(idle: list[Connection]) -> Connection | None:
    """The one used last, which the other side has most likely not given up; those that it has are closed."""
    with suppress(IndexError):
        while not (found := idle.pop()).is_silent():
            found.close()
        return found
    return None


def _close(idle: dict[Any, list[Connection]]) -> None:
    for connections in idle.values():
        while connections:
            connections.pop().close()
