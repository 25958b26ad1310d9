"""uvicorn's HTTP protocol with limits for the size of a request's headers and for the time to receive them.

uvicorn itself has no such limits, and at shutdown it closes idle connections at once. A request that a proxy has just
sent on one would be lost, and a proxy does not repeat a POST; so they stay open for a moment (RFC 9112, 9.6).
"""

import asyncio
import logging
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
"""The time limit for receiving the headers, from the connection or from the first byte of a later request on it."""
MAX_HEADER_BYTES = 24 * 1024
"""The size limit for request headers, with the URL: 12 kB for three session cookies and 12 kB for the rest. Node.js
allows 16 kB."""
SHUTDOWN_IDLE_SECONDS = 0.5
"""At shutdown, the time for which an idle connection still accepts a request."""

log = logging.getLogger("munjigi.serve")


class HttpProtocol(HttpToolsProtocol):
    _header_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _is_stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or not self._is_awaiting_headers():
            return
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            log.info("request refused, its headers have over %d bytes", MAX_HEADER_BYTES)
            self._send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._header_timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._header_bytes = 0
        super().on_headers_complete()
        if self._is_stopping:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        self._is_stopping = True
        if self._is_awaiting_headers():
            self.loop.call_later(SHUTDOWN_IDLE_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _is_awaiting_headers(self) -> bool:
        """Whether no response is in progress, so that received bytes are the headers of the next request."""
        return self.cycle is None or self.cycle.response_complete

    def _start_timer(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self._send_error, HTTPStatus.REQUEST_TIMEOUT)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _send_error(self, status: HTTPStatus) -> None:
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(head.encode())
            self.transport.close()
