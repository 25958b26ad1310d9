"""MetadataCache that providers publish about themselves (metadata, keys), fetched when needed and kept for a while.

A provider that is down must not stop people whose keys we have; one that rotates its keys must not wait for our
restart; and tokens with made-up key ids must not make us fetch for each of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import errors
from services.clock import Clock
from services.single_flight import SingleFlight

FRESH_SECONDS = 3600
SHORT_PAUSE_SECONDS = 3
PAUSE_SECONDS = 60
"""Between two fetches that a strange token asked for, or that failed."""

_Document = Mapping[str, Any]


@dataclass
class _Entry:
    document: _Document | None = None
    fetched_at: float = float("-inf")
    pause_until: float = float("-inf")


class MetadataCache:
    """By address. The addresses are the operator's or an issuer's own, so there are few.

    fetch(url, briefly): gets a document, or raises a `SiteError`.
    time_left(): seconds that this request may still wait, also for a fetch that another request has started.
    """

    def __init__(self, fetch: Callable[[str, bool], _Document], time_left: Callable[[], float], clock: Clock) -> None:
        self._fetch = fetch
        self._time_left = time_left
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._fetching: SingleFlight[_Document] = SingleFlight(clock)

    def get(self, url: str) -> _Document:
        """The document; an old one if a new one cannot be had. Raises `ProviderUnavailable` if there is none."""
        entry, now = self._entry(url), self._clock.monotonic()
        if entry.document is None:
            if now < entry.pause_until:
                raise errors.ProviderUnavailable("it could not be reached a moment ago", status=503)
            return self._renew(url, entry)
        is_stale = now - entry.fetched_at > FRESH_SECONDS and now > entry.pause_until
        if is_stale and not self._fetching.is_running(url):  # one request renews it, the others go on
            return self._renew(url, entry)
        return entry.document

    def again(self, url: str) -> _Document | None:
        """The document as it is now, for a token that the known one does not explain; None within the pause."""
        entry = self._entry(url)
        if not self._fetching.is_running(url):
            if self._clock.monotonic() < entry.pause_until:
                return None
            entry.pause_until = self._clock.monotonic() + PAUSE_SECONDS
        return self._renew(url, entry)

    def _entry(self, url: str) -> _Entry:
        return self._entries.setdefault(url, _Entry())

    def _renew(self, url: str, entry: _Entry) -> _Document:
        try:
            return self._fetching.run(url, lambda: self._fetched(url, entry), max(0.0, self._time_left()))[0]
        except TimeoutError:
            raise errors.ProviderUnavailable("another request still waits for it", status=504) from None

    def _fetched(self, url: str, entry: _Entry) -> _Document:
        known = entry.document
        try:
            # With an old document at hand, the rest of the sign-in must not lose all of its time to a new one.
            entry.document = document = self._fetch(url, known is not None)
        except errors.SiteError:
            if known is None:  # or a hundred people would wait for it one after the other
                entry.pause_until = self._clock.monotonic() + SHORT_PAUSE_SECONDS
                raise
            entry.pause_until = self._clock.monotonic() + PAUSE_SECONDS
            return known
        entry.fetched_at = self._clock.monotonic()
        return document
