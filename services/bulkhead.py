"""One slow upstream must not take all threads of a process: so many calls may wait for it, and no more.

Who comes when all places are taken waits a moment (a crowd at a quick upstream is no fault), then hears no. Those
who wait hold threads as well: there is a queue, and who finds it full hears no at once.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_QUEUE = 1.0
"""Seconds."""


class Full(Exception):
    """All places are taken."""


class Bulkhead:
    """`most` calls at once, of which `share` to one host; a `queue` for those who find no place."""

    def __init__(self, most: int, share: int, queue: int) -> None:
        self._all = threading.Semaphore(most)
        self._share = share
        self._queue = threading.Semaphore(queue)
        self._hosts: dict[str, threading.Semaphore] = {}

    @contextmanager
    def place(self, host: str, within: float) -> Iterator[None]:
        """A place for one call, within so many seconds at most; raises `Full`."""
        ends = time.monotonic() + min(within, LONGEST_QUEUE)
        # `setdefault`, not a `defaultdict`: two threads that come first at once must find the same one.
        share = self._hosts.get(host) or self._hosts.setdefault(host, threading.Semaphore(self._share))
        self._take(share, ends)
        try:
            self._take(self._all, ends)
            try:
                yield
            finally:
                self._all.release()
        finally:
            share.release()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A place in the queue; raises `Full`."""
        if not self._queue.acquire(blocking=False):
            raise Full
        try:
            yield
        finally:
            self._queue.release()

    def _take(self, places: threading.Semaphore, ends: float) -> None:
        if places.acquire(blocking=False):
            return
        with self.waiting():
            if not places.acquire(timeout=max(0.0, ends - time.monotonic())):
                raise Full
