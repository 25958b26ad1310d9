"""What providers publish about themselves (metadata, keys), fetched when needed and kept for a while.

A provider that is down must not stop people whose keys we have; one that rotates its keys must not wait for
our restart; and tokens with made-up key ids must not make us fetch for each of them.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import errors

FRESH_SECONDS = 3600
SHORT_PAUSE_SECONDS = 3
PAUSE_SECONDS = 60
"""Between two fetches that a strange token asked for, or that failed."""


@dataclass
class _Kept:
    document: Mapping[str, Any] | None = None
    fetched_at: float = float("-inf")
    pause_until: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class Documents:
    """By address. The addresses are the operator's or an issuer's own, so there are few."""

    def __init__(self, fetch: Callable[[str], Mapping[str, Any]]) -> None:
        self._fetch = fetch
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def get(self, url: str) -> Mapping[str, Any]:
        """The document; an old one if a new one cannot be had. Raises `ProviderUnavailable` without any."""
        kept = self._at(url)
        with kept.lock:
            now = time.monotonic()
            if kept.document is None and now < kept.pause_until:
                raise errors.ProviderUnavailable("it could not be reached a moment ago", status=503)
            if kept.document is None or (now - kept.fetched_at > FRESH_SECONDS and now > kept.pause_until):
                self._renew(url, kept)
            return kept.document or {}

    def again(self, url: str) -> Mapping[str, Any] | None:
        """The document as it is now, for a token that the known one does not explain; None within the pause."""
        kept = self._at(url)
        with kept.lock:
            if time.monotonic() < kept.pause_until:
                return None
            kept.pause_until = time.monotonic() + PAUSE_SECONDS
            self._renew(url, kept)
            return kept.document

    def _at(self, url: str) -> _Kept:
        with self._lock:
            return self._kept.setdefault(url, _Kept())

    def _renew(self, url: str, kept: _Kept) -> None:
        try:
            kept.document, kept.fetched_at = self._fetch(url), time.monotonic()
        except errors.SiteError:
            if kept.document is None:
                kept.pause_until = time.monotonic() + SHORT_PAUSE_SECONDS  # or a hundred people would wait in a row
                raise
            kept.pause_until = time.monotonic() + PAUSE_SECONDS
