"""What an upstream answered. Nothing in it is believed: who reads it examines each level."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from services import strict_json

LONGEST_WAIT = 3600
"""Seconds: what an upstream asks for beyond this, people are not told."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON; None where it is no JSON, which no answer of use ever is."""
        try:
            return strict_json.loads(self.body)
        except ValueError:
            return None

    def at(self, *path: str) -> object:
        """The value below these keys, each level examined; None where the way ends early."""
        value = self.json()
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def retry_after(self) -> int | None:
        """Seconds of that header (RFC 9110, 10.2.3: a number or a date), within bounds; None without a sound one."""
        text = self.headers.get("Retry-After", "").strip()
        try:
            seconds = int(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
        return min(max(round(seconds), 1), LONGEST_WAIT)
