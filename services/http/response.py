"""The response of a backend or provider. Nothing in it is trusted: every level is checked when it is read."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property

from services.http import strict_json

MAX_RETRY_AFTER = 3600
"""Seconds. A longer `Retry-After` is cut to this."""


@dataclass(frozen=True)
class UpstreamResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON; None if it is not JSON."""
        return self._parsed

    @cached_property
    def _parsed(self) -> object:
        try:
            return strict_json.loads(self.body)
        except ValueError:
            return None

    def get_path(self, *path: str) -> object:
        """The value below these keys; None if one of them is missing."""
        value = self.json()
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def retry_after(self) -> int | None:
        """Seconds from `Retry-After` (RFC 9110, 10.2.3: a number or a date), within bounds; None if invalid."""
        text = self.headers.get("Retry-After", "").strip()
        try:
            seconds = int(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
        return min(max(round(seconds), 1), MAX_RETRY_AFTER)
