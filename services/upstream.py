"""The one way out to the network.

A backend that drips one byte a second keeps every "read timeout" happy for ever; one that answers with a
gigabyte fills the memory; one that redirects a POST gets the password sent on. So every call has one
deadline that counts from its start to its last byte, shared by all calls of a request; answers are capped;
nothing is followed, remembered, or taken from the environment.
"""

import json as jsonlib
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast

import requests
from flask import g
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError
from urllib3.util import create_urllib3_context

from services import strict_json

MOST_BYTES = 1024 * 1024
"""Of a decoded body."""
_MOST_READ = 4 * MOST_BYTES
"""Of an answer as it comes, with its headers and the sizes of its chunks."""
LONGEST_CONNECT = 3.0
LONGEST_WAIT = 3600
"""Seconds: what an upstream asks for beyond this, people are not told."""
_SHORTEST_CALL = 0.05


class UpstreamFault(Exception):
    """A call that brought no usable answer. `status`: what the site says of it (502, 503 or 504)."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON; None where it is no JSON, which no answer of use ever is."""
        try:
            return strict_json.loads(self.body)
        except ValueError:
            return None

    def at(self, *path: str) -> object:
        """The value below these keys, each level examined; None where the way ends early."""
        value = self.json()
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def retry_after(self) -> int | None:
        """Seconds of that header (RFC 9110, 10.2.3: a number or a date), within bounds; None without a sound one."""
        text = self.headers.get("Retry-After", "").strip()
        try:
            seconds = int(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
        return min(max(round(seconds), 1), LONGEST_WAIT)


def time_left(total: float) -> float:
    """Seconds that the calls of this request may still take; `total` counts from its first call."""
    if "upstream_deadline" not in g:
        g.upstream_deadline = time.monotonic() + total
    return cast(float, g.upstream_deadline - time.monotonic())


class Upstream:
    """Keep-alive connections, at most `pool_size` kept to each upstream. Threads may share it."""

    def __init__(self, pool_size: int, user_agent: str) -> None:
        # The adapter alone, without a `requests.Session`: a session reads proxies and ~/.netrc (which would
        # replace the bearer), keeps cookies across people, and reads a redirect's body without end.
        self._adapter = _DeadlineAdapter(pool_connections=8, pool_maxsize=pool_size)
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        within: float,
        json: object = None,
        try_again: bool = False,
    ) -> Answer:
        """One call of at most `within` seconds; raises `UpstreamFault`. `try_again`: once, if nothing was sent."""
        ends = time.monotonic() + within
        body = None if json is None else jsonlib.dumps(json).encode()
        try:
            return self._call(method, url, headers, body, ends)
        except (requests.RequestException, ValueError) as error:  # ValueError: urllib3, of a chunk of -5 bytes
            if not (try_again and _nothing_was_sent(error)):
                raise _fault(error) from None
        try:
            return self._call(method, url, headers, body, ends)
        except (requests.RequestException, ValueError) as error:  # ValueError: urllib3, of a chunk of -5 bytes
            raise _fault(error) from None

    def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, ends: float) -> Answer:
        left = ends - time.monotonic()
        if left < _SHORTEST_CALL:
            raise UpstreamFault("no time left for this call", 504)
        request = requests.Request(method, url, headers={**self._headers, **headers}, data=body)
        timeout = Timeout(connect=min(LONGEST_CONNECT, left), total=left)
        response = self._adapter.send(request.prepare(), stream=True, timeout=cast(Any, timeout))
        with response:
            return Answer(response.status_code, response.headers, _capped(response))


def _capped(response: requests.Response) -> bytes:
    if not response.headers.get("Content-Length", "0").isdecimal():
        raise UpstreamFault(f"answer {response.status_code} has a length that is no number", 502)
    body = bytearray()
    for chunk in response.iter_content(64 * 1024):
        body += chunk
        if len(body) > MOST_BYTES:
            raise UpstreamFault(f"answer {response.status_code} is over {MOST_BYTES} bytes", 502)
    return bytes(body)


def _nothing_was_sent(error: Exception) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _fault(error: Exception) -> UpstreamFault:
    """Named by its kind alone: the texts of these errors hold addresses and bytes of the answer."""
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return UpstreamFault("no full answer in time", 504)
    if isinstance(error, requests.exceptions.SSLError):
        return UpstreamFault("its TLS certificate or protocol is refused", 502)
    if _nothing_was_sent(error):
        return UpstreamFault("no connection can be made", 503)
    return UpstreamFault(f"the answer broke off or is no HTTP ({type(error).__name__})", 502)


class _Deadline(socket.socket):
    """A socket whose timeout counts for all reads since it was set, not for each one.

    urllib3 sets it once a call, to what is left of the call's time, before it reads the answer.
    """

    _ends: float | None = None
    _read = 0

    def settimeout(self, seconds: float | None) -> None:
        super().settimeout(seconds)
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._read = 0

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            super().settimeout(left)
        count = super().recv_into(*args, **kwargs)
        self._read += count
        if self._read > _MOST_READ:  # urllib3 reads a chunk "of -1 bytes" to its end, past the cap on bodies
            raise OSError("endless answer")
        return count


class _DeadlineTLS(_Deadline, ssl.SSLSocket):
    pass


class _DeadlineConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _Deadline(fileno=self.sock.detach())
        self.sock.settimeout(self.timeout)


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = create_urllib3_context()
        context.load_default_certs()  # a private CA that the system or SSL_CERT_FILE trusts, beside certifi's
        context.sslsocket_class = _DeadlineTLS
        super().init_poolmanager(*args, ssl_context=context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _DeadlinePool, "https": HTTPSConnectionPool}
