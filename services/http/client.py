"""The HTTP client for all calls to the backend and to providers.

All calls of a request share one deadline, from the look-up of the host name to the last byte: a server that sends one
byte a second never exceeds an ordinary read timeout. Response bodies are capped. Redirects are not followed, because
the password would be sent twice. Cookies are not stored, and proxies and passwords are not read from the environment.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import requests

from services.http.aiohttp_adapter import (
    MAX_HEADER_LINE_BYTES,
    MAX_HEADERS,
    AiohttpAdapter,
    HeaderTooLargeError,
    NoResponseError,
    NoSlotError,
    NotSentError,
)
from services.http.response import UpstreamResponse
from services.observability import trace_context
from services.observability.audit import upstream_request_finished
from services.observability.tracing import Tracing

MAX_BYTES = 1024 * 1024
"""Size of the decoded body of a response: a hundred of them at a time have to fit into memory."""
QUEUE_FACTOR = 10
"""Up to this many times `max_concurrency` calls may wait for a slot."""
_MIN_SECONDS = 0.05
"""A call with less time left is not sent: the request might arrive, but its response would be too late."""


class UpstreamError(Exception):
    """A call without a usable response.

    status: the status that the site then responds with (502, 503 or 504).
    was_sent: False if it is certain that the request did not reach the host.
    """

    def __init__(self, reason: str, status: int, *, was_sent: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.was_sent = was_sent


class HttpClient:
    """Makes synchronous calls that do not block the event loop. It is thread-safe.

    max_concurrency: calls to one host at a time; further calls queue.
    sends_tracestate: send `tracestate` in addition to `traceparent`, to a host of the operator's own.
    For the other parameters see `AiohttpAdapter`.
    """

    def __init__(
        self,
        user_agent: str,
        *,
        max_concurrency: int,
        proxy: str | None = None,
        no_proxy: Sequence[str] = (),
        client_cert: Path | None = None,
        sends_tracestate: bool = False,
        tracing: Tracing | None = None,
    ) -> None:
        # The adapter alone, without a `requests.Session`: a session reads proxies and ~/.netrc from the environment,
        # keeps cookies, and reads the body of a redirect without a limit.
        self._adapter = AiohttpAdapter(
            max_bytes=MAX_BYTES + 1,
            max_per_host=max_concurrency,
            max_queued=QUEUE_FACTOR * max_concurrency,
            proxy=proxy,
            no_proxy=no_proxy,
            client_cert=client_cert,
        )
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._sends_tracestate = sends_tracestate
        self._tracing = tracing

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        within: float,
        json: object = None,
        form: Mapping[str, str] | None = None,
        retry: bool = False,
    ) -> UpstreamResponse:
        """Send one request; raises `UpstreamError`.

        within: the timeout of the whole call in seconds.
        retry: send it once more if no connection was made, or if it was closed before the response arrived. Only for
        requests that the host may receive twice.
        """
        deadline = time.monotonic() + within
        host, started_at, status_class = urlsplit(url).netloc, time.monotonic(), "none"
        span = self._tracing.start_call(method, host) if self._tracing and trace_context.current_trace.get() else None
        status = None
        try:
            trace = span.trace if span else None
            trace_headers = trace_context.outgoing_headers(trace, with_state=self._sends_tracestate)
            request = _prepare(method, url, {**self._headers, **headers, **trace_headers}, form, json)
            try:
                response = self._send_once(request, deadline)
            except (NotSentError, NoResponseError) as error:
                if not retry or (method == "GET" and isinstance(error, NoResponseError)):  # aiohttp sent a GET again
                    raise
                response = self._send_once(request, deadline)
            body = _read_capped(response)
        except requests.RequestException as error:
            raise _upstream_error(error) from None
        else:
            status, status_class = response.status_code, f"{response.status_code // 100}xx"
            return UpstreamResponse(response.status_code, response.headers, body, _set_cookies(response))
        finally:
            if span:
                span.end(status, failed=status is None or status >= 400)  # for a client span, 4xx is an error too
            upstream_request_finished.send(
                self, host=host, status_class=status_class, seconds=time.monotonic() - started_at
            )

    def close(self) -> None:
        """Close the connections of all event loops, without waiting."""
        self._adapter.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._adapter.aclose()

    def _send_once(self, request: requests.PreparedRequest, deadline: float) -> requests.Response:
        seconds_left = deadline - time.monotonic()
        if seconds_left < _MIN_SECONDS:
            raise UpstreamError("no time left for this call", 504, was_sent=False)
        return self._adapter.send(request, timeout=seconds_left)


def _prepare(
    method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None, json: object
) -> requests.PreparedRequest:
    """Prepare a request as `requests.Request.prepare` does, without query parameters, cookies and credentials.

    With these steps, and with urllib3's part of a response (`aiohttp_adapter.py`), the two calls of a sign-in cost
    480 µs more than aiohttp alone; without them 200. A sign-in takes about 2,000.
    """
    request = requests.PreparedRequest()
    request.prepare_method(method)
    request.url = _prepare_url(url)
    request.prepare_headers(headers)
    request.prepare_body(form, None, json)
    return request


@lru_cache(256)
def _prepare_url(url: str) -> str:
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return request.url or ""


def _set_cookies(response: requests.Response) -> Sequence[str]:
    """The values of all `Set-Cookie` headers; `response.headers` has only one of several with the same name."""
    getlist = getattr(getattr(response.raw, "headers", None), "getlist", None)
    return getlist("Set-Cookie") if getlist else ()


def _read_capped(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(64 * 1024):  # decoded, if it is compressed although the request forbids it
        body += chunk
        if len(body) > MAX_BYTES:
            raise UpstreamError(f"answer {response.status_code} is over {MAX_BYTES} bytes", 502)
    return bytes(body)


_REASONS: tuple[tuple[type[requests.RequestException], str, int], ...] = (
    (requests.Timeout, "no full answer in time", 504),
    (requests.exceptions.SSLError, "its TLS certificate or protocol is refused", 502),
    (NoSlotError, "too many calls wait for it already", 503),
    (NotSentError, "no connection can be made", 503),
    (
        HeaderTooLargeError,
        f"a header of the answer is over {MAX_HEADER_LINE_BYTES} bytes, or it has over {MAX_HEADERS} headers",
        502,
    ),
    (requests.ConnectionError, "the answer broke off or is no HTTP (ConnectionError)", 502),
)
"""Exception -> reason and status. The first that fits counts. The texts of the exceptions may contain response data."""


_NOT_SENT = (NoSlotError, NotSentError, requests.exceptions.SSLError)


def _upstream_error(error: requests.RequestException) -> UpstreamError:
    for kind, reason, status in _REASONS:
        if isinstance(error, kind):
            return UpstreamError(reason, status, was_sent=not isinstance(error, _NOT_SENT))
    return UpstreamError(f"the answer broke off or is no HTTP ({type(error).__name__})", 502)
