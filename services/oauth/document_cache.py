"""A cache of the documents that providers publish: metadata and keys.

While a provider is down, sign-ins continue with the cached keys. After a provider rotates its keys, the site fetches
them without a restart. Tokens with made-up key ids do not cause a fetch each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import errors
from services.clock import Clock
from services.oauth.provider_http import ProviderHttp
from services.request_context import RequestContext
from services.single_flight import SingleFlight

FRESH_SECONDS = 3600
"""The age after which one request fetches a document again. An unknown key causes a fetch earlier."""
FAILURE_PAUSE_SECONDS = 3
"""The pause after a failed fetch of a document that is not cached."""
REFRESH_PAUSE_SECONDS = 60
"""The pause between fetches because of an unknown key, and after a failed fetch of a cached document."""
REFRESH_SHARE = 0.5
"""The share of a request's remaining time that refreshing a cached document may take."""

_Document = Mapping[str, Any]


@dataclass
class _Entry:
    document: _Document | None = None
    fetched_at: float = float("-inf")
    pause_until: float = float("-inf")


class DocumentCache:
    """Caches documents by URL. There are few, since URLs come from the operator or from an issuer's metadata."""

    def __init__(self, http: ProviderHttp, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._fetching: SingleFlight[_Document] = SingleFlight(clock)

    def get(self, url: str, context: RequestContext) -> _Document:
        """The document, or an old copy if it cannot be fetched again. Raises `ProviderUnavailable` without a copy."""
        entry, now = self._entry(url), self._clock.monotonic()
        if entry.document is None:
            if now < entry.pause_until:
                raise errors.ProviderUnavailable("the last attempt to fetch it failed", status=503)
            return self._fetch(url, entry, context)
        is_stale = now - entry.fetched_at > FRESH_SECONDS and now > entry.pause_until
        if is_stale and not self._fetching.is_running(url):  # one request refreshes it, the others use the old one
            return self._fetch(url, entry, context)
        return entry.document

    def refresh(self, url: str, context: RequestContext) -> _Document | None:
        """Fetch a document again because a token has an unknown key. Returns None within the pause."""
        entry = self._entry(url)
        if not self._fetching.is_running(url):
            if self._clock.monotonic() < entry.pause_until:
                return None
            entry.pause_until = self._clock.monotonic() + REFRESH_PAUSE_SECONDS
        return self._fetch(url, entry, context)

    def clear(self) -> None:
        self._entries.clear()

    def _entry(self, url: str) -> _Entry:
        return self._entries.setdefault(url, _Entry())

    def _fetch(self, url: str, entry: _Entry, context: RequestContext) -> _Document:
        timeout = max(0.0, context.deadline.seconds_left())
        try:
            return self._fetching.run(url, lambda: self._fetch_now(url, entry, context), timeout)[0]
        except TimeoutError:
            raise errors.ProviderUnavailable("another request is still fetching it", status=504) from None

    def _fetch_now(self, url: str, entry: _Entry, context: RequestContext) -> _Document:
        cached = entry.document
        try:
            share = 1 if cached is None else REFRESH_SHARE
            entry.document = document = self._http.get_document(url, context, share_of_deadline=share)
        except errors.SiteError:
            if cached is None:  # without a pause, a hundred waiting requests would try one after the other
                entry.pause_until = self._clock.monotonic() + FAILURE_PAUSE_SECONDS
                raise
            entry.pause_until = self._clock.monotonic() + REFRESH_PAUSE_SECONDS
            return cached
        entry.fetched_at = self._clock.monotonic()
        return document
