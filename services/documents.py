"""What providers publish about themselves (metadata, keys), fetched when needed and kept for a while.

A provider that is down must not stop people whose keys we have; one that rotates its keys must not wait for
our restart; and tokens with made-up key ids must not make us fetch for each of them.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import errors
from services.clock import Clock

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
    """By address. The addresses are the operator's or an issuer's own, so there are few.

    `fetch(url, briefly)`; `time_left()`: seconds that this request may still wait, for somebody else's fetch too;
    `waiting()`: its place while it does.
    """

    def __init__(
        self,
        fetch: Callable[[str, bool], Mapping[str, Any]],
        time_left: Callable[[], float],
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._fetch = fetch
        self._time_left = time_left
        self._waiting = waiting
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def get(self, url: str) -> Mapping[str, Any]:
        """The document; an old one if a new one cannot be had. Raises `ProviderUnavailable` without any."""
        kept = self._at(url)
        with self._held(kept, wait=kept.document is None) as alone:
            now = self._clock.monotonic()
            if kept.document is None and now < kept.pause_until:
                raise errors.ProviderUnavailable("it could not be reached a moment ago", status=503)
            stale = now - kept.fetched_at > FRESH_SECONDS and now > kept.pause_until
            if alone and (kept.document is None or stale):
                self._renew(url, kept)
            return kept.document or {}

    def again(self, url: str) -> Mapping[str, Any] | None:
        """The document as it is now, for a token that the known one does not explain; None within the pause."""
        kept = self._at(url)
        with self._held(kept, wait=True):
            if self._clock.monotonic() < kept.pause_until:
                return None
            kept.pause_until = self._clock.monotonic() + PAUSE_SECONDS
            self._renew(url, kept)
            return kept.document

    def _at(self, url: str) -> _Kept:
        with self._lock:
            return self._kept.setdefault(url, _Kept())

    @contextmanager
    def _held(self, kept: _Kept, *, wait: bool) -> Iterator[bool]:
        """Whether nobody else fetches it now; whoever has to `wait` for that does so within their own time."""
        alone = kept.lock.acquire(blocking=False)
        if wait and not alone:
            with self._waiting():
                alone = kept.lock.acquire(timeout=max(0.0, self._time_left()))
            if not alone:
                raise errors.ProviderUnavailable("somebody else still waits for it", status=504)
        try:
            yield alone
        finally:
            if alone:
                kept.lock.release()

    def _renew(self, url: str, kept: _Kept) -> None:
        try:
            # Who has an old one must not lose the time that the rest of their sign-in takes.
            kept.document, kept.fetched_at = self._fetch(url, kept.document is not None), self._clock.monotonic()
        except errors.SiteError:
            if kept.document is None:
                kept.pause_until = (
                    self._clock.monotonic() + SHORT_PAUSE_SECONDS
                )  # or a hundred people would wait in a row
                raise
            kept.pause_until = self._clock.monotonic() + PAUSE_SECONDS
