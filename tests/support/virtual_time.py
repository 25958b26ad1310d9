"""An event loop whose time jumps to the next timer, so that hours pass in milliseconds and always in the same way.

There is no I/O on it: what a coroutine waits for are timers and futures.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.clock import Clock

STARTED_AT = 1_800_000_000.0
"""Seconds since 1970 when the loop's time is 0."""

_T = TypeVar("_T")


class _JumpingSelector(selectors.SelectSelector):
    """Returns at once, and moves the loop's time by the timeout."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all tasks wait for something that never happens"
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def _write_to_self(self) -> None:
        """Nothing: only one thread uses this loop, and it is awake."""


class LoopClock(Clock):
    """The clock of a machine on this loop, which differs from that of others by some seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, offset: float = 0.0) -> None:
        self._loop = loop
        self._offset = offset

    def time(self) -> float:
        return STARTED_AT + self._loop.time() + self._offset

    def monotonic(self) -> float:
        return 1000.0 + self._loop.time()


def run_in_virtual_time(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on a loop of its own, and cancel the tasks that it leaves."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
