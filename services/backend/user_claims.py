"""The claims of `USER_CLAIMS`: further fields of the backend's user, for apps.

The backend decides what people may do, but it may send too much: a claim that is too large is left out, so that it does
not lock the person out. An app must treat a missing claim as no permission.
"""

import json
import logging
import math
from collections.abc import Iterable
from typing import Any

from services.backend.answer import MISSING, find
from services.backend.user import MAX_EXACT_NUMBER, clean_text
from settings_readers import UserClaim

log = logging.getLogger("munjigi.backend")

MAX_CLAIMS_BYTES = 2048
"""Size of all claims of a user as JSON. The session cookie and the headers to an app have 16 kB for everything."""
MAX_DEPTH = 4
"""Levels of lists and objects. Roles and plans need no more."""


def read_claims(user: object, claims_to_read: Iterable[UserClaim]) -> dict[str, object]:
    """The claims of the user in a backend's answer, except those that are null, missing or not valid."""
    claims: dict[str, object] = {}
    bytes_left = MAX_CLAIMS_BYTES
    for claim in claims_to_read:
        value = find(user, claim.place)
        if value is None or value is MISSING:
            continue
        try:
            value = _clean(value, MAX_DEPTH)
            size = len(to_json({claim.name: value}).encode())
        except ValueError as error:
            log.warning("claim left out: name=%s: %s", claim.name, error)
            continue
        if size > bytes_left:
            log.warning("claim left out: name=%s: all claims have more than %d bytes", claim.name, MAX_CLAIMS_BYTES)
            continue
        bytes_left -= size
        claims[claim.name] = value
    return claims


def to_json(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _clean(value: object, depth: int) -> Any:
    """The value as JSON that all readers understand in the same way. Raises `ValueError` if that is not possible."""
    match value:
        case None | bool():
            return value
        case int():
            return value if abs(value) < MAX_EXACT_NUMBER else str(value)
        case float():
            if math.isfinite(value):
                return value
            raise ValueError("a number out of range")
        case str():
            return _text(value)
        case list() if depth:
            return [_clean(item, depth - 1) for item in value]
        case dict() if depth:
            return {_text(key): _clean(item, depth - 1) for key, item in value.items()}
    raise ValueError(f"more than {MAX_DEPTH} levels")


def _text(text: str) -> str:
    """Text without control characters. A text that is too long stays too long, and the caller leaves it out."""
    return clean_text(text, MAX_CLAIMS_BYTES + 1) or ""
