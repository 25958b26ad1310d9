"""The one way out to the network.

A backend that drips one byte a second keeps every "read timeout" happy for ever; one that answers with a
gigabyte fills the memory; one that redirects a POST gets the password sent on. So every call has one
deadline that counts from its start to its last byte, shared by all calls of a request; answers are capped;
nothing is followed, remembered, or taken from the environment.
"""

import json as jsonlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import cast
from urllib.parse import urlencode, urlsplit

import requests
from flask import g

from services import waiting
from services.adapter import KeptConnections, Unanswered, Unsent
from services.answer import Answer
from services.bulkhead import Bulkhead, Full
from services.events import upstream_called

MOST_BYTES = 1024 * 1024
"""Of a decoded body."""
LONGEST_CONNECT = 3.0
_SHORTEST_CALL = 0.05


class UpstreamFault(Exception):
    """A call that brought no usable answer. `status`: what the site says of it (502, 503 or 504)."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def time_left(total: float) -> float:
    """Seconds that the calls of this request may still take; `total` counts from its first call."""
    if "upstream_deadline" not in g:
        g.upstream_deadline = time.monotonic() + total
    return cast(float, g.upstream_deadline - time.monotonic())


class Upstream:
    """Keep-alive connections and places for calls, as `Bulkhead` has them. Threads may share it."""

    def __init__(self, most: int, share: int, queue: int, user_agent: str) -> None:
        # The adapter alone, without a `requests.Session`: a session reads proxies and ~/.netrc (which would
        # replace the bearer), keeps cookies across people, and reads a redirect's body without end.
        self._adapter = KeptConnections(MOST_BYTES + 1)
        self._bulkhead = Bulkhead(most, share, queue)
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        within: float,
        json: object = None,
        form: Mapping[str, str] | None = None,
        try_again: bool = False,
    ) -> Answer:
        """One call of at most `within` seconds; raises `UpstreamFault`.

        `try_again`: once, if nothing was sent or not a byte came back, for calls that may safely come twice. A
        backend that closes kept connections without a word would else cost one sign-in in four.
        """
        waiting.begins()
        ends = time.monotonic() + within
        body = urlencode(form).encode() if form else None if json is None else jsonlib.dumps(json).encode()
        host, begun, told = urlsplit(url).netloc, time.monotonic(), "none"
        try:
            with self._bulkhead.place(host, within):
                answer = self._send(method, url, headers, body, ends, try_again=try_again)
        except Full:
            raise _crowded() from None
        else:
            told = f"{answer.status // 100}xx"
            return answer
        finally:
            upstream_called.send(self, host=host, answer=told, seconds=time.monotonic() - begun)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A place in the queue, for who waits for somebody else's call; raises `UpstreamFault`."""
        waiting.begins()
        try:
            with self._bulkhead.waiting():
                yield
        except Full:
            raise _crowded() from None

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, ends: float, *, try_again: bool
    ) -> Answer:
        try:
            return self._call(method, url, headers, body, ends)
        except (requests.RequestException, ValueError) as error:  # ValueError: http.client, of a chunk of -5 bytes
            if not (try_again and isinstance(error, Unsent | Unanswered)):
                raise _fault(error) from None
        try:
            return self._call(method, url, headers, body, ends)
        except (requests.RequestException, ValueError) as error:  # ValueError: http.client, of a chunk of -5 bytes
            raise _fault(error) from None

    def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, ends: float) -> Answer:
        left = ends - time.monotonic()
        if left < _SHORTEST_CALL:
            raise UpstreamFault("no time left for this call", 504)
        request = _prepared(method, url, {**self._headers, **headers}, body)
        response = self._adapter.send(request, stream=True, timeout=(min(LONGEST_CONNECT, left), left))
        with response:
            return Answer(response.status_code, response.headers, _capped(response))


def _prepared(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.PreparedRequest:
    """What `requests.Request.prepare` makes of these, without reading a known address again: a tenth of a call."""
    request = requests.PreparedRequest()
    request.prepare_method(method)
    request.url = _read(url)
    request.prepare_headers(headers)
    request.body = body
    request.prepare_content_length(body)
    return request


@lru_cache(256)
def _read(url: str) -> str | None:
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return request.url


def _crowded() -> UpstreamFault:
    return UpstreamFault("too many calls wait for it already", 503)


def _capped(response: requests.Response) -> bytes:
    if not response.headers.get("Content-Length", "0").isdecimal():
        raise UpstreamFault(f"answer {response.status_code} has a length that is no number", 502)
    body = bytearray()
    for chunk in response.iter_content(64 * 1024):
        body += chunk
        if len(body) > MOST_BYTES:
            raise UpstreamFault(f"answer {response.status_code} is over {MOST_BYTES} bytes", 502)
    return bytes(body)


def _fault(error: Exception) -> UpstreamFault:
    """Named by its kind alone: the texts of these errors may hold addresses and bytes of the answer."""
    if isinstance(error, requests.Timeout):
        return UpstreamFault("no full answer in time", 504)
    if isinstance(error, requests.exceptions.SSLError):
        return UpstreamFault("its TLS certificate or protocol is refused", 502)
    if isinstance(error, Unsent):
        return UpstreamFault("no connection can be made", 503)
    kind = "ConnectionError" if isinstance(error, requests.ConnectionError) else type(error).__name__
    return UpstreamFault(f"the answer broke off or is no HTTP ({kind})", 502)
