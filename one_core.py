"""The threads of a worker that compute keep to one core: only one of them computes at a time.

The kernel lets a thread that wakes run on an idle core. Left to it, the interpreter changes cores with each wait, and
finds the new one's caches cold (docs/decisions/0017). Which core it is, the kernel decides.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

EVERY = 1.0
"""Seconds, for which the threads may have to share a core though another has become idle."""


def following() -> Callable[[], None]:
    """What a thread calls before it computes, to go where the others are. Nothing, where there is only one core, or the
    system has no such calls (they are Linux's)."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) == 1:
        return lambda: None
    current = getattr(ctypes.CDLL(None), "sched_getcpu", None)
    return OneCore(current).follow if current else lambda: None


class OneCore:
    """Of one worker. Until the first choice, and where the system refuses, threads stay wherever it puts them."""

    def __init__(self, current: Callable[[], int], every: float = EVERY) -> None:
        """`current`: the core on which its caller runs, negative if that is not known."""
        self._current, self._every = current, every
        self._mine = threading.local()
        self._core = -1
        threading.Thread(target=self._choose, name="one-core", daemon=True).start()

    def follow(self) -> None:
        core = self._core
        if core >= 0 and core != getattr(self._mine, "core", None):
            self._mine.core = core
            with suppress(OSError):  # a container's cores may have become others meanwhile
                os.sched_setaffinity(0, {core})

    def _choose(self) -> None:
        """A thread that may run anywhere and wakes: where that is was idle, if any core was."""
        while True:
            time.sleep(self._every)
            self._core = self._current()
