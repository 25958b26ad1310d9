"""A transport adapter for `requests` that sends through aiohttp: a call does not occupy a thread while it waits.

Callers use the types of `requests`: they pass a `PreparedRequest` and get a `Response` or an exception. Only
`HttpClient` uses this module; a test can replace `AiohttpAdapter.send` with the `responses` package.
"""

import asyncio
import os
import re
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import requests
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPHeaderDict, HTTPResponse
from yarl import URL

from services.event_loop import PerLoop, wait_for

CONNECT_SECONDS = 3.0
"""Timeout of the TCP connection and the TLS handshake."""
_LOOKUP_THREADS = 16
"""Host names that can be looked up at a time. A look-up that hangs occupies a thread for up to half a minute."""
QUEUE_SHARE = 0.5
"""The share of a call's timeout that it may wait for a free slot. The rest is for the call itself."""
_MAX_STALE_CONNECTIONS = 10
"""Unusable keep-alive connections that one call skips. With more, the host makes them unusable on purpose."""
MAX_HEADER_LINE_BYTES = 64 * 1024
"""Size of the status line and of each header of a response. aiohttp's 8 kB are too few for some security policies."""
MAX_HEADERS = 128
"""Headers of a response: aiohttp's own limit. Together with the one above, it bounds the memory of a response."""


class NotSentError(requests.ConnectionError):
    """No connection was made; no byte of the request was sent."""


class NoResponseError(requests.ConnectionError):
    """The connection was closed before the response arrived."""


class NoSlotError(requests.ConnectionError):
    """All slots of the host are in use, and the queue is full, or this call has waited too long in it."""


class HeaderTooLargeError(requests.ConnectionError):
    """A header of the response is over `MAX_HEADER_LINE_BYTES`, or it has more than `MAX_HEADERS`."""


class _UnusableConnectionError(aiohttp.ClientConnectionError):
    """A keep-alive connection has unsolicited bytes: they must not become the response to the next request."""


class _Resolver(AbstractResolver):
    """The system's resolver, in threads of its own.

    aiohttp's resolver uses the loop, and uvloop looks up two names at a time: while two look-ups hang, which may take
    half a minute, no other host could be reached.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, "munjigi-lookup")

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        addresses = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=flags)
            for kind, _, protocol, _, address in addresses
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False)


_NO_BODY = re.compile(rb"HTTP/1\.[01] (204|304)\b")
_END_OF_HEADERS = b"\r\n\r\n"


class _Protocol(ResponseHandler):
    """Reads a 204 or 304 up to the end of its headers (RFC 9112, 6.3), and closes the connection if more has come.

    Some servers send a body with a 204. aiohttp's parser takes it for a broken next response, and the 204 is lost.
    """

    _is_at_start = False

    def set_response_params(self, **params: Any) -> None:
        self._is_at_start = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._is_at_start and data:
            self._is_at_start = False
            head, end, more = data.partition(_END_OF_HEADERS)
            if more and _NO_BODY.match(head):
                self.force_close()
                data = head + end
        super().data_received(data)


class _Connector(aiohttp.TCPConnector):
    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]  # a kind of ResponseHandler


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise _UnusableConnectionError
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        await super().start(connection)
        is_empty = self.status in (204, 304)
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS or (is_empty and _announces_body(self.headers)):
            protocol.close()  # the body must not become the response to the next request
        return self


def _announces_body(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers


class _Slots:
    """The concurrency limit of one host: `size` calls at a time, and a bounded queue for further ones."""

    def __init__(self, size: int, max_queued: int) -> None:
        self._semaphore = asyncio.Semaphore(size)
        self._max_queued = max_queued
        self._queued = 0

    @asynccontextmanager
    async def slot(self, seconds: float) -> AsyncIterator[None]:
        """Hold a slot for one call. Waits up to `seconds` for it, then raises `NoSlotError`."""
        if self._semaphore.locked():
            await self._queue(seconds)
        else:
            await self._semaphore.acquire()  # returns at once
        try:
            yield
        finally:
            self._semaphore.release()

    async def _queue(self, seconds: float) -> None:
        if self._queued >= self._max_queued:
            raise NoSlotError("too many calls wait for a slot")
        self._queued += 1
        try:
            async with asyncio.timeout(seconds):
                await self._semaphore.acquire()
        except TimeoutError:
            raise NoSlotError("no slot became free in time") from None
        finally:
            self._queued -= 1


class _Connections:
    """The connections of one event loop: a session with keep-alive connections, and the slots of each host."""

    def __init__(self) -> None:
        self.slots: dict[str, _Slots] = {}
        self.resolver = _Resolver()
        self.session = aiohttp.ClientSession(
            connector=_Connector(limit=0, resolver=self.resolver),
            cookie_jar=aiohttp.DummyCookieJar(),  # one person's cookies must not be sent with another's call
            max_line_size=MAX_HEADER_LINE_BYTES,
            max_field_size=MAX_HEADER_LINE_BYTES,
            max_headers=MAX_HEADERS,
            auto_decompress=False,  # `requests` does it, in steps whose size is bounded
            request_class=_Request,
            response_class=_Response,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )


class AiohttpAdapter(HTTPAdapter):
    """Sends requests over keep-alive connections on the event loop. Of `HTTPAdapter`, only `build_response` is used.

    max_bytes: how much of a response body is read; the connection of a longer one is closed.
    max_per_host, max_queued: calls to one host at a time, and calls that may wait for a slot.
    proxy, no_proxy: the HTTP proxy, and the hosts (with their subdomains) that are reached without it.
    client_cert: a PEM file with a certificate and its key, for hosts that ask for one.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_per_host: int,
        max_queued: int,
        proxy: str | None = None,
        no_proxy: Sequence[str] = (),
        client_cert: Path | None = None,
    ) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._max_per_host, self._max_queued = max_per_host, max_queued
        self._proxy, self._no_proxy = proxy, no_proxy
        self._client_cert = client_cert
        self._context: ssl.SSLContext | None = None
        self._connections = PerLoop(_Connections, _close)
        weakref.finalize(self, self._connections.close_soon)

    def send(  # type: ignore[override]  # the other parameters are for features that are not used
        self, request: requests.PreparedRequest, *_: Any, timeout: float, **__: Any
    ) -> requests.Response:
        """Send a request once. timeout: seconds from the look-up of the host name to the last byte."""
        return wait_for(self._send_within(request, timeout))

    def close(self) -> None:
        """Close the connections of all event loops, without waiting."""
        self._connections.close_soon()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._connections.close()

    async def _send_within(self, request: requests.PreparedRequest, seconds: float) -> requests.Response:
        try:
            async with asyncio.timeout(seconds):
                return await self._send_queued(request, seconds)
        except TimeoutError:
            raise requests.ReadTimeout("no full answer in time") from None

    async def _send_queued(self, request: requests.PreparedRequest, seconds: float) -> requests.Response:
        connections = self._connections.get()
        host = urlsplit(request.url or "").netloc
        slots = connections.slots.get(host)
        if slots is None:
            slots = connections.slots[host] = _Slots(self._max_per_host, self._max_queued)
        async with slots.slot(seconds * QUEUE_SHARE):
            for _ in range(_MAX_STALE_CONNECTIONS):
                try:
                    return await self._send_once(connections.session, request)
                except _UnusableConnectionError:
                    continue
            raise NotSentError("the host sends unsolicited bytes")

    async def _send_once(self, session: aiohttp.ClientSession, request: requests.PreparedRequest) -> requests.Response:
        url = URL(request.url or "", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        try:
            async with session.request(
                request.method or "GET",
                url,
                headers=headers,
                data=request.body,
                allow_redirects=False,
                proxy=self._proxy_for(url),
                ssl=await self._tls() if url.scheme == "https" else True,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, ceil_threshold=CONNECT_SECONDS),
            ) as answer:
                body = await _read(answer.content, self._max_bytes)
        except _UnusableConnectionError:
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _translate(error) from None
        return self._response(request, answer, body)

    def _response(
        self, request: requests.PreparedRequest, answer: aiohttp.ClientResponse, body: bytes
    ) -> requests.Response:
        if "Content-Encoding" not in answer.headers and "Set-Cookie" not in answer.headers:
            response = requests.Response()
            response.status_code, response.url, response.request = answer.status, request.url or "", request
            response.headers = CaseInsensitiveDict(answer.headers)
            response.raw = BytesIO(body)
            return response
        headers = HTTPHeaderDict(answer.headers.items())
        raw = HTTPResponse(
            BytesIO(body),
            headers,
            answer.status,
            reason=answer.reason,
            preload_content=False,
            enforce_content_length=False,  # aiohttp has checked it, and a body may have been cut
        )
        return self.build_response(request, cast(Any, raw))

    def _proxy_for(self, url: URL) -> str | None:
        host = url.host or ""
        is_direct = any(host == name or host.endswith(f".{name}") for name in self._no_proxy)
        return None if is_direct else self._proxy

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(_tls_context, self._client_cert, os.environ.get("SSL_CERT_FILE"))
        return self._context


@lru_cache(maxsize=4)
def _tls_context(client_cert: Path | None, _ca_file: str | None) -> ssl.SSLContext:
    """The TLS settings of https calls: trust the certificate authorities of the system and of certifi.

    Reading these takes 40 ms, so it happens once per process, at the first https call. OpenSSL reads `SSL_CERT_FILE`
    from the environment itself; here it is only part of the cache key.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    context.hostname_checks_common_name = False
    if client_cert:
        context.load_cert_chain(client_cert)
    return context


async def _read(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            break
    return bytes(body)


_TRANSLATIONS: tuple[tuple[type[Exception], type[requests.RequestException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, requests.ConnectTimeout, "no connection in time"),
    (TimeoutError, requests.ReadTimeout, "no full answer in time"),
    (aiohttp.ClientSSLError, requests.exceptions.SSLError, "refused"),
    (ssl.SSLError, requests.exceptions.SSLError, "refused"),
    (aiohttp.ClientConnectorError, NotSentError, "no connection"),
    (aiohttp.InvalidURL, requests.exceptions.InvalidURL, "neither http nor https"),
    (aiohttp.ClientPayloadError, requests.exceptions.ChunkedEncodingError, "broken off"),
    (aiohttp.ClientConnectionError, NoResponseError, "closed"),
    (aiohttp.ClientError, requests.ConnectionError, "no HTTP"),
    (ValueError, requests.exceptions.InvalidHeader, "it cannot be sent"),
)
"""aiohttp's exception -> exception of `requests` and its text. The first that fits counts. No text contains
an address or a part of a response."""


_TOO_LARGE_MESSAGES = ("Got more than", "Too many headers")
"""How aiohttp's messages about `MAX_HEADER_LINE_BYTES` and `MAX_HEADERS` begin."""


def _translate(error: Exception) -> requests.RequestException:
    if isinstance(error, aiohttp.ClientResponseError) and error.message.startswith(_TOO_LARGE_MESSAGES):
        return HeaderTooLargeError("too large")
    return next(kind(text) for source, kind, text in _TRANSLATIONS if isinstance(error, source))


async def _close(connections: _Connections) -> None:
    await connections.session.close()
    await connections.resolver.close()
