"""One slow upstream must not take all threads of a process: so many calls may wait for it, and no more.

Who comes when all places are taken waits a moment (a crowd at a quick upstream is no fault), then hears no.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

LONGEST_QUEUE = 1.0
"""Seconds."""


class Full(Exception):
    """All places are taken."""


class Bulkhead:
    """`most` calls at once, of which `share` to one host."""

    def __init__(self, most: int, share: int) -> None:
        self._all = threading.Semaphore(most)
        self._hosts: defaultdict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(share))

    @contextmanager
    def place(self, host: str, within: float) -> Iterator[None]:
        """A place for one call, within so many seconds at most; raises `Full`."""
        ends = time.monotonic() + min(within, LONGEST_QUEUE)
        with ExitStack() as taken:
            for places in (self._hosts[host], self._all):
                if not places.acquire(timeout=max(0.0, ends - time.monotonic())):
                    raise Full
                taken.callback(places.release)
            yield
