"""The clock of a site. Services use it instead of `time`, so that a test can advance it instead of sleeping."""

import asyncio
import time

MAX_DIFFERENCE_SECONDS = 60
"""Seconds that the clocks of two machines may differ: of two that run the site, or of the site and a provider."""


class Clock:
    """The system's clock."""

    def time(self) -> float:
        """Seconds since 1970, as `time.time`."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary point in the past; never decreases, as `time.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop, as `asyncio.sleep`."""
        await asyncio.sleep(seconds)
