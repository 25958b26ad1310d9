"""The response of a backend or provider. Nothing in it is trusted: every level is checked when it is read."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property

from services.http import strict_json

MAX_RETRY_AFTER = 3600
"""Seconds. A longer `Retry-After` is reduced to this: a mistake of a backend must not lock people out for days."""
_MAX_RESET_SECONDS = 86400
"""A number this close to the current time is a time, not a duration."""
_NO_JSON = object()
_DELAY = re.compile(r"0*([0-9]+)(\.[0-9]+)?")
_PROTECTION_HEADERS = ("cf-mitigated", "x-amzn-waf-action")
"""Headers that Cloudflare and AWS WAF add to their own responses, such as a challenge."""
_JWT = re.compile(rb"eyJ[\w-]*(\.[\w-]*){2,4}")


@dataclass(frozen=True)
class UpstreamResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes
    set_cookies: Sequence[str] = ()
    """The values of its `Set-Cookie` headers."""

    @property
    def is_json(self) -> bool:
        return self._parsed is not _NO_JSON

    def json(self) -> object:
        """The body as JSON; None if it is not JSON."""
        return self._parsed if self.is_json else None

    @cached_property
    def _parsed(self) -> object:
        try:
            return strict_json.loads_message(self.body)
        except ValueError:
            return _NO_JSON

    def get_path(self, *path: str) -> object:
        """The value below these keys; None if one of them is missing."""
        value = self.json()
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def is_html(self) -> bool:
        """Whether the body is HTML or XML. `Content-Type` does not tell: Laravel sends a bare token as `text/html`."""
        return self.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")

    @property
    def protection(self) -> str | None:
        """The header with which a bot protection marks its own responses; None without one."""
        return next((name for name in _PROTECTION_HEADERS if self.headers.get(name)), None)

    @property
    def kind(self) -> str:
        """The kind of a body that is not JSON, for the log: ` with a page of HTML`; empty for JSON."""
        if self.protection:
            return f" with a challenge of a bot protection ({self.protection})"
        if self.is_html:
            return " with a page of HTML"
        if not self.body.strip():
            return "" if 300 <= self.status < 400 else " without a body"  # a redirect needs none
        if self.is_json:
            return ""
        return " with a JWT" if _JWT.fullmatch(self.body.strip()) else " without JSON"

    def retry_after(self) -> int | None:
        """Seconds from `Retry-After`, within bounds; None if invalid."""
        return parse_retry_after(self.headers.get("Retry-After", ""))


def parse_retry_after(text: str) -> int | None:
    """Seconds to wait, within bounds; None if invalid.

    text: a number or a date (RFC 9110, 10.2.3), or seconds since 1970, as in `X-RateLimit-Reset`. A fraction is rounded
    up: no RFC allows it, but some APIs send one.
    """
    text, now = text.strip(), time.time()
    if number := _DELAY.fullmatch(text):
        seconds = MAX_RETRY_AFTER if len(number[1]) > 10 else math.ceil(float(text))
        if abs(seconds - now) < _MAX_RESET_SECONDS:
            seconds = math.ceil(seconds - now)
    elif (time_of_day := parse_http_date(text)) is not None:
        seconds = round(time_of_day - now)
    else:
        return None
    return min(max(seconds, 1), MAX_RETRY_AFTER)


def parse_http_date(text: str) -> float | None:
    """Seconds since 1970 from any of the three formats of RFC 9110, 5.6.7; None if it is not a date.

    A date without a zone, as in asctime's format, is UTC and not the local time of this machine.
    """
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
