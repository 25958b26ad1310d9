"""The tokens that a backend issues."""

import base64
from dataclasses import dataclass, field
from datetime import datetime

from services.http import strict_json

MAX_DATE = 253402300799
"""The end of the year 9999: Python and browsers cannot write later dates."""
_MIN_MILLISECONDS = 10**11
"""A larger number of seconds would be after the year 5000."""
REFRESH_MARGIN_SECONDS = 30
"""An access token is refreshed this long before it expires, so that it is still valid when the backend receives it. If
the token lives for less than 150 seconds, it is a fifth of its life."""


@dataclass(frozen=True)
class Tokens:
    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_at: int | None = None
    """Seconds since 1970 when the access token expires; None if that is unknown. A hint, not verified."""
    refresh_at: int | None = None
    """Seconds since 1970 when the access token should be refreshed; None if that is unknown."""
    refresh_expires_at: int | None = None
    """Seconds since 1970 when the refresh token expires; None if that is unknown."""


def parse_expiry(value: object, unit: str, now: float) -> int | None:
    """Return the time of expiry, in seconds since 1970; None if the value is not one.

    unit: `s` or `ms` for a duration from `now`, `at` for a time.
    """
    if unit == "at" and isinstance(value, str) and "-" in value[1:]:
        return _bounded(_iso_time(value))
    number = _number(value)
    if number is None or number <= 0:
        return None
    if unit == "at":
        return _bounded(number / 1000 if number >= _MIN_MILLISECONDS else number)
    return _bounded(now + (number / 1000 if unit == "ms" else number))


def refresh_time(expires_at: int | None, now: float) -> int | None:
    """Return when to refresh an access token that was issued now, both in seconds since 1970."""
    if expires_at is None:
        return None
    return int(expires_at - min(REFRESH_MARGIN_SECONDS, (expires_at - now) / 5))


def jwt_claims(token: str) -> dict[str, object] | None:
    """Return the claims of a JWT (RFC 7519), which are not verified; None for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = strict_json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def jwt_expiry(token: str, now: float | None = None) -> int | None:
    """Return the claim `exp` of a JWT (RFC 7519, 4.1.4), which is not verified; None for any other token.

    now: seconds since 1970 when the token was received. If the token was issued later than that (`iat`), the backend's
    clock is ahead, and the token expires earlier by this site's clock.
    """
    claims = jwt_claims(token)
    if claims is None or (expiry := _number(claims.get("exp"))) is None:
        return None
    issued_at = _number(claims.get("iat"))
    is_ahead = now is not None and issued_at is not None and now < issued_at < expiry
    return _bounded(expiry - (issued_at - now) if is_ahead else expiry)  # type: ignore[operator]  # both are numbers


def _iso_time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) or (isinstance(value, str) and len(value) < 20):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None


def _bounded(seconds: float | None) -> int | None:
    return int(seconds) if seconds is not None and 0 < seconds <= MAX_DATE else None
